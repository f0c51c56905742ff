"""HDF5 files as plain data: groups, numbers and text.

`read_tree` reads a whole file into dicts. Nothing in the file can run, lead to another file, or
fill the memory. `write_tree` writes such dicts. `GroupReader` asks a group for its entries by name
and kind, and knows which ones nobody asked for.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import first_wrong, float_array
from ..core.errors import RefsimError, first_line, listed
from ..core.whole_files import whole

Leaf = NDArray[np.generic] | str | list[list[str]]  # numbers, a text, or rows of texts
Tree = dict[str, "Leaf | Tree"]

_LARGEST = 2 << 30  # bytes of all numbers of a file, as float64: 268 million weights
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_RATIO = 1100  # gzip packs 1,032 to 1 at best
_SMALL = 1 << 20  # bytes; an array of this size may be stored as its fill value alone
# Bytes; a chunk is always unpacked as a whole, however little of it is asked for.
_CHUNK = 16 << 20
_OBJECTS, _DEPTH = 100_000, 32
_TEXTS, _TEXT_BYTES = 200_000, 16 << 20
# These filters are part of HDF5 or of h5py; any other would be a plugin, which is code.
_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}


def is_hdf5(path: str | Path) -> bool:
    """Return whether a file can be read and begins as HDF5 does, whatever its name."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def read_tree(
    path: str | Path,
    what: str,
    skip: frozenset[str] = frozenset(),
    ratio: int | None = None,
    *,
    attributes: bool = False,
) -> Tree:
    """Return what an HDF5 file holds: groups as dicts, numbers as arrays, texts as str or lists.

    Parameters
    ----------
    path : path
    what : str
        The kind of file, for messages: ``"NIR file"``.
    skip : set of str
        Groups and datasets of these names are not read.
    ratio : int, optional
        How many times the size of the file one array may fill as float64. It is left out where
        constant arrays are usual, which compress best of all.
    attributes : bool
        Whether to return the attributes of groups too, each number or text under ``@`` and its
        name.

    Returns
    -------
    dict
        A table of texts is a list of rows.

    Raises
    ------
    RefsimError
        Where h5py is not installed, the file is missing, damaged or no HDF5, it holds links out of
        its own tree, or its contents are larger than a file of that size can mean.
    """
    where = f"{what} {path}"
    h5py = _h5py(where)
    if not Path(path).is_file():
        raise RefsimError(
            f"{where}: {'is a folder' if Path(path).is_dir() else 'there is no such file'}."
        )
    try:
        # h5py's own message would not say that the file is of another kind.
        if not h5py.is_hdf5(path):
            raise RefsimError(
                f"{where}: is not HDF5; it is another kind of file, empty, or cut short at its "
                "beginning."
            )
        with h5py.File(path, "r") as file:
            return _Reader(h5py, where, Path(path).stat().st_size, skip, ratio, attributes).group(
                file, "", 0
            )
    except RefsimError:
        raise
    except Exception as error:  # a damaged file ends in many kinds of error inside the reader
        line = first_line(error)
        raise RefsimError(
            f"{where}: cannot be read; it is damaged or cut short ({line})."
        ) from None


def _h5py(where: str) -> Any:
    """Return the library, which is an extra of refsim and is imported only where it is needed."""
    try:
        import h5py
    except ImportError:
        raise RefsimError(
            f"{where}: reading and writing it needs h5py, which is not installed; pip install "
            "'refsim[files]'."
        ) from None
    return h5py


