"""How far rounding may have moved what each threshold of a network saw."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..drive import Drive
from ..engines.delays import Hearing
from ..engines.discrete import LayerState, Tested, parts_by_input, weighted_sum
from ..network import Layer
from ..recording import Recording
from .bounded import BOUNDED_FUNCTIONS, UNIT_ROUNDOFF, Bounded, Decided, constant, fits, quantum_of, underflow


class BoundedSum:
    """The weighted sum of a layer with a bound that holds for any order of additions."""

    def __init__(self, layer: Layer, unit: float) -> None:
        self.layer, self.unit = layer, unit
        self.quanta = quantum_of(layer.weight), quantum_of(layer.bias)

    def __call__(self, x: NDArray[Any], off: Any = 0.0) -> Bounded:
        """Return the sum of an x that may be `off` by so much."""
        value, sizes = weighted_sum(self.layer, x), np.abs(self.layer.weight).T
        reach = off @ sizes if np.any(off) else np.zeros(1)
        size = np.abs(x) @ sizes + np.abs(self.layer.bias) + reach
        terms = ((x != 0) | (np.asarray(off) > 0)).sum(axis=1, keepdims=True) + 1
        quantum = min(self.quanta[0] * quantum_of(x), self.quanta[1])
        # each product is rounded, each of its factors may be, and each of `terms` additions is
        roundings = (terms + 3) * self.unit
        factor = np.where(roundings < 0.5, roundings / (1 - np.minimum(roundings, 0.5)), np.inf)  # Higham's gamma: all orders of the unit
        error = np.where(fits(size, quantum, self.unit) & (reach == 0), 0.0, factor * (size + underflow(self.unit)) + reach)
        return Bounded(value, error, self.unit, quantum)


@dataclass(frozen=True, eq=False)
class Threshold:
    """What the threshold of one layer saw, (n_samples, n_steps, n_neurons), and how far rounding may have moved it."""

    distance: NDArray[np.float64]
    bound: NDArray[np.float64]
    output: NDArray[np.float64]  # how far it may have moved the membrane of a readout, or what spikes carry


def distances_to_threshold(reference: Recording, samples: Ints, dtypes: tuple[str, ...]) -> list[Threshold]:
    """Follow the reference's own spikes through the declared step and bound the rounding of runs in the given dtypes.

    Parameters
    ----------
    reference : Recording
        Its spikes are followed, so the bound holds up to a sample's first divergence.
    samples : (n,) int64
    dtypes : tuple of str
        Of the runs that are compared; their bounds add.

    Returns
    -------
    list of Threshold, one a layer
        Signed distance ``seen - threshold`` in exact-input float64, and its bound.
    """
    unit = sum(UNIT_ROUNDOFF[dtype] for dtype in dtypes)
    network, drive = reference.network, reference.drive.take(samples)
    spikes = [train.take(samples).dense() for train in reference.spikes]
    weighted = [{name: BoundedSum(part, unit) for name, part in parts_by_input(layer).items()} for layer in network.layers]
    states = [_start(layer, network.dt, drive, unit, index) for index, layer in enumerate(network.layers)]
    found = [Threshold(*(np.zeros(train.shape) for _ in range(3))) for train in spikes]
    hear, moved = Hearing(network, len(samples)), Hearing(network, len(samples))
    silence = np.zeros((len(samples), network.n_inputs))
    for step, frame in enumerate(drive.frames()):
        for index, (layer, state, train, kept) in enumerate(zip(network.layers, states, spikes, found, strict=True)):
            fired = train[:, step]
            heard, off = hear(index, frame), moved(index, silence)
            sums = {name: weigh(heard, off) for name, weigh in weighted[index].items()}
            with np.errstate(all="ignore"):  # the bound of a neuron that runs away in its upstroke may leave float64
                _, tested = state.step(sums, BOUNDED_FUNCTIONS, fired=fired, truth=_as_number)
                distance, bound = decisive(tested) if layer.model.discrete.fire else (-np.inf, tested[0][0].error)
            kept.distance[:, step], kept.bound[:, step] = distance, np.where(np.isnan(bound), np.inf, bound)  # nothing is proven there
            sent = state.output(fired)
            sent = sent if isinstance(sent, Bounded) else constant(sent, unit)
            hear.spikes[index], moved.spikes[index] = sent.value, np.broadcast_to(sent.error, fired.shape)
            kept.output[:, step] = kept.bound[:, step] if layer.model.discrete.readout else sent.error
    return found


def decisive(tested: tuple[Tested, ...]) -> tuple[Any, Any]:
    """Return distance and bound of the comparison on which the spike hangs.

    Where all hold, that is the one that rounding tips most easily; where some do not, the most certain of those.
    """
    gaps = [left - right for left, _, right in tested]
    distance, bound = np.broadcast_arrays(*(gap.value for gap in gaps)), np.broadcast_arrays(*(gap.error for gap in gaps))
    if len(tested) == 1:
        return distance[0], bound[0]
    holds = np.stack([_OPERATE[symbol](gap, 0) for gap, (_, symbol, _) in zip(distance, tested, strict=True)])
    excess = np.stack([np.where(b > 0, np.abs(d) - b, np.inf) for d, b in zip(distance, bound, strict=True)])
    fires = holds.all(axis=0)
    rank = np.where(fires, -excess, np.where(holds, -np.inf, excess))
    chosen = np.argmax(rank, axis=0)[None]
    return np.take_along_axis(np.stack(distance), chosen, 0)[0], np.take_along_axis(np.stack(bound), chosen, 0)[0]


_OPERATE: dict[str, Any] = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


def _as_number(condition: Any) -> Any:
    return condition.as_number() if isinstance(condition, Decided) else np.asarray(condition, np.float64)


def _start(layer: Layer, dt: float, drive: Drive, unit: float, index: int) -> LayerState:
    drawn = drive.draws(index, layer.n_post)
    cut = unit if unit > UNIT_ROUNDOFF["float64"] * 4 else 0.0  # float32 keeps the first 24 bits of a random number
    state = LayerState.start(layer, dt, drive.n_samples, lambda step, name: Bounded(drawn(step, name), cut, unit))
    state.constants = {name: constant(value, unit) for name, value in state.constants.items()}
    state.state = {name: constant(value, unit) for name, value in state.state.items()}
    for convolution in state.kernels.values():
        convolution.values = [constant(value, unit) for value in convolution.values]
    return state
