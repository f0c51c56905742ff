"""How far rounding may have moved what each threshold of a network saw."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..engines.delays import Hearing
from ..engines.discrete import LayerState, Tested, parts_by_input
from ..model import NeuronModel
from ..network import Layer
from ..recording import Recording
from .bounded import BOUNDED_FUNCTIONS, FAR, LIBRARY, UNIT_ROUNDOFF, UNKNOWN, Bounded, as_number, constant, fits, own_variable, quantum_of, underflow
from .carried import Carried


@dataclass(frozen=True)
class Rounding:
    """By how much runs round.

    Attributes
    ----------
    unit : float
        The unit roundoffs of the runs together.
    once : float
        Where it is above 0: the unit of a dtype so short that the bound of all operations says nothing. Then each sum
        and each state is taken to be rounded once a step by it, which is no proof, and `unit` is that of the others.
    """

    unit: float
    once: float = 0.0

    @classmethod
    def of(cls, dtypes: Sequence[str], *, once: bool = False) -> "Rounding":
        """Return the rounding of runs in some dtypes."""
        units = [UNIT_ROUNDOFF[dtype] for dtype in dtypes]
        if not once:
            return cls(sum(units))
        return cls(UNIT_ROUNDOFF["float64"] * len(units), max(units))


@dataclass(frozen=True, eq=False)
class _Numbers:
    """What a layer hears in a step, (n, n_pre): its largest size, and whether it is spikes of 0 and 1, as mostly."""

    array: NDArray[Any]
    largest: float
    whole: bool

    @classmethod
    def of(cls, x: NDArray[Any]) -> "_Numbers":
        """Look at the numbers once."""
        if x.dtype == bool:
            return cls(x, 1.0, True)
        low, high = float(np.min(x, initial=0.0)), float(np.max(x, initial=0.0))
        whole = low == 0.0 and high == 1.0 and int(np.count_nonzero(x)) == int(np.count_nonzero(x == 1.0))
        return cls(x, max(high, -low), whole)


class BoundedSum:
    """The weighted sum of a layer with a bound that holds for any order of additions."""

    def __init__(self, layer: Layer, rounding: Rounding) -> None:
        self.weight, self.bias, self.unit = np.ascontiguousarray(layer.weight.T), layer.bias, rounding.unit
        self.once, self.bias_size = rounding.once, np.abs(layer.bias)
        self.sizes = np.abs(self.weight)
        self.largest = self.sizes.max(axis=0, initial=0.0)
        self.quanta = quantum_of(layer.weight), quantum_of(layer.bias)

    def __call__(self, x: NDArray[Any], off: Any = 0.0, value: Any = None) -> Bounded:
        """Return the sum of an x, (n, n_pre), that may be `off` by so much; its value, where that is known, is not added up again."""
        reach = off @ self.sizes if np.any(off) else np.zeros(1)
        size = np.abs(x) @ self.sizes + self.bias_size
        terms = ((x != 0) | (np.asarray(off) > 0)).sum(axis=1, keepdims=True) + 1
        value = x @ self.weight + self.bias if value is None else value
        return Bounded(value, *self._error(_Numbers.of(x), size + reach, terms, reach))

    def over(self, frames: NDArray[Any], off: Any = 0.0) -> tuple[Any, Any]:
        """Return bound and quantum of the sums of many x at once, (n, n_pre): one number a neuron, and no closer than cheap."""
        reach = off @ self.sizes if np.any(off) else np.zeros(1)
        numbers = _Numbers.of(frames)
        active = np.count_nonzero(frames, axis=1)
        most = np.maximum(frames.max(axis=0, initial=0.0), -frames.min(axis=0, initial=0.0))
        total = float(active.max(initial=0)) if numbers.whole else float(np.abs(frames).sum(axis=1).max(initial=0.0))
        size = np.minimum(most @ self.sizes, total * self.largest) + self.bias_size
        terms = int(active.max(initial=0)) + int(np.sum(np.asarray(off) > 0)) + 1
        error, _, quantum = self._error(numbers, size + reach, np.asarray(terms), reach)
        return error, quantum

    def _quantum(self, x: "_Numbers", size: Any) -> float:
        """Return a power of two of which all sums are multiples; 0 where even the largest that there can be makes none exact."""
        if not np.any(fits(size, min(self.quanta[0] * (x.largest or 1.0), self.quanta[1]), self.unit)):
            return 0.0
        return min(self.quanta[0] * (1.0 if x.whole else quantum_of(x.array)), self.quanta[1])

    def _error(self, x: "_Numbers", size: Any, terms: Any, reach: Any) -> tuple[Any, float, float]:
        quantum = self._quantum(x, size)
        # Each product is rounded, each of its factors may be, and each of `terms` additions is.
        roundings = (terms + 3) * self.unit
        # Higham's gamma: all orders of the unit.
        factor = np.where(roundings < 0.5, roundings / (1 - np.minimum(roundings, 0.5)), UNKNOWN)
        exact = fits(size, quantum, self.unit) & (reach == 0)
        error = factor * (size + underflow(self.unit)) + reach
        return np.where(exact & (self.once == 0), 0.0, error + self.once * size), self.unit, quantum


Cells = tuple[Ints, Ints]  # samples and neurons of the cells that are followed


class BoundedLayer:
    """One layer that follows given spikes by its declared step, with a bound on the rounding of each number.

    Parameters
    ----------
    layer : Layer
    dt : float
    rounding : Rounding
    n_samples : int
    draw : function (step, name) -> (n_samples, n_post)
    cells : (samples, neurons), optional
        Follow these only, as arrays of one dimension.
    """

    def __init__(self, layer: Layer, dt: float, rounding: Rounding, n_samples: int, draw: Any, cells: Cells | None = None) -> None:
        self.layer, self.cells, self.once = layer, cells, rounding.once
        self.unit = unit = rounding.unit
        self.cut = unit if unit > UNIT_ROUNDOFF["float64"] * 4 else 0.0  # float32 keeps the first 24 bits of a random number
        self.state = LayerState.start(layer, dt, n_samples, lambda step, name: Bounded(self.of_cells(draw(step, name)), self.cut, unit))
        # A constant that the card computes in double precision may be computed by a trial in its own.
        self.state.constants = {
            name: constant(self._by_cell(value), unit, LIBRARY if name in layer.model.derived else 1.0) for name, value in self.state.constants.items()
        }
        starts = {name: constant(self.of_cells(value), unit) for name, value in self.state.state.items()}
        shape = np.shape(next(iter(starts.values())).value) if starts else (n_samples, layer.n_post)
        self.carried = Carried(starts, shape)
        self.values = {name: number.value for name, number in starts.items()}
        self.twice = read_twice(layer.model)
        self.away: Any = None  # cells whose numbers have left the range in which anything is proven
        for convolution in self.state.kernels.values():
            convolution.values = [constant(value, unit, LIBRARY) for value in convolution.values]

    def of_cells(self, array: Any) -> Any:
        """Return those entries of an array (n_samples, n_neurons) that are followed."""
        return array if self.cells is None else array[self.cells]

    def _by_cell(self, constants: Any) -> Any:
        return constants if self.cells is None or np.ndim(constants) == 0 else constants[self.cells[1]]

    def step(
        self, sums: Mapping[str, Bounded], fired: Any, spread: Mapping[str, Any] | None = None, quantum: Callable[[str], Any] | None = None, follow: Any = None
    ) -> tuple[Tested, ...]:
        """Advance by one step along the spikes that were fired; return both sides of each comparison of the threshold."""
        self.state.state = self.carried.variables(self.values, self.unit, spread, quantum)
        self.table = next((number.carried for number in self.state.state.values()), {})
        with np.errstate(all="ignore"):  # a neuron that runs away in its upstroke may leave float64
            _, tested = self.state.step(sums, BOUNDED_FUNCTIONS, fired=fired, truth=as_number, sent=follow, named=self._named if self.twice else None)
        self.carried.advance(self.state.state, self.unit, self.once)
        self.values = {name: number.value if isinstance(number, Bounded) else number for name, number in self.state.state.items()}
        return self._within_range(tested)

    def _within_range(self, tested: tuple[Tested, ...]) -> tuple[Tested, ...]:
        """Leave what the threshold saw without a bound where a cell has run away, from that step on."""
        seen = [left.value for left, _, _ in tested if isinstance(left, Bounded)]
        numbers = [*self.values.values(), *seen]
        if self.away is None and all(np.abs(number).max(initial=0.0) < FAR for number in numbers):  # not so for NaN
            return tested
        self.away = np.zeros(self.carried.shape, bool) if self.away is None else self.away
        for number in numbers:
            self.away = self.away | ~(np.abs(number) < FAR)
        self.carried.errors = {name: np.where(self.away, UNKNOWN, error) for name, error in self.carried.errors.items()}
        return tuple(
            (replace(left, local=np.where(self.away, UNKNOWN, left.local)) if isinstance(left, Bounded) else left, symbol, right)
            for left, symbol, right in tested
        )

    def _named(self, name: str, value: Any) -> Any:
        if name not in self.twice or not isinstance(value, Bounded):
            return value
        return own_variable(value, f"{name} rounded", self.table)

    def sent(self, fired: Any) -> Bounded:
        """Return what other layers hear of the last step, with its bound."""
        payload = self.layer.model.discrete.payload
        if not payload:
            return constant(np.asarray(fired, np.float64), self.unit)
        return Bounded(self.values[payload], self.carried.errors[payload], self.unit)


def read_twice(model: NeuronModel) -> frozenset[str]:
    """Return the names, states apart, that one statement reads more than once: ``(v + ratio)*kept - ratio`` errs by ``1 - kept`` of the ratio's error."""
    found: set[str] = set()
    for statement in model.discrete.before_fire:
        read = [node.id for node in ast.walk(statement.tree) if isinstance(node, ast.Name)]
        found |= {name for name in read if read.count(name) > 1}
    return frozenset(found & {statement.target for statement in model.discrete.before_fire} - set(model.stepped))


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
    rounding = Rounding.of(dtypes)
    network, drive = reference.network, reference.drive.take(samples)
    spikes = [train.take(samples).dense() for train in reference.spikes]
    weighted = [{name: BoundedSum(part, rounding) for name, part in parts_by_input(layer).items()} for layer in network.layers]
    layers = [BoundedLayer(layer, network.dt, rounding, drive.n_samples, drive.draws(index, layer.n_post)) for index, layer in enumerate(network.layers)]
    found = [Threshold(*(np.zeros(train.shape) for _ in range(3))) for train in spikes]
    hear, moved = Hearing(network, len(samples)), Hearing(network, len(samples))
    silence = np.zeros((len(samples), network.n_inputs))
    for step, frame in enumerate(drive.frames()):
        for index, (layer, train, kept) in enumerate(zip(layers, spikes, found, strict=True)):
            fired = train[:, step]
            heard, off = hear(index, frame), moved(index, silence)
            tested = layer.step({name: weigh(heard, off) for name, weigh in weighted[index].items()}, fired)
            discrete = layer.layer.model.discrete
            distance, bound = decisive(tested) if discrete.fire else (-np.inf, tested[0][0].error)
            kept.distance[:, step], kept.bound[:, step] = distance, known(bound)
            sent = layer.sent(fired)
            hear.spikes[index], moved.spikes[index] = sent.value, np.broadcast_to(sent.error, fired.shape)
            kept.output[:, step] = kept.bound[:, step] if discrete.readout else sent.error
    return found


