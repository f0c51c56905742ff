"""A number that carries a bound on its rounding through every operation of a card."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.discrete import FUNCTIONS

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def underflow(unit: float) -> float:
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
            rounding = self.unit * (np.abs(value) + error + underflow(self.unit))
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
        return Bounded(value, error + _LIBRARY * self.unit * (np.abs(value) + underflow(self.unit)), self.unit)

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
        return Bounded(value, error + _LIBRARY * self.unit * (np.abs(value) + underflow(self.unit)), self.unit)


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
    return Bounded(array, np.where(fits(np.abs(array), quantum, unit), 0.0, unit * (np.abs(array) + underflow(unit))), unit, quantum)


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
    return (np.asarray(size) * unit <= quantum) & (quantum >= unit * underflow(unit))


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


BOUNDED_FUNCTIONS = {name: _function(name) for name in FUNCTIONS}
