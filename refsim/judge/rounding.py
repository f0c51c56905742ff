"""How far rounding may have moved what each threshold of a network saw.

`BoundedSum` bounds a weighted sum in any order of additions; `BoundedLayer` follows one layer along
given spikes, with the errors of its states (`state_errors.py`); `distances_to_threshold` follows a
whole network.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import NeuronModel
from ..core.arrays import Ints
from ..engines.arrivals import LayerInputs
from ..engines.discrete import LayerState, Tested, parts_by_input
from ..networks.drive import Draw
from ..networks.network import Layer
from ..networks.recording import Recording
from .bounded import (
    BOUNDED_FUNCTIONS,
    FAR,
    LIBRARY,
    UNIT_ROUNDOFF,
    UNKNOWN,
    Bounded,
    Numbers,
    as_number,
    constant,
    fits,
    own_variable,
    quantum_of,
    underflow,
)
from .state_errors import StateErrors

OF_A_TERM = 5  # weight, input, their product, the bias, and a mean of inputs that was taken first
# What each symbol of a comparison does with arrays.
OPERATE: dict[str, np.ufunc] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
}


@dataclass(frozen=True)
class Rounding:
    """The unit roundoffs of the runs that are compared.

    Attributes
    ----------
    unit : float
        The sum of the unit roundoffs of the runs.
    once : float
        Above 0 where a dtype is so short that the bound of all operations says nothing: then its
        unit. Each sum and each state is then taken to be rounded once a step by it, which is no
        proof, and `unit` is that of the other runs.
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
    """The input of a layer in a step, (n, n_pre), with its largest size.

    `whole` says whether it is spikes of 0 and 1, as mostly.
    """

    array: NDArray[Any]
    largest: float
    whole: bool

    @classmethod
    def of(cls, x: NDArray[Any]) -> "_Numbers":
        """Look at the numbers once."""
        if x.dtype == bool:
            return cls(x, 1.0, True)
        low, high = float(np.min(x, initial=0.0)), float(np.max(x, initial=0.0))
        whole = (
            low == 0.0
            and high == 1.0
            and int(np.count_nonzero(x)) == int(np.count_nonzero(x == 1.0))
        )
        return cls(x, max(high, -low), whole)


