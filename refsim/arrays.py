"""Arrays at the door: whatever was given becomes a checked NumPy array, or one sentence says what is wrong with it."""

import zipfile
import zlib
from collections.abc import Sequence
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


def first_wrong(array: NDArray[Any], axes: Sequence[str] = ()) -> str:
    """Say where the first number is that is NaN or infinite: ``nan at sample 0, step 3, input 1``.

    Parameters
    ----------
    array : array
        With one such number at least.
    axes : list of str, optional
        What its axes are; without, the index stands as NumPy takes it.
    """
    index = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
    if not axes or len(axes) != array.ndim:
        return f"the first is {array[index]} at [{', '.join(map(str, index))}]" if index else f"it is {array[()]}"
    named = ", ".join(f"{axis} {at}" for axis, at in zip(axes, index, strict=True))
    return f"the first is {array[index]} at {named}"


def real_array(values: ArrayLike, where: str, *, cure: str = "Give finite numbers.", axes: Sequence[str] = ()) -> Floats:
    """Return a contiguous float64 array of finite numbers.

    Parameters
    ----------
    where, cure : str
        Begin and end the message where some number is none.
    axes : list of str, optional
        What the axes are, for the message: ``("neuron", "input")``.

    Raises
    ------
    RefsimError
        Where it holds no real numbers, or NaN or infinity; the first is named.
    """
    array = plain_array(_untangled(values), where)
    if array.dtype.kind not in "fiub":
        raise RefsimError(f"{where}: must hold real numbers, but has dtype {array.dtype}.")
    array = np.ascontiguousarray(float_array(array, where)).reshape(array.shape)
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        found = first_wrong(array, axes)
        raise RefsimError(f"{where}: {wrong} of {array.size} numbers are NaN or infinite; {found}. {cure}")
    return array