def known(bound: Any) -> Any:
    """Return a bound, infinite where nothing is proven."""
    return np.where(bound < UNKNOWN / 1e10, bound, np.inf)


def decisive(tested: tuple[Tested, ...]) -> tuple[Any, Any]:
    """Return distance and bound of the comparison on which the spike hangs.

    Where all hold, that is the one that rounding tips most easily; where some do not, the most certain of those.
    """
    gaps = [left - right for left, _, right in tested]
    distance, bound = np.broadcast_arrays(*(gap.value for gap in gaps)), np.broadcast_arrays(*(gap.error for gap in gaps))
    if len(tested) == 1:
        return distance[0], bound[0]
    holds = np.stack([OPERATE[symbol](gap, 0) for gap, (_, symbol, _) in zip(distance, tested, strict=True)])
    excess = np.stack([np.where(b > 0, np.abs(d) - b, np.inf) for d, b in zip(distance, bound, strict=True)])
    fires = holds.all(axis=0)
    rank = np.where(fires, -excess, np.where(holds, -np.inf, excess))
    chosen = np.argmax(rank, axis=0)[None]
    return np.take_along_axis(np.stack(distance), chosen, 0)[0], np.take_along_axis(np.stack(bound), chosen, 0)[0]


OPERATE: dict[str, Any] = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
