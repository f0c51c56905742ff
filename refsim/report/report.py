"""Report: the findings with their sentence, as text, JSON and an HTML page."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RefsimError
from ..network import Network
from ..questions.findings import Findings
from ..recording import decision_rule
from .sentence import sentence

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What a user reads.

    Attributes
    ----------
    findings : Findings
        The data behind it.
    """

    findings: Findings

    @property
    def verdict(self) -> str:
        """``"pass"``, ``"fail"`` or ``"inconclusive"``."""
        return self.findings.verdict

    @property
    def sentence(self) -> str:
        """Whether it is the same network, and if not, where it parts."""
        return sentence(self.findings)

    def text(self, width: int = 80) -> str:
        """Return the report for a terminal."""
        from .text import render

        return render(self, width)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of report.json."""
        findings = self.findings
        runs = [findings.reference] if findings.reference else []
        runs += [found.trial for found in findings.comparisons]
        runs += [rung.recording for rung in findings.ladder.rungs] if findings.ladder else []
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "title": findings.title,
            "network": describe_network(findings.network),
            "decision": decision_rule(findings.network) if findings.network is not None else None,
            "data": dict(findings.data or {}),
            "runs": [dict(run.provenance) | {"spikes_per_layer": [len(train) for train in run.spikes]} for run in runs],
            "claims": [verdict.as_dict() for verdict in findings.verdicts],
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write report.json and report.html into a folder, made where absent; return the folder.

        Raises
        ------
        RefsimError
            Where the folder cannot be written.
        """
        from .html import page

        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "report.json").write_text(json.dumps(self.as_dict(), indent=2, allow_nan=False, default=_plain) + "\n", "utf-8")
            (path / "report.html").write_text(page(self), "utf-8")
        except OSError as error:
            raise RefsimError(f"the report cannot be written to {path} ({error.strerror}); name another folder, --report DIR.") from None
        return path

    def __str__(self) -> str:
        """Return the report for a terminal."""
        return self.text()


def describe_network(network: Network | None) -> dict[str, Any] | None:
    """Return sizes, neurons and parameters of a network as plain data."""
    if network is None:
        return None
    layers = []
    for layer in network.layers:
        values = {name: parameter.value for name, parameter in layer.model.parameters.items() if name not in layer.parameters}
        layers.append({"name": layer.name, "neuron": layer.model.name, "n_inputs": layer.n_pre, "n_neurons": layer.n_post,
                       "parameters": values, "parameters_per_neuron": sorted(layer.parameters)})  # fmt: skip
    return {"dt": network.dt, "n_inputs": network.n_inputs, "synapses": sum(layer.weight.size for layer in network.layers), "layers": layers}


def _plain(value: Any) -> Any:
    """Turn NumPy numbers into Python's."""
    return value.item() if hasattr(value, "item") else str(value)