class BoundedSum:
    """The weighted sum of a layer with a bound that holds for any order of additions."""

    def __init__(self, layer: Layer, rounding: Rounding) -> None:
        self.weight, self.bias, self.unit = (
            np.ascontiguousarray(layer.weight.T),
            layer.bias,
            rounding.unit,
        )
        self.once, self.bias_size = rounding.once, np.abs(layer.bias)
        self.sizes = np.abs(self.weight)
        self.largest = self.sizes.max(axis=0, initial=0.0)
        self.quanta = quantum_of(layer.weight), quantum_of(layer.bias)

    def __call__(self, x: NDArray[Any], off: Numbers = 0.0, value: Numbers = None) -> Bounded:
        """Return the weighted sum of an input x, (n, n_pre), with its bound.

        Parameters
        ----------
        x : (n, n_pre)
        off : (n, n_pre) or 0
            How far the input may be off.
        value : (n, n_post), optional
            The sum, where it is known already.
        """
        # An input that is off moves the sum by as much as its weight is large.
        reach = off @ self.sizes if np.any(off) else np.zeros(1)
        size = np.abs(x) @ self.sizes + self.bias_size
        terms = ((x != 0) | (np.asarray(off) > 0)).sum(axis=1, keepdims=True) + 1
        value = x @ self.weight + self.bias if value is None else value
        return Bounded(value, *self._error(_Numbers.of(x), size + reach, terms, reach))

    def over(self, frames: NDArray[Any], off: Numbers = 0.0) -> tuple[Numbers, Numbers]:
        """Return bound and quantum of the sums of many inputs at once, (n, n_pre).

        There is one number for each neuron, and it is no closer than is cheap.
        """
        reach = off @ self.sizes if np.any(off) else np.zeros(1)
        # The largest sum that any of the inputs can have.
        numbers = _Numbers.of(frames)
        active = np.count_nonzero(frames, axis=1)
        most = np.maximum(frames.max(axis=0, initial=0.0), -frames.min(axis=0, initial=0.0))
        total = (
            float(active.max(initial=0))
            if numbers.whole
            else float(np.abs(frames).sum(axis=1).max(initial=0.0))
        )
        size = np.minimum(most @ self.sizes, total * self.largest) + self.bias_size
        terms = int(active.max(initial=0)) + int(np.sum(np.asarray(off) > 0)) + 1
        error, _, quantum = self._error(numbers, size + reach, np.asarray(terms), reach)
        return error, quantum

    def _quantum(self, x: "_Numbers", size: Numbers) -> float:
        """Return a power of two of which all sums are multiples.

        Returns 0 where even the largest possible quantum would make no sum exact.
        """
        # Finding the quantum of an input costs a pass over it, which is often in vain.
        if not np.any(
            fits(size, min(self.quanta[0] * (x.largest or 1.0), self.quanta[1]), self.unit)
        ):
            return 0.0
        return min(self.quanta[0] * (1.0 if x.whole else quantum_of(x.array)), self.quanta[1])

    def _error(
        self, x: "_Numbers", size: Numbers, terms: Numbers, reach: Numbers
    ) -> tuple[Numbers, float, float]:
        """Return bound, unit and quantum of a sum of so many terms."""
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
    """One layer that follows given spikes by its declared step, with a bound for each number.

    Parameters
    ----------
    layer : Layer
    dt : float
        Duration of a step in seconds.
    rounding : Rounding
    n_samples : int
    draw : function (step, name) -> (n_samples, n_post)
    cells : (samples, neurons), optional
        Follow these cells only, as arrays of one dimension.
    """

    def __init__(
        self,
        layer: Layer,
        dt: float,
        rounding: Rounding,
        n_samples: int,
        draw: Draw,
        cells: Cells | None = None,
    ) -> None:
        self.layer, self.cells, self.once = layer, cells, rounding.once
        self.unit = unit = rounding.unit
        # Float32 keeps the first 24 bits of a random number.
        self.cut = unit if unit > UNIT_ROUNDOFF["float64"] * 4 else 0.0
        # The declared step itself, whose draws are cut to the trial's precision.
        self.state = LayerState.start(
            layer,
            dt,
            n_samples,
            lambda step, name: Bounded(self.of_cells(draw(step, name)), self.cut, unit),
        )
        # A trial may compute in its own precision a constant that the card computes in double.
        self.state.constants = {
            name: constant(
                self._by_cell(value), unit, LIBRARY if name in layer.model.derived else 1.0
            )
            for name, value in self.state.constants.items()
        }
        # The states start exact, up to the dtype of the run.
        starts = {
            name: constant(self.of_cells(value), unit) for name, value in self.state.state.items()
        }
        shape = np.shape(next(iter(starts.values())).value) if starts else (n_samples, layer.n_post)
        self.carried = StateErrors(starts, shape)
        self.values = {name: number.value for name, number in starts.items()}
        self.twice = read_twice(layer.model)
        self.away: NDArray[np.bool_] | None = (
            None  # cells whose numbers have left the range in which anything is proven
        )
        # Kernels are computed by a function of a mathematical library.
        for convolution in self.state.kernels.values():
            convolution.values = [constant(value, unit, LIBRARY) for value in convolution.values]

    def of_cells(self, array: Numbers) -> Numbers:
        """Return the entries of an array (n_samples, n_neurons) that are followed."""
        return array if self.cells is None else array[self.cells]

    def _by_cell(self, constants: Numbers) -> Numbers:
        """Return the constants, one a neuron, of the cells that are followed."""
        return (
            constants if self.cells is None or np.ndim(constants) == 0 else constants[self.cells[1]]
        )

    def step(
        self,
        sums: Mapping[str, Bounded],
        fired: Numbers,
        spread: Mapping[str, Numbers] | None = None,
        quantum: Callable[[str], Numbers] | None = None,
        follow: Numbers = None,
    ) -> tuple[Tested, ...]:
        """Advance by one step along the spikes that were fired.

        Parameters
        ----------
        sums : dict of str to Bounded
            Weighted sums by the name of the input.
        fired : array
            The spikes that the states follow.
        spread, quantum : optional
            As of `StateErrors.variables`.
        follow : function, optional
            Replaces what the step computes for its spikes to carry.

        Returns
        -------
        tuple of (left, symbol, right)
            Both sides of each comparison of the threshold.
        """
        self.state.state = self.carried.variables(self.values, self.unit, spread, quantum)
        self.table = next((number.carried for number in self.state.state.values()), {})
        with np.errstate(all="ignore"):  # a neuron may leave float64 in its upstroke
            _, tested = self.state.step(
                sums,
                BOUNDED_FUNCTIONS,
                fired=fired,
                truth=as_number,
                sent=follow,
                named=self._named if self.twice else None,
            )
        # The errors of this step become those at the start of the next.
        self.carried.advance(self.state.state, self.unit, self.once)
        self.values = {
            name: number.value if isinstance(number, Bounded) else number
            for name, number in self.state.state.items()
        }
        return self._within_range(tested)

    def _within_range(self, tested: tuple[Tested, ...]) -> tuple[Tested, ...]:
        """Remove the bound of a cell whose numbers have run away, from that step on.

        Beyond the range of `FAR` nothing is proven.
        """
        seen = [left.value for left, _, _ in tested if isinstance(left, Bounded)]
        numbers = [*self.values.values(), *seen]
        # A comparison with NaN is false, so NaN goes on to be removed.
        if self.away is None and all(np.abs(number).max(initial=0.0) < FAR for number in numbers):
            return tested
        self.away = np.zeros(self.carried.shape, bool) if self.away is None else self.away
        for number in numbers:
            self.away = self.away | ~(np.abs(number) < FAR)
        self.carried.errors = {
            name: np.where(self.away, UNKNOWN, error) for name, error in self.carried.errors.items()
        }
        return tuple(
            (
                replace(left, local=np.where(self.away, UNKNOWN, left.local))
                if isinstance(left, Bounded)
                else left,
                symbol,
                right,
            )
            for left, symbol, right in tested
        )

    def _named(self, name: str, value: Numbers) -> Numbers:
        """Return a value that is read twice as a variable of its own."""
        if name not in self.twice or not isinstance(value, Bounded):
            return value
        return own_variable(value, f"{name} rounded", self.table)

    def sent(self, fired: Numbers) -> Bounded:
        """Return what other layers receive of the last step, with its bound."""
        payload = self.layer.model.discrete.payload
        if not payload:
            return constant(np.asarray(fired, np.float64), self.unit)
        return Bounded(self.values[payload], self.carried.errors[payload], self.unit)


