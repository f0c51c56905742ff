"""Units at the door: text such as ``"20 ms"`` becomes an SI number; inside there are no units.

This file holds the one table of units. Whoever reads or writes a quantity takes it from here.
"""

import ast
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from .errors import RefsimError, listed

Dimension = tuple[float, ...]  # exponents of (kg, m, s, A, K)

# The base units, spelled as Brian2 spells them.
DIMENSIONS: dict[str, Dimension] = {
    "1": (0, 0, 0, 0, 0),
    "second": (0, 0, 1, 0, 0),
    "hertz": (0, 0, -1, 0, 0),
    "volt": (1, 2, -3, -1, 0),
    "amp": (0, 0, 0, 1, 0),
    "siemens": (-1, -2, 3, 2, 0),
    "farad": (-1, -2, 4, 2, 0),
    "ohm": (1, 2, -3, -2, 0),
    "coulomb": (0, 0, 1, 1, 0),
    "metre": (0, 1, 0, 0, 0),
    "kelvin": (0, 0, 0, 0, 1),
}
SYMBOLS = {
    "second": "s",
    "hertz": "Hz",
    "volt": "V",
    "amp": "A",
    "siemens": "S",
    "farad": "F",
    "ohm": "ohm",
    "coulomb": "C",
    "metre": "m",
    "kelvin": "K",
}
PREFIXES = {
    "T": 12,
    "G": 9,
    "M": 6,
    "k": 3,
    "": 0,
    "c": -2,
    "m": -3,
    "u": -6,
    "n": -9,
    "p": -12,
    "f": -15,
    "a": -18,
}
_SYNONYMS = {"ampere": "amp", "meter": "metre"}  # Brian2 knows both
_SPELLED = {symbol: base for base, symbol in SYMBOLS.items()}
_LONG = {name: name for name in SYMBOLS} | _SYNONYMS
# Signs that people type or paste: micro and mu, omega and ohm, a middle dot, and a caret.
_TYPED = str.maketrans(
    {"\u00b5": "u", "\u03bc": "u", "\u03a9": "ohm", "\u2126": "ohm", "\u00b7": "*", "^": "**"}
)
_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*$", re.DOTALL)
_USUAL = {"second": "m", "volt": "m", "amp": "n", "siemens": "n", "farad": "p", "ohm": "M"}
_LARGEST_POWER = 300  # of ten and of a unit; no power that means anything comes near


@dataclass(frozen=True)
class Unit:
    """A product of units.

    Attributes
    ----------
    power : float
        Of ten: -3 for ``ms``.
    dimension : tuple of float
        Exponents of (kg, m, s, A, K).
    factors : dict of str to float
        Base unit -> exponent.
    """

    power: float
    dimension: Dimension
    factors: Mapping[str, float]

    @property
    def base(self) -> str:
        """The base unit as Brian2 writes it, ``"siemens/volt"``, by one name where there is one."""
        named = next((name for name, own in DIMENSIONS.items() if own == self.dimension), None)
        return named or _written(self.factors)

    def times(self, other: "Unit", sign: int = 1) -> "Unit":
        """Return the product, or with a sign of -1 the quotient."""
        factors = dict(self.factors)
        for name, exponent in other.factors.items():
            factors[name] = factors.get(name, 0) + sign * exponent
        pairs = zip(self.dimension, other.dimension, strict=True)
        kept = {name: exponent for name, exponent in factors.items() if exponent}
        return Unit(self.power + sign * other.power, tuple(a + sign * b for a, b in pairs), kept)

    def to_the(self, exponent: float) -> "Unit":
        """Return the unit to a power."""
        factors = {name: own * exponent for name, own in self.factors.items() if exponent}
        raised = tuple(each * exponent + 0 for each in self.dimension)
        return Unit(self.power * exponent, raised, factors)


NONE = Unit(0, DIMENSIONS["1"], {})


