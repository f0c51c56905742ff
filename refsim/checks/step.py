"""The check of somebody's step of a neuron against the declared one, from outside by spikes alone.

A membrane that nobody shows can still be measured: what is left of it is what a second pulse does
not need in order to reach threshold. Pulses come at step 2 and later; a search narrows the height
of a pulse 256-fold, six times.

First come the measurements of one neuron; then one comparison for each trait, and long mixed trains
at the end; then the table of checks and `check_step`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import NeuronModel
from ..core.arrays import Floats
from ..core.claims import Claim, Verdict
from ..core.errors import RefsimError, crash
from ..engines.discrete import LayerState
from ..networks.network import Layer, positive_time
from .suite import DIGITS, FLOAT32_DIGITS, Answer, Check, names_skipped, run_checks

# Input (n_steps, n_neurons) -> spikes of the same shape.
Respond = Callable[[Floats], NDArray[np.bool_]]

PULSE, TAIL = 2, 4  # the step of the first pulse, and silent steps after the last
_COLUMNS, _PASSES = 256, 6


@dataclass
class MeasuredNeuron:
    """One neuron behind a door: input goes in, spikes come out.

    Measurements are made once and kept.

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
    def strongest(self) -> float:
        """The pulse that must make a neuron fire, whatever it is."""
        return 0.9 * self.ceiling

    def spikes(self, pulses: Mapping[int, float | Floats], n: int = 1) -> NDArray[np.int64]:
        """Return the number of spikes of each of n neurons, for pulses at given steps."""
        current = np.zeros((max(pulses, default=0) + 1 + TAIL, n))
        for step, height in pulses.items():
            current[step] = height
        return np.asarray(self.respond(current).sum(axis=0))

    def critical(self, probe: int, before: dict[int, float]) -> float:
        """Return the smallest pulse at step `probe` that adds a spike, after the pulses `before`.

        It is NaN where no pulse does.
        """
        if not np.isfinite(list(before.values())).all():
            return float("nan")  # an earlier measurement could not be made
        # Spikes without the pulse; one more of them is what is looked for.
        base = int(self.spikes({**before, probe: 0.0})[0])
        low, high = 0.0, self.ceiling
        # Each pass tries 256 heights at once and keeps the one gap between silence and spike.
        for _ in range(_PASSES):
            heights = np.linspace(low, high, _COLUMNS)
            more = self.spikes({**before, probe: heights}, _COLUMNS) > base
            # Nothing fires, or the smallest pulse already does.
            if not more.any() or more[0]:
                return float("nan")
            first = int(np.argmax(more))
            low, high = float(heights[first - 1]), float(heights[first])
        return high

    def left_over(self, before: dict[int, float], probe: int) -> float:
        """Return what is left on the membrane at step `probe`, in units of input."""
        return self.measure("gain") - self.critical(probe, before)


def _latency(neuron: MeasuredNeuron) -> float:
    # A pulse that makes any neuron fire, and eight silent steps.
    current = np.zeros((PULSE + 8, 1))
    current[PULSE] = neuron.strongest
    found = np.flatnonzero(neuron.respond(current)[:, 0])
    return float(found[0]) if found.size else float("nan")


def _kept(neuron: MeasuredNeuron, charge: float) -> float:
    """Return the share of a charge, in critical pulses, that is left two silent steps later."""
    height = charge * neuron.measure("gain")
    return neuron.left_over({PULSE: height}, PULSE + 2) / height


def _decay(neuron: MeasuredNeuron) -> float:
    return float(np.sqrt(max(_kept(neuron, 0.6), 0.0)))


def _inhibition(neuron: MeasuredNeuron) -> float:
    """Return how much better an inhibition is kept than an excitation of the same size.

    It is 1 where the sign makes no difference.
    """
    decay = neuron.measure("decay")
    return _kept(neuron, -0.6) / decay**2 if decay else float("nan")


def _after_spike(neuron: MeasuredNeuron, height: float) -> float:
    """Return what is left after a spike of a pulse `height` times the critical one.

    One step of decay is undone.
    """
    decay = neuron.measure("decay")
    left = neuron.left_over({PULSE: height * neuron.measure("gain")}, PULSE + 1)
    return left / decay if decay else float("nan")


def _reset_kind(neuron: MeasuredNeuron) -> float:
    # A hard reset forgets the excess over threshold, a soft one keeps all of it.
    slope = (_after_spike(neuron, 1.3) - _after_spike(neuron, 1.1)) / (0.2 * neuron.measure("gain"))
    return float(np.rint(slope)) if np.isfinite(slope) else float("nan")