class _Reader:
    """One reading of a file, which counts the groups it has met and the memory it has taken."""

    def __init__(
        self,
        h5py: Any,
        where: str,
        file_size: int,
        skip: frozenset[str],
        ratio: int | None,
        attributes: bool = False,
    ) -> None:
        self.h5py, self.where, self.file_size, self.skip, self.attributes = (
            h5py,
            where,
            file_size,
            skip,
            attributes,
        )
        self.room = _LARGEST if ratio is None else ratio * file_size
        self.met: set[Any] = set()
        self.objects = self.taken = self.text_bytes = 0

    def group(self, group: Any, path: str, depth: int) -> Tree:
        """Return a group as a dict."""
        # A group that is met twice makes a circle, and reading it would never end.
        address = self.h5py.h5o.get_info(group.id).addr
        if address in self.met:
            raise RefsimError(
                f"{self.where}: group '{path or '/'}' is linked more than once; a circle of "
                "links has no end, and a tree has none."
            )
        self.met.add(address)
        # Depth is bounded too, since each group calls this function again.
        if depth > _DEPTH:
            raise RefsimError(f"{self.where}: groups lie more than {_DEPTH} deep in one another.")
        beside = self._attributes(group, path) if self.attributes else {}
        return {
            **{
                name: self._entry(group, name, f"{path}/{name}", depth)
                for name in self._names(group, path)
            },
            **beside,
        }

    def _attributes(self, group: Any, path: str) -> Tree:
        """Return the attributes of a group that are one number or one text, and skip the others."""
        self.objects += len(group.attrs)
        found: Tree = {}
        for name in group.attrs if self.objects <= _OBJECTS else ():
            # Only the type is looked at until the attribute is known to be small.
            kind = group.attrs.get_id(name)
            where = f"{self.where}: attribute '{name}' of '{path or '/'}'"
            if kind.shape == () and kind.dtype.kind in "biuf":
                found[f"@{name}"] = np.asarray(group.attrs[name])
            elif kind.shape == () and self.h5py.check_string_dtype(kind.dtype) is not None:
                found[f"@{name}"] = self._text(group.attrs[name], where)
        return found

    def _names(self, group: Any, path: str) -> Iterator[str]:
        """Yield the names of the entries of a group that are to be read."""
        self.objects += len(group)
        if self.objects > _OBJECTS:
            raise RefsimError(f"{self.where}: holds more than {_OBJECTS:,} objects.")
        for name in group:
            if not name.isprintable():
                raise RefsimError(
                    f"{self.where}: group '{path or '/'}' has an entry whose name is no "
                    "printable text."
                )
            if name not in self.skip:
                yield name

    def _entry(self, group: Any, name: str, path: str, depth: int) -> "Leaf | Tree":
        """Return an entry, a group or a dataset."""
        # The link is looked at before it is followed: a soft or external one may lead anywhere.
        link = group.get(name, getlink=True)
        # A hard link is the entry itself, inside this file.
        if not isinstance(link, self.h5py.HardLink):
            kind = "an external" if isinstance(link, self.h5py.ExternalLink) else "a soft"
            raise RefsimError(
                f"{self.where}: '{path}' is {kind} link, which refsim does not follow; write the "
                "data itself in its place."
            )
        found = group[name]
        if isinstance(found, self.h5py.Group):
            return self.group(found, path, depth + 1)
        if isinstance(found, self.h5py.Dataset):
            return self._dataset(found, f"{self.where}: '{path}'")
        raise RefsimError(
            f"{self.where}: '{path}' is a {type(found).__name__}; only groups and datasets are "
            "read."
        )

    def _dataset(self, dataset: Any, where: str) -> Leaf:
        """Return the numbers or texts of a dataset, once its storage is known to be harmless."""
        if dataset.external or dataset.is_virtual:
            raise RefsimError(
                f"{where} lies in another file, which refsim does not follow; write the data "
                "itself in its place."
            )
        # An unknown filter would be loaded as a plugin, which is code.
        plan = dataset.id.get_create_plist()
        if foreign := [
            code
            for code in (plan.get_filter(index)[0] for index in range(plan.get_nfilters()))
            if code not in _FILTERS
        ]:
            raise RefsimError(
                f"{where} is packed by filter {foreign[0]}, which is a plugin; refsim unpacks "
                f"{', '.join(_FILTERS.values())}."
            )
        # A dataset without a shape holds nothing, and NumPy would make an object of it.
        if dataset.shape is None:
            raise RefsimError(f"{where} is empty: it has a type and no data.")
        if self.h5py.check_string_dtype(dataset.dtype) is not None:
            return self._texts(dataset, where)
        if dataset.dtype.kind not in "biuf":
            raise RefsimError(f"{where} must hold numbers or text, but has dtype {dataset.dtype}.")
        self._check_size(dataset, where)
        values: NDArray[np.generic] = np.asarray(dataset[()])
        return values

    def _check_size(self, dataset: Any, where: str) -> None:
        """Refuse a dataset that unpacks to more than its bytes in the file can mean."""
        size, itemsize = int(np.prod(dataset.shape, dtype=object)), dataset.dtype.itemsize
        chunk = int(np.prod(dataset.chunks, dtype=object)) * itemsize if dataset.chunks else 0
        # The file may lie about what it stores, but not about its own size.
        packed = min(dataset.id.get_storage_size(), self.file_size)
        filled = size * max(itemsize, 8)
        self.taken += filled
        if (
            size * itemsize > _SMALL + _RATIO * packed
            or filled > self.room
            or self.taken > _LARGEST
            or chunk > max(size * itemsize, _CHUNK)
        ):
            needed = max(filled, chunk)
            raise RefsimError(
                f"{where} of shape {dataset.shape} needs {needed:,} bytes; no network in a file "
                f"of {self.file_size:,} bytes does."
            )

    def _texts(self, dataset: Any, where: str) -> str | list[list[str]]:
        """Return one text, or the rows of a table of texts.

        They are read row by row, since a small file can hold one long text many times.
        """
        # NIR lists its edges as rows of two texts; nothing here has more axes.
        if dataset.ndim > 2 or int(np.prod(dataset.shape, dtype=object)) > _TEXTS:
            raise RefsimError(
                f"{where} of shape {dataset.shape} is no text and no table of {_TEXTS:,} texts "
                "at most."
            )
        self._check_size(dataset, where)
        if dataset.ndim == 0:
            return self._text(dataset[()], where)
        return [
            [self._text(text, where) for text in np.atleast_1d(dataset[row])]
            for row in range(len(dataset))
        ]

    def _text(self, value: bytes | str, where: str) -> str:
        """Return a text, counted against the most that a file may hold."""
        self.text_bytes += len(value)
        if self.text_bytes > _TEXT_BYTES:
            raise RefsimError(
                f"{where} brings the texts of the file to more than {_TEXT_BYTES:,} bytes."
            )
        try:
            return value.decode("utf-8") if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise RefsimError(f"{where} holds text that is not UTF-8.") from None


