"""Tensors by name from a file of PyTorch, NumPy or safetensors, read as data and never as code.

`read_tensors` chooses the reader by the end of the name: `read_safetensors`, `read_npz`, or
`read_checkpoint` for files of PyTorch. `check_pickle` looks through a pickle before PyTorch loads
it. `Tensors` holds what was read, and knows which tensors a layer took and which nothing explains.

PyTorch runs no code of a file, but it does load tuples of tuples. Where each of n tuples holds the
one before it twice, the last one holds 2^n things for whoever computes its hash, as a dictionary
does for a key. A few hundred bytes can so keep any machine busy for ever.
"""

import contextlib
import io
import json
import math
import pickle
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.arrays import DAMAGED_ARCHIVE, Floats, float_array
from ..core.errors import RefsimError, first_line, listed
from ..core.memory import LARGEST_MATRIX
from .hdf5 import is_hdf5

# The most parts that a pickle may build, each counted as often as something holds it. A state_dict
# has about ten a tensor.
_LARGEST = 20_000_000
# The old format has five pickles: magic number, version, system, the object, its storages.
_PICKLES = 5
_ZIP = b"PK\x03\x04"
# These operations put things into what lies below them on the stack, which was counted before.
_INTO = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def check_pickle(path: Path, where: str, cure: str) -> None:
    """Refuse a file whose pickle would build more parts than any network has.

    Parameters
    ----------
    path : Path
    where : str
        Opens the error message.
    cure : str
        Ends the error message.

    Raises
    ------
    RefsimError
        Also where the pickle ends early or has an unknown operation.
    """
    with open(path, "rb") as file:
        # Newer files are archives with one pickle, older ones are five pickles in a row.
        begins = file.read(len(_ZIP))
        file.seek(0)
        try:
            if begins == _ZIP:
                _walk(io.BytesIO(_record(path)), where, cure)
            else:
                for _ in range(_PICKLES):
                    _walk(file, where, cure)
        except RefsimError:
            raise
        except Exception as error:  # of a damaged file; what PyTorch says of it is no better
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
            raise RefsimError(
                f"{where}: is not a PyTorch file, damaged or cut short ({said}). {cure}"
            ) from None


def _record(path: Path) -> bytes:
    """Return the pickle of an archive, read by the reader of PyTorch.

    Another reader might find another entry of the same name.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    return bytes(reader.get_record("data.pkl"))


def _walk(file: BinaryIO, where: str, cure: str) -> None:
    """Follow the stack of one pickle, with the size of each thing in place of the thing.

    The size counts every part as often as something holds it.
    """
    stack: list[int | None] = []  # None stands for a mark
    memo: dict[int, int] = {}
    spent = 0
    for name, argument, before, after in _operations(file):
        size = 1
        # The memo hands out a thing again, without anything that it holds being built anew.
        if name in ("GET", "BINGET", "LONG_BINGET"):
            size = memo.get(_place(argument), 1)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else _place(argument)] = _top(stack)
            continue
        elif before:
            taken = _taken(stack, before)
            spent += sum(taken[1:] if name in _INTO else taken)
            size += sum(taken)
        # Whatever the operation puts on the stack holds all that it took.
        stack += [None if kind == "mark" else size for kind in after]
        if spent > _LARGEST or size > _LARGEST:
            raise RefsimError(
                f"{where}: its things hold each other so often that there would be more than "
                f"{_LARGEST:,} of them; no network has. {cure}"
            )


def _place(argument: object) -> int:
    """Return the place in the memo that an operation names."""
    return int(str(argument))


def _operations(file: BinaryIO) -> Iterator[tuple[str, object, list[str], list[str]]]:
    """Yield name and argument of each operation, and what it takes from and puts on the stack."""
    for operation, argument, _ in pickletools.genops(file):
        yield (
            operation.name,
            argument,
            [each.name for each in operation.stack_before],
            [each.name for each in operation.stack_after],
        )


def _top(stack: list[int | None]) -> int:
    return stack[-1] or 1


def _taken(stack: list[int | None], kinds: list[str]) -> list[int]:
    """Take from the stack what an operation takes, and return it, the lowest first.

    Some operations take all things down to the last mark.
    """
    found: list[int] = []
    for kind in reversed(kinds):
        if kind == "stackslice":
            while stack[-1] is not None:
                found.append(stack.pop() or 1)
        else:
            found.append(stack.pop() or 1)
    return found[::-1]


_HEAD = 16 << 20  # bytes of the head, which lists the tensors
_RATIO = 1000  # a zip that unpacks to more than this times its size is a bomb
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}


def read_safetensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a safetensors file.

    Such a file begins with the length of its head, then has the head as JSON, then the numbers.

    Raises
    ------
    RefsimError
        Where the head or a tensor does not fit the file.
    """
    where, size = f"checkpoint {path}", path.stat().st_size
    with open(path, "rb") as file:
        # The head must fit the file before any memory is taken for it.
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_HEAD, size - 8):
            raise RefsimError(
                f"{where}: is no safetensors file: its head of {length:,} bytes does not fit a "
                f"file of {size:,}."
            )
        try:
            head = json.loads(file.read(length), object_pairs_hook=_unlike)
        except KeyError as error:
            raise RefsimError(
                f"{where}: names {error.args[0]!r} twice in its head, and nothing says which is "
                "meant."
            ) from None
        except (ValueError, RecursionError):
            raise RefsimError(f"{where}: is no safetensors file: its head is not JSON.") from None
        if not isinstance(head, dict) or not set(head) - {"__metadata__"}:
            raise RefsimError(f"{where}: names no tensors.")
        data = file.read()
    # Each tensor is checked by itself, and then all together.
    found = {
        name: _tensor(data, entry, f"{where}: tensor '{name[:80]}'")
        for name, entry in head.items()
        if name != "__metadata__"
    }
    _check_gapless(
        [entry["data_offsets"] for name, entry in head.items() if name != "__metadata__"],
        len(data),
        where,
    )
    return found