def _refractory(neuron: MeasuredNeuron) -> float:
    """Return the silent steps after a spike under input that would make any rested neuron fire."""
    if not np.isfinite(neuron.measure("gain")):
        return float("nan")
    current = np.zeros((PULSE + 12, 1))
    # A first spike for certain, and then input enough for one in every step.
    current[PULSE] = 1.2 * neuron.measure("gain")
    current[PULSE + 1 : PULSE + 8] = 0.75 * neuron.ceiling
    fired = np.flatnonzero(neuron.respond(current)[:, 0])
    return float(fired[1] - fired[0] - 1) if len(fired) > 1 else float("nan")


_MEASURES: dict[str, Callable[[MeasuredNeuron], float]] = {
    "latency": _latency,
    "gain": lambda neuron: neuron.critical(PULSE, {}),
    "decay": _decay,
    "inhibition": _inhibition,
    "reset_kind": _reset_kind,
    "left_after_spike": lambda neuron: _after_spike(neuron, 1.2) / neuron.measure("gain"),
    "refractory": _refractory,
}


UserStep = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class StepPair:
    """The trial and the declared step, probed alike.

    Attributes
    ----------
    knife : float
        The smallest float64 pulse that makes the declared step fire.
    tie : float
        A pulse that brings the declared membrane exactly to its threshold, without any rounding on
        the way; NaN where there is none.
    """

    trial: MeasuredNeuron
    declared: MeasuredNeuron
    knife: float
    tie: float

    def difference(self, name: str) -> float:
        """Return how far a measurement of the trial lies from the declared one.

        It is NaN where the declared neuron itself does not allow the measurement, and infinite
        where only the trial does not.
        """
        trial, declared = self.trial.measure(name), self.declared.measure(name)
        if not np.isfinite(declared):
            return float("nan")
        return abs(trial - declared) if np.isfinite(trial) else float("inf")

    def differs(self, name: str) -> bool:
        """Return whether a measurement is farther off than its check allows, or cannot be made."""
        return self.difference(name) > _LIMITS[name] * (self.knife if name == "gain" else 1.0)

    @cached_property
    def mute(self) -> str:
        """Why pulses say nothing of the trial; "" where they do."""
        # A neuron that fires by itself answers no pulse.
        if fired := int(self.trial.spikes({})[0]):
            return f"it fires {fired} of {TAIL + 1} steps without input"
        if np.isfinite(self.trial.measure("latency")) or not np.isfinite(
            self.declared.measure("latency")
        ):
            return ""
        return (
            f"it is silent: no pulse makes it fire, up to {self.trial.strongest / self.knife:.3g} "
            "times the one that should"
        )

    @property
    def gain_error(self) -> float:
        """How far the smallest pulse that fires is off, relative."""
        return self.difference("gain") / self.declared.measure("gain")


def _measured(
    name: str, *before: str, words: Callable[[float], str] = "{:.6g}".format
) -> Callable[[StepPair], Answer]:
    """Return the check of one measurement.

    Where the trial does not allow the measurement, one of the measurements `before` that is off is
    named as the cause.
    """

    def measure(pair: StepPair) -> Answer:
        trial, declared = pair.trial.measure(name), pair.declared.measure(name)
        if not np.isfinite(declared):
            return None, "left out: pulses do not show it in the declared neuron"
        if pair.mute:
            return None, f"left out: {pair.mute}"
        if np.isfinite(trial):
            off = f"{words(trial)} for the declared {words(declared)}"
            return pair.difference(name), off if pair.differs(name) else ""
        if cause := next((each for each in before if pair.differs(each)), ""):
            return None, f"left out: it cannot be measured behind another {cause}"
        return float(
            "inf"
        ), f"it cannot be measured, and is {words(declared)} in the declared neuron"

    return measure


def _gain(pair: StepPair) -> Answer:
    # Silence is a fault of the gain: every pulse is too small.
    if pair.mute:
        return float("inf"), pair.mute
    if not np.isfinite(pair.trial.measure("gain")) and pair.differs("latency"):
        return None, "left out: its spikes come too late to find the smallest pulse"
    # A factor says more to a reader than a difference.
    factor = pair.trial.measure("gain") / pair.declared.measure("gain")
    words = (
        f"the smallest pulse that fires is {factor:.8g} times the declared one"
        if np.isfinite(factor)
        else "no smallest pulse that fires is found"
    )
    return pair.gain_error, words if pair.gain_error > _GAIN else ""