def write_tree(path: str | Path, tree: Mapping[str, object], what: str) -> Path:
    """Write groups (dicts), numbers and texts to an HDF5 file; arrays are packed by gzip.

    Raises
    ------
    RefsimError
        Where h5py is not installed, or the file cannot be written.
    """
    target, where = Path(path), f"{what} {path}"
    h5py = _h5py(where)
    try:
        with whole(target) as made, h5py.File(made, "w") as file:
            _write(h5py, file, tree)
    except OSError as error:
        raise RefsimError(f"{where}: cannot be written ({first_line(error)}).") from None
    return target


def _write(h5py: Any, group: Any, tree: Mapping[str, object]) -> None:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            _write(h5py, group.create_group(name), value)
        elif isinstance(value, str | list):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            array = np.asarray(value)
            group.create_dataset(
                name, data=array, **({"compression": "gzip"} if array.ndim else {})
            )


_TEXT = 64  # characters; names of types are short


class GroupReader:
    """A group of a file, which remembers for the whole file what was asked for.

    Parameters
    ----------
    tree : dict
        The group, as `read_tree` returns it.
    where : str
        Opens the error messages.
    path : str
        The path of the group in the file.
    asked : set of str
        Paths of the entries that were asked for.
    """

    def __init__(
        self, tree: Tree, where: str, path: str = "", asked: set[str] | None = None
    ) -> None:
        self._tree, self.where, self._path = tree, where, path
        self.asked: set[str] = set() if asked is None else asked

    @property
    def keys(self) -> list[str]:
        """Names of all entries."""
        return list(self._tree)

    def group(self, name: str) -> "GroupReader":
        """Return a group inside this one."""
        found = self._entry(name)
        if not isinstance(found, dict):
            raise RefsimError(f"{self.where}: '{name}' must be a group, but is an array.")
        return GroupReader(
            found,
            f"{self.where}{'' if name.isdigit() else ','} {name}",
            f"{self._path}/{name}",
            self.asked,
        )

    def is_group(self, name: str) -> bool:
        """Whether an entry is a group."""
        return isinstance(self._tree.get(name), dict)

    def text(self, name: str) -> str:
        """Return an entry that is one word."""
        value = self._leaf(name)
        words = (
            [value]
            if isinstance(value, str)
            else [word for row in value for word in row]
            if isinstance(value, list)
            else None
        )
        # A table of texts may hold the one word, as lava-dl writes it.
        if words is None:
            raise RefsimError(f"{self.where}: '{name}' must hold words, but holds numbers.")
        if len(words) != 1 or len(words[0]) > _TEXT:
            raise RefsimError(
                f"{self.where}: '{name}' must be one word, but is {' '.join(words)[:_TEXT]!r}."
            )
        return words[0]

    def word_or_number(self, name: str) -> object:
        """Return an entry that is one word, one number or an array."""
        value = self._leaf(name)
        return (
            value.item()
            if isinstance(value, np.ndarray) and value.size == 1
            else value
            if isinstance(value, np.ndarray)
            else self.text(name)
        )

    def array(self, name: str) -> NDArray[np.float64]:
        """Return an entry of finite real numbers."""
        value = self._leaf(name)
        if not isinstance(value, np.ndarray):
            raise RefsimError(f"{self.where}: '{name}' must hold real numbers, but holds words.")
        numbers = float_array(value, f"{self.where}: '{name}'")
        if wrong := numbers.size - int(np.isfinite(numbers).sum()):
            raise RefsimError(
                f"{self.where}: {wrong} of {numbers.size} numbers of '{name}' are NaN or infinite; "
                f"{first_wrong(numbers)}."
            )
        return numbers

    def unread(self) -> list[str]:
        """Return the paths of the arrays and words that nobody asked for."""
        return [
            path.lstrip("/") for path in _leaves(self._tree, self._path) if path not in self.asked
        ]

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
