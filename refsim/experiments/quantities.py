"""Quantities for people: ranges such as ``"0:2nA:21"`` come in, and ``"0.1 nA"`` goes out. Inside, all is SI."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..errors import RefsimError
from ..model import NeuronModel
from ..units import PREFIXES, SYMBOLS, numbers_in_si

_PREFIXES = {power: prefix for prefix, power in PREFIXES.items() if power % 3 == 0 and -15 <= power <= 9}
_MOST = 10_000  # points of a range


def span(given: str | float | ArrayLike, unit: str, where: str) -> Floats:
    """Read a list or a range of quantities.

    Parameters
    ----------
    given : str, float or sequence
        ``"0:2nA:21"`` (from, to, how many), ``"1, 2, 5 nA"``, a number, or numbers in SI.
    unit : str
        The base unit needed.
    where : str
        Opens the error message.

    Returns
    -------
    (n,) float64, in SI

    Raises
    ------
    RefsimError
        Where it is neither, or of another unit.
    """
    if isinstance(given, str):
        return _range(given, unit, where) if ":" in given else _listed(given.split(","), unit, where)
    values: Iterable[object] = np.atleast_1d(np.asarray(given, dtype=object)).ravel()
    return _listed(list(values), unit, where)


def parameter_values(model: NeuronModel, name: str, given: str | float | ArrayLike) -> Floats:
    """Read values of a parameter, each within the bounds of its card."""
    parameter = model.parameter(name)
    values = span(given, parameter.unit, name)
    for value in values:
        parameter.check(float(value), f"card '{model.name}': parameter {name}")
    return values


def _range(text: str, unit: str, where: str) -> Floats:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].strip().isdecimal() or not 2 <= int(parts[2]) <= _MOST:
        raise RefsimError(f"{where}: a range is written FROM:TO:HOW_MANY, such as '0:2:21', with 2 to {_MOST} points, but {text!r} was given.")
    first, last = _listed(parts[:2], unit, where)
    return np.linspace(first, last, int(parts[2]))


def _listed(parts: Sequence[object], unit: str, where: str) -> Floats:
    """Read numbers; a unit behind the last one holds for those before it that have none."""
    if not len(parts):
        raise RefsimError(f"{where}: needs at least one number.")
    return np.array(numbers_in_si(parts, unit, where))


def scale(values: ArrayLike, unit: str) -> tuple[float, str]:
    """Return the factor and the symbol that make numbers readable, such as ``(1e3, "mV")``."""
    if unit not in SYMBOLS:
        return 1.0, "" if unit == "1" else unit
    finite = np.abs(np.asarray(values, float))
    largest = max((float(value) for value in finite.ravel() if math.isfinite(value)), default=0.0)
    power = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest > 0 else 0
    power = min(max(power, -15), 9)
    if unit == "hertz":
        power = max(power, 0)  # nobody writes mHz
    return 10.0**-power, _PREFIXES[power] + SYMBOLS[unit]


def readable(value: float, unit: str) -> str:
    """Write one quantity: ``0.1 nA``, ``13.5 ms``, ``0.5``; ``none`` for NaN."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "infinite"
    factor, symbol = scale(value, unit)
    return f"{value * factor:.4g} {symbol}".strip()


def axis(name: str, symbol: str, *, low: bool = False) -> str:
    """Write the label of an axis, its unit in brackets; on two lines for a panel too low for one."""
    return f"{name}{chr(10) if low else ' '}({symbol or 'dimensionless'})"