def _comparison(pair: StepPair) -> Answer:
    if pair.gain_error > _GAIN:
        return None, f"left out: {pair.mute or _ANOTHER_GAIN}"
    # No pulse meets the threshold without rounding.
    if np.isnan(pair.tie):
        return (
            None,
            (
                "left out: no pulse meets the threshold without rounding; parameters of few binary "
                "digits, such as 0.5, would let one"
            ),
        )
    # Exactly at threshold >= fires and > does not.
    fired, should = (
        bool(neuron.spikes({PULSE: pair.tie})[0]) for neuron in (pair.trial, pair.declared)
    )
    words = (
        f"exactly at threshold it {'fires' if fired else 'is silent'}, and the declared "
        f"neuron {'fires' if should else 'is silent'}"
    )
    return float(fired != should), words if fired != should else ""


def _precision(pair: StepPair) -> Answer:
    if pair.gain_error > _GAIN:
        return None, f"left out: {pair.mute or _ANOTHER_GAIN}"
    # A part in 2^30 beside threshold: float64 can tell it, float32 cannot.
    near = [pair.knife * (1 - 2.0**-30), pair.knife * (1 + 2.0**-30)]
    fired, should = (
        [bool(neuron.spikes({PULSE: height})[0]) for height in near]
        for neuron in (pair.trial, pair.declared)
    )
    # The declared neuron itself must fire above and be silent below.
    if should != [False, True]:
        return (
            None,
            "left out: a synapse that goes on charging makes up for a pulse that is too small",
        )
    return float(sum(is_ != declared for is_, declared in zip(fired, should, strict=True))), ""


def _reset_amount(pair: StepPair) -> Answer:
    if (
        not pair.mute
        and np.isfinite(pair.trial.measure("reset_kind"))
        and pair.differs("reset_kind")
    ):
        return None, "left out: the reset is of another kind"
    return _measured("left_after_spike", "decay", "refractory")(pair)


def _kind(slope: float) -> str:
    return {0.0: "hard", 1.0: "soft"}.get(
        slope, f"neither hard nor soft, {slope:g} of what passes the threshold is kept:"
    )


def _trains(pair: StepPair) -> Answer:
    """Count neurons whose trains differ under noise, bursts, inhibition and silence.

    All inputs are dyadic numbers.
    """
    rng = np.random.default_rng(20)
    current = np.round(rng.normal(0.3, 0.6, (360, 64)) * 64) / 64
    # Silence, strong bursts, weak excitation, and silence again.
    current[60:110] = 0.0
    current[110:140] = np.round(rng.normal(0, 4, (30, 64)) * 16) / 16
    current[200:260] = np.abs(current[200:260]) / 4
    current[260:300] = 0.0
    # Dyadic still: threshold is met only where all sums are exact.
    current *= 2.0 ** np.floor(np.log2(pair.knife))
    return float(
        (pair.trial.respond(current) != pair.declared.respond(current)).any(axis=0).sum()
    ), ""


def _check(
    name: str,
    limit: float,
    unit: str,
    because: str,
    measure: Callable[[StepPair], Answer],
    *,
    last: bool = False,
) -> Check:
    return Check(Claim("code", name, limit, unit, because), measure, last=last)


