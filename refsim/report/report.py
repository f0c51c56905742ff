"""`Report`: the findings with their sentence, as text, JSON and an HTML page."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ..cards.read import notes
from ..cases.findings import Findings
from ..core.errors import RefsimError
from ..networks.network import Network
from ..networks.recording import decision_rule
from .html import page
from .pair import write_pair
from .sentence import sentence
from .text import render_report

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Report:
    """The report that a user reads.

    Attributes
    ----------
    findings : Findings
        The data that it shows.
    """

    findings: Findings

    @property
    def verdict(self) -> str:
        """``"pass"``, ``"fail"`` or ``"inconclusive"``."""
        return self.findings.verdict

    @property
    def sentence(self) -> str:
        """The answer: whether it is the same network, and if not, where the two part."""
        return sentence(self.findings)

    def text(self, width: int = 80) -> str:
        """Return the report for a terminal."""
        return render_report(self.findings, self.sentence, width)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of report.json."""
        # The runs are the reference, the trials and the rungs of the ladder.
        findings = self.findings
        # Every run is named with all that made it: versions, dtype, dt, seed.
        runs = [findings.reference] if findings.reference else []
        runs += [found.trial for found in findings.comparisons]
        runs += [rung.recording for rung in findings.ladder.rungs] if findings.ladder else []
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "title": findings.title,
            "network": describe_network(findings.network),
            "decision": decision_rule(findings.network) if findings.network is not None else None,
            "data": dict(findings.data or {}),
            "runs": [
                dict(run.provenance) | {"spikes_per_layer": [len(train) for train in run.spikes]}
                for run in runs
            ],
            "claims": [verdict.as_dict() for verdict in findings.verdicts],
            "causes": [cause.as_dict() for cause in findings.conventions],
        }
        # JSON has no NaN: what is strange is null here and named by its place.
        plain, strange = as_json_data(content)
        strange |= {
            f"claims[{row}].value": _word(verdict.value)
            for row, verdict in enumerate(findings.verdicts)
            if _is_strange(verdict.value)
        }
        # The id is that of the content, so that equal findings have equal ids.
        whole: dict[str, Any] = {**plain, "not_finite": strange}
        return whole | {"id": hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]}

    def as_json(self) -> str:
        """Return report.json, which any reader of JSON can read.

        What is NaN or infinite is null, and named under ``not_finite``.
        """
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write report.json and report.html into a folder, made where absent; return the folder.

        Both are written or none, whenever the run is killed: see `refsim.report.pair`. They have
        the same ``id``.

        Parameters
        ----------
        folder : path

        Returns
        -------
        Path

        Raises
        ------
        RefsimError
            Where the folder cannot be written.
        """
        # The folder is the user's, so what is wrong with it is said in one sentence.
        path = Path(folder)
        try:
            write_pair(
                path,
                {
                    "report.json": self.as_json() + "\n",
                    "report.html": page(self.findings, self.as_dict()),
                },
            )
        except OSError as error:
            raise RefsimError(
                f"the report cannot be written to {path} ({error.strerror}); name another "
                "folder, --report DIR."
            ) from None
        return path

    def __str__(self) -> str:
        """Return the report for a terminal."""
        return self.text()


def describe_network(network: Network | None) -> dict[str, object] | None:
    """Return sizes, neurons and parameters of a network as data for JSON."""
    if network is None:
        return None
    layers = []
    for layer in network.layers:
        # A parameter that each neuron has its own value of is named, not listed.
        values = {
            name: parameter.value
            for name, parameter in layer.model.parameters.items()
            if name not in layer.parameters
        }
        layers.append(
            {
                "name": layer.name,
                "neuron": layer.model.name,
                "n_inputs": layer.n_pre,
                "n_neurons": layer.n_post,
                "parameters": values,
                "parameters_per_neuron": sorted(layer.parameters),
                "notes": notes(layer.model, layer.parameters),
            }
        )
    return {
        "dt": network.dt,
        "n_inputs": network.n_inputs,
        "synapses": sum(layer.weight.size for layer in network.layers),
        "layers": layers,
    }


def as_json_data(value: object, where: str = "") -> tuple[Any, dict[str, str]]:
    """Return data as JSON holds it, and what in it was NaN or infinite, by its place.

    JSON has neither, so null stands for them.
    """
    if isinstance(value, Mapping):
        # A place is written as one would write it in Python: claims[0].value.
        parts = [
            (str(key), as_json_data(entry, f"{where}.{key}" if where else str(key)))
            for key, entry in value.items()
        ]
        return {key: part for key, (part, _) in parts}, {
            place: word for _, (_, found) in parts for place, word in found.items()
        }
    # An entry of a list is named by its number.
    if isinstance(value, list | tuple):
        rows = [as_json_data(entry, f"{where}[{row}]") for row, entry in enumerate(value)]
        return [part for part, _ in rows], {
            place: word for _, found in rows for place, word in found.items()
        }
    if hasattr(value, "tolist"):  # a number or an array of NumPy
        return as_json_data(value.tolist(), where)
    if _is_strange(value):
        return None, {where: _word(value)}
    return (value if value is None or isinstance(value, str | int | float) else str(value)), {}


def _is_strange(value: object) -> TypeGuard[float]:
    """Return whether a value is NaN or infinite."""
    return isinstance(value, float) and not math.isfinite(value)


def _word(value: float) -> str:
    """Return NaN or infinity as a word."""
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"
