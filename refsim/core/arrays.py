"""Arrays at the door: what a user gives becomes a checked NumPy array, or a sentence says why not.

The first half turns tensors, lists and arrays into arrays of checked numbers. The second half,
from `Axes` on, finds out which axis of an array is which: by the names that the user gives, or by
trying the usual orders.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RefsimError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
AnyArray = NDArray[Any]  # of whatever dtype, where it is not checked yet or does not matter

# The errors that readers of zip files raise for a damaged file, beside OSError and ValueError.
DAMAGED_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
EXACT = 2**53  # float64 holds every whole number up to here, and only some of those beyond
DIVERGED = "Take weights from before the training diverged."


class _Tensor(Protocol):
    """The few methods of a PyTorch tensor that this file calls; torch itself is not imported."""

    def detach(self) -> "_Tensor": ...
    def cpu(self) -> "_Tensor": ...
    def double(self) -> "_Tensor": ...
    def is_floating_point(self) -> bool: ...


def _is_tensor(values: object) -> TypeGuard[_Tensor]:
    return hasattr(values, "detach")


def _without_gradient(values: object) -> object:
    """Return a tensor on the CPU, its floats in float64; return anything else as it is."""
    if not _is_tensor(values):
        return values
    tensor = values.detach().cpu()
    # NumPy knows no bfloat16, but float64 holds all of its numbers.
    return tensor.double() if tensor.is_floating_point() else tensor


def plain_array(values: object, where: str) -> AnyArray:
    """Return an array of the dtype that the values have.

    A tensor may be on another device and may need a gradient.
    """
    try:
        return np.asarray(values.detach().cpu() if _is_tensor(values) else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RefsimError(f"{where}: is not an array ({error}).") from None


def float_array(array: AnyArray, where: str) -> Floats:
    """Return numbers as float64; refuse whole numbers beyond 2^53, which it would round."""
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


def first_wrong(array: AnyArray, axes: Sequence[str] = ()) -> str:
    """Say where the first NaN or infinity is: ``the first is nan at sample 0, step 3, input 1``.

    Parameters
    ----------
    array : array
        It holds at least one such number.
    axes : list of str, optional
        What its axes are; without them, the index stands as NumPy writes it.
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
    values: ArrayLike,
    where: str,
    *,
    cure: str = "Give finite numbers.",
    axes: Sequence[str] = (),
) -> Floats:
    """Return a contiguous float64 array of finite numbers.

    Parameters
    ----------
    values : array, list or tensor
    where, cure : str
        The beginning and the end of the message where some number is NaN or infinite.
    axes : list of str, optional
        What the axes are, for the message: ``("neuron", "input")``.

    Raises
    ------
    RefsimError
        Where the values are not real numbers, or one of them is NaN or infinite; the message names
        the first.
    """
    array = plain_array(_without_gradient(values), where)
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
Shape = tuple[int, int, int]  # (n_samples, n_steps, n_neurons)

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
# Both lists stand in the order in which they are tried; an axis that is not named has length 1.
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
        Whether the array is a list of spikes, one a row.
    text : str
        The words that were given.
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
        # Every word must be known, and none may come twice.
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
        """Return whether a dense array of these sizes has these axes and this shape.

        Several axes in a row may number the neurons.
        """
        spread = self._spread(len(sizes))
        if self.rows or spread is None:
            return False
        found = {name: int(np.prod(sizes[part])) for name, part in spread.items()}
        wanted = zip(("sample", "step", "neuron"), shape, strict=True)
        return all(found.get(name, 1) == size for name, size in wanted)

    def dense(self, array: AnyArray, shape: Shape) -> AnyArray:
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
        """Return the axes of an array that each name stands for; None where their numbers differ.

        Each name stands for one axis, but the neurons for as many as are left.
        """
        more = ndim - len(self.names)
        if more < 0 or (more and "neuron" not in self.names):
            return None
        spread, at = {}, 0
        for name in self.names:
            width = 1 + more if name == "neuron" else 1
            spread[name], at = slice(at, at + width), at + width
        return spread


def dense_orders(array: AnyArray, shape: Shape) -> list[Axes]:
    """Return the usual orders of axes that a dense array may have.

    Of two orders that give the same spikes, only the first is returned.
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


def row_orders(array: AnyArray, shape: Shape) -> list[Axes]:
    """Return the usual columns that a list of spikes of this width may have.

    A list without a column of samples is of one sample.
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