def read_twice(model: NeuronModel) -> frozenset[str]:
    """Return the names, other than states, that one statement reads more than once.

    ``(v + ratio)*kept - ratio`` errs by ``1 - kept`` of the ratio's error.
    """
    found: set[str] = set()
    for statement in model.discrete.before_fire:
        read = [node.id for node in ast.walk(statement.tree) if isinstance(node, ast.Name)]
        found |= {name for name in read if read.count(name) > 1}
    return frozenset(
        found & {statement.target for statement in model.discrete.before_fire} - set(model.stepped)
    )


@dataclass(frozen=True, eq=False)
class Threshold:
    """What the threshold of one layer saw, (n_samples, n_steps, n_neurons), and its bound.

    Attributes
    ----------
    distance : array
        ``seen - threshold``.
    bound : array
        How far rounding may have moved it.
    output : array
        How far rounding may have moved the membrane of a readout, or what spikes carry.
    """

    distance: NDArray[np.float64]
    bound: NDArray[np.float64]
    output: NDArray[np.float64]


def distances_to_threshold(
    reference: Recording, samples: Ints, dtypes: tuple[str, ...]
) -> list[Threshold]:
    """Follow a run's own spikes by the declared step, and bound the rounding in some dtypes.

    Parameters
    ----------
    reference : Recording
        Its spikes are followed, so the bound holds up to a sample's first divergence.
    samples : (n,) int64
        Numbers of the samples to follow.
    dtypes : tuple of str
        Dtypes of the runs that are compared; their bounds add.

    Returns
    -------
    list of Threshold, one a layer
        Signed distance ``seen - threshold`` in exact-input float64, and its bound.
    """
    # All weighted sums and steps are followed, each with a bound.
    rounding = Rounding.of(dtypes)
    network, drive = reference.network, reference.drive.take(samples)
    spikes = [train.take(samples).dense() for train in reference.spikes]
    weighted = [
        {name: BoundedSum(part, rounding) for name, part in parts_by_input(layer).items()}
        for layer in network.layers
    ]
    layers = [
        BoundedLayer(layer, network.dt, rounding, drive.n_samples, drive.draws(index, layer.n_post))
        for index, layer in enumerate(network.layers)
    ]
    found = [Threshold(*(np.zeros(train.shape) for _ in range(3))) for train in spikes]
    # One routes what was sent, the other how far that may be off.
    hear, moved = LayerInputs(network, len(samples)), LayerInputs(network, len(samples))
    silence = np.zeros((len(samples), network.n_inputs))
    for step, frame in enumerate(drive.frames()):
        for index, (layer, train, kept) in enumerate(zip(layers, spikes, found, strict=True)):
            fired = train[:, step]
            # A layer receives its input of this step, and how far that may be off.
            heard, off = hear(index, frame), moved(index, silence)
            tested = layer.step(
                {name: weigh(heard, off) for name, weigh in weighted[index].items()}, fired
            )
            # What the threshold saw; a layer that never fires has an output instead.
            discrete = layer.layer.model.discrete
            distance, bound = decisive(tested) if discrete.fire else (-np.inf, tested[0][0].error)
            kept.distance[:, step], kept.bound[:, step] = distance, known(bound)
            # Others receive what it sent.
            sent = layer.sent(fired)
            hear.spikes[index], moved.spikes[index] = (
                sent.value,
                np.broadcast_to(sent.error, fired.shape),
            )
            kept.output[:, step] = kept.bound[:, step] if discrete.readout else sent.error
    return found


