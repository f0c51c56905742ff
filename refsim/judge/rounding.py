"""How far rounding may have moved what each threshold of a network saw.

`StateErrors` carries the error of a layer's states from step to step by the derivative of the step;
`BoundedSum` bounds a weighted sum in any order of additions; `BoundedLayer` follows one layer along
given spikes with both; `distances_to_threshold` does so for a whole network.

`bounded_over_steps` bounds a read-out over the steps, whatever order its sum over inputs and steps
is added in. A module that averages spikes and multiplies once, and one that multiplies in each step
and averages, compute one number in two orders. Each product of a weight and its input is rounded
once, and so are both factors; a sum of n terms in any order adds n - 1 roundings; a mean adds two.
Higham, Accuracy and Stability of Numerical Algorithms, Sec. 4.2: with unit u and k roundings the
error is at most k*u/(1 - k*u) times the sum of sizes.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import NeuronModel, so_far
from ..core.arrays import Floats, Ints
from ..engines.arrivals import LayerInputs
from ..engines.discrete import LayerState, Tested, parts_by_input
from ..networks.connection import DRIVE
from ..networks.drive import Draw
from ..networks.network import Layer, Network
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
    capped,
    constant,
    fits,
    last_bits,
    own_variable,
    quantum_of,
    steepest,
    underflow,
)

_OWN_ROUNDING = 1 + 2.0**-40  # this bound is computed in float64 itself
# A box that was turned once is a little larger than before, and that is no reason to start anew.
_SMALLER = 4.0
_OWN = 2.0**-49  # by how much, relatively, turning the directions rounds in float64
_MOST, _KEPT = 12, 6  # directions a state, before and after the least are put together
_GROWN = 30.0  # boxes are kept while they stay below so many times what one step adds
_OF_A_TERM = 5  # weight, input, their product, the bias, and a mean of inputs that was taken first
_OF_A_MEAN = 2  # the number of steps, where it is turned over, and the division
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


class StateErrors:
    """The bound on the error of a layer's states.

    Each step maps the error of the states by the step's derivative and adds what it rounds itself:
    ``e' = |J| e + local``, over all values in reach (docs/decisions/0012). Where two states turn
    into each other, as in an oscillator, a box around the error grows although the error does not.
    There the box turns along: it is kept as a product of an orthogonal frame and a box (Lohner's
    method).

    Parameters
    ----------
    states : dict of str to Bounded
        At the start of a run.
    shape : tuple of int
        The shape of each state: one entry for each cell that is followed.
    """

    def __init__(self, states: Mapping[str, Bounded], shape: tuple[int, ...]) -> None:
        self.names = list(states)
        self.shape = shape
        self.errors = {name: np.broadcast_to(state.error, shape) for name, state in states.items()}
        self.largest_local = {name: np.zeros(shape) for name in states}
        # (..., k, m): the error is a sum of m vectors, each times a number in [-1, 1]
        self.directions: Floats | None = None

    def variables(
        self,
        values: Mapping[str, Floats],
        unit: float,
        spread: Mapping[str, Floats] | None = None,
        quantum: Callable[[str], Floats] | None = None,
    ) -> dict[str, Bounded]:
        """Return the states at the start of a step, each of them its own variable.

        Parameters
        ----------
        values : dict of str to array
        unit : float
            Unit roundoff.
        spread : dict of str to array, optional
            Half-width of the range that each state stands for.
        quantum : function (name) -> array, optional
            The last bits of a state that stands for many.
        """
        found, table = {}, dict(self.errors)
        for name in self.names:
            value = np.broadcast_to(values[name], self.shape)
            bits: float | Floats = 0.0
            # Last bits matter only where a state is exact: other results are rounded anyway.
            if (self.errors[name] == 0).any():
                bits = last_bits(value) if quantum is None else quantum(name)
            wide = 0.0 if spread is None else spread[name]
            found[name] = Bounded(value, 0.0, unit, bits, wide, {name: (1.0, 0.0)}, table)
        return found

    def advance(
        self, after: Mapping[str, Bounded | Floats], unit: float, once: float = 0.0
    ) -> None:
        """Take the states at the end of a step, and carry the errors over it.

        Each state is rounded once more by the unit `once`.
        """
        # A state that the step sets to a constant is a number without error.
        ends = {name: after[name] for name in self.names}
        numbers = {
            name: end if isinstance(end, Bounded) else constant(end, unit)
            for name, end in ends.items()
        }
        local = {
            name: np.broadcast_to(self._fresh(number) + once * np.abs(number.value), self.shape)
            for name, number in numbers.items()
        }
        box: dict[str, Floats] = {}
        with np.errstate(all="ignore"):
            for name, number in numbers.items():
                # What the step added, and what its derivative makes of the errors before it.
                total = local[name] + sum(
                    steepest(slope) * self.errors[source]
                    for source, slope in number.slopes.items()
                    if source in self.errors
                )
                box[name] = np.broadcast_to(capped(total * _OWN_ROUNDING), self.shape)
                self.largest_local[name] = np.maximum(self.largest_local[name], local[name])
            # A box is turned from the step on in which it has grown for no reason of its own.
            if len(self.names) > 1 and (self.directions is not None or self._grown(box)):
                box = self._turned(numbers, local, box)
        self.errors = box

    def _fresh(self, number: Bounded) -> Numbers:
        """Return what this step has added to the error of a state.

        Its own operations add to it, and so do those whose results are variables of the step.
        """
        own = [name for name in number.slopes if name not in self.errors]
        return number.local + sum(
            steepest(number.slopes[name]) * number.carried[name] for name in own
        )

    def _grown(self, box: Mapping[str, Floats]) -> bool:
        """Return whether an error is far above what a single step adds."""
        return any(
            bool((box[name] > _GROWN * self.largest_local[name]).any()) for name in self.names
        )

    def _turned(
        self, numbers: Mapping[str, Bounded], local: Mapping[str, Floats], box: dict[str, Floats]
    ) -> dict[str, Floats]:
        """Carry the directions over the step; return the smaller of both bounds, state by state."""
        if self.directions is None:
            # The first directions are the axes of the box.
            self.directions = np.stack([self.errors[name] for name in self.names], axis=-1)[
                ..., None
            ] * np.eye(len(self.names))
        centre, width = self._derivative(numbers)
        fresh = np.stack([local[name] for name in self.names], axis=-1)
        reach = np.abs(self.directions).sum(axis=-1, keepdims=True)
        # The middle of the derivative turns the directions; its width makes them longer.
        moved = centre @ self.directions
        # The width of the derivative, the rounding of this bound itself, and what the step rounds
        # go in all directions.
        added = (width @ reach)[..., 0] + _OWN * (np.abs(centre) @ reach)[..., 0] + fresh
        self.directions = _fewer(
            np.concatenate(
                [
                    np.clip(moved, -UNKNOWN, UNKNOWN),
                    capped(added)[..., None] * np.eye(len(self.names)),
                ],
                axis=-1,
            )
        )
        turned = capped(np.abs(self.directions).sum(axis=-1) * _OWN_ROUNDING)
        plain = np.stack([box[name] for name in self.names], axis=-1)
        # Where the box is much smaller, as after a reset, the directions start anew from it.
        better = (_SMALLER * plain <= turned).all(axis=-1)[..., None, None]
        anew = np.zeros_like(self.directions)
        anew[..., : len(self.names)] = plain[..., None] * np.eye(len(self.names))
        self.directions = np.where(better, anew, self.directions)
        least = np.minimum(plain, turned)
        return {name: least[..., place] for place, name in enumerate(self.names)}

    def _derivative(self, numbers: Mapping[str, Bounded]) -> tuple[Floats, Floats]:
        """Return centre and half-width of the derivative of the step, (..., k, k) each."""
        size = len(self.names)
        centre, width = np.zeros((*self.shape, size, size)), np.zeros((*self.shape, size, size))
        for row, name in enumerate(self.names):
            for column, source in enumerate(self.names):
                if source in numbers[name].slopes:
                    centre[..., row, column], width[..., row, column] = numbers[name].slopes[source]
        return centre, width


def _fewer(directions: Floats) -> Floats:
    """Return so few directions that they stay cheap.

    Those with the least share in any state are put into one box.
    """
    size, count = directions.shape[-2:]
    if count <= _MOST * size:
        return directions
    reach = np.abs(directions).sum(axis=-1, keepdims=True)
    # The share of each direction in the state where it counts most.
    share = (np.abs(directions) / np.where(reach > 0, reach, 1.0)).max(axis=-2)
    order = np.argsort(-share, axis=-1)
    kept = np.take_along_axis(directions, order[..., None, : _KEPT * size], axis=-1)
    rest = np.take_along_axis(directions, order[..., None, _KEPT * size :], axis=-1)
    boxed = np.abs(rest).sum(axis=-1) * _OWN_ROUNDING
    return np.concatenate([kept, boxed[..., None] * np.eye(size)], axis=-1)


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


def heard_exactly(network: Network, index: int) -> bool:
    """Return whether a layer receives nothing but the drive and spikes of 0 and 1.

    No run rounds these but to its dtype.
    """
    sources = network.layers[index].sources
    return not any(
        source.layer != DRIVE and network.layers[source.layer].model.discrete.payload
        for source in sources
    )


def bounded_over_steps(
    reference: Recording, index: int, samples: Ints, dtypes: tuple[str, ...]
) -> Floats:
    """Return how far rounding may have moved the output of a read-out over the steps.

    Parameters
    ----------
    reference : Recording
        Its spikes are what the layer receives, in both runs.
    index : int
        Number of the layer.
    samples : (n,) int64
    dtypes : tuple of str
        Dtypes of the runs; their bounds add.

    Returns
    -------
    (n_samples, n_steps, n_neurons)
        In the unit of the output.
    """
    unit = sum(UNIT_ROUNDOFF[dtype] for dtype in dtypes)
    return bound_of(
        reference.network.layers[index], _inputs_by_step(reference, index, samples), unit
    )


def bound_of(layer: Layer, heard: Sequence[NDArray[Any]], unit: float) -> Floats:
    """Return the same bound from the layer's input, (n_samples, n_inputs) a step."""
    rule, weight, bias = layer.model.discrete.over_steps, np.abs(layer.weight).T, np.abs(layer.bias)
    # The sum of sizes in each step, and how many terms it has.
    sizes = np.stack([np.abs(x) @ weight + bias for x in heard])
    terms = np.stack([(x != 0).sum(axis=1, keepdims=True) + 1.0 for x in heard])
    # The larger of two numbers moves by no more than the one that moves most.
    if rule in ("last", "max"):
        return so_far(_gamma(terms + _OF_A_TERM, unit) * (sizes + underflow(unit)), rule).swapaxes(
            0, 1
        )
    # A sum or mean over the steps adds the terms of all steps so far.
    roundings = so_far(terms, "sum") + _OF_A_TERM + (_OF_A_MEAN if rule == "mean" else 0)
    return (_gamma(roundings, unit) * (so_far(sizes, rule) + underflow(unit))).swapaxes(0, 1)


def _gamma(roundings: Floats, unit: float) -> Floats:
    """Return Higham's gamma; infinite where so many roundings prove nothing."""
    part = roundings * unit
    return np.where(part < 0.5, part / (1 - np.minimum(part, 0.5)), np.inf)


def _inputs_by_step(reference: Recording, index: int, samples: Ints) -> list[NDArray[Any]]:
    """Return the input of a layer in each step, (n_samples, n_inputs)."""
    network, drive = reference.network, reference.drive.take(samples)
    layer, hear, found = network.layers[index], LayerInputs(network, len(samples)), []
    # Only the layers that it receives from are looked up.
    sent = {
        source.layer: reference.spikes[source.layer].take(samples)
        for source in layer.sources
        if source.layer != DRIVE
    }
    trains = {number: train.dense() for number, train in sent.items()}
    for step, frame in enumerate(drive.frames()):
        for number, train in trains.items():
            # What a layer that runs later in a step sends arrives in the next step.
            at = step if number < index else step - 1
            hear.spikes[number] = (
                train[:, at].astype(np.float64) if at >= 0 else np.zeros_like(hear.spikes[number])
            )
        found.append(hear(index, frame))
    return found
