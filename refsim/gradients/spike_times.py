"""Exact spike times of feed-forward layers of the card lif_exp, with no grid anywhere.

First comes `ExactNeuron`, the neuron in closed form: with V the membrane and I the synaptic
current, ``tau_m V' = I - V`` and ``tau_syn I' = -I``. Everything is written so that nothing cancels
where ``tau_m`` is, or is nearly, ``tau_syn``. Then come the records of a run, in seconds;
`crossings`, which finds when a rising membrane reaches its threshold by Newton's method inside a
bracket that never loses the root; and `event_driven`, which goes from event to event.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel

from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.arrays import DIVERGED, Floats, Ints, plain_array, real_array
from ..core.errors import RefsimError, counted
from ..core.spikes import EventTrain
from ..networks.network import positive_time

CARD = "lif_exp"


@dataclass(frozen=True)
class ExactNeuron:
    """Time constants in seconds and the threshold.

    A spike takes ``v_th`` from the membrane, which is at ``v_th`` then.
    """

    tau_m: float
    tau_syn: float
    v_th: float

    def response(self, s: Floats) -> Floats:
        """Return the membrane a time `s` >= 0 after a spike of weight 1.

        It is tau_syn/(tau_m - tau_syn)*(exp(-s/tau_m) - exp(-s/tau_syn)).
        """
        a, b = s / self.tau_m, s / self.tau_syn
        found: Floats = a * np.exp(-np.minimum(a, b)) * exprel(-np.abs(b - a))
        return found

    def response_slope(self, s: Floats) -> Floats:
        """Return the derivative of the response by `s`, in 1/s."""
        found: Floats = (np.exp(-s / self.tau_syn) - self.response(s)) / self.tau_m
        return found

    def moved(self, v: Floats, i: Floats, d: Floats) -> tuple[Floats, Floats]:
        """Return membrane and current a time `d` later, if nothing happens in between."""
        return v * np.exp(-d / self.tau_m) + i * self.response(d), i * np.exp(-d / self.tau_syn)

    def rise(self, v: Floats, i: Floats) -> Floats:
        """Return for how long a membrane rises to its one peak, where it may yet reach threshold.

        The threshold is above 0. The time is 0 where the membrane falls or can only come back to 0
        from below. At the peak V = I, hence with y = 1 - V/I and q = y*(tau_m - tau_syn)/tau_m the
        time is tau_syn*y*(-log(1 - q)/q), which is tau*y where the two time constants are one.
        """
        # A membrane rises where current flows in and it lies below the current.
        rises = (i > 0) & (v < i)
        y = 1 - np.divide(v, i, out=np.ones_like(v), where=rises)
        q = y * (self.tau_m - self.tau_syn) / self.tau_m
        # Beyond q = 1 there is no peak: the membrane only comes back to 0.
        rises &= q < 1
        # A harmless number where the formula does not apply.
        q = np.where(rises, q, 0.5)
        found: Floats = np.where(
            rises,
            self.tau_syn * y * np.divide(-np.log1p(-q), q, out=np.ones_like(q), where=q != 0),
            0.0,
        )
        return found


def exact_neuron(model: NeuronModel, where: str) -> ExactNeuron:
    """Return the constants of a model that has the equations of lif_exp, whatever its name.

    Raises
    ------
    RefsimError
        Where it has others: closed forms hold for these alone.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(
            f'{where}: needs a neuron, refsim.load("{CARD}"), but {model!r} was given.'
        )
    card = load(CARD)
    # Another name is allowed, other equations are not.
    if (model.continuous, model.inputs, model.input_kind, model.state, model.derived) != (
        card.continuous,
        card.inputs,
        card.input_kind,
        card.state,
        card.derived,
    ):
        raise RefsimError(
            f"{where}: exact spike times are known here for the equations of card '{CARD}' "
            f"alone, but '{model.name}' has others. "
            f'Take refsim.load("{CARD}", tau_m=..., tau_syn=..., v_th=...), or the sub-step run '
            "of Brian2 for another neuron."
        )
    return ExactNeuron(*(model.parameters[name].value for name in ("tau_m", "tau_syn", "v_th")))


@dataclass(frozen=True)
class Graze:
    """A membrane whose rise ended so near to threshold that the last digits decide its spike.

    They decide whether it fires, or when.

    Attributes
    ----------
    layer, neuron : int
    time : float
        Of the end of the rise, in seconds.
    above : float
        Membrane minus threshold there; negative where it stayed below.
    at : {"peak", "arrival", "stop"}
        What ended the rise. At an arrival the crossing and the arrival coincide, and the spike time
        has two one-sided derivatives.
    """

    layer: int
    neuron: int
    time: float
    above: float
    at: str

    def __str__(self) -> str:
        side = "above" if self.above >= 0 else "below"
        return (
            f"layer {self.layer}, neuron {self.neuron}: {abs(self.above):.1e} {side} the "
            f"threshold at its {self.at}, {self.time:.9g} s"
        )