def _written(factors: Mapping[str, float]) -> str:
    """Return ``"siemens/volt/second**2"``; Brian2 takes no brackets in a unit."""
    above = [_power(name, each) for name, each in factors.items() if each > 0] or ["1"]
    below = [f"/{_power(name, -each)}" for name, each in factors.items() if each < 0]
    return "*".join(above) + "".join(below)


def _power(name: str, exponent: float) -> str:
    return name if exponent == 1 else f"{name}**{exponent:g}"


def unit_named(symbol: str) -> Unit | None:
    """Return a unit by its name or symbol, perhaps with a prefix; None where it is not known."""
    for names in (_LONG, _SPELLED):
        for prefix, power in PREFIXES.items():
            base = names.get(symbol.removeprefix(prefix)) if symbol.startswith(prefix) else None
            # Centi is for metres alone: cs or cV would be slips.
            if base and (prefix != "c" or base == "metre"):
                return Unit(power, DIMENSIONS[base], {base: 1})
    return None


def dimension(unit: str) -> Dimension:
    """Return the exponents of a unit that `check_unit` has accepted."""
    return DIMENSIONS[unit] if unit in DIMENSIONS else _read(unit).dimension


def quotient(unit: str, by: str) -> str:
    """Return the base unit of one unit divided by another."""
    return _read(unit).times(_read(by), -1).base


class _UnknownError(Exception):
    """A unit that is not known, or a text that is no unit; the argument says which."""


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> Unit:
    """Read units joined by * and /, with powers: ``nS/mV``, ``1/ms``, ``nA*ms``, ``uF/cm**2``."""
    text = text.translate(_TYPED).strip()
    try:
        # A leading slash, as in /ms, stands for 1/ms.
        tree = ast.parse(f"1{text}" if text.startswith("/") else text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _UnknownError(text) from None
    unit = unit_of(tree)
    if abs(unit.power) > _LARGEST_POWER:
        raise _UnknownError(text)
    return unit


def unit_of(tree: ast.expr) -> Unit:
    """Return the unit that an expression of names, 1, ``*``, ``/`` and powers stands for."""
    if isinstance(tree, ast.Constant) and tree.value == 1 and not isinstance(tree.value, bool):
        return NONE
    if isinstance(tree, ast.Name) and (found := unit_named(tree.id)):
        return found
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult | ast.Div):
        sign = 1 if isinstance(tree.op, ast.Mult) else -1
        return unit_of(tree.left).times(unit_of(tree.right), sign)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow):
        return unit_of(tree.left).to_the(exponent_of(tree.right))
    raise _UnknownError(ast.unparse(tree))


