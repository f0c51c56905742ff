"""A number that knows how far rounding may have moved it, through every operation of one step.

Two kinds of error are kept apart. What the states brought along from earlier steps is given by the
slope of the number in each state. So an operation that reads one state twice, as ``v + (x -
v)*rate`` does, counts its error once, with the factor ``1 - rate``. What this step's own operations
round, and how far its input is off, is added operation by operation. docs/decisions/0012 has the
proof.

`Bounded` is the number, with its arithmetic; `Decided` is a comparison of two; `constant` and
`own_variable` make numbers; `quantum_of`, `last_bits` and `fits` say which results are exact;
`BOUNDED_FUNCTIONS` are the functions that a card may use.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.discrete import FUNCTIONS, exprel

UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
UNKNOWN = 1e150  # stands for "no bound": finite, so that an exact zero still ends it
# A number beyond it is no membrane's; UNKNOWN bounds the difference of two below it, and of none
# above.
FAR = 1e60
# A function of a mathematical library is right to 4 units in the last place, glibc and SLEEF say.
LIBRARY = 4.0
_STEEPEST = 1e150

# Numbers of one step: a float or an array of any shape, which NumPy has no one type for.
Numbers = Any
Slope = tuple[Numbers, Numbers]  # centre and half-width of the range that a derivative keeps to


def underflow(unit: float) -> float:
    """Return the size below which rounding is absolute.

    That size times the unit is the smallest number of the dtype.
    """
    # The first is float16's and bounds bfloat16 too, which reaches lower. The second is float32's.
    return 2.0**-13 if unit >= 2.0**-12 else 2.0**-125


def capped(error: Numbers) -> Numbers:
    """Return an error bound in which NaN and infinity are UNKNOWN.

    Nobody can prove anything of them.
    """
    return np.fmin(error, UNKNOWN)


class _Once:
    """A property that is worked out once.

    Functools' own takes a lock up to Python 3.11, which costs more than most of what it keeps.
    """

    def __init__(self, made: Callable[[Numbers], Numbers]) -> None:
        self.made, self.name = made, made.__name__

    def __get__(self, holder: Numbers, kind: Numbers = None) -> Numbers:
        if holder is None:
            return self
        found = holder.__dict__[self.name] = self.made(holder)
        return found


@dataclass(frozen=True, eq=False)
class Bounded:
    """A number, and a bound on how far a computed one may lie from it.

    Each operation of the computation rounds by at most `unit`.

    Attributes
    ----------
    value : array
    local : array
        How far this step's operations and its input may have moved it.
    unit : float
        Unit roundoff of the runs.
    quantum : float
        A power of two of which all values are multiples; 0 where none is known. A result is exact
        where it is a multiple of its quantum and needs no more bits than the dtype has.
    spread : array
        Half the width of the range of values that the number stands for: 0 for one run, more
        where it stands for many samples.
    slopes : dict of str to (centre, half-width)
        Its derivative with respect to each state at the start of the step, over all values in
        reach.
    carried : dict of str to array
        How far each state may have been off at the start of the step, and each number that
        `own_variable` made one.
    """

    value: Numbers
    local: Numbers
    unit: float
    quantum: Numbers = 0.0
    spread: Numbers = 0.0
    slopes: Mapping[str, Slope] = field(default_factory=dict)
    carried: dict[str, Numbers] = field(default_factory=dict)
    __array_ufunc__ = None  # NumPy arrays leave arithmetic with a Bounded to the methods below

    @_Once
    def error(self) -> Numbers:
        """Return the distance that a computed value may have from this one."""
        total = self.local
        for name, slope in self.slopes.items():
            total = total + steepest(slope) * self.carried[name]
        return capped(total) if self.slopes else total

    @_Once
    def radius(self) -> Numbers:
        """Half the width of the range that holds every value meant, exact or computed."""
        return self.spread + self.error

    @property
    def size(self) -> Numbers:
        """The largest size that a value meant can have."""
        return np.abs(self.value) + self.radius

    def _of(self, other: Numbers) -> "Bounded":
        if isinstance(other, Bounded):
            return other
        return (
            _number(float(other), self.unit)
            if isinstance(other, int | float)
            else constant(other, self.unit)
        )

    def _made(
        self,
        value: Numbers,
        local: Numbers,
        spread: Numbers,
        slopes: Mapping[str, Slope],
        other: "Bounded | None" = None,
    ) -> "Bounded":
        """Return a result that has not been rounded yet."""
        carried = self.carried if other is None or not other.carried else other.carried
        return Bounded(value, local, self.unit, 0.0, spread, slopes, carried)

    def __add__(self, other: Numbers) -> "Bounded":
        other = self._of(other)
        slopes = _joined(self.slopes, other.slopes, 1.0)
        result = self._made(
            self.value + other.value,
            self.local + other.local,
            self.spread + other.spread,
            slopes,
            other,
        )
        return _rounded(
            result, np.minimum(self.quantum, other.quantum), unless=_nothing(self) | _nothing(other)
        )

    def __sub__(self, other: Numbers) -> "Bounded":
        other = self._of(other)
        slopes = _joined(self.slopes, other.slopes, -1.0)
        result = self._made(
            self.value - other.value,
            self.local + other.local,
            self.spread + other.spread,
            slopes,
            other,
        )
        return _rounded(
            result, np.minimum(self.quantum, other.quantum), unless=_nothing(self) | _nothing(other)
        )

    def __mul__(self, other: Numbers) -> "Bounded":
        other = self._of(other)
        # An error is multiplied by the largest size of the other factor.
        with np.errstate(all="ignore"):
            local = capped(self.size * other.local + other.size * self.local)
            a, b = np.abs(self.value), np.abs(other.value)
            spread = a * other.spread + b * self.spread + self.spread * other.spread
            slopes = _joined(
                _scaled(self.slopes, other.value, other.radius),
                _scaled(other.slopes, self.value, self.radius),
                1.0,
            )
            result = self._made(self.value * other.value, local, spread, slopes, other)
            return _rounded(
                result,
                self.quantum * other.quantum,
                unless=_power_of_two(self) | _power_of_two(other),
            )

    def __truediv__(self, other: Numbers) -> "Bounded":
        other = self._of(other)
        with np.errstate(all="ignore"):
            # `nearest` is how near to 0 the divisor may come.
            value, nearest = self.value / other.value, np.abs(other.value) - other.radius
            safe = nearest > 0  # a divisor that may be 0 bounds nothing
            off = (self.radius + np.abs(value) * other.radius) / nearest
            local = np.where(
                safe, (self.local + (np.abs(value) + off) * other.local) / nearest, UNKNOWN
            )
            spread = 0.0
            if _any(self.spread) or _any(other.spread):
                spread = capped(
                    np.where(safe, (self.spread + np.abs(value) * other.spread) / nearest, UNKNOWN)
                )
            # The slope of a quotient is that of its numerator less value times that of its divisor.
            inverse, width = (
                1 / other.value,
                np.where(safe, other.radius / (np.abs(other.value) * nearest), _STEEPEST),
            )
            above = _joined(
                self.slopes, _scaled(other.slopes, value, np.where(safe, off, _STEEPEST)), -1.0
            )
            result = self._made(value, capped(local), spread, _scaled(above, inverse, width), other)
            # A division by a power of two rounds nothing.
            exact = _power_of_two(other) & (other.value != 0)
            quantum = np.where(exact, self.quantum / np.abs(other.value), 0.0)
            return _rounded(result, quantum, unless=exact)

    def __pow__(self, other: Numbers) -> "Bounded":
        exponent = self._of(other)
        number = np.asarray(exponent.value)
        plain = number.ndim == 0 and not _any(exponent.radius) and not exponent.slopes
        if not plain:  # x**y is exp(y log x), but for its value
            through: Bounded = BOUNDED_FUNCTIONS["exp"](exponent * BOUNDED_FUNCTIONS["log"](self))
            return replace(through, value=self.value**exponent.value, quantum=0.0)
        power = float(number)
        return self._through(lambda x: x**power, lambda low, high: _power_slope(low, high, power))

    def __rpow__(self, other: Numbers) -> "Bounded":
        return self._of(other) ** self

    def __neg__(self) -> "Bounded":
        return replace(
            self, value=-self.value, slopes={name: (-c, r) for name, (c, r) in self.slopes.items()}
        )

    def __radd__(self, other: Numbers) -> "Bounded":
        return self._of(other) + self

    def __rsub__(self, other: Numbers) -> "Bounded":
        return self._of(other) - self

    def __rmul__(self, other: Numbers) -> "Bounded":
        return self._of(other) * self

    def __rtruediv__(self, other: Numbers) -> "Bounded":
        return self._of(other) / self

    def _decided(self, other: Numbers, operator: Numbers) -> "Decided":
        """Compare two numbers, and say where rounding or the range of values may tip the result."""
        other = self._of(other)
        # A gap that is not larger than its radius may have either sign.
        gap = self - other
        near = ~(np.abs(gap.value) > gap.radius)
        return Decided(
            operator(self.value, other.value),
            near & (gap.error > 0),
            near & (np.asarray(gap.spread) > 0),
            self.unit,
        )

    def __ge__(self, other: Numbers) -> "Decided":
        return self._decided(other, np.greater_equal)

    def __gt__(self, other: Numbers) -> "Decided":
        return self._decided(other, np.greater)

    def __le__(self, other: Numbers) -> "Decided":
        return self._decided(other, np.less_equal)

    def __lt__(self, other: Numbers) -> "Decided":
        return self._decided(other, np.less)

    def _through(
        self,
        function: Callable[[Numbers], Numbers],
        derivative: Callable[[Numbers, Numbers], tuple[Numbers, Numbers]],
    ) -> "Bounded":
        """Apply a smooth function.

        `derivative` gives the least and the largest slope between two ends.
        """
        with np.errstate(all="ignore"):
            value = function(self.value)
            low, high = derivative(self.value - self.radius, self.value + self.radius)
            # Every error grows at most by the steepest slope between the ends.
            slope = _between(low, high)
            local = capped(steepest(slope) * self.local)
            spread = capped(steepest(slope) * self.spread) if _any(self.spread) else 0.0
            result = self._made(value, local, spread, _scaled(self.slopes, *slope))
            return replace(
                result,
                local=capped(local + LIBRARY * self.unit * (result.size + underflow(self.unit))),
            )


@dataclass(frozen=True, eq=False)
class Decided:
    """A comparison of bounded numbers.

    Attributes
    ----------
    open : bool array
        Where rounding may have tipped it.
    varies : bool array
        Where it differs among the values that the numbers stand for.
    """

    value: Numbers
    open: Numbers
    varies: Numbers
    unit: float

    def __and__(self, other: "Decided") -> "Decided":
        both = self.value & other.value
        # One side that is surely false decides, whatever the other is.
        certain_no = (~self.value & ~self.open & ~self.varies) | (
            ~other.value & ~other.open & ~other.varies
        )
        return Decided(
            both,
            (self.open | other.open) & ~certain_no,
            (self.varies | other.varies) & ~certain_no,
            self.unit,
        )

    def as_number(self) -> Bounded:
        """Return 1 or 0, exact where the comparison is certain, off by up to 1 where it is not."""
        value, off, spread = (
            np.asarray(each, np.float64) for each in (self.value, self.open, self.varies)
        )
        return Bounded(value, off, self.unit, 1.0, spread if _any(spread) else 0.0)


def as_number(condition: Numbers) -> Numbers:
    """Return 1 and 0 of whatever a comparison gave."""
    if isinstance(condition, Decided):
        return condition.as_number()
    return condition if isinstance(condition, Bounded) else np.asarray(condition, np.float64)


def constant(value: Numbers, unit: float, roundings: float = 1.0) -> Bounded:
    """Return a constant as a bounded number.

    Where it has more bits than the dtype it is rounded, once or as many times as `roundings` says.
    """
    array = np.asarray(value, np.float64)
    quantum = last_bits(array)
    exact = fits(np.abs(array), quantum, unit)
    return Bounded(
        array,
        np.where(exact, 0.0, roundings * unit * (np.abs(array) + underflow(unit))),
        unit,
        quantum,
    )


def own_variable(number: Bounded, name: str, carried: dict[str, Numbers]) -> Bounded:
    """Return a number whose own rounding is carried by a slope of its own.

    An operation that reads it twice then counts that rounding once. `carried` is the table that all
    numbers of the step share; it gets an entry.
    """
    if not np.any(number.local):
        return number
    carried[name] = number.local
    return replace(number, local=0.0, slopes={**number.slopes, name: (1.0, 0.0)}, carried=carried)


@functools.lru_cache(maxsize=1024)
def _number(value: float, unit: float) -> Bounded:
    """Return one constant, which a step reads in every statement anew."""
    return constant(value, unit)


def _any(flags: Numbers) -> bool:
    """Return whether any is not 0.

    Most that is asked for is one plain number, for which NumPy takes long.
    """
    return bool(flags.any() if isinstance(flags, np.ndarray) else flags)


def quantum_of(array: NDArray[np.float64]) -> float:
    """Return the largest power of two of which all numbers are multiples; 1 for zeros alone."""
    flat = array.reshape(-1)
    numbers = flat[(flat != 0) & np.isfinite(flat)]
    if not numbers.size:
        return 1.0
    return float(np.min(last_bits(numbers)))


_OF_ZERO = 2.0**300  # 0 is a multiple of anything


def last_bits(numbers: Numbers) -> Numbers:
    """Return the value of the last set bit of each number, a power of two that divides it."""
    mantissa, exponent = np.frexp(numbers)
    # The mantissa becomes a whole number; n & -n keeps its last set bit.
    whole = np.abs(np.where(np.isfinite(mantissa), mantissa, 0.0) * 2.0**53).astype(np.int64)
    lowest = (whole & -whole).astype(np.float64)
    return np.where(whole == 0, _OF_ZERO, np.ldexp(lowest, exponent - 53))


def fits(size: Numbers, quantum: Numbers, unit: float) -> Numbers:
    """Return whether multiples of a quantum up to a size have no more bits than the dtype holds."""
    return (np.asarray(size) * unit <= quantum) & (quantum >= unit * underflow(unit))


def steepest(slope: Slope) -> Numbers:
    """Return the largest size of a slope."""
    return np.abs(slope[0]) + slope[1]


def _between(low: Numbers, high: Numbers) -> Slope:
    """Return a range by its centre and half-width, a little wider for its own rounding.

    Ends that are NaN count as steepest.
    """
    # Both ends are cut on both sides: cut on one side each, a range that lies beyond all of it
    # would have a width below 0.
    low = np.clip(np.where(np.isnan(low), -_STEEPEST, low), -_STEEPEST, _STEEPEST)
    high = np.clip(np.where(np.isnan(high), _STEEPEST, high), -_STEEPEST, _STEEPEST)
    return (low + high) / 2, (high - low) / 2 + 2.0**-50 * (np.abs(low) + np.abs(high))


def _joined(left: Mapping[str, Slope], right: Mapping[str, Slope], sign: float) -> dict[str, Slope]:
    """Return the slopes of a sum or a difference."""
    found = dict(left)
    for name, (centre, width) in right.items():
        if name in found:
            found[name] = (found[name][0] + sign * centre, found[name][1] + width)
        else:
            found[name] = (sign * centre, width)
    return found


def _scaled(slopes: Mapping[str, Slope], value: Numbers, radius: Numbers) -> dict[str, Slope]:
    """Return slopes times a factor that lies within a radius of a value."""
    if not _any(radius):
        size = np.abs(value)
        return {
            name: (np.clip(c * value, -_STEEPEST, _STEEPEST), _cut(r * size))
            for name, (c, r) in slopes.items()
        }
    size = np.abs(value) + radius
    return {
        name: (np.clip(c * value, -_STEEPEST, _STEEPEST), _cut(np.abs(c) * radius + r * size))
        for name, (c, r) in slopes.items()
    }


def _cut(width: Numbers) -> Numbers:
    """Return a width that is at most the steepest, NaN included."""
    return np.fmin(width, _STEEPEST)


def _nothing(number: Bounded) -> Numbers:
    """Return where a number is 0, and nothing else."""
    exact = np.asarray(number.radius) == 0
    return (np.asarray(number.value) == 0) & exact if exact.any() else exact


def _power_of_two(number: Bounded) -> Numbers:
    """Return where a number is exactly 0 or a power of two.

    A factor of that kind rounds nothing.
    """
    exact = np.asarray(number.radius) == 0
    if not exact.any():
        return exact
    mantissa, _ = np.frexp(number.value)
    return ((np.abs(mantissa) == 0.5) | (mantissa == 0)) & exact


def _rounded(result: Bounded, quantum: Numbers, unless: Numbers) -> Bounded:
    """Return a result with the rounding of its operation added.

    There is none where the result is exact, or where the operation cannot round.
    """
    with np.errstate(all="ignore"):
        rounding = result.unit * (result.size + underflow(result.unit))
        if _any(unless):
            rounding = np.where(unless, 0.0, rounding)
        local = result.local + rounding
        # Exact operands and a result that fits the dtype: no rounding either.
        nothing = np.asarray(result.error) == 0
        if nothing.any():
            local = np.where(
                nothing & fits(np.abs(result.value) + result.spread, quantum, result.unit),
                0.0,
                local,
            )
        return Bounded(
            result.value,
            capped(local),
            result.unit,
            quantum,
            result.spread,
            result.slopes,
            result.carried,
        )


def _power_slope(low: Numbers, high: Numbers, power: float) -> tuple[Numbers, Numbers]:
    """Return the least and the largest slope of x**power between two ends."""
    ends = [power * end ** (power - 1) for end in (low, high)]
    least, most = np.minimum(*ends), np.maximum(*ends)
    inside = (low < 0) & (high > 0)  # between them the slope itself may turn, at 0
    turn = 0.0 if power >= 1 and float(power).is_integer() else np.nan
    return np.where(inside, np.minimum(least, turn), least), np.where(
        inside, np.maximum(most, turn), most
    )


def _tanh_slope(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Return the least and the largest slope of tanh between two ends; it is steepest at 0."""
    ends = [1 - np.tanh(end) ** 2 for end in (low, high)]
    return np.minimum(*ends), np.where((low <= 0) & (high >= 0), 1.0, np.maximum(*ends))


