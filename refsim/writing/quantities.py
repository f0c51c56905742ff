"""Write an SI number with a unit that people read: ``281*pF`` for Brian2, ``281`` and ``pF`` for a table."""

import math

from ..units import PREFIXES, SYMBOLS

# Prefixes that a script is written with; larger and smaller numbers stand as they are.
_PREFIXES = {PREFIXES[prefix]: prefix for prefix in ("p", "n", "u", "m", "", "k", "M")}
# Brian2 has a short name for these; every other unit is written in full.
_BRIAN2 = frozenset(["ms", "us", "Hz", "kHz", "MHz", "mV", "mA", "uA", "nA", "pA", "mS", "uS", "nS", "uF", "nF", "pF", "kohm", "Mohm", "Gohm", "mm", "um"])


def scaled(value: float, unit: str) -> tuple[str, str]:
    """Return a number and a symbol, such as ``("281", "pF")``, that give the value to the last bit; no symbol for a plain number."""
    if unit not in SYMBOLS or not math.isfinite(value):
        return number(value), "" if unit == "1" else unit
    power = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-9) if value else 0
    power = min(max(power, -12 if unit != "hertz" else 0), 6)  # nobody writes mHz
    return _digits(value, 10.0**power), _PREFIXES[power] + SYMBOLS[unit]


def number(value: float) -> str:
    """Write a plain number, whole ones without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e6 else repr(float(value))


def brian2_quantity(value: float, unit: str) -> str:
    """Write a quantity as Brian2's user does; read back, it is the same number."""
    if unit == "1":
        return repr(float(value))
    digits, symbol = scaled(value, unit)
    return f"{digits}*{symbol}" if symbol in _BRIAN2 and float(digits) * _factor(symbol, unit) == value else f"{repr(float(value)) if value else 0}*{unit}"


def _digits(value: float, factor: float) -> str:
    """Return the shortest number that times the factor is the value."""
    for digits in range(1, 18):
        short = float(f"{value / factor:.{digits}g}")
        if short * factor == value:
            return number(short)
    return number(value / factor)


def _factor(symbol: str, unit: str) -> float:
    return 10.0 ** next(power for power, prefix in _PREFIXES.items() if prefix + SYMBOLS[unit] == symbol)
