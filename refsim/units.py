"""Units at the door: text such as ``"20 ms"`` becomes a plain SI number, and inside refsim there are no units."""

import math
import re
from numbers import Real

from .errors import RefsimError, listed

# Base units, spelled as Brian2 spells them, with the exponents of (kg, m, s, A, K).
DIMENSIONS: dict[str, tuple[int, int, int, int, int]] = {
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
_SYMBOLS = {
    "s": "second", "Hz": "hertz", "V": "volt", "A": "amp", "S": "siemens",
    "F": "farad", "ohm": "ohm", "C": "coulomb", "m": "metre", "K": "kelvin",
}  # fmt: skip
_PREFIXES = {"": 1.0, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*$")


def _scale(symbol: str) -> tuple[float, str] | None:
    """Return (factor to SI, base unit) of a unit symbol, or None where it is not known."""
    if symbol in DIMENSIONS:
        return 1.0, symbol
    for prefix, factor in _PREFIXES.items():
        if symbol.startswith(prefix) and symbol[len(prefix) :] in _SYMBOLS:
            return factor, _SYMBOLS[symbol[len(prefix) :]]
    return None


def to_si(value: object, unit: str, where: str) -> float:
    """Turn a number in SI, or text with a unit, into a finite SI number of the given base unit.

    Parameters
    ----------
    value : float or str
        ``0.02``, ``"0.02"`` or ``"20 ms"``.
    unit : str
        The base unit that is needed, a key of ``DIMENSIONS`` (``"1"`` for a plain number).
    where : str
        What the number is for; opens the error message.

    Raises
    ------
    RefsimError
        Where the value is no number, not finite, or of another unit.
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
    if not math.isfinite(number):
        raise RefsimError(f"{where}: needs a finite number, but {_shown(value)} was given.")
    return number


def _shown(value: object) -> str:
    return repr(value) if not isinstance(value, int) else "a whole number of more than 308 digits"


def _parse(text: str, unit: str, where: str) -> float:
    match = _QUANTITY.match(text)
    if match is None:
        raise RefsimError(f"{where}: needs a number{_of(unit)}, such as {_example(unit)!r}, but {text!r} was given.")
    number, symbol = float(match[1]), match[2]
    if not symbol:
        return number
    known = _scale(symbol)
    if known is None:
        raise RefsimError(f"{where}: {symbol!r} is not a known unit; known are {listed(_SYMBOLS)} with a prefix G M k m u n p f.")
    factor, base = known
    if DIMENSIONS[base] != DIMENSIONS[unit]:
        needed = f"a plain number such as {_example(unit)!r}" if unit == "1" else f"{_example(unit)!r} or a like unit"
        raise RefsimError(f"{where}: needs {needed}, but {text!r} is in {base}.")
    return number * factor


def base_unit(value: object) -> str:
    """Return the base unit of a quantity such as ``"20 ms"``; ``"1"`` for a plain number and for what is no quantity."""
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    known = _scale(match[2]) if match and match[2] else None
    return known[1] if known else "1"


def _of(unit: str) -> str:
    return "" if unit == "1" else f" in {unit}{'' if unit in ('hertz', 'siemens', 'kelvin') else 's'}"


def _example(unit: str) -> str:
    return {"1": "0.5", "second": "20 ms", "volt": "-65 mV", "amp": "0.1 nA", "siemens": "10 nS"}.get(unit, f"1 {unit}")


def check_unit(unit: object, where: str) -> str:
    """Return the unit, or say which base units are known."""
    if not isinstance(unit, str) or unit not in DIMENSIONS:
        hint = ""
        if isinstance(unit, str) and (known := _scale(unit)):
            hint = f" (write {known[1]!r}: cards hold base units)"
        raise RefsimError(f"{where}: {unit!r} is not a known unit{hint}; known are {listed(DIMENSIONS)}.")
    return unit
