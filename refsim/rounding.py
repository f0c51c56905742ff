"""How far rounding can move a membrane: a running error bound through the declared step (Wilkinson's error analysis).

A spike that two runs disagree on is a *tie* where the membrane lies closer to threshold than this bound, and a real
difference where it does not. The bound is proven for the card's own operations, and for sums in any order; it is no
tolerance that somebody chose. A step that computes the same formula in another way may round a little more.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Ints
from .drive import Drive
from .engines.delays import Hearing
from .engines.discrete import FUNCTIONS, LayerState, Tested, parts_by_input, weighted_sum
from .network import Layer
from .recording import Recording

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def _underflow(unit: float) -> float:
    """Return the size below which rounding is absolute: times the unit it is the dtype's smallest number."""
    return 2.0**-13 if unit >= 2.0**-12 else 2.0**-125  # float16 (bfloat16 reaches lower, so this bounds it too), float32


_LIBRARY = 4.0  # a function of a mathematical library is right to within 4 units in the last place, glibc and SLEEF say


@dataclass(frozen=True, eq=False)
class Bounded:
    """A number and a bound on how far a computed one may lie from it, when each operation rounds by at most `unit`.

    All its values are multiples of `quantum`, a power of two (0 where none is known). A result that is a multiple of
    its quantum and small enough to need no more bits than the dtype has is exact: it is not rounded at all.
    """

    value: Any
    error: Any
    unit: float
    quantum: float = 0.0
    __array_ufunc__ = None  # NumPy arrays leave arithmetic with a Bounded to the methods below

    def _of(self, other: Any) -> "Bounded":
        return other if isinstance(other, Bounded) else constant(other, self.unit)

    def _rounded(self, value: Any, error: Any, quantum: float = 0.0) -> "Bounded":
        with np.errstate(all="ignore"):  # a bound that overflows is none: infinite, which means unknown
            rounding = self.unit * (np.abs(value) + error + _underflow(self.unit))
            exact = (error == 0) & fits(np.abs(value), quantum, self.unit)
            return Bounded(value, np.nan_to_num(np.where(exact, 0.0, error + rounding), nan=np.inf, posinf=np.inf), self.unit, quantum)

    def __add__(self, other: Any) -> "Bounded":
        other = self._of(other)
        return self._rounded(self.value + other.value, self.error + other.error, min(self.quantum, other.quantum))

    def __sub__(self, other: Any) -> "Bounded":
        other = self._of(other)
        return self._rounded(self.value - other.value, self.error + other.error, min(self.quantum, other.quantum))

    def __mul__(self, other: Any) -> "Bounded":
        other = self._of(other)
        with np.errstate(all="ignore"):
            error = np.abs(self.value) * other.error + np.abs(other.value) * self.error + self.error * other.error
        nothing = ((self.value == 0) & (self.error == 0)) | ((other.value == 0) & (other.error == 0))
        error = np.where(nothing, 0.0, error)  # an exact zero ends whatever is unknown: a hard reset does
        return self._rounded(self.value * other.value, error, self.quantum * other.quantum)

    def __truediv__(self, other: Any) -> "Bounded":
        other = self._of(other)
        value, smallest = self.value / other.value, np.abs(other.value) - other.error
        with np.errstate(all="ignore"):
            error = np.where(smallest > 0, (self.error + np.abs(value) * other.error) / smallest, np.inf)
        return self._rounded(value, error)

    def __pow__(self, other: Any) -> "Bounded":
        other = self._of(other)
        value = self.value**other.value  # monotone in either argument, so the corners of both bounds hold its extremes
        with np.errstate(all="ignore"):
            corners = [(self.value + i * self.error) ** (other.value + j * other.error) for i in (-1, 1) for j in (-1, 1)]
            error = np.nan_to_num(np.max([np.abs(corner - value) for corner in corners], axis=0), nan=np.inf)
        return Bounded(value, error + _LIBRARY * self.unit * (np.abs(value) + _underflow(self.unit)), self.unit)

    def __rpow__(self, other: Any) -> "Bounded":
        return self._of(other) ** self

    def __neg__(self) -> "Bounded":
        return Bounded(-self.value, self.error, self.unit, self.quantum)

    def __radd__(self, other: Any) -> "Bounded":
        return self._of(other) + self

    def __rsub__(self, other: Any) -> "Bounded":
        return self._of(other) - self

    def __rmul__(self, other: Any) -> "Bounded":
        return self._of(other) * self

    def __rtruediv__(self, other: Any) -> "Bounded":
        return self._of(other) / self

    def _decided(self, other: Any, operator: Any) -> "Decided":
        other = self._of(other)
        reach = self.error + other.error
        return Decided(operator(self.value, other.value), (reach > 0) & ~(np.abs(self.value - other.value) > reach), self.unit)

    def __ge__(self, other: Any) -> "Decided":
        return self._decided(other, np.greater_equal)

    def __gt__(self, other: Any) -> "Decided":
        return self._decided(other, np.greater)

    def __le__(self, other: Any) -> "Decided":
        return self._decided(other, np.less_equal)

    def __lt__(self, other: Any) -> "Decided":
        return self._decided(other, np.less)

    def _monotone(self, function: Any) -> "Bounded":
        """Apply a function that is monotone over the bound: its change over the interval bounds the error."""
        value = function(self.value)
        with np.errstate(all="ignore"):
            ends = [np.abs(function(self.value + sign * self.error) - value) for sign in (-1, 1)]
        error = np.nan_to_num(np.maximum(*ends), nan=np.inf)
        return Bounded(value, error + _LIBRARY * self.unit * (np.abs(value) + _underflow(self.unit)), self.unit)