def _exprel_slope(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Return the least and the largest slope of exprel between two ends; it grows."""

    def slope(x: Numbers) -> Numbers:
        small = np.abs(x) < 1e-3
        safe = np.where(small, 1.0, x)
        return np.where(small, 0.5 + x / 3, (np.exp(safe) - exprel(safe)) / safe)

    return slope(low) * (1 - 1e-6), slope(high) * (1 + 1e-6)  # the quotient itself is only near


def _wave_slope(
    derivative: Callable[[Numbers], Numbers],
) -> Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]:
    """Return the slopes of a sine or cosine.

    Their own slope is at most 1, so the derivative changes no faster than the argument.
    """

    def slope(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
        middle, half = derivative((low + high) / 2), (high - low) / 2
        return np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0)

    return slope


def _positive(x: Numbers) -> Numbers:
    """Return positive numbers, and 0 for the others."""
    return np.where(x > 0, x, 0.0)


_SLOPES: dict[str, Callable[[Numbers, Numbers], tuple[Numbers, Numbers]]] = {
    "exp": lambda low, high: (np.exp(low), np.exp(high)),
    "log": lambda low, high: (1 / high, 1 / _positive(low)),
    "sqrt": lambda low, high: (0.5 / np.sqrt(high), 0.5 / np.sqrt(_positive(low))),
    "tanh": _tanh_slope,
    "sin": _wave_slope(np.cos),
    "cos": _wave_slope(lambda x: -np.sin(x)),
    "exprel": _exprel_slope,
}
# These give whole numbers, which are off only where the bound reaches across a jump.
_JUMPS = ("floor", "sign", "trunc", "round", "shr")


def _absolute(x: Bounded) -> Bounded:
    """Return the size of a number; where its sign is open, its slope is between -1 and 1."""
    with np.errstate(all="ignore"):
        certain = np.abs(x.value) > x.radius
        sign = (np.where(certain, np.sign(x.value), 0.0), np.where(certain, 0.0, 1.0))
        return replace(x, value=np.abs(x.value), slopes=_scaled(x.slopes, *sign))


def _clipped(x: Bounded, low: Bounded, high: Bounded) -> Bounded:
    """Return the middle of three numbers, which moves as one of those that can be the middle."""
    # Which of the three can be the middle, over all values meant?
    lowest, highest = x.value - x.radius, x.value + x.radius
    could = [
        (x, (highest >= low.value - low.radius) & (lowest <= high.value + high.radius)),
        (low, lowest < low.value + low.radius),
        (high, highest > high.value - high.radius),
    ]
    # The slope in each state lies between the least and the largest of theirs.
    slopes = {}
    for name in {name for each, _ in could for name in each.slopes}:
        each = [(number.slopes.get(name, (0.0, 0.0)), here) for number, here in could]
        least = functools.reduce(
            np.minimum, (np.where(here, c - r, np.inf) for (c, r), here in each)
        )
        most = functools.reduce(
            np.maximum, (np.where(here, c + r, -np.inf) for (c, r), here in each)
        )
        slopes[name] = ((least + most) / 2, (most - least) / 2)
    local = functools.reduce(
        np.maximum, (np.where(here, number.local, 0.0) for number, here in could)
    )
    spread = functools.reduce(np.maximum, (np.asarray(number.spread) for number, _ in could))
    carried = next((number.carried for number, _ in could if number.carried), {})
    # The middle lies between those that can be it, and is off by no more than the worst of them.
    # Where that is less than what slopes and the rest make together, it takes the place of both.
    worst = functools.reduce(
        np.maximum, (np.where(here, number.error, 0.0) for number, here in could)
    )
    less = worst < local + sum(steepest(slope) * carried[name] for name, slope in slopes.items())
    if np.any(less):
        local = np.where(less, worst, local)
        slopes = {
            name: (np.where(less, 0.0, c), np.where(less, 0.0, r))
            for name, (c, r) in slopes.items()
        }
    quantum = functools.reduce(np.minimum, (number.quantum for number, _ in could))
    return Bounded(
        np.clip(x.value, low.value, high.value),
        local,
        x.unit,
        quantum,
        spread if _any(spread) else 0.0,
        slopes,
        carried,
    )


def _jumping(name: str, x: Bounded, *rest: Numbers) -> Bounded:
    """Apply a function that is constant between its jumps."""

    def at(shift: Numbers) -> Numbers:
        return FUNCTIONS[name](x.value + shift, *rest)

    # The result is off by what the function jumps within the radius.
    value = at(0.0)
    with np.errstate(all="ignore"):
        spread = (
            np.maximum(*(np.abs(at(sign * x.radius) - value) for sign in (-1, 1)))
            if _any(x.spread)
            else 0.0
        )
        if _any(x.spread):  # any of the values meant may lie at a jump
            off = np.where(np.asarray(x.error) > 0, x.error + 2.0, 0.0)
        else:
            off = np.maximum(*(np.abs(at(sign * x.error) - value) for sign in (-1, 1)))
    return Bounded(value, capped(off), x.unit, 1.0, capped(spread))


def _function(name: str) -> Callable[..., Numbers]:
    """Return a function of cards for bounded numbers; of plain numbers it is the usual one."""

    def apply(*arguments: Numbers) -> Numbers:
        unit = next(
            (argument.unit for argument in arguments if isinstance(argument, Bounded)), None
        )
        if unit is None:
            return FUNCTIONS[name](*arguments)
        numbers = [
            argument if isinstance(argument, Bounded) else constant(argument, unit)
            for argument in arguments
        ]
        if name == "clip":
            return _clipped(*numbers)
        if name == "abs":
            return _absolute(numbers[0])
        if name in _JUMPS:
            return _jumping(name, numbers[0], *(number.value for number in numbers[1:]))
        return numbers[0]._through(FUNCTIONS[name], _SLOPES[name])

    return apply


BOUNDED_FUNCTIONS = {name: _function(name) for name in FUNCTIONS}