_GAIN = DIGITS
_LIMITS = {
    "gain": _GAIN,
    "latency": 0,
    "decay": 1e-5,
    "inhibition": 1e-4,
    "reset_kind": 0,
    "left_after_spike": 1e-5,
    "refractory": 0,
}
_ANOTHER_GAIN = "the smallest pulse that fires is another"
STEP_CHECKS: dict[str, Check] = {
    "latency": _check(
        "latency",
        0,
        "steps",
        "input of a step acts in that step; a step of delay in each layer shifts every spike",
        _measured("latency", words=lambda step: f"step {step - PULSE:g}"),
    ),
    "gain": _check(
        "gain",
        _GAIN,
        "1",
        f"the smallest pulse that fires is the declared one; {FLOAT32_DIGITS}",
        _gain,
    ),
    "decay": _check(
        "decay",
        _LIMITS["decay"],
        "1",
        (
            "the share kept in a silent step is the declared one, and Euler for exact is not; "
            f"{FLOAT32_DIGITS}, a root another"
        ),
        _measured("decay", "gain"),
    ),
    "inhibition": _check(
        "inhibition",
        _LIMITS["inhibition"],
        "1",
        (
            f"a negative membrane is kept like a positive one; {FLOAT32_DIGITS}, a quotient of two "
            "differences two more"
        ),
        _measured("inhibition", "decay"),
    ),
    "reset_kind": _check(
        "reset_kind",
        0,
        "0 hard, 1 soft",
        "a hard reset forgets by how much the threshold was passed, a soft one carries it on",
        _measured("reset_kind", "decay", "refractory", words=_kind),
    ),
    "reset_amount": _check(
        "reset_amount",
        _LIMITS["left_after_spike"],
        "critical pulses",
        (
            "a spike leaves the declared rest: v_th or the spike's value subtracted are not the "
            f"same; {FLOAT32_DIGITS}"
        ),
        _reset_amount,
    ),
    "refractory": _check(
        "refractory",
        0,
        "steps",
        (
            "after a spike the neuron may fire again as soon as declared; a counter is easily one "
            "step off"
        ),
        _measured("refractory", "gain"),
    ),
    "comparison": _check(
        "comparison",
        0,
        "wrong spikes",
        "a membrane exactly at threshold tells >= from >, which random input never does",
        _comparison,
    ),
    "precision": _check(
        "precision",
        0,
        "wrong spikes",
        "float64 tells a membrane 1e-9 beside threshold from one at it; float32 does not",
        _precision,
    ),
    "trains": _check(
        "trains",
        0,
        "neurons",
        "noise, bursts, inhibition and silence find what no single probe asks for",
        _trains,
        last=True,
    ),
}


def check_step(
    step: UserStep,
    against: NeuronModel,
    *,
    dt: object = "1 ms",
    as_input: Callable[[Floats], Any] = np.asarray,
    skip: Collection[str] | str = (),
) -> list[Verdict]:
    """Check somebody's step of a neuron against the declared one.

    Parameters
    ----------
    step : function ``(x, state) -> (spikes, state)``
        x is (n_neurons,) float64; state is None at the start and whatever the step returned from
        then on.
    against : NeuronModel
        The card it should implement, ``refsim.load("srif")``.
    dt : float or str
        Duration of a step, for a card whose step depends on it, such as one with time constants in
        seconds: ``"0.1 ms"``. By default 1 ms, as in all of refsim's experiments.
    as_input : function
        Turns x into what the step takes, for example ``torch.tensor``.
    skip : name or names of checks to leave out, such as ``"precision"`` for a step that is float32
    by intent

    Returns
    -------
    list of Verdict, one a check
        The last one, trains, is run only where none before it fails: it finds that something
        differs, not what. A step that raises fails.

    Raises
    ------
    RefsimError
        Where the step does not return spikes of the shape of its input, or the card cannot be
        probed.
    """
    # Wrong names are refused before anything is run.
    names_skipped(skip, STEP_CHECKS, "check_step")
    if not isinstance(against, NeuronModel):
        raise RefsimError(
            'check_step: needs a card to check against, such as refsim.load("srif"), but '
            f"{against!r} was given."
        )
    # A pulse measurement sees spikes only, not what they carry.
    if against.discrete.payload:
        raise RefsimError(
            f"check_step: the spikes of '{against.name}' carry a number, and a probe sees "
            f"whether there is one; compare runs, Torch(steps={{...}}) against Brian2."
        )
    seconds = positive_time(dt, "check_step: dt")
    run = f"{against.name}, dt = {1e3 * seconds:g} ms" if against.timed else against.name
    # The declared step goes through the same door as the trial.
    declared = _declared(against, seconds)
    # All heights of pulses are multiples of the smallest one that fires.
    knife = _knife_edge(declared, run)
    tie = _exact_tie(against, seconds, knife)
    pair = StepPair(
        MeasuredNeuron(_door(step, as_input), 8 * knife),
        MeasuredNeuron(declared, 8 * knife),
        knife,
        tie,
    )
    verdicts = run_checks(STEP_CHECKS, pair, who="check_step", run=run, skip=skip)
    # Only a card with times in seconds depends on dt.
    return [_at_dt(verdict, seconds) for verdict in verdicts] if against.timed else verdicts


def _at_dt(verdict: Verdict, dt: float) -> Verdict:
    """Say with a failure which dt it holds for.

    A step of another duration is another neuron, and not a wrong one.
    """
    if verdict.status != "fail":
        return verdict
    said = f"the card was run at dt = {1e3 * dt:g} ms, and dt=... says another"
    return replace(verdict, detail=f"{verdict.detail}; {said}" if verdict.detail else said)


