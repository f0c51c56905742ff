"""Arrays at the door: whatever was given becomes a checked NumPy array, or one sentence says what
is wrong with it.

Which axis of an array is which: said by name, or found where an order fits, and told.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RefsimError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What the readers of zip files end in where a file is damaged; a file that no reader expects is an
# OSError or a ValueError besides.
DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
EXACT = 2**53  # float64 holds every whole number up to here, and of those beyond only some
DIVERGED = "Take weights from before the training diverged."


def _untangled(values: Any) -> Any:
    """Return a tensor's numbers, of whatever dtype and device, with a gradient or without.

    Anything else as it is.
    """
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
    """Return numbers as float64, where it holds them.

    Whole numbers beyond 2^53 would be rounded without a word, and are refused.
    """
    if (
        array.dtype.kind in "iu"
        and array.dtype.itemsize == 8
        and array.size
        and (array.max() > EXACT or array.min() < -EXACT)
    ):
        farthest = max(int(array.max()), int(array.min()), key=abs)
        raise RefsimError(
            f"{where}: holds {farthest:,} as {array.dtype}, and float64, in which refsim "
            "computes, holds whole numbers exactly up to 2^53 only; "
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
        return (
            f"the first is {array[index]} at [{', '.join(map(str, index))}]"
            if index
            else f"it is {array[()]}"
        )
    named = ", ".join(f"{axis} {at}" for axis, at in zip(axes, index, strict=True))
    return f"the first is {array[index]} at {named}"


def real_array(
    values: ArrayLike, where: str, *, cure: str = "Give finite numbers.", axes: Sequence[str] = ()
) -> Floats:
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
        raise RefsimError(
            f"{where}: {wrong} of {array.size} numbers are NaN or infinite; {found}. {cure}"
        )
    return array


USUAL = "sample, step, neuron"
SLAYER = "rows of neuron, channel, time"  # its times are rounded to the nearest step
Shape = tuple[int, int, int]

_ROWS = "rows of "
_NAMES = {
    "sample": "sample",
    "samples": "sample",
    "batch": "sample",
    "step": "step",
    "steps": "step",
    "time": "step",
    "neuron": "neuron",
    "neurons": "neuron",
    "channel": "channel",
}
# In the order in which they are tried; an axis that is not named has the length 1.
_DENSE = (
    USUAL,
    "step, sample, neuron",
    "sample, neuron, step",
    "step, neuron",
    "neuron, step",
    "sample, step",
    "step, sample",
    "step",
)
_LISTS = (
    SLAYER,
    "rows of sample, step, neuron",
    "rows of step, sample, neuron",
    "rows of sample, neuron, step",
    "rows of step, neuron",
    "rows of neuron, step",
)


@dataclass(frozen=True)
class Axes:
    """The names of the axes of a dense array, or of the columns of rows of spikes.

    Attributes
    ----------
    names : tuple of {"sample", "step", "neuron", "channel"}
    rows : bool
        Whether the array is a list of spikes, a row each.
    text : str
        As it is said.
    """

    names: tuple[str, ...]
    rows: bool
    text: str

    @classmethod
    def of(cls, text: object, where: str) -> "Axes":
        """Read such words as ``"step, sample, neuron"`` or ``"rows of step, neuron"``.

        Raises
        ------
        RefsimError
            Where a word is none of the axes, or the axes do not say enough.
        """
        said = str(text).strip()
        rows = said.startswith(_ROWS)
        words = [word.strip() for word in said.removeprefix(_ROWS).split(",")]
        names = tuple(_NAMES.get(word.lower(), "") for word in words)
        wrong = not isinstance(text, str) or "" in names or len(set(names)) < len(names)
        if (
            wrong
            or (rows and not {"step", "neuron"} <= set(names))
            or ("channel" in names and not rows)
        ):
            raise RefsimError(
                f"{where}: axes must be sample, step and neuron in some order, such as '{USUAL}' "
                "or 'step, sample, neuron', "
                "or the columns of a list of spikes, such as 'rows of sample, step, neuron' or "
                f"'{SLAYER}', but are {text!r}."
            )
        return cls(names, rows, said)

    def fits(self, sizes: tuple[int, ...], shape: Shape) -> bool:
        """Return whether a dense array of some sizes has these axes.

        Several may number the neurons.
        """
        spread = self._spread(len(sizes))
        if self.rows or spread is None:
            return False
        found = {name: int(np.prod(sizes[part])) for name, part in spread.items()}
        wanted = zip(("sample", "step", "neuron"), shape, strict=True)
        return all(found.get(name, 1) == size for name, size in wanted)

    def dense(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Return a dense array as (n_samples, n_steps, n_neurons)."""
        spread = self._spread(array.ndim)
        assert spread is not None
        order = [
            axis
            for name in ("sample", "step", "neuron")
            if name in spread
            for axis in range(array.ndim)[spread[name]]
        ]
        return array.transpose(order).reshape(shape)

    def _spread(self, ndim: int) -> dict[str, slice] | None:
        """Return which axes of an array each name stands for.

        One each, but for the neurons as many as are left.
        """
        more = ndim - len(self.names)
        if more < 0 or (more and "neuron" not in self.names):
            return None
        spread, at = {}, 0
        for name in self.names:
            width = 1 + more if name == "neuron" else 1
            spread[name], at = slice(at, at + width), at + width
        return spread


def dense_orders(array: NDArray[Any], shape: Shape) -> list[Axes]:
    """Return the usual orders of axes that a dense array may have.

    Of two that read it as the same spikes, the first.
    """
    found: list[Axes] = []
    for axes in _known(_DENSE):
        if not axes.fits(array.shape, shape):
            continue
        if not any(
            np.array_equal(axes.dense(array, shape), other.dense(array, shape)) for other in found
        ):
            found.append(axes)
    return found


def row_orders(array: NDArray[Any], shape: Shape) -> list[Axes]:
    """Return the usual columns that a list of spikes may have by its width.

    A list without samples is of one sample.
    """
    if array.ndim != 2:
        return []
    return [
        axes
        for axes in _known(_LISTS)
        if len(axes.names) == array.shape[1] and (shape[0] == 1 or "sample" in axes.names)
    ]


def _known(texts: tuple[str, ...]) -> Iterator[Axes]:
    for text in texts:
        yield Axes.of(text, "axes")
