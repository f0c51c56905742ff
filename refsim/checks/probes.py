"""Check somebody's step of a neuron against the declared one: one trait a check, and long mixed trains at the end."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..claims import Claim, Verdict, judge
from ..engines.discrete import LayerState
from ..errors import RefsimError, listed
from ..model import NeuronModel
from ..network import Layer
from .probed import PULSE, TAIL, Probed, Respond

UserStep = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Pair:
    """The trial and the declared step, probed alike.

    Attributes
    ----------
    knife : float
        The smallest float64 pulse that makes the declared step fire.
    """

    trial: Probed
    declared: Probed
    knife: float

    def difference(self, name: str) -> float:
        """Return how far a measurement of the trial lies from the declared one.

        NaN where the declared neuron itself does not allow the measurement; infinite where only the trial does not.
        """
        trial, declared = self.trial.measure(name), self.declared.measure(name)
        if not np.isfinite(declared):
            return float("nan")
        return abs(trial - declared) if np.isfinite(trial) else float("inf")

    @property
    def gain_error(self) -> float:
        """How far the smallest pulse that fires is off, relative."""
        return self.difference("gain") / self.declared.measure("gain")


def _comparison(pair: Pair) -> float | None:
    if pair.gain_error > _GAIN:
        return None
    return float(pair.trial.spikes({PULSE: pair.knife})[0] == 0)


def _precision(pair: Pair) -> float | None:
    if pair.gain_error > _GAIN:
        return None
    near = [pair.knife * (1 - 2.0**-30), pair.knife * (1 + 2.0**-30)]
    fired, should = ([bool(probed.spikes({PULSE: height})[0]) for height in near] for probed in (pair.trial, pair.declared))
    if should != [False, True]:
        return None  # a synapse that goes on charging makes up for a pulse that is too small
    return float(sum(is_ != declared for is_, declared in zip(fired, should, strict=True)))


def _reset_amount(pair: Pair) -> float | None:
    return None if pair.difference("reset_kind") else pair.difference("left_after_spike")


def _trains(pair: Pair) -> float:
    """Count neurons whose trains differ under noise, bursts, inhibition and silence, all of them dyadic multiples."""
    rng = np.random.default_rng(20)
    current = np.round(rng.normal(0.3, 0.6, (360, 64)) * 64) / 64
    current[60:110] = 0.0
    current[110:140] = np.round(rng.normal(0, 4, (30, 64)) * 16) / 16
    current[200:260] = np.abs(current[200:260]) / 4
    current[260:300] = 0.0
    current *= pair.knife
    return float((pair.trial.respond(current) != pair.declared.respond(current)).any(axis=0).sum())


def _claim(measure: str, limit: float, unit: str, because: str) -> Claim:
    return Claim("code", measure, limit, unit, because)


_GAIN = 1e-6
_SINGLE = "float32 keeps seven digits; the measurement loses one of them"
STEP_CHECKS: dict[str, tuple[Claim, Callable[[Pair], float | None]]] = {
    "latency": (
        _claim("latency", 0, "steps", "input of a step acts in that step; a step of delay in each layer shifts every spike"),
        lambda pair: pair.difference("latency"),
    ),
    "gain": (_claim("gain", _GAIN, "1", f"the smallest pulse that fires is the declared one; {_SINGLE}"), lambda pair: pair.gain_error),
    "decay": (
        _claim("decay", 1e-5, "1", f"the share kept in a silent step is the declared one, and Euler for exact is not; {_SINGLE}, a root another"),
        lambda pair: pair.difference("decay"),
    ),
    "inhibition": (
        _claim("inhibition", 1e-4, "1", f"a negative membrane is kept like a positive one; {_SINGLE}, a quotient of two differences two more"),
        lambda pair: pair.difference("inhibition"),
    ),
    "reset_kind": (
        _claim("reset_kind", 0, "0 hard, 1 soft", "a hard reset forgets by how much the threshold was passed, a soft one carries it on"),
        lambda pair: pair.difference("reset_kind"),
    ),
    "reset_amount": (
        _claim("reset_amount", 1e-5, "critical pulses", f"a spike leaves the declared rest: v_th or the spike's value subtracted are not the same; {_SINGLE}"),
        _reset_amount,
    ),
    "refractory": (
        _claim("refractory", 0, "steps", "after a spike the neuron may fire again as soon as declared; a counter is easily one step off"),
        lambda pair: pair.difference("refractory"),
    ),
    "comparison": (_claim("comparison", 0, "wrong spikes", "a membrane exactly at threshold tells >= from >, which random input never does"), _comparison),
    "precision": (_claim("precision", 0, "wrong spikes", "float64 tells a membrane 1e-9 beside threshold from one at it; float32 does not"), _precision),
    "trains": (_claim("trains", 0, "neurons", "noise, bursts, inhibition and silence find what no single probe asks for"), _trains),
}
_EXPLAINED = "left out: what other checks found explains it, or they could not measure"


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
        The last one, trains, is run only where none before it fails: it finds that something differs, not what.

    Raises
    ------
    RefsimError
        Where the step does not return spikes of the shape of its input, or the card cannot be probed.
    """
    if unknown := set(skip) - set(STEP_CHECKS):
        raise RefsimError(f"check_step: {listed(unknown)} is not a check; known are {listed(STEP_CHECKS)}.")
    if against.discrete.payload:
        raise RefsimError(
            f"check_step: the spikes of '{against.name}' carry a number, and a probe sees whether there is one; compare runs, Torch(steps={{...}}) against Brian2."
        )
    declared = _declared(against)
    knife = _knife_edge(declared, against.name)
    pair = Pair(Probed(_door(step, as_input), 8 * knife), Probed(declared, 8 * knife), knife)
    verdicts: list[Verdict] = []
    for name, (claim, measure) in STEP_CHECKS.items():
        if name not in skip:
            explained = name == "trains" and any(verdict.status == "fail" for verdict in verdicts)
            value = None if explained else measure(pair)
            value = None if value is None or np.isnan(value) else value
            verdicts.append(judge(claim, value, run=against.name, detail=_EXPLAINED if value is None else ""))
    return verdicts