def _door(step: UserStep, as_input: Callable[[Floats], Any]) -> Respond:
    """Wrap somebody's step: input of all steps in, spikes out."""

    def respond(current: Floats) -> NDArray[np.bool_]:
        state, rows = None, []
        # One call a step, with the state that the step returned.
        for number, x in enumerate(current):
            try:
                result = step(as_input(x), state)
            except Exception as error:  # a user's step can raise anything
                raise crash(
                    "the step", error, f"in step {number} of {x.shape[0]} neurons"
                ) from error
            # What a step returns is refused in words where it cannot be spikes.
            if not isinstance(result, tuple) or len(result) != 2:
                raise RefsimError(
                    "check_step: the step must return (spikes, state), but returned "
                    f"{type(result).__name__}."
                )
            spikes, state = result
            # Tensors of any device become arrays.
            row = np.asarray(spikes.detach().cpu() if hasattr(spikes, "detach") else spikes)
            if row.shape != x.shape:
                raise RefsimError(
                    f"check_step: the step got input of shape {x.shape}, but returned spikes of "
                    f"shape {row.shape}."
                )
            if not ((row == 0) | (row == 1)).all():
                raise RefsimError(
                    f"check_step: the step returned {row[(row != 0) & (row != 1)][0]:g} for a "
                    "spike; spikes are 0 or 1."
                )
            rows.append(row.astype(bool))
        return np.stack(rows)

    return respond


def _declared(model: NeuronModel, dt: float) -> Respond:
    def respond(current: Floats) -> NDArray[np.bool_]:
        state = _at_rest(model, dt, current.shape[1])
        return np.stack([np.asarray(state.step(x[None])[0][0], bool) for x in current])

    return respond


def _at_rest(model: NeuronModel, dt: float, n: int) -> LayerState:
    layer = Layer(model, np.zeros((n, 1)), np.zeros(n), (), name=f"check_step: {model.name}")
    return LayerState.start(layer, dt, 1)


def _exact_tie(model: NeuronModel, dt: float, knife: float) -> float:
    """Return the roundest pulse near the knife edge that brings the membrane exactly to threshold.

    It is NaN where none does. Sums that are exact stay the same with more digits, where the machine
    has them; a threshold that is met by rounding alone is not met then.
    """
    # The smallest that fires, or the largest that does not.
    mantissa, exponent = np.frexp(knife * (1 + np.array([0.0, -(2.0**-53)])))
    # Candidates with 1 to 53 binary digits; the roundest comes first.
    bits = 2.0 ** np.arange(1, 54)[:, None]
    heights = np.ldexp(np.round(mantissa * bits) / bits, exponent).ravel()
    state, met = _at_rest(model, dt, len(heights)), np.zeros(len(heights), bool)
    # In long double a sum that is exact stays what it is.
    state.state = {name: value.astype(np.longdouble) for name, value in state.state.items()}
    # The pulse, then silence, in which a synapse may still charge the membrane.
    for x in (heights, *[np.zeros(len(heights))] * TAIL):
        _, tested = state.step(x[None].astype(np.longdouble))
        met |= np.ravel(tested[0][0] == tested[0][2])
    return float(heights[np.argmax(met)]) if met.any() else float("nan")


def _knife_edge(respond: Respond, card: str) -> float:
    """Return the smallest float64 pulse at rest that makes a neuron fire, at once or later."""

    def fires(height: float) -> bool:
        return bool(respond(np.array([[height], *[[0.0]] * TAIL])).any())

    # A neuron that fires by itself has no smallest pulse.
    if respond(np.zeros((8, 1))).any():
        raise RefsimError(
            f"check_step: the neuron '{card}' fires without input at these parameters; there is "
            "no threshold to probe."
        )
    # Upwards: a pulse of an amp makes no spike of a neuron in picoamps, but NaN.
    powers = 2.0 ** np.arange(-60, 21)
    high = next((float(height) for height in powers if fires(height)), 0.0)
    if not high:
        raise RefsimError(
            f"check_step: the neuron '{card}' does not fire for a pulse of up to a million; "
            "there is nothing to probe."
        )
    low = 0.0
    # Bisection down to two neighbouring float64 numbers.
    while np.nextafter(low, high) < high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if fires(middle) else (middle, high)
    return high
