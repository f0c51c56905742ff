"""Numbers with 50 digits in NumPy arrays of objects: gmpy2's where it is installed, else mpmath's.

gmpy2 does the same some twenty times faster. A float is taken exactly: 53 of the 170 bits.
"""

from typing import Any

import numpy as np

try:
    import gmpy2
except ImportError:  # it comes with the extra `dev`; without it the study is slow, and the same
    gmpy2 = None
    import mpmath

BITS = 170  # 51 digits


def many_digits() -> Any:
    """Return a context in which numbers have 50 digits."""
    return gmpy2.context(precision=BITS) if gmpy2 else mpmath.workprec(BITS)


_OWN = gmpy2 or (mpmath if gmpy2 is None else None)
number = gmpy2.mpfr if gmpy2 else mpmath.mpf
HALF = 0.5  # a float, and exact


def _each(function: Any, n_arguments: int = 1) -> Any:
    return np.frompyfunc(function, n_arguments, 1)


def digits(values: Any) -> Any:
    """Return floats, or truth values, as an array of numbers with many digits."""
    return _taken(np.asarray(values, np.float64))


_taken = _each(number)


def _sign(x: Any) -> Any:
    return number((x > 0) - (x < 0))


def _trunc(x: Any) -> Any:
    return _OWN.floor(x) if x >= 0 else _OWN.ceil(x)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


DIGITS: dict[str, Any] = {
    **{name: _each(getattr(_OWN, name)) for name in ("exp", "log", "sqrt", "tanh", "sin", "cos")},
    "floor": _each(_OWN.floor),
    "abs": np.abs,
    "clip": _clip,
    "sign": _each(_sign),
    "trunc": _each(_trunc),
    "round": _each(lambda x: _OWN.floor(x + HALF)),
    "shr": lambda x, n: DIGITS["trunc"](x / digits(2.0 ** np.asarray(n, float))),
    "exprel": _each(lambda x: _OWN.expm1(x) / x if x else number(1)),
}
