"""The report in a terminal: the sentence first, then what was run, then a line a claim. Eighty columns are enough."""

import textwrap
from typing import TYPE_CHECKING

from ..claims import Verdict
from ..errors import counted
from ..questions.findings import Findings

if TYPE_CHECKING:
    from .report import Report

_QUESTIONS = {
    "code": "Is the code right? Both run the same declared step",
    "step": "Is the step right? Reported against the ODE, blamed on nobody",
    "task": "Does it do its task?",
    "gradient": "Is the gradient right?",
}


def render(report: "Report", width: int = 80) -> str:
    """Return the report as text."""
    findings = report.findings
    lines = textwrap.wrap(f"{report.verdict.upper()}. {report.sentence}", width)
    lines += ["", *(_wrapped(name, text, width) for name, text in facts(findings))]
    for question, heading in _QUESTIONS.items():
        rows = [verdict for verdict in findings.verdicts if verdict.claim.question == question]
        if rows:
            lines += ["", heading, *(line for verdict in rows if verdict.status != "skipped" for line in _row(verdict, width))]
            lines += [line for reason in _reasons(rows) for line in reason]
    return "\n".join(lines)


def _wrapped(name: str, text: str, width: int) -> str:
    return textwrap.fill(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Return what was run, as names and texts."""
    rows = [("case", findings.title)]
    network, data = findings.network, findings.data or {}
    if network is not None:
        sizes = "-".join(str(size) for size in (network.n_inputs, *(layer.n_post for layer in network.layers)))
        neurons = ", ".join(dict.fromkeys(layer.model.name for layer in network.layers))
        rows.append(("network", f"{sizes}, {neurons}, dt = {network.dt * 1e3:g} ms"))
        rows.append(("data", f"{data.get('name', 'given drive')}: {counted(data['samples'], 'sample')}, {counted(data['steps'], 'step')}, {data.get('drive')}"))
        rows += [(name, words) for name, words in data.get("parties", {}).items() if words and name != "trial"]
        rows += [("assumed", line) for line in data.get("assumed", ())]
        rows += [("differs", line) for line in data.get("differs", ())]
        rows += [("ignored", ", ".join(data["ignored"]))] if data.get("ignored") else []
    if findings.reference is not None:
        spikes = ", ".join(f"{len(train):,}" for train in findings.reference.spikes)
        rows.append(("reference", f"{findings.reference.label} ({findings.reference.provenance.get('target', 'NumPy')}), spikes a layer: {spikes}"))
        rows += [
            ("on trial", f"{found.trial.label}, {found.trial.provenance['module']}") for found in findings.comparisons if "module" in found.trial.provenance
        ]
    return rows


def _reasons(rows: list[Verdict]) -> list[list[str]]:
    """Return one line a reason for what was skipped, however many measures it concerns."""
    skipped = [verdict for verdict in rows if verdict.status == "skipped"]
    lines = []
    for reason in dict.fromkeys(verdict.detail for verdict in skipped):
        names = ", ".join(verdict.claim.measure for verdict in skipped if verdict.detail == reason)
        lines.append(textwrap.wrap(f"{names}: {reason}", 80, initial_indent="  skipped      ", subsequent_indent=" " * 15))
    return lines


def _row(verdict: Verdict, width: int) -> list[str]:
    value = "-" if verdict.value is None else f"{verdict.value:.4g}"
    line = f"  {verdict.status:<12} {verdict.claim.measure:<29} {value:>7} {verdict.claim.limit_text:<8} {_short(verdict.run)}".rstrip()
    lines = [line if len(line) <= width else line[: width - 1] + "…"]
    if verdict.status in ("fail", "inconclusive") and verdict.detail:
        lines += textwrap.wrap(verdict.detail, width, initial_indent=" " * 15, subsequent_indent=" " * 15)
    return lines


def _short(run: str) -> str:
    """Drop from a run's label what its table says already."""
    if run.startswith("Brian2 fine"):
        return run.removeprefix("Brian2 fine ").removesuffix(" float64")
    return run.replace("Brian2 grid ", "Brian2 ")