@dataclass(frozen=True, eq=False)
class Decided:
    """What a comparison of bounded numbers gives, and whether rounding may have tipped it: where the bounds reach each other."""

    value: Any
    open: Any
    unit: float

    def __and__(self, other: "Decided") -> "Decided":
        both = self.value & other.value
        certain_no = (~self.value & ~self.open) | (~other.value & ~other.open)
        return Decided(both, (self.open | other.open) & ~certain_no, self.unit)

    def as_number(self) -> Bounded:
        """Return 1 or 0, exact where the comparison is certain, off by up to 1 where it is not."""
        return Bounded(np.asarray(self.value, np.float64), np.asarray(self.open, np.float64), self.unit, 1.0)


def constant(value: Any, unit: float) -> Bounded:
    """Return a constant, which is rounded once to the dtype of the run, unless it has few enough bits."""
    array = np.asarray(value, np.float64)
    quantum = quantum_of(array)
    return Bounded(array, np.where(fits(np.abs(array), quantum, unit), 0.0, unit * (np.abs(array) + _underflow(unit))), unit, quantum)


def quantum_of(array: NDArray[np.float64]) -> float:
    """Return the largest power of two of which all numbers are multiples; 1 for zeros alone."""
    numbers = array[array != 0] if array.ndim else array.reshape(-1)[array.reshape(-1) != 0]
    if not numbers.size:
        return 1.0
    mantissa, exponent = np.frexp(numbers)
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    lowest = (whole & -whole).astype(np.float64)  # its last set bit
    return float(np.min(np.ldexp(lowest, exponent - 53)))


def fits(size: Any, quantum: float, unit: float) -> Any:
    """Return whether multiples of a quantum up to a size have no more bits than the dtype holds."""
    return (np.asarray(size) * unit <= quantum) & (quantum >= unit * _underflow(unit))


def _function(name: str) -> Any:
    def apply(*arguments: Any) -> Any:
        unit = next((argument.unit for argument in arguments if isinstance(argument, Bounded)), None)
        if unit is None:
            return FUNCTIONS[name](*arguments)
        first = arguments[0] if isinstance(arguments[0], Bounded) else constant(arguments[0], unit)
        rest = [argument.value if isinstance(argument, Bounded) else argument for argument in arguments[1:]]
        if name == "clip":  # the middle of three numbers moves by no more than the one that moves most
            errors = [argument.error if isinstance(argument, Bounded) else 0.0 for argument in arguments]
            return Bounded(FUNCTIONS[name](first.value, *rest), np.max(np.broadcast_arrays(*errors), axis=0), first.unit)
        if name in ("sin", "cos"):  # not monotone, but never steeper than 1
            value = FUNCTIONS[name](first.value)
            return Bounded(value, first.error + _LIBRARY * first.unit * np.abs(value), first.unit)
        if name == "abs":
            return Bounded(np.abs(first.value), first.error, first.unit, first.quantum)
        found = first._monotone(lambda x: FUNCTIONS[name](x, *rest))
        if name in _STEPS_UP:  # a whole number; it is off only where the bound reaches across a jump
            jumps = [np.abs(FUNCTIONS[name](first.value + sign * first.error, *rest) - found.value) for sign in (-1, 1)]
            return Bounded(found.value, np.nan_to_num(np.maximum(*jumps), nan=np.inf), first.unit, 1.0)
        return found

    return apply


_STEPS_UP = ("floor", "sign", "trunc", "round", "shr")


_FUNCTIONS = {name: _function(name) for name in FUNCTIONS}


def bounded_sum(layer: Layer, x: NDArray[Any], unit: float, off: Any = 0.0) -> Bounded:
    """Return the weighted sum of a layer with a bound that holds for any order of additions, and for an x that may be `off` by so much."""
    value, sizes = weighted_sum(layer, x), np.abs(layer.weight).T
    reach = off @ sizes if np.any(off) else np.zeros(1)
    size = np.abs(x) @ sizes + np.abs(layer.bias) + reach
    terms = ((x != 0) | (np.asarray(off) > 0)).sum(axis=1, keepdims=True) + 1
    quantum = min(quantum_of(layer.weight) * quantum_of(x), quantum_of(layer.bias))
    # each product is rounded, each of its factors may be, and each of `terms` additions is
    roundings = (terms + 3) * unit
    factor = np.where(roundings < 0.5, roundings / (1 - np.minimum(roundings, 0.5)), np.inf)  # Higham's gamma: all orders of the unit
    error = np.where(fits(size, quantum, unit) & (reach == 0), 0.0, factor * (size + _underflow(unit)) + reach)
    return Bounded(value, error, unit, quantum)


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
    states = [_start(layer, network.dt, drive, unit, index) for index, layer in enumerate(network.layers)]
    found = [Threshold(*(np.zeros(train.shape) for _ in range(3))) for train in spikes]
    hear, moved = Hearing(network, len(samples)), Hearing(network, len(samples))
    silence = np.zeros((len(samples), network.n_inputs))
    for step, frame in enumerate(drive.frames()):
        for index, (layer, state, train, kept) in enumerate(zip(network.layers, states, spikes, found, strict=True)):
            fired = train[:, step]
            heard, off = hear(index, frame), moved(index, silence)
            sums = {name: bounded_sum(part, heard, unit, off) for name, part in parts_by_input(layer).items()}
            with np.errstate(all="ignore"):  # the bound of a neuron that runs away in its upstroke may leave float64
                _, tested = state.step(sums, _FUNCTIONS, fired=fired, truth=_as_number)
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