def _door(step: UserStep, as_input: Callable[[Floats], Any]) -> Respond:
    """Wrap somebody's step: input of all steps in, spikes out."""

    def respond(current: Floats) -> NDArray[np.bool_]:
        state, rows = None, []
        for x in current:
            result = step(as_input(x), state)
            if not isinstance(result, tuple) or len(result) != 2:
                raise RefsimError(f"check_step: the step must return (spikes, state), but returned {type(result).__name__}.")
            spikes, state = result
            row = np.asarray(spikes.detach().cpu() if hasattr(spikes, "detach") else spikes)
            if row.shape != x.shape:
                raise RefsimError(f"check_step: the step got input of shape {x.shape}, but returned spikes of shape {row.shape}.")
            if not ((row == 0) | (row == 1)).all():
                raise RefsimError(f"check_step: the step returned {row[(row != 0) & (row != 1)][0]:g} for a spike; spikes are 0 or 1.")
            rows.append(row.astype(bool))
        return np.stack(rows)

    return respond


def _declared(model: NeuronModel) -> Respond:
    def respond(current: Floats) -> NDArray[np.bool_]:
        n = current.shape[1]
        state = LayerState.start(Layer(model, np.zeros((n, 1)), np.zeros(n), (), name=f"check_step: {model.name}"), 1.0, 1)
        return np.stack([np.asarray(state.step(x[None])[0][0], bool) for x in current])

    return respond


def _knife_edge(respond: Respond, card: str) -> float:
    """Return the smallest float64 pulse that makes a neuron at rest fire, at once or in the silence after it."""

    def fires(height: float) -> bool:
        return bool(respond(np.array([[height], *[[0.0]] * TAIL])).any())

    if respond(np.zeros((8, 1))).any():
        raise RefsimError(f"check_step: the neuron '{card}' fires without input at these parameters; there is no threshold to probe.")
    low, high = 0.0, 1.0
    while not fires(high):
        high *= 2
        if high > 1e6:
            raise RefsimError(f"check_step: the neuron '{card}' does not fire for a pulse of up to a million; there is nothing to probe.")
    while np.nextafter(low, high) < high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if fires(middle) else (middle, high)
    return high
