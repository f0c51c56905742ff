"""Central finite differences of the event-driven run; no formula of a gradient enters them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.spikes import EventTrain
from .losses import TimedLoss
from .spike_times import EventDriven, Gradient, rerun

# Central differences of order four: offset in steps, and its share.
FOURTH = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))


def central_difference(value: Callable[[float], float], step: float) -> float:
    """Return the derivative at 0 of a function of an offset, by a difference of fourth order."""
    return sum(share * value(times * step) for times, share in FOURTH) / step


def finite_differences(
    found: EventDriven, loss: Callable[[EventTrain], TimedLoss], size: float = 1e-6
) -> Gradient:
    """Return the derivative of a loss by central differences.

    It takes two runs for every weight and every input spike.

    Parameters
    ----------
    found : EventDriven
        The network and its input.
    loss : function
        From the last layer's EventTrain to a `TimedLoss`, of which the value alone is used.
    size : float
        How far a weight is moved, in units of the threshold; an input time by as much of tau_syn.

    Returns
    -------
    Gradient
        NaN where a spike appears or vanishes in either run: there the two runs are not of one
        smooth function.

    Raises
    ------
    RefsimError
        For a size that is not above 0.
    """
    if not size > 0:
        raise RefsimError(f"finite_differences: size must be above 0, but is {size!r}.")
    weights = tuple(np.empty_like(weight) for weight in found.weights)
    # Each weight is moved both ways, in units of its neuron's threshold.
    for index, weight in enumerate(found.weights):
        step = size * found.neurons[index].v_th
        by_place = [
            _difference(found, loss, step, _weights_moved(found, index, place, step))
            for place in range(weight.size)
        ]
        weights[index][...] = np.reshape(by_place, weight.shape)
    # Input times are moved in units of the synaptic time constant.
    step = size * found.neurons[0].tau_syn
    inputs = [
        _difference(found, loss, step, _times_moved(found, event, step))
        for event in range(len(found.inputs))
    ]
    return Gradient(weights, np.array(inputs, float))


def _difference(
    found: EventDriven,
    loss: Callable[[EventTrain], TimedLoss],
    step: float,
    runs: Iterator[EventDriven],
) -> float:
    high, low = runs
    # A spike too many or too few makes the loss jump.
    if any(not same_spikes(found.layers, run.layers) for run in (high, low)):
        return float("nan")
    return (loss(high.output).value - loss(low.output).value) / (2 * step)


def same_spikes(left: Sequence[EventTrain], right: Sequence[EventTrain]) -> bool:
    """Return whether each neuron of each layer fires equally often in both runs."""
    counts = [
        [np.bincount(train.neurons, minlength=train.n_neurons) for train in layers]
        for layers in (left, right)
    ]
    return all(np.array_equal(a, b) for a, b in zip(*counts, strict=True))


def _weights_moved(
    found: EventDriven, index: int, place: int, step: float
) -> Iterator[EventDriven]:
    for sign in (1, -1):
        moved = found.weights[index].copy()
        moved.flat[place] += sign * step
        yield rerun(found, weights=(*found.weights[:index], moved, *found.weights[index + 1 :]))


def _times_moved(found: EventDriven, event: int, step: float) -> Iterator[EventDriven]:
    for sign in (1, -1):
        moved: Floats = found.inputs.times.copy()
        moved[event] += sign * step
        yield rerun(found, times=moved)
