"""Measure a neuron from outside, by spikes alone.

A membrane that nobody shows can still be measured: what is left of it is what a second pulse does not need in order to
reach threshold. Pulses come at step 2 and later; a search narrows the height of a pulse 256-fold, six times.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats

Respond = Callable[[Floats], NDArray[np.bool_]]  # input (n_steps, n_neurons) -> spikes of the same shape

PULSE, TAIL = 2, 4  # the step of the first pulse, and silent steps after the last
_COLUMNS, _PASSES = 256, 6


@dataclass
class Probed:
    """One neuron behind a door: input goes in, spikes come out. Measurements are made once and kept.

    Attributes
    ----------
    respond : function
    ceiling : float
        The largest pulse that a search tries.
    """

    respond: Respond
    ceiling: float
    kept: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str) -> float:
        """Return a measurement by name; NaN where the neuron does not allow it."""
        if name not in self.kept:
            self.kept[name] = _MEASURES[name](self)
        return self.kept[name]

    @property
    def reach(self) -> float:
        """The pulse that must make a neuron fire, whatever it is."""
        return 0.9 * self.ceiling

    def spikes(self, pulses: dict[int, Any], n: int = 1) -> Any:
        """Return the number of spikes of each of n neurons, for pulses at given steps."""
        current = np.zeros((max(pulses, default=0) + 1 + TAIL, n))
        for step, height in pulses.items():
            current[step] = height
        return self.respond(current).sum(axis=0)

    def critical(self, probe: int, before: dict[int, float]) -> float:
        """Return the smallest pulse at step `probe` that adds a spike, after the pulses `before`; NaN if there is none."""
        if not np.isfinite(list(before.values())).all():
            return float("nan")  # an earlier measurement could not be made
        base = int(self.spikes({**before, probe: 0.0})[0])
        low, high = 0.0, self.ceiling
        for _ in range(_PASSES):
            heights = np.linspace(low, high, _COLUMNS)
            more = self.spikes({**before, probe: heights}, _COLUMNS) > base
            if not more.any() or more[0]:
                return float("nan")
            first = int(np.argmax(more))
            low, high = float(heights[first - 1]), float(heights[first])
        return high

    def left_over(self, before: dict[int, float], probe: int) -> float:
        """Return what is left on the membrane at step `probe`, in units of input."""
        return self.measure("gain") - self.critical(probe, before)


def _latency(probed: Probed) -> float:
    current = np.zeros((PULSE + 8, 1))
    current[PULSE] = probed.reach
    found = np.flatnonzero(probed.respond(current)[:, 0])
    return float(found[0]) if found.size else float("nan")


def _kept(probed: Probed, charge: float) -> float:
    """Return the share of a charge, in critical pulses, that is left two silent steps later."""
    height = charge * probed.measure("gain")
    return probed.left_over({PULSE: height}, PULSE + 2) / height


def _decay(probed: Probed) -> float:
    return float(np.sqrt(max(_kept(probed, 0.6), 0.0)))


def _inhibition(probed: Probed) -> float:
    """Return how much better an inhibition is kept than an excitation of the same size: 1 where the sign is all the same."""
    decay = probed.measure("decay")
    return _kept(probed, -0.6) / decay**2 if decay else float("nan")


def _after_spike(probed: Probed, height: float) -> float:
    """Return what a spike of a pulse `height` times the critical one leaves, undone by one step of decay."""
    decay = probed.measure("decay")
    left = probed.left_over({PULSE: height * probed.measure("gain")}, PULSE + 1)
    return left / decay if decay else float("nan")


def _reset_kind(probed: Probed) -> float:
    slope = (_after_spike(probed, 1.3) - _after_spike(probed, 1.1)) / (0.2 * probed.measure("gain"))
    return float(np.rint(slope)) if np.isfinite(slope) else float("nan")


def _refractory(probed: Probed) -> float:
    """Return the silent steps after a spike under input that would make any rested neuron fire."""
    if not np.isfinite(probed.measure("gain")):
        return float("nan")
    current = np.zeros((PULSE + 12, 1))
    current[PULSE] = 1.2 * probed.measure("gain")
    current[PULSE + 1 : PULSE + 8] = 0.75 * probed.ceiling
    fired = np.flatnonzero(probed.respond(current)[:, 0])
    return float(fired[1] - fired[0] - 1) if len(fired) > 1 else float("nan")


_MEASURES: dict[str, Callable[[Probed], float]] = {
    "latency": _latency,
    "gain": lambda probed: probed.critical(PULSE, {}),
    "decay": _decay,
    "inhibition": _inhibition,
    "reset_kind": _reset_kind,
    "left_after_spike": lambda probed: _after_spike(probed, 1.2) / probed.measure("gain"),
    "refractory": _refractory,
}
