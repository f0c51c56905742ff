"""Read HDF5 as data: entries by name, none larger than its file can hold, none that lies in another file."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import RefsimError, listed
from .affine import LARGEST

_RATIO = 1000  # an entry that unpacks to more than this times the size of its file is a bomb
_TEXT = 64  # characters; names of types are short


class Group:
    """A group of an open file; an entry is read when it is asked for, and what was asked for is remembered.

    Parameters
    ----------
    group : h5py.Group
    where : str
        Opens the error messages.
    room : int
        Bytes that one entry may unpack to.
    asked : set of str
        Paths of the entries that were asked for, of the whole file.
    """

    def __init__(self, group: Any, where: str, room: int, asked: set[str]) -> None:
        self._group, self.where, self._room, self.asked = group, where, room, asked

    @property
    def keys(self) -> list[str]:
        """Names of all entries."""
        return list(self._group)

    def group(self, name: str) -> "Group":
        """Return a group inside this one."""
        import h5py

        found = self._entry(name)
        if not isinstance(found, h5py.Group):
            raise RefsimError(f"{self.where}: '{name}' must be a group, but is an array.")
        return Group(found, f"{self.where}{'' if name.isdigit() else ','} {name}", self._room, self.asked)

    def is_group(self, name: str) -> bool:
        """Whether an entry is a group."""
        import h5py

        return name in self._group and isinstance(self._entry(name), h5py.Group)

    def text(self, name: str) -> str:
        """Return an entry that is a word."""
        value = np.ravel(self._read(name, "OSU"))
        word = value[0] if value.size == 1 else None
        word = word.decode("ascii", "replace") if isinstance(word, bytes) else word
        if not isinstance(word, str) or len(word) > _TEXT:
            raise RefsimError(f"{self.where}: '{name}' must be one word, but is {str(word)[:_TEXT]!r}.")
        return word

    def word_or_number(self, name: str) -> Any:
        """Return an entry that is one word, one number or an array."""
        value = self._read(name, "OSUfiub")
        return self.text(name) if value.dtype.kind in "OSU" else value.item() if value.size == 1 else value

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """Return an entry of finite real numbers as float64."""
        value = np.asarray(self._read(name, "fiub"), np.float64)
        if wrong := value.size - int(np.isfinite(value).sum()):
            raise RefsimError(f"{self.where}: {wrong} of {value.size} numbers of '{name}' are NaN or infinite.")
        return value

    def unread(self) -> list[str]:
        """Return the paths of the arrays that nobody asked for; what is linked twice, or in a circle, is named once."""
        import h5py

        paths: list[str] = []

        def visit(_name: str, entry: Any) -> None:
            if isinstance(entry, h5py.Dataset) and str(entry.name) not in self.asked:
                paths.append(str(entry.name).lstrip("/"))

        self._group.visititems(visit)
        return paths

    def _entry(self, name: str) -> Any:
        """Return an entry that lies in this file; a link that leads elsewhere is not followed."""
        import h5py

        if name not in self._group:
            raise RefsimError(f"{self.where}: has no '{name}'; it has {listed(self._group)}.")
        if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
            raise RefsimError(f"{self.where}: '{name}' is a link to another place, which refsim does not follow; store the entry itself.")
        return self._group[name]

    def _read(self, name: str, kinds: str) -> np.ndarray[Any, Any]:
        import h5py

        found = self._entry(name)
        if not isinstance(found, h5py.Dataset):
            raise RefsimError(f"{self.where}: '{name}' must be an array, but is a group.")
        self.asked.add(str(found.name))
        if found.is_virtual or found.external:
            raise RefsimError(f"{self.where}: the numbers of '{name}' lie in another file; store them in this one.")
        if found.shape is None or found.dtype.kind not in kinds:
            raise RefsimError(f"{self.where}: '{name}' must hold {'words' if kinds == 'OSU' else 'real numbers'}, but has dtype {found.dtype}.")
        size = max(8, found.dtype.itemsize) * int(np.prod([int(axis) for axis in found.shape], dtype=object))
        if size > self._room:
            raise RefsimError(f"{self.where}: '{name}' of shape {found.shape} unpacks to {size:,} bytes; no network of this size of file does.")
        value: np.ndarray[Any, Any] = np.asarray(found[()])
        return value


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Group]:
    """Open a file for reading; the value is its first group.

    Raises
    ------
    RefsimError
        Where h5py is missing, or the file is none, or is damaged.
    """
    where = f"network {path}"
    if importlib.util.find_spec("h5py") is None:
        raise RefsimError(f'{where}: is HDF5, which is read with h5py, and that is not installed; pip install "refsim[files]".')
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        if not path.is_file():
            raise RefsimError(f"{where}: {'is a folder' if path.is_dir() else 'there is no such file'}.") from None
        raise RefsimError(f"{where}: is no HDF5 file, or is cut short ({_first_line(error)}).") from None
    with file:
        try:
            yield Group(file, where, min(LARGEST, _RATIO * path.stat().st_size), set())
        except RefsimError:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # a damaged file ends in many kinds of error inside the reader
            raise RefsimError(f"{where}: is damaged ({_first_line(error)}).") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