def _unlike(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a dict, or raise KeyError for a name that comes twice."""
    found = dict[str, object]()
    for name, value in pairs:
        if name in found:
            raise KeyError(name[:80])
        found[name] = value
    return found


def _check_gapless(offsets: list[list[int]], size: int, where: str) -> None:
    """Refuse numbers that belong to no tensor, or to two: each tensor must begin where one ends."""
    end = 0
    # In the order of the file, each tensor must begin where the last one ended.
    for start, stop in sorted(offsets):
        if start != end:
            raise RefsimError(
                f"{where}: bytes {min(start, end):,} to {max(start, end):,} of its numbers "
                f"belong to {'no tensor' if start > end else 'two tensors'}."
            )
        end = stop
    if end != size:
        raise RefsimError(f"{where}: its last {size - end:,} bytes belong to no tensor.")


def _tensor(data: bytes, entry: object, where: str) -> NDArray[np.generic]:
    """Return one tensor of a safetensors file, as its entry in the head describes it."""
    said: dict[str, object] = entry if isinstance(entry, dict) else {}
    shape, offsets, dtype = (said.get(key) for key in ("shape", "data_offsets", "dtype"))
    start, end = offsets if _whole(offsets) and len(offsets) == 2 else (1, 0)
    # The type comes first: a foreign one says more than the size that does not fit.
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise RefsimError(
            f"{where} is {dtype}; plain real tensors are needed: {', '.join(_DTYPES)}."
        )
    if not _whole(shape) or not start <= end <= len(data):
        raise RefsimError(
            f"{where} must have a shape and two data_offsets within the file, but has "
            f"{str(shape)[:40]} and {str(offsets)[:40]}."
        )
    if (
        any(size > LARGEST_MATRIX for size in shape)
        or math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != end - start
    ):
        raise RefsimError(f"{where} of shape {shape} does not fill its {end - start:,} bytes.")
    # NumPy has no bfloat16, which is the upper half of a float32.
    flat = np.frombuffer(data[start:end], _DTYPES[dtype])
    if dtype == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(shape)


def _whole(values: object) -> TypeGuard[list[int]]:
    """Return whether something is a list of whole numbers from 0 on, of a sane length."""
    return (
        isinstance(values, list)
        and len(values) <= 64
        and all(
            isinstance(value, int) and not isinstance(value, bool) and value >= 0
            for value in values
        )
    )


def read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an .npz file.

    Raises
    ------
    RefsimError
        Where the file is damaged, holds Python objects, or unpacks to more than any network of its
        size.
    """
    where, size = f"checkpoint {path}", path.stat().st_size
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if not hasattr(archive, "zip"):
                raise RefsimError(f"{where}: is no .npz file.")
            # The sizes come from the archive, before anything is unpacked.
            for entry in archive.zip.infolist():
                if entry.file_size > min(LARGEST_MATRIX, _RATIO * size):
                    raise RefsimError(
                        f"{where}: '{entry.filename[:80]}' unpacks to {entry.file_size:,} bytes; "
                        "no network of this size of file does."
                    )
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, AttributeError, MemoryError, *DAMAGED_ARCHIVE) as error:
        if isinstance(error, RefsimError):
            raise
        reason = first_line(error, 100)
        raise RefsimError(
            f"{where}: is damaged, or holds Python objects, which refsim does not read "
            f"({reason.rstrip('.')})."
        ) from None
    if wrong := [name for name, array in found.items() if array.dtype.kind not in "fiub"]:
        raise RefsimError(
            f"{where}: '{wrong[0][:80]}' is {found[wrong[0]].dtype}; plain real tensors are needed."
        )
    return found


