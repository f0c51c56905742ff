"""The report in a terminal: the sentence first, then what was run, then a line a claim.

Eighty columns are enough.

A forecast in a terminal: what a validation will need, before it is run. Eighty columns are enough.
"""

import math
import textwrap

from ..cards.read import notes
from ..cases.findings import Findings
from ..cases.forecast import Forecast
from ..core.claims import Verdict
from ..core.errors import counted, one_line
from ..judge.comparison import Comparison
from ..judge.judgement import Replay
from ..networks.recording import decision_rule

_FACT = 600  # characters of a fact: names of files and layers are somebody else's
_QUESTIONS = {
    "code": "Is the code right? Both run the same declared step",
    "step": "Is the step right? Reported against the ODE, blamed on nobody",
    "task": "Does it do its task?",
    "gradient": "Is the gradient right?",
}


def render(findings: Findings, sentence: str, width: int = 80) -> str:
    """Return the report as text, with its sentence first."""
    lines = textwrap.wrap(f"{findings.verdict.upper()}. {sentence}", width)
    lines += ["", *(_wrapped(name, text, width) for name, text in facts(findings))]
    for question, heading in _QUESTIONS.items():
        rows = [verdict for verdict in findings.verdicts if verdict.claim.question == question]
        if rows:
            lines += [
                "",
                heading,
                *(
                    line
                    for verdict in rows
                    if verdict.status != "skipped"
                    for line in _row(verdict, width)
                ),
            ]
            lines += [line for reason in _reasons(rows) for line in reason]
    return "\n".join(lines)


