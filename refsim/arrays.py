"""Arrays at the door: whatever was given becomes a checked NumPy array, or one sentence says what is wrong with it."""

import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RefsimError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What the readers of zip files end in where a file is damaged; a file that no reader expects is an OSError or a ValueError besides.
DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
EXACT = 2**53  # float64 holds every whole number up to here, and of those beyond only some
DIVERGED = "Take weights from before the training diverged."


def _untangled(values: Any) -> Any:
    """Return a tensor's numbers, of whatever dtype and device, with a gradient or without; anything else as it is."""
    if not hasattr(values, "detach"):
        return values
    held = values.detach().cpu()
    return held.double() if held.is_floating_point() else held


def plain_array(values: ArrayLike, where: str) -> NDArray[Any]:
    """Return an array of whatever dtype, from a tensor with a gradient or on another device too."""
    try:
        held: Any = values
        return np.asarray(held.detach().cpu() if hasattr(held, "detach") else held)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RefsimError(f"{where}: is not an array ({error}).") from None


def float_array(array: NDArray[Any], where: str) -> Floats:
    """Return numbers as float64, where it holds them; whole numbers beyond 2^53 would be rounded without a word, and are refused."""
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size and (array.max() > EXACT or array.min() < -EXACT):
        farthest = max(int(array.max()), int(array.min()), key=abs)
        raise RefsimError(
            f"{where}: holds {farthest:,} as {array.dtype}, and float64, in which refsim computes, holds whole numbers exactly up to 2^53 only; "
            "give numbers up to there, or floating-point ones."
        )
    return np.asarray(array, np.float64)


def real_array(values: ArrayLike, where: str, *, cure: str = "Give finite numbers.") -> Floats:
    """Return a contiguous float64 array of finite numbers; the cure ends the message where some are not."""
    array = plain_array(_untangled(values), where)
    if array.dtype.kind not in "fiub":
        raise RefsimError(f"{where}: must hold real numbers, but has dtype {array.dtype}.")
    array = np.ascontiguousarray(float_array(array, where)).reshape(array.shape)
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise RefsimError(f"{where}: {wrong} of {array.size} numbers are NaN or infinite. {cure}")
    return array