TENSOR_FILES = (".pt", ".pth", ".ckpt", ".safetensors", ".npz")
_CURE = "Save it anew with torch.save(module.state_dict(), path)."


def read_tensors(path: Path, key: str | None = None) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a file, read as the end of its name says.

    Parameters
    ----------
    path : Path
    key : str, optional
        Name of the state_dict inside a larger checkpoint of PyTorch.

    Raises
    ------
    RefsimError
        Where the file cannot be read, or `key` is given for a file of another kind.
    """
    readers = {".safetensors": read_safetensors, ".npz": read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return read_checkpoint(path, key)
    if key is not None:
        raise RefsimError(
            f"checkpoint {path}: has no parts, and key = {key!r} names one; leave it out of the "
            "description."
        )
    check_there(path)
    return reader(path)


_READ = (
    "refsim reads .pt, .safetensors and .npz with a description, .net of lava-dl, .nir and .refsim"
)
_KERAS = (
    "Save its arrays as layers of PyTorch have them, "
    'numpy.savez("net.npz", **{"dense.weight": kernel.T, "dense.bias": bias}) '
    "(of Conv2D kernel.transpose(3, 2, 0, 1)), and describe them in net.toml."
)
_FOREIGN = {
    ".keras": ("is a model of Keras", _KERAS),
    ".pb": ("is a graph of TensorFlow", _KERAS),
    ".onnx": ("is a graph of ONNX", _KERAS),
    ".mat": ("is a file of MATLAB", 'Save its arrays with numpy.savez("net.npz", ...).'),
}


def check_own(path: Path) -> None:
    """Refuse a file of another program, which its name or its first bytes show.

    Raises
    ------
    RefsimError
        Where the file is one; the message says how its weights can be read. A file that is not
        there is left to the reader.
    """
    kind, cure = _FOREIGN.get(path.suffix.lower(), ("", ""))
    if path.is_file() and not kind and is_hdf5(path):
        kind = "is HDF5, in which Keras saves its models, and no file of PyTorch"
        cure = f"{_KERAS} A network of lava-dl ends in .net, one of NIR in .nir."
    if path.is_file() and kind:
        raise RefsimError(f"checkpoint {path}: {kind}; {_READ}. {cure}")


def check_there(path: Path) -> None:
    """Refuse a path where no file is, or an empty one."""
    if not path.is_file():
        raise RefsimError(
            f"checkpoint {path}: {'is a folder' if path.is_dir() else 'there is no such file'}."
        )
    if path.stat().st_size == 0:
        raise RefsimError(f"checkpoint {path}: is empty. {_CURE}")


def read_checkpoint(path: Path, key: str | None = None) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a ``.pt`` file as arrays.

    Parameters
    ----------
    path : Path
    key : str, optional
        Name of the state_dict inside a larger checkpoint.

    Raises
    ------
    RefsimError
        Where the file is missing, cut short or empty, or holds code or no tensors.
    """
    where = f"checkpoint {path}"
    check_there(path)
    check_own(path)
    # All these checks come before PyTorch loads anything.
    _check_unpacked(path, where)
    check_pickle(path, where, _CURE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise RefsimError(
                f"{where}: holds Python code or objects besides tensors, and refsim runs no code "
                f"from a file. {_CURE}"
            ) from None
        raise RefsimError(f"{where}: is not a PyTorch file. {_CURE}") from None
    except Exception as error:  # a damaged file ends in many kinds of error inside the reader
        raise RefsimError(
            f"{where}: cannot be read; it is damaged, cut short, or no PyTorch file "
            f"({_first_line(error)}). {_CURE}"
        ) from None
    return tensors_of(_inner(found, key, where), where)


def _check_unpacked(path: Path, where: str) -> None:
    """Refuse an archive with packed entries, which PyTorch never writes, and which may be bombs."""
    if zipfile.is_zipfile(path):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as file:
            if packed := [
                entry.filename
                for entry in file.infolist()
                if entry.compress_type != zipfile.ZIP_STORED
            ]:
                raise RefsimError(
                    f"{where}: '{packed[0][:80]}' in it is packed, which PyTorch never does, and "
                    f"may unpack to any size. {_CURE}"
                )


def _first_line(error: BaseException) -> str:
    """Return the first sentence of an error."""
    said = str(error).strip().splitlines()
    return said[0].split(". ")[0][:120].rstrip(".") if said else type(error).__name__


def _inner(found: object, key: str | None, where: str) -> Mapping[str, object]:
    """Return the state_dict of what PyTorch loaded, or the one that `key` names in it."""
    _check_keys(found, where)
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            have = listed(found) if isinstance(found, Mapping) else type(found).__name__
            raise RefsimError(f"{where}: has no entry '{key}'; it has {have}.")
        found = found[key]
        _check_keys(found, where)
    if not isinstance(found, Mapping) or not found:
        raise RefsimError(f"{where}: holds a {type(found).__name__} and no named tensors. {_CURE}")
    # A checkpoint of a training has its state_dict under a name, which the user must give.
    inside = [name for name, value in found.items() if isinstance(value, Mapping)]
    if inside:
        raise RefsimError(
            f"{where}: is a larger checkpoint with parts {listed(found)}; say which is the "
            f'state_dict, key = "{inside[0]}" in the description.'
        )
    return found


def _check_keys(found: object, where: str) -> None:
    """Refuse keys that are no names: a tuple may be nested so deep that nobody can print it."""
    for key in found if isinstance(found, Mapping) else ():
        if not isinstance(key, str | int):
            raise RefsimError(
                f"{where}: names a thing by a {type(key).__name__}, where a state_dict has the "
                f"names of its tensors. {_CURE}"
            )


def tensors_of(state: Mapping[str, object], where: str) -> dict[str, NDArray[np.generic]]:
    """Return each tensor as an array; floating-point numbers become float64.

    Raises
    ------
    RefsimError
        Where an entry is no tensor, or one that NumPy cannot hold.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise RefsimError(
                f"{where}: entry '{name}' is a {type(value).__name__} and no tensor. {_CURE}"
            )
        # Sparse, complex and quantised tensors have no plain array.
        if value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise RefsimError(
                f"{where}: tensor '{name}' is {value.dtype}, {value.layout}; plain real tensors "
                "are needed."
            )
        # A view may claim more numbers than its storage holds.
        if (
            value.is_meta
            or value.numel() > value.untyped_storage().nbytes() // value.element_size()
        ):
            raise RefsimError(
                f"{where}: tensor '{name}' of shape {tuple(value.shape)} claims more numbers "
                "than the file holds."
            )
        numbers = value.detach().cpu()
        # NumPy has no bfloat16.
        arrays[str(name)] = np.asarray(
            (numbers.double() if numbers.is_floating_point() else numbers).numpy()
        )
    return arrays


class Tensors:
    """Tensors by name, which know which of them were taken.

    Parameters
    ----------
    tensors : dict of str to array
    where : str
        Opens the error messages.
    """

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]], where: str) -> None:
        self._tensors, self.where, self._taken = tensors, where, set[str]()

    def __contains__(self, name: str) -> bool:
        """Return whether there is a tensor of that name."""
        return name in self._tensors

    def take(self, name: str) -> Floats:
        """Return a tensor that the description asks for, as float64, and note that it was taken.

        Raises
        ------
        RefsimError
            Where there is no such tensor.
        """
        if name not in self._tensors:
            raise RefsimError(
                f"{self.where}: has no tensor '{name}', which the description asks for; it has "
                f"{listed(self._tensors)}. Correct linear = ... in the description."
            )
        self._taken.add(name)
        return float_array(self._tensors[name], f"{self.where}: tensor '{name}'")

    def left(self) -> dict[str, NDArray[np.generic]]:
        """Return the tensors that nothing asked for, in the order of the file."""
        return {name: values for name, values in self._tensors.items() if name not in self._taken}

    def finish(
        self,
        ignore: Sequence[str],
        agree: Collection[str] = (),
        apart: Mapping[str, str] | None = None,
    ) -> None:
        """Refuse tensors that nothing accounts for, or that differ from what is declared.

        Parameters
        ----------
        ignore : names
            Tensors that the user declares to be of no account; they are not refused.
        agree : names
            Tensors that hold what is declared.
        apart : dict of str to str
            Tensors that hold something else, and what, in words.

        Raises
        ------
        RefsimError
            Also where a tensor is to be ignored that does not exist, or that a layer uses.
        """
        # Mistakes in the list itself come first, then contradictions, then what nothing explains.
        if missing := set(ignore) - set(self._tensors):
            raise RefsimError(
                f"{self.where}: is to ignore {listed(missing)}, but has no such tensor; it has "
                f"{listed(self._tensors)}."
            )
        if both := set(ignore) & self._taken:
            raise RefsimError(
                f"{self.where}: {listed(both)} is to be ignored, but a layer of the description "
                "uses it; a bias that is to be left out must leave the file."
            )
        if other := [words for name, words in (apart or {}).items() if name not in ignore]:
            raise RefsimError(
                f"{self.where}: its description says otherwise: {'; '.join(other)}. Correct the "
                "description, take the number from the file with "
                "tensors = { ... }, or put the tensor under ignore = [...] if it means nothing."
            )
        if surplus := set(self._tensors) - self._taken - set(ignore) - set(agree):
            raise RefsimError(
                f"{self.where}: the description does not account for {listed(surplus)}. Name the "
                "layer it belongs to, or put it under ignore = [...] if it means nothing."
            )