def exponent_of(tree: ast.expr) -> float:
    """Return the exponent of a unit, which is a number and may have a sign."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -exponent_of(tree.operand)
    value = tree.value if isinstance(tree, ast.Constant) else None
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST_POWER
    ):
        return value
    raise _UnknownError(ast.unparse(tree))


def to_si(value: object, unit: str, where: str, *, written: bool = False) -> float:
    """Turn a number in SI, or text with a unit, into a finite SI number of the given base unit.

    Parameters
    ----------
    value : float or str
        ``0.02``, ``"20 ms"``, ``"0.7 nS/mV"``. Only 0 and plain numbers need no unit.
    unit : str
        The base unit that is needed, as `check_unit` takes it (``"1"`` for a plain number).
    where : str
        What the number is for; it opens the error message.
    written : bool
        Whether a person wrote the number in a file, where a number without a unit is refused.

    Raises
    ------
    RefsimError
        Where the value is not a number, is not finite, or has another unit than the one needed.
    """
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise RefsimError(f"{where}: needs a number{_of(unit)}, but {value!r} was given.")
    if isinstance(value, str):
        number = _parse(value, unit, where)
    else:
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if written and math.isfinite(number):
            _check_has_unit(number, unit, f"{value!r}", where)
    if not math.isfinite(number):
        raise RefsimError(f"{where}: needs a finite number, but {_shown(value)} was given.")
    return number


def _shown(value: object) -> str:
    return repr(value) if not isinstance(value, int) else "a whole number of more than 308 digits"


def _check_has_unit(number: float, unit: str, given: str, where: str) -> None:
    """Refuse a number without its unit; 0 is the same in all units."""
    if unit == "1" or number == 0:
        return
    symbol = SYMBOLS.get(unit, unit)
    usual = f"'{number:g} {_USUAL[unit]}{symbol}', or " if unit in _USUAL else ""
    raise RefsimError(
        f"{where}: {given} has no unit; write {usual}'{number:g} {symbol}' if that is meant."
    )


def _parse(text: str, unit: str, where: str) -> float:
    match = _QUANTITY.match(text)
    if match is None:
        needed = f"needs a number{_of(unit)}, such as {_example(unit)!r}"
        raise RefsimError(f"{where}: {needed}, but {text!r} was given.")
    # A star or a middle dot may stand between the number and its unit.
    number, symbol = float(match[1]), (match[2] or "").lstrip("*\u00b7 ")
    if not symbol:
        if math.isfinite(number):
            _check_has_unit(number, unit, repr(text), where)
        return number
    try:
        known = _read(symbol)
    except _UnknownError as error:
        raise RefsimError(f"{where}: {error.args[0]!r} is not a known unit; {_known()}.") from None
    if known.dimension != dimension(unit):
        wanted = f"{_example(unit)!r} or a like unit"
        needed = f"a plain number such as {_example(unit)!r}" if unit == "1" else wanted
        raise RefsimError(f"{where}: needs {needed}, but {text!r} is in {known.base}.")
    return number * factor(known)


def factor(unit: Unit) -> float:
    """Return how many SI units one of this unit is."""
    # Written as text, a whole power of ten is rounded once.
    return float(f"1e{unit.power:g}") if unit.power == int(unit.power) else 10.0**unit.power


def _known() -> str:
    return (
        f"known are {listed(_SPELLED)} with a prefix {' '.join(filter(None, PREFIXES))}, "
        "joined by * and /"
    )


def numbers_in_si(parts: Sequence[object], unit: str, where: str) -> list[float]:
    """Read numbers one after the other; the unit of the last holds for those that have none."""
    last = _QUANTITY.match(parts[-1]) if parts and isinstance(parts[-1], str) else None
    symbol = last[2] if last and last[2] else ""
    bare = re.compile(r"[\d.]\s*$")
    texts = [
        f"{part.strip()} {symbol}".strip() if isinstance(part, str) and bare.search(part) else part
        for part in parts
    ]
    return [to_si(text, unit, where) for text in texts]


def base_unit(value: object) -> str:
    """Return the base unit of a quantity such as ``"20 ms"``; ``"1"`` for anything else."""
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    try:
        return _read(match[2].lstrip("*\u00b7 ")).base if match and match[2] else "1"
    except _UnknownError:
        return "1"


def _of(unit: str) -> str:
    plural = unit in SYMBOLS and unit not in ("hertz", "siemens", "kelvin")
    return "" if unit == "1" else f" in {unit}{'s' if plural else ''}"


_EXAMPLES = {"1": "0.5", "second": "20 ms", "volt": "-65 mV", "amp": "0.1 nA", "siemens": "10 nS"}


def _example(unit: str) -> str:
    return _EXAMPLES.get(unit, f"1 {unit}")


def check_unit(unit: object, where: str) -> str:
    """Return a base unit as Brian2 writes it, ``siemens/volt`` too; refuse any other text.

    Raises
    ------
    RefsimError
        Where the unit is not known, or is not a base unit; the message says what to write.
    """
    hint = ""
    if isinstance(unit, str):
        if unit in DIMENSIONS:
            return unit
        try:
            known = _read(unit)
        except _UnknownError:
            known = None
        # Only whole names are base units: mV has a power of ten, and V is a symbol.
        if known and not known.power and set(re.findall(r"[A-Za-z]\w*", unit)) <= set(_LONG):
            return known.base
        hint = f" (write {known.base!r}: cards hold base units)" if known else ""
    one = f"{unit!r} is not a known unit{hint}; known are {listed(DIMENSIONS)}, joined by * and /"
    raise RefsimError(f"{where}: {one}.")
