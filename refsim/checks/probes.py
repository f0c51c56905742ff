"""Probe a neuron's step from outside, by spikes alone: what it does with a pulse, silence, a spike, a knife edge.

A membrane that nobody shows can still be measured: what is left of it is what a second pulse does not need in order to
reach threshold. Every probe is measured on the trial and on the declared step, and the two numbers are compared.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..claims import Claim, Verdict, judge
from ..engines.discrete import LayerState
from ..errors import RefsimError, listed
from ..model import NeuronModel
from ..network import Floats, Layer

Respond = Callable[[Floats], NDArray[np.bool_]]  # input (n_steps, n_neurons) -> spikes of the same shape
UserStep = Callable[[Any, Any], tuple[Any, Any]]

_PULSE, _COLUMNS, _PASSES, _TAIL = 2, 256, 6, 4  # a pulse comes at step 2; a search narrows 256-fold six times


@dataclass
class Probed:
    """One neuron behind a door: input goes in, spikes come out. Measurements are made once and kept."""

    respond: Respond
    ceiling: float
    kept: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str) -> float:
        """Return a measurement by name."""
        if name not in self.kept:
            self.kept[name] = _MEASURES[name](self)
        return self.kept[name]

    def spikes(self, pulses: dict[int, Any], n: int = 1) -> Any:
        """Return the number of spikes of each of n neurons, for pulses at given steps."""
        current = np.zeros((max(pulses, default=0) + 1 + _TAIL, n))
        for step, height in pulses.items():
            current[step] = height
        return self.respond(current).sum(axis=0)

    def critical(self, probe: int, before: dict[int, float]) -> float:
        """Return the smallest pulse at step `probe` that adds a spike, after the pulses `before`; NaN if there is none."""
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
    current = np.zeros((_PULSE + 8, 1))
    current[_PULSE] = 0.9 * probed.ceiling
    found = np.flatnonzero(probed.respond(current)[:, 0])
    return float(found[0]) if found.size else float("nan")


def _decay(probed: Probed) -> float:
    charge = 0.6 * probed.measure("gain")
    return float(np.sqrt(max(probed.left_over({_PULSE: charge}, _PULSE + 2) / charge, 0.0)))


def _after_spike(probed: Probed, height: float) -> float:
    """Return what a spike of a pulse `height` times the critical one leaves, undone by one step of decay."""
    decay = probed.measure("decay")
    left = probed.left_over({_PULSE: height * probed.measure("gain")}, _PULSE + 1)
    return left / decay if decay else float("nan")


def _reset_kind(probed: Probed) -> float:
    slope = (_after_spike(probed, 1.3) - _after_spike(probed, 1.1)) / (0.2 * probed.measure("gain"))
    return float(np.rint(slope)) if np.isfinite(slope) else float("nan")


_MEASURES: dict[str, Callable[[Probed], float]] = {
    "latency": _latency,
    "gain": lambda probed: probed.critical(_PULSE, {}),
    "decay": _decay,
    "reset_kind": _reset_kind,
    "left_after_spike": lambda probed: _after_spike(probed, 1.2) / probed.measure("gain"),
}


@dataclass(frozen=True)
class Pair:
    """The trial and the declared step, probed alike."""

    trial: Probed
    declared: Probed
    knife: float  # the smallest float64 pulse that makes the declared step fire

    def both(self, name: str) -> tuple[float, float]:
        """Return a measurement of either."""
        return self.trial.measure(name), self.declared.measure(name)


def _difference(pair: Pair, name: str) -> float:
    trial, declared = pair.both(name)
    return abs(trial - declared) if np.isfinite(trial) and np.isfinite(declared) else float("inf")


def _relative_gain(pair: Pair) -> float:
    return _difference(pair, "gain") / pair.declared.measure("gain")


def _comparison(pair: Pair) -> float | None:
    if _relative_gain(pair) > 1e-6:
        return None
    return float(pair.trial.spikes({_PULSE: pair.knife})[0] == 0)


def _precision(pair: Pair) -> float | None:
    if _relative_gain(pair) > 1e-6:
        return None
    near = [pair.knife * (1 - 2.0**-30), pair.knife * (1 + 2.0**-30)]
    fired = [bool(pair.trial.spikes({_PULSE: height})[0]) for height in near]
    return float(sum(is_ != should for is_, should in zip(fired, (False, True), strict=True)))


def _reset_amount(pair: Pair) -> float | None:
    return None if _difference(pair, "reset_kind") else _difference(pair, "left_after_spike")


def _claim(measure: str, limit: float, unit: str, because: str) -> Claim:
    return Claim("code", measure, limit, unit, because)


_SINGLE = "float32 keeps seven digits; the measurement loses one of them"
STEP_CHECKS: dict[str, tuple[Claim, Callable[[Pair], float | None]]] = {
    "latency": (_claim("latency", 0, "steps", "input of a step acts in that step; a step of delay in each layer shifts every spike"), lambda pair: _difference(pair, "latency")),
    "gain": (_claim("gain", 1e-6, "1", f"the smallest pulse that fires is the declared one; {_SINGLE}"), _relative_gain),
    "decay": (_claim("decay", 1e-5, "1", f"the fraction kept in a silent step is the declared one, and Euler for exact or a wrong tau is not; {_SINGLE}, the root of a difference another"), lambda pair: _difference(pair, "decay")),
    "reset_kind": (_claim("reset_kind", 0, "0 hard, 1 soft", "a hard reset forgets by how much the threshold was passed, a soft one carries it on"), lambda pair: _difference(pair, "reset_kind")),
    "reset_amount": (_claim("reset_amount", 1e-5, "critical pulses", f"a spike leaves the declared rest: v_th or the spike's value subtracted are not the same; {_SINGLE}"), _reset_amount),
    "comparison": (_claim("comparison", 0, "wrong spikes", "a membrane exactly at threshold tells >= from >, which random input never does"), _comparison),
    "precision": (_claim("precision", 0, "wrong spikes", "float64 tells a membrane 1e-9 beside threshold from one at it; a float32 state does not"), _precision),
}  # fmt: skip


def check_step(step: UserStep, against: NeuronModel, *, as_input: Callable[[Floats], Any] = np.asarray, skip: Collection[str] = ()) -> list[Verdict]:
    """Check somebody's step of a neuron against the declared one.

    Parameters
    ----------
    step : function ``(x, state) -> (spikes, state)``
        x is (n_neurons,) float64; state is None at the start and whatever the step returned from then on.
    against : NeuronModel
        The card it should implement, ``refsim.load("srif")``.
    as_input : function
        Turns x into what the step takes, for example ``torch.tensor``.
    skip : names of checks to leave out, such as ``{"precision"}`` for a step that is float32 by intent

    Returns
    -------
    list of Verdict, one a check
    """
    if unknown := set(skip) - set(STEP_CHECKS):
        raise RefsimError(f"check_step: {listed(unknown)} is not a check; known are {listed(STEP_CHECKS)}.")

    def respond(current: Floats) -> NDArray[np.bool_]:
        state, rows = None, []
        for x in current:
            spikes, state = step(as_input(x), state)
            rows.append(np.asarray(spikes).astype(bool).reshape(x.shape))
        return np.stack(rows)

    declared = _declared(against)
    knife = _knife_edge(declared)
    ceiling = 8 * knife
    pair = Pair(Probed(respond, ceiling), Probed(declared, ceiling), knife)
    verdicts = []
    for name, (claim, measure) in STEP_CHECKS.items():
        if name not in skip:
            verdicts.append(
                judge(
                    claim,
                    measure(pair),
                    run=against.name,
                    detail="" if name not in ("comparison", "precision", "reset_amount") else "needs the check before it to pass",
                )
            )
    return verdicts


def _declared(model: NeuronModel) -> Respond:
    def respond(current: Floats) -> NDArray[np.bool_]:
        n = current.shape[1]
        state = LayerState.start(Layer(model, np.zeros((n, 1)), np.zeros(n)), 1.0, 1)
        return np.stack([np.asarray(state.step(x[None])[0][0], bool) for x in current])

    return respond


def _knife_edge(respond: Respond) -> float:
    """Return the smallest float64 pulse that makes a neuron at rest fire."""
    low, high = 0.0, 1.0
    while not respond(np.array([[high]])).any():
        high *= 2
        if high > 1e6:
            raise RefsimError("check_step: the declared neuron does not fire for a pulse of up to a million; there is nothing to probe.")
    while np.nextafter(low, high) < high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if respond(np.array([[middle]])).any() else (middle, high)
    return high