@dataclass(frozen=True)
class EventDriven:
    """What `event_driven` found.

    Attributes
    ----------
    neurons : one ExactNeuron a layer
    weights : one (n_post, n_pre) a layer
    inputs : EventTrain
    layers : one EventTrain a layer
    stop : float
        End of the run, in seconds.
    grazes : tuple of Graze
        Where a derivative is not to be trusted, since a spike is about to appear, to vanish or to
        change sides with an arrival.
    """

    neurons: tuple[ExactNeuron, ...]
    weights: tuple[Floats, ...]
    inputs: EventTrain
    layers: tuple[EventTrain, ...]
    stop: float
    grazes: tuple[Graze, ...]

    @property
    def output(self) -> EventTrain:
        """The last layer's spikes."""
        return self.layers[-1]

    def before(self, layer: int) -> EventTrain:
        """Return the spikes that a layer receives."""
        return self.layers[layer - 1] if layer else self.inputs


@dataclass(frozen=True)
class Gradient:
    """Derivative of one loss, or of one spike time.

    Attributes
    ----------
    weights : one (n_post, n_pre) a layer
        By the weights.
    inputs : (n_events,)
        By the times of the input spikes, in the order they were given: of a loss in 1/s, of a spike
        time a plain number.
    """

    weights: tuple[Floats, ...]
    inputs: Floats

    def flat(self) -> Floats:
        """Return all numbers in one row, layer by layer and the inputs last."""
        return np.concatenate([*(weight.ravel() for weight in self.weights), self.inputs])


def crossings(neuron: ExactNeuron, v: Floats, i: Floats, span: Floats) -> Floats:
    """Return the times (n,) after which membranes `v` with currents `i` reach the threshold.

    Parameters
    ----------
    v, i : (n,)
        Below the threshold, rising.
    span : (n,) in seconds
        A time up to which the membrane rises and by which it has reached the threshold: at most
        that of its peak.
    """
    # The root lies between now and the end of the rise, and stays bracketed.
    low, high = np.zeros_like(span), span
    d = 0.5 * span
    done = np.zeros(len(d), bool)
    # Bisection alone takes 53 and a few to the last digit; Newton's method some five.
    for _ in range(200):
        height, current = neuron.moved(v, i, d)
        off = height - neuron.v_th
        # Below threshold the root is later, else earlier.
        low, high = np.where(off < 0, d, low), np.where(off < 0, high, d)
        # At the peak itself the slope is 0; then the bracket is halved.
        with np.errstate(divide="ignore", invalid="ignore"):
            new = d - off * neuron.tau_m / (current - height)
        # A Newton step that leaves the bracket is replaced by a halving.
        inside = (new >= low) & (new <= high)
        new = np.where(inside, new, 0.5 * (low + high))
        # A step of less than the last digit changes nothing.
        done |= np.abs(new - d) <= np.spacing(d)
        if done.all():
            return new
        d = np.where(done, d, new)
    return d


# Of a layer; the solver takes some ten seconds for them, and no trained network fires like that.
MOST_SPIKES = 100_000
_WHERE = "event_driven"


def event_driven(
    model: NeuronModel | Sequence[NeuronModel],
    weights: Sequence[ArrayLike],
    times: ArrayLike,
    inputs: ArrayLike,
    stop: float | str,
    *,
    graze: float = 1e-9,
) -> EventDriven:
    """Find the exact spike times of one sample in feed-forward layers of the card lif_exp.

    Between events the membrane is known in closed form (Rotter and Diesmann 1999). It rises up to
    at most one peak, known too, so that a crossing is found if and only if the peak, or the
    membrane at the next event, reaches the threshold; no grid can miss one. The crossing itself is
    found by a safeguarded Newton's method, to the last digits.

    Parameters
    ----------
    model : NeuronModel or one a layer
        ``refsim.load("lif_exp")``, with whatever parameters.
    weights : one (n_post, n_pre) a layer
        What a spike adds to the synaptic current.
    times : (n_events,) in seconds
        Input spikes, in any order, 0 <= t <= stop; simultaneous ones are allowed.
    inputs : (n_events,) of int
        Which input each of them is of.
    stop : float or str
        End of the run, ``0.1`` or ``"100 ms"``.
    graze : float
        A rise that ends this near to the threshold, in units of it, is reported in ``grazes``. By
        default 1e-9: a crossing so near to its peak is known to 1e-12 time constants still, and its
        derivative to 1e-7.

    Returns
    -------
    EventDriven
        Of spikes and arrivals at the very same time, the spike counts as the earlier.

    Raises
    ------
    RefsimError
        For shapes that do not fit, times outside the run, other neurons, and a network that fires
        beyond measure.
    """
    # Shapes, cards and times are checked before anything is solved.
    matrices = _matrices(weights)
    neurons = _neurons(model, len(matrices))
    end = positive_time(stop, f"{_WHERE}: stop")
    return _solved(
        neurons, matrices, input_train(times, inputs, matrices[0].shape[1], end, _WHERE), end, graze
    )