def _wrapped(name: str, text: str, width: int) -> str:
    return textwrap.fill(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Return what was run, as names and texts."""
    rows = [("case", findings.title)]
    network, data = findings.network, findings.data or {}
    if network is not None:
        sizes = "-".join(
            str(size) for size in (network.n_inputs, *(layer.n_post for layer in network.layers))
        )
        neurons = ", ".join(dict.fromkeys(layer.model.name for layer in network.layers))
        rows.append(("network", f"{sizes}, {neurons}, dt = {network.dt * 1e3:g} ms"))
        rows.append(
            (
                "data",
                (
                    f"{data.get('name', 'given drive')}: {counted(data['samples'], 'sample')}, "
                    f"{counted(data['steps'], 'step')}, {data.get('drive')}"
                ),
            )
        )
        rows += [
            (name, words)
            for name, words in data.get("parties", {}).items()
            if words and name != "trial"
        ]
        rows += [("assumed", line) for line in data.get("assumed", ())]
        rows.append(("decision", decision_rule(network)))
        told = (line for layer in network.layers for line in notes(layer.model, layer.parameters))
        rows += [("note", line) for line in dict.fromkeys(told)]
        rows += [("differs", line) for line in data.get("differs", ())]
        rows += [("ignored", ", ".join(data["ignored"]))] if data.get("ignored") else []
    if findings.reference is not None:
        spikes = ", ".join(f"{len(train):,}" for train in findings.reference.spikes)
        rows.append(
            (
                "reference",
                (
                    f"{findings.reference.label} "
                    f"({findings.reference.provenance.get('target', 'NumPy')}), spikes a layer: "
                    f"{spikes}"
                ),
            )
        )
        rows += [
            ("on trial", f"{found.trial.label}, {found.trial.provenance['module']}")
            for found in findings.comparisons
            if "module" in found.trial.provenance
        ]
        rows += [
            ("judged", text)
            for text in dict.fromkeys(judged(found) for found in findings.comparisons)
        ]
    return [(name, one_line(text, _FACT)) for name, text in rows]


def judged(found: Comparison) -> str:
    """Say how many decisions of a trial were judged, and how finely."""
    replay, samples = found.replay, found.reference.drive.n_samples
    looked = (
        "all samples"
        if len(replay.samples) == samples
        else f"{len(replay.samples):,} of {counted(samples, 'sample')}"
    )
    free = [str(index) for index, layer in enumerate(replay.layers) if not layer.judged]
    left_out = f"; layer {', '.join(free)} was not recorded and ran freely" if free else ""
    fine = _finely(replay) if replay.total else "none could fire"
    return f"{replay.total:,} decisions of {looked} by themselves: {fine}{left_out}"


def _finely(replay: Replay) -> str:
    share = "all judged" if replay.judged_share == 1 else f"{replay.judged_share:.2%} judged"
    if replay.coarsest == 0:
        return f"{share}, in sums that are exact"
    if not math.isfinite(replay.coarsest):
        return f"{share}; somewhere nothing is known of rounding"
    return (
        f"{share}, rounding reaches at most {replay.coarsest:.2g} of the way from reset to "
        "threshold"
    )


def _reasons(rows: list[Verdict]) -> list[list[str]]:
    """Return one line a reason for what was skipped, however many measures it concerns."""
    skipped = [verdict for verdict in rows if verdict.status == "skipped"]
    lines = []
    for reason in dict.fromkeys(verdict.detail for verdict in skipped):
        names = ", ".join(verdict.claim.measure for verdict in skipped if verdict.detail == reason)
        lines.append(
            textwrap.wrap(
                f"{names}: {reason}",
                80,
                initial_indent="  skipped      ",
                subsequent_indent=" " * 15,
            )
        )
    return lines


def _row(verdict: Verdict, width: int) -> list[str]:
    value = "-" if verdict.value is None else f"{verdict.value:.4g}"
    line = (
        f"  {verdict.status:<12} {verdict.claim.measure:<29} {value:>7} "
        f"{verdict.claim.limit_text:<8} {_short(verdict.run)}"
    ).rstrip()
    lines = [line if len(line) <= width else line[: width - 1] + "…"]
    if verdict.status in ("fail", "inconclusive") and verdict.detail:
        lines += textwrap.wrap(
            verdict.detail, width, initial_indent=" " * 15, subsequent_indent=" " * 15
        )
    return lines


def _short(run: str) -> str:
    """Drop from a run's label what its table says already."""
    if run.startswith("Brian2 fine"):
        return run.removeprefix("Brian2 fine ").removesuffix(" float64")
    return run.replace("Brian2 grid ", "Brian2 ")


_HEAD = f"{'layer':<6} {'neuron':<14} {'neurons':>9} {'synapses':>13} {'spikes a sample':>16}"


def render_plan(found: Forecast) -> str:
    """Return the forecast as text."""
    first = "It fits." if found.fits else "It does not fit."
    lines = [
        _filled(
            f"PLAN. {first} About {_gib(found.memory)} of {_gib(found.free + found.held)} of "
            f"memory, and {_about(found.seconds)}.{_cure(found)}"
        ),
        "",
    ]
    lines += [_HEAD, *(_layer(found, index) for index in range(len(found.network.layers))), ""]
    lines.append(
        _plan_row(
            "samples",
            f"{found.n_samples:,} of {counted(found.n_steps, 'step')}: {found.batch} at once, "
            f"{counted(found.chunks, 'chunk')}, "
            f"{counted(found.portions, 'portion')} on {found.processes} "
            f"process{'' if found.processes == 1 else 'es'}",
        )
    )
    lines += [
        _plan_row("time" if not index else "", f"{run.label}: {_about(run.seconds)}")
        for index, run in enumerate(found.runs)
    ]
    lines += [
        "",
        _filled(
            f"Estimates, in proportion to the first {counted(found.tried, 'sample')}, which were "
            "run just now and nothing else: memory by "
            "the size of input, spikes and programs; time by the clock of this machine as busy "
            "as it is; one-time compilation, "
            "comparison and report apart."
        ),
    ]
    return "\n".join(lines)


def _cure(found: Forecast) -> str:
    return "" if found.fits else f" Give fewer: --samples {found.fitting}."


def _layer(found: Forecast, index: int) -> str:
    layer, spikes = found.network.layers[index], found.runs[0].spikes[index] / found.tried
    return (
        f"{index:<6} {layer.model.name:<14} {layer.n_post:>9,} {layer.weight.size:>13,} "
        f"{spikes:>16,.1f}"
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, 80, break_on_hyphens=False)


def _plan_row(name: str, text: str) -> str:
    return textwrap.fill(text, 80, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def _gib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"


def _about(seconds: float) -> str:
    return "less than 0.1 s" if seconds < 0.1 else f"about {_duration(seconds)}"


def _duration(seconds: float) -> str:
    """Write a duration in the unit in which one thinks of it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