def known(bound: Numbers) -> Numbers:
    """Return a bound that is infinite where nothing is proven."""
    return np.where(bound < UNKNOWN / 1e10, bound, np.inf)


def decisive(tested: tuple[Tested, ...]) -> tuple[Numbers, Numbers]:
    """Return distance and bound of the comparison on which the spike depends.

    Where all comparisons hold, that is the one that rounding tips most easily. Where some do not
    hold, it is the most certain of those.
    """
    gaps = [left - right for left, _, right in tested]
    distance, bound = (
        np.broadcast_arrays(*(gap.value for gap in gaps)),
        np.broadcast_arrays(*(gap.error for gap in gaps)),
    )
    if len(tested) == 1:
        return distance[0], bound[0]
    # Which comparisons hold, and by how much each exceeds its bound.
    holds = np.stack(
        [OPERATE[symbol](gap, 0) for gap, (_, symbol, _) in zip(distance, tested, strict=True)]
    )
    excess = np.stack(
        [np.where(b > 0, np.abs(d) - b, np.inf) for d, b in zip(distance, bound, strict=True)]
    )
    fires = holds.all(axis=0)
    # The highest rank is chosen.
    rank = np.where(fires, -excess, np.where(holds, -np.inf, excess))
    chosen = np.argmax(rank, axis=0)[None]
    return np.take_along_axis(np.stack(distance), chosen, 0)[0], np.take_along_axis(
        np.stack(bound), chosen, 0
    )[0]