def rerun(
    found: EventDriven, *, weights: tuple[Floats, ...] | None = None, times: Floats | None = None
) -> EventDriven:
    """Run a network once more, with other weights or other times of the input spikes.

    Shapes are the same, and nothing is checked again.
    """
    given = found.inputs if times is None else replace(found.inputs, times=times)
    return _solved(
        found.neurons, found.weights if weights is None else weights, given, found.stop, 0.0
    )


def _solved(
    neurons: tuple[ExactNeuron, ...],
    weights: tuple[Floats, ...],
    given: EventTrain,
    stop: float,
    graze: float,
) -> EventDriven:
    train, layers, grazes = given, [], []
    # The spikes of one layer are the input of the next.
    for index, (neuron, weight) in enumerate(zip(neurons, weights, strict=True)):
        run = _LayerRun(index, neuron, weight, stop, graze * neuron.v_th)
        train = run.over(train)
        layers.append(train)
        grazes += run.grazes
    return EventDriven(neurons, weights, given, tuple(layers), stop, tuple(grazes))


@dataclass
class _LayerRun:
    """One layer on its way from event to event.

    Membranes and currents (n_post,) are those at the last event.
    """

    index: int
    neuron: ExactNeuron
    weight: Floats
    stop: float
    near: float
    grazes: list[Graze] = field(default_factory=list)
    found: list[tuple[Floats, Ints, Floats]] = field(default_factory=list)
    count: int = 0

    def over(self, received: EventTrain) -> EventTrain:
        """Run through all arrivals to the end and return the layer's spikes."""
        v, i = np.zeros(len(self.weight)), np.zeros(len(self.weight))
        # Arrivals at the very same time are one event.
        moments, which = np.unique(received.times, return_inverse=True)
        order = np.argsort(which, kind="stable")
        groups = (
            np.split(
                received.neurons[order], np.searchsorted(which[order], np.arange(1, len(moments)))
            )
            if len(moments)
            else []
        )
        now = 0.0
        # From event to event, each with the weights of all that arrive.
        for moment, senders in zip(moments, groups, strict=True):
            jump = self.weight[:, senders].sum(axis=1)
            v, i = self.advance(v, i, now, moment, jump != 0)
            i, now = i + jump, moment
        # From the last event to the end of the run.
        self.advance(v, i, now, self.stop, None)
        return self.collected()

    def advance(
        self, v: Floats, i: Floats, now: float, until: float, arrives: NDArray[np.bool_] | None
    ) -> tuple[Floats, Floats]:
        """Go to the next event, firing on the way as often as need be.

        `arrives` is true where it reaches a neuron, None at the end.
        """
        since, v, i = np.full(len(v), now), v.copy(), i.copy()
        live = np.arange(len(v))
        # A neuron that has fired goes on from its spike, until it fires no more.
        while live.size:
            left, rise = until - since[live], self.neuron.rise(v[live], i[live])
            # The membrane is highest at the end of its rise, or at the next event.
            span = np.minimum(left, rise)
            height = self.neuron.moved(v[live], i[live], span)[0]
            self.note(
                live, since[live] + span, height, (rise > 0) & (left > 0), rise <= left, arrives
            )
            # Only then can it have reached the threshold, so none is missed.
            fires = (height >= self.neuron.v_th) & (span > 0)
            live, span = live[fires], span[fires]
            if live.size:
                d = crossings(self.neuron, v[live], i[live], span)
                since[live], i[live] = self.fire(
                    live,
                    np.minimum(since[live] + d, until),
                    i[live] * np.exp(-d / self.neuron.tau_syn),
                )
                # A spike takes v_th from a membrane that is at v_th.
                v[live] = 0.0
        return self.neuron.moved(v, i, until - since)

    def fire(self, who: Ints, times: Floats, current: Floats) -> tuple[Floats, Floats]:
        """Keep spikes with their slopes; return their times and the currents then."""
        self.count += len(who)
        # Weights that are far too large make a spike after a spike.
        if self.count > MOST_SPIKES:
            raise RefsimError(
                f"{_WHERE}: layer {self.index} fires more than {counted(MOST_SPIKES, 'spike')} "
                f"up to {times[0]:.3g} s; its weights reach {np.abs(self.weight).max():.3g}, "
                f"where a threshold is {self.neuron.v_th:g}. Give smaller weights, or a shorter "
                "run."
            )
        self.found.append((times, who, (current - self.neuron.v_th) / self.neuron.tau_m))
        return times, current

    def note(
        self,
        who: Ints,
        time: Floats,
        height: Floats,
        rising: NDArray[np.bool_],
        peaks: NDArray[np.bool_],
        arrives: NDArray[np.bool_] | None,
    ) -> None:
        """Report rises that end near the threshold; an arrival of weight 0 ends none."""
        above = height - self.neuron.v_th
        # A rise ends at its peak, or where an arrival that counts changes it.
        ends = peaks if arrives is None else peaks | arrives[who]
        near = rising & (np.abs(above) <= self.near) & (ends if arrives is not None else True)
        for k in np.flatnonzero(near):
            at = "peak" if peaks[k] else "stop" if arrives is None else "arrival"
            self.grazes.append(Graze(self.index, int(who[k]), float(time[k]), float(above[k]), at))

    def collected(self) -> EventTrain:
        """Return all spikes by time, then by neuron."""
        # Without any spike there is nothing to join.
        empty = (np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
        times, who, slopes = (
            np.concatenate(column) for column in zip(empty, *self.found, strict=True)
        )
        order = np.lexsort((who, times))
        return EventTrain(times[order], who[order], slopes[order], len(self.weight))


def _matrices(weights: Sequence[ArrayLike]) -> tuple[Floats, ...]:
    if not isinstance(weights, list | tuple) or not weights:
        raise RefsimError(
            f"{_WHERE}: weights must be a list of matrices (n_post, n_pre), one a layer, but "
            f"{type(weights).__name__} was given."
        )
    found = tuple(
        real_array(weight, f"{_WHERE}: weights of layer {index}", cure=DIVERGED)
        # Each layer has as many inputs as the layer before has neurons.
        for index, weight in enumerate(weights)
    )
    for index, weight in enumerate(found):
        if weight.ndim != 2 or 0 in weight.shape:
            raise RefsimError(
                f"{_WHERE}: weights of layer {index} must be a matrix (n_post, n_pre), but have "
                f"shape {weight.shape}."
            )
        if index and weight.shape[1] != found[index - 1].shape[0]:
            raise RefsimError(
                f"{_WHERE}: layer {index} has weights {weight.shape}, so hears {weight.shape[1]} "
                f"neurons, but layer {index - 1} has {found[index - 1].shape[0]}. "
                "Weights are (n_post, n_pre), as in PyTorch."
            )
    return tuple(weight.copy() for weight in found)


def _neurons(model: NeuronModel | Sequence[NeuronModel], n_layers: int) -> tuple[ExactNeuron, ...]:
    models = [model] * n_layers if not isinstance(model, list | tuple) else model
    if len(models) != n_layers:
        raise RefsimError(
            f"{_WHERE}: {counted(len(models), 'model')} for {counted(n_layers, 'layer')} of "
            "weights; give one for all, or one a layer."
        )
    return tuple(
        exact_neuron(each, f"{_WHERE}: layer {index}") for index, each in enumerate(models)
    )


def input_train(
    times: ArrayLike, inputs: ArrayLike, n_inputs: int, stop: float, where: str
) -> EventTrain:
    """Check input spikes and return them as a train."""
    moments, senders = (
        real_array(times, f"{where}: times").copy(),
        plain_array(inputs, f"{where}: inputs"),
    )
    # Times and inputs come in pairs.
    if moments.ndim != 1 or senders.shape != moments.shape:
        raise RefsimError(
            f"{where}: times and inputs are (n_events,) both, but have shapes {moments.shape} "
            f"and {senders.shape}."
        )
    if len(senders) and senders.dtype.kind not in "iu":
        raise RefsimError(
            f"{where}: inputs must be whole numbers that say which input fires, but have dtype "
            f"{senders.dtype}."
        )
    if len(senders) and not (senders.min() >= 0 and senders.max() < n_inputs):
        raise RefsimError(
            f"{where}: inputs must be 0 to {n_inputs - 1}, since the first layer's weights have "
            f"{n_inputs} columns, but reach {senders.min()} to {senders.max()}."
        )
    if len(moments) and not (moments.min() >= 0 and moments.max() <= stop):
        raise RefsimError(
            f"{where}: times must lie between 0 and stop, {stop:g} s, but reach "
            f"{moments.min():g} to {moments.max():g} s. Times are in seconds."
        )
    return EventTrain(moments, senders.astype(np.int64), np.full(len(moments), np.inf), n_inputs)
