"""A forecast in a terminal: what a validation will need, before it is run. Eighty columns are enough."""

import textwrap

from ..errors import counted
from ..questions.forecast import Forecast

_HEAD = f"{'layer':<6} {'neuron':<14} {'neurons':>9} {'synapses':>13} {'spikes a sample':>16}"


def render_plan(found: Forecast) -> str:
    """Return the forecast as text."""
    first = "It fits." if found.fits else "It does not fit."
    lines = [_filled(f"PLAN. {first} About {_gib(found.memory)} of {_gib(found.free + found.held)} of memory, and {_about(found.seconds)}.{_cure(found)}"), ""]
    lines += [_HEAD, *(_layer(found, index) for index in range(len(found.network.layers))), ""]
    lines.append(_row("samples", f"{found.n_samples:,} of {counted(found.n_steps, 'step')}: {found.batch} at once, {counted(found.chunks, 'chunk')}, "
                                 f"{counted(found.portions, 'portion')} on {found.processes} process{'' if found.processes == 1 else 'es'}"))  # fmt: skip
    lines += [_row("time" if not index else "", f"{run.label}: {_about(run.seconds)}") for index, run in enumerate(found.runs)]
    lines += ["", _filled(f"Estimates, in proportion to the first {counted(found.tried, 'sample')}, which were run just now and nothing else: memory by "
                          "the size of input, spikes and programs; time by the clock of this machine as busy as it is; one-time compilation, "
                          "comparison and report apart.")]  # fmt: skip
    return "\n".join(lines)


def _cure(found: Forecast) -> str:
    return "" if found.fits else f" Give fewer: --samples {found.fitting}."


def _layer(found: Forecast, index: int) -> str:
    layer, spikes = found.network.layers[index], found.runs[0].spikes[index] / found.tried
    return f"{index:<6} {layer.model.name:<14} {layer.n_post:>9,} {layer.weight.size:>13,} {spikes:>16,.1f}"


def _filled(text: str) -> str:
    return textwrap.fill(text, 80, break_on_hyphens=False)


def _row(name: str, text: str) -> str:
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
