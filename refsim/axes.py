"""Which axis of an array is which: said by name, or found where an order fits, and told."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import RefsimError

USUAL = "sample, step, neuron"
SLAYER = "rows of neuron, channel, time"  # its times are rounded to the nearest step
Shape = tuple[int, int, int]

_ROWS = "rows of "
_NAMES = {
    "sample": "sample", "samples": "sample", "batch": "sample",
    "step": "step", "steps": "step", "time": "step",
    "neuron": "neuron", "neurons": "neuron", "channel": "channel",
}  # fmt: skip
# In the order in which they are tried; an axis that is not named has the length 1.
_DENSE = (
    USUAL, "step, sample, neuron", "sample, neuron, step", "step, neuron", "neuron, step",
    "sample, step", "step, sample", "step",
)  # fmt: skip
_LISTS = (SLAYER, "rows of sample, step, neuron", "rows of step, sample, neuron",
          "rows of sample, neuron, step", "rows of step, neuron", "rows of neuron, step")  # fmt: skip


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
        if wrong or (rows and not {"step", "neuron"} <= set(names)) or ("channel" in names and not rows):
            raise RefsimError(
                f"{where}: axes must be sample, step and neuron in some order, such as '{USUAL}' or 'step, sample, neuron', "
                f"or the columns of a list of spikes, such as 'rows of sample, step, neuron' or '{SLAYER}', but are {text!r}."
            )
        return cls(names, rows, said)

    def fits(self, sizes: tuple[int, ...], shape: Shape) -> bool:
        """Return whether a dense array of some sizes has these axes; several may number the neurons."""
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
        order = [axis for name in ("sample", "step", "neuron") if name in spread for axis in range(array.ndim)[spread[name]]]
        return array.transpose(order).reshape(shape)

    def _spread(self, ndim: int) -> dict[str, slice] | None:
        """Return which axes of an array each name stands for: one each, but for the neurons as many as are left."""
        more = ndim - len(self.names)
        if more < 0 or (more and "neuron" not in self.names):
            return None
        spread, at = {}, 0
        for name in self.names:
            width = 1 + more if name == "neuron" else 1
            spread[name], at = slice(at, at + width), at + width
        return spread


def dense_orders(array: NDArray[Any], shape: Shape) -> list[Axes]:
    """Return the usual orders of axes that a dense array may have; of two that read it as the same spikes, the first."""
    found: list[Axes] = []
    for axes in _known(_DENSE):
        if not axes.fits(array.shape, shape):
            continue
        if not any(np.array_equal(axes.dense(array, shape), other.dense(array, shape)) for other in found):
            found.append(axes)
    return found


def row_orders(array: NDArray[Any], shape: Shape) -> list[Axes]:
    """Return the usual columns that a list of spikes may have by its width; a list without samples is of one sample."""
    if array.ndim != 2:
        return []
    return [axes for axes in _known(_LISTS) if len(axes.names) == array.shape[1] and (shape[0] == 1 or "sample" in axes.names)]


def _known(texts: tuple[str, ...]) -> Iterator[Axes]:
    for text in texts:
        yield Axes.of(text, "axes")
