"""Reports for a terminal, in eighty columns.

`render_report` shows what a validation found: the sentence first, then what was run, then a line
for each claim. `render_plan` shows a forecast: what a validation will need, before it is run.
"""

import math
import textwrap

from ..cards.read import notes
from ..cases.findings import Findings
from ..cases.forecast import Forecast
from ..core.claims import Verdict
from ..core.columns import WIDTH, entry, table
from ..core.errors import counted, one_line
from ..judge.comparison import Comparison
from ..judge.judgement import Replay
from ..networks.recording import decision_rule

_FACT = 600  # characters of a fact, which may hold names of files and layers of any length
_QUESTIONS = {
    "code": "Is the code right? Both run the same declared step",
    "step": "Is the step right? Reported against the ODE, blamed on nobody",
    "task": "Does it do its task?",
    "gradient": "Is the gradient right?",
}
# The layers of a forecast, as a table.
_COLUMNS = ("<6", "<14", ">9,", ">13,", ">16,.1f")
_HEAD = ("layer", "neuron", "neurons", "synapses", "spikes a sample")


def render_report(findings: Findings, sentence: str, width: int = WIDTH) -> str:
    """Return the report as text, with its sentence first."""
    lines = textwrap.wrap(f"{findings.verdict.upper()}. {sentence}", width)
    lines += ["", *("\n".join(_entry(*fact, width)) for fact in facts(findings))]
    # Claims are grouped by their question; skipped ones follow in one line for each reason.
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


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Return what was run, as names and texts."""
    rows = [("case", findings.title)]
    network, data = findings.network, findings.data or {}
    if network is not None:
        # The network and its input, then who is who, then what was assumed or left aside.
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
        # A note on a card is given once for all its layers.
        told = (line for layer in network.layers for line in notes(layer.model, layer.parameters))
        rows += [("note", line) for line in dict.fromkeys(told)]
        rows += [("differs", line) for line in data.get("differs", ())]
        rows += [("ignored", ", ".join(data["ignored"]))] if data.get("ignored") else []
    if findings.reference is not None:
        # The runs, and how finely their decisions were judged.
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
    # Not all samples need a replay; layers that nobody recorded have no decisions.
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
    """Say how finely the decisions were judged."""
    share = "all judged" if replay.judged_share == 1 else f"{replay.judged_share:.2%} judged"
    # The words go from exact to unknown.
    if replay.coarsest == 0:
        return f"{share}, in sums that are exact"
    if not math.isfinite(replay.coarsest):
        return f"{share}; somewhere nothing is known of rounding"
    return (
        f"{share}, rounding reaches at most {replay.coarsest:.2g} of the way from reset to "
        "threshold"
    )


def _reasons(rows: list[Verdict]) -> list[list[str]]:
    """Return one line for each reason why measures were skipped, however many they are."""
    # Measures that share a reason share a line.
    skipped = [verdict for verdict in rows if verdict.status == "skipped"]
    lines = []
    for reason in dict.fromkeys(verdict.detail for verdict in skipped):
        names = ", ".join(verdict.claim.measure for verdict in skipped if verdict.detail == reason)
        lines.append(entry("  skipped      ", f"{names}: {reason}"))
    return lines


def _row(verdict: Verdict, width: int) -> list[str]:
    """Return the lines of one verdict; one that is no pass has its detail below."""
    value = "-" if verdict.value is None else f"{verdict.value:.4g}"
    line = (
        f"  {verdict.status:<12} {verdict.claim.measure:<29} {value:>7} "
        f"{verdict.claim.limit_text:<8} {_short(verdict.run)}"
    ).rstrip()
    lines = [line if len(line) <= width else line[: width - 1] + "…"]
    if verdict.status in ("fail", "inconclusive") and verdict.detail:
        lines += entry(" " * 15, verdict.detail, width=width)
    return lines


def _short(run: str) -> str:
    """Drop from a run's label what its table says already."""
    if run.startswith("Brian2 fine"):
        return run.removeprefix("Brian2 fine ").removesuffix(" float64")
    return run.replace("Brian2 grid ", "Brian2 ")


def render_plan(found: Forecast) -> str:
    """Return the forecast as text."""
    # The answer comes first.
    first = "It fits." if found.fits else "It does not fit."
    lines = [
        _filled(
            f"PLAN. {first} About {_gib(found.memory)} of {_gib(found.free + found.held)} of "
            f"memory, and {_about(found.seconds)}.{_cure(found)}"
        ),
        "",
    ]
    # Each layer is a row.
    rows = [_layer(found, index) for index in range(len(found.network.layers))]
    lines += [*table(_COLUMNS, _HEAD, rows), ""]
    # Then follow how the samples are cut, and the time of each run.
    lines += _entry(
        "samples",
        f"{found.n_samples:,} of {counted(found.n_steps, 'step')}: {found.batch} at once, "
        f"{counted(found.chunks, 'chunk')}, "
        f"{counted(found.portions, 'portion')} on {found.processes} "
        f"process{'' if found.processes == 1 else 'es'}",
    )
    for index, run in enumerate(found.runs):
        lines += _entry("time" if not index else "", f"{run.label}: {_about(run.seconds)}")
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
    """Say what to do where the plan does not fit into memory."""
    return "" if found.fits else f" Give fewer: --samples {found.fitting}."


def _layer(found: Forecast, index: int) -> tuple[int, str, int, int, float]:
    """Return the row of one layer."""
    layer, spikes = found.network.layers[index], found.runs[0].spikes[index] / found.tried
    return index, layer.model.name, layer.n_post, layer.weight.size, spikes


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _entry(name: str, text: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a name and the text beside it, both of a report and of a forecast."""
    return entry(f"{name:<10}", text, 10, width)


def _gib(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / 2**20:,.0f} MiB" if size < 2**30 else f"{size / 2**30:,.1f} GiB"


def _about(seconds: float) -> str:
    """Write an estimated duration."""
    return "less than 0.1 s" if seconds < 0.1 else f"about {_duration(seconds)}"


def _duration(seconds: float) -> str:
    """Write a duration in the unit in which one thinks of it."""
    # A unit is used from two of it on: 66 minutes reads better than 1.1 hours.
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
