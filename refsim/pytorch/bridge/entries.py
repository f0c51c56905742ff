"""Ask a group of an HDF5 file, as it was read, for its entries by name and kind; what nobody asks for is named."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import first_wrong, float_array
from ...errors import RefsimError, listed
from .hdf5 import Leaf, Tree

_TEXT = 64  # characters; names of types are short


class Entries:
    """A group; what was asked for is remembered for the whole file.

    Parameters
    ----------
    tree : dict
        As `read_tree` returns it.
    where : str
        Opens the error messages.
    path : str
        In the file.
    asked : set of str
        Paths of the entries that were asked for.
    """

    def __init__(self, tree: Tree, where: str, path: str = "", asked: set[str] | None = None) -> None:
        self._tree, self.where, self._path = tree, where, path
        self.asked: set[str] = set() if asked is None else asked

    @property
    def keys(self) -> list[str]:
        """Names of all entries."""
        return list(self._tree)

    def group(self, name: str) -> "Entries":
        """Return a group inside this one."""
        found = self._entry(name)
        if not isinstance(found, dict):
            raise RefsimError(f"{self.where}: '{name}' must be a group, but is an array.")
        return Entries(found, f"{self.where}{'' if name.isdigit() else ','} {name}", f"{self._path}/{name}", self.asked)

    def is_group(self, name: str) -> bool:
        """Whether an entry is a group."""
        return isinstance(self._tree.get(name), dict)

    def text(self, name: str) -> str:
        """Return an entry that is a word."""
        value = self._leaf(name)
        words = [value] if isinstance(value, str) else [word for row in value for word in row] if isinstance(value, list) else None
        if words is None:
            raise RefsimError(f"{self.where}: '{name}' must hold words, but holds numbers.")
        if len(words) != 1 or len(words[0]) > _TEXT:
            raise RefsimError(f"{self.where}: '{name}' must be one word, but is {' '.join(words)[:_TEXT]!r}.")
        return words[0]

    def word_or_number(self, name: str) -> Any:
        """Return an entry that is one word, one number or an array."""
        value = self._leaf(name)
        return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value if isinstance(value, np.ndarray) else self.text(name)

    def array(self, name: str) -> NDArray[np.float64]:
        """Return an entry of finite real numbers."""
        value = self._leaf(name)
        if not isinstance(value, np.ndarray):
            raise RefsimError(f"{self.where}: '{name}' must hold real numbers, but holds words.")
        numbers = float_array(value, f"{self.where}: '{name}'")
        if wrong := numbers.size - int(np.isfinite(numbers).sum()):
            told = f"{wrong} of {numbers.size} numbers of '{name}' are NaN or infinite"
            raise RefsimError(f"{self.where}: {told}; {first_wrong(numbers)}.")
        return numbers

    def unread(self) -> list[str]:
        """Return the paths of the arrays and words that nobody asked for."""
        return [path.lstrip("/") for path in _leaves(self._tree, self._path) if path not in self.asked]

    def _entry(self, name: str) -> "Leaf | Tree":
        if name not in self._tree:
            raise RefsimError(f"{self.where}: has no '{name}'; it has {listed(self._tree)}.")
        return self._tree[name]

    def _leaf(self, name: str) -> Leaf:
        found = self._entry(name)
        if isinstance(found, dict):
            raise RefsimError(f"{self.where}: '{name}' must be an array, but is a group.")
        self.asked.add(f"{self._path}/{name}")
        return found


def _leaves(tree: Tree, path: str) -> Iterator[str]:
    for name, entry in tree.items():
        if isinstance(entry, dict):
            yield from _leaves(entry, f"{path}/{name}")
        else:
            yield f"{path}/{name}"
