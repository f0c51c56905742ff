"""Measures of one neuron's run: a number from spike times and membrane."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..errors import RefsimError, listed

Measured = Callable[[Floats, Floats, float], float]  # spike times (s), membrane (n_steps,), duration (s) -> number


@dataclass(frozen=True)
class Measure:
    """A measure: its unit (``"membrane"``: that of the membrane), what it is, and whether it needs the membrane."""

    unit: str
    meaning: str
    compute: Measured
    needs_membrane: bool = False


def steady_rate(times: Floats) -> float:
    """Return the spikes per second between the first and the last spike; 0 for less than two."""
    return float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else 0.0


def onset_rate(times: Floats) -> float:
    """Return one over the first interval between spikes; 0 for less than two."""
    return float(1 / (times[1] - times[0])) if len(times) > 1 else 0.0


def _isi_mean(times: Floats) -> float:
    return float(np.diff(times).mean()) if len(times) > 1 else float("nan")


def _isi_cv(times: Floats) -> float:
    """Return the standard deviation of the intervals over their mean; one interval has none."""
    return float(np.diff(times).std() / np.diff(times).mean()) if len(times) > 2 else float("nan")


def _membrane(meaning: str, reduce: Callable[[Floats], float]) -> Measure:
    return Measure("membrane", meaning, lambda _times, v, _duration: float(reduce(v)), needs_membrane=True)


MEASURES = {
    "spike_count": Measure("1", "number of spikes", lambda times, _v, _duration: float(len(times))),
    "first_spike": Measure("second", "time of the first spike", lambda times, _v, _duration: float(times[0]) if len(times) else float("nan")),
    "rate": Measure("hertz", "spikes over the whole duration", lambda times, _v, duration: len(times) / duration),
    "steady_rate": Measure("hertz", "rate between first and last spike", lambda times, _v, _duration: steady_rate(times)),
    "isi_mean": Measure("second", "mean interval between spikes", lambda times, _v, _duration: _isi_mean(times)),
    "isi_cv": Measure("1", "coefficient of variation of the intervals", lambda times, _v, _duration: _isi_cv(times)),
    "v_min": _membrane("lowest membrane after a step", np.min),
    "v_max": _membrane("highest membrane after a step", np.max),
    "v_mean": _membrane("mean membrane", np.mean),
    "v_end": _membrane("membrane at the end", lambda v: v[-1]),
}


def measure(name: str) -> Measure:
    """Return a measure by name, or say which there are."""
    if name not in MEASURES:
        raise RefsimError(f"measure: {name!r} is not known; known are {listed(MEASURES)}.")
    return MEASURES[name]
