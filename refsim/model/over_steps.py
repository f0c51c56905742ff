"""What a read-out makes of the steps: their mean, sum, last or maximum, as numbers so far."""

from typing import Any

import numpy as np

from ..arrays import Floats


def so_far(values: Any, rule: str) -> Floats:
    """Return what a rule makes of the steps so far, after each step.

    Parameters
    ----------
    values : (n_steps, ...)
    rule : {"mean", "sum", "last", "max"}

    Returns
    -------
    (n_steps, ...) float64
        The last row is what it makes of the whole record.
    """
    given = np.asarray(values, np.float64)
    if rule == "last":
        return given
    if rule == "max":
        return np.asarray(np.maximum.accumulate(given, axis=0))
    sums = np.cumsum(given, axis=0)
    counts = np.arange(1.0, len(given) + 1).reshape(-1, *[1] * (given.ndim - 1))
    return np.asarray(sums / counts if rule == "mean" else sums)
