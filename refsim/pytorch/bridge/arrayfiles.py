"""Files that hold arrays and nothing else: safetensors, and NumPy's .npz."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import DAMAGED_ARCHIVE
from ...errors import RefsimError, first_line
from .affine import LARGEST

_HEAD = 16 << 20  # bytes of the head, which lists the tensors
_RATIO = 1000  # a zip that unpacks to more than this times its size is a bomb
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "u1"}


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file: the length of its head, the head as JSON, then the numbers.

    Raises
    ------
    RefsimError
        Where the head or a tensor does not fit the file.
    """
    where, size = f"checkpoint {path}", path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_HEAD, size - 8):
            raise RefsimError(f"{where}: is no safetensors file: its head of {length:,} bytes does not fit a file of {size:,}.")
        try:
            head = json.loads(file.read(length), object_pairs_hook=_unlike)
        except KeyError as error:
            raise RefsimError(f"{where}: names {error.args[0]!r} twice in its head, and nothing says which is meant.") from None
        except (ValueError, RecursionError):
            raise RefsimError(f"{where}: is no safetensors file: its head is not JSON.") from None
        if not isinstance(head, dict) or not set(head) - {"__metadata__"}:
            raise RefsimError(f"{where}: names no tensors.")
        data = file.read()
    found = {name: _tensor(data, entry, f"{where}: tensor '{name[:80]}'") for name, entry in head.items() if name != "__metadata__"}
    _check_gapless([entry["data_offsets"] for name, entry in head.items() if name != "__metadata__"], len(data), where)
    return found


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict, or raise KeyError for a name that comes twice."""
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise KeyError(name[:80])
        found[name] = value
    return found


def _check_gapless(offsets: list[list[int]], size: int, where: str) -> None:
    """Refuse numbers that belong to no tensor, or to two: the format has one tensor behind the other."""
    end = 0
    for start, stop in sorted(offsets):
        if start != end:
            raise RefsimError(
                f"{where}: bytes {min(start, end):,} to {max(start, end):,} of its numbers belong to {'no tensor' if start > end else 'two tensors'}."
            )
        end = stop
    if end != size:
        raise RefsimError(f"{where}: its last {size - end:,} bytes belong to no tensor.")


def _tensor(data: bytes, entry: Any, where: str) -> NDArray[Any]:
    said: dict[str, Any] = entry if isinstance(entry, dict) else {}
    shape: Any = said.get("shape")
    offsets: Any = said.get("data_offsets")
    dtype = said.get("dtype")
    start, end = offsets if _whole(offsets) and len(offsets) == 2 else (1, 0)
    if dtype not in _DTYPES:
        raise RefsimError(f"{where} is {dtype}; plain real tensors are needed: {', '.join(_DTYPES)}.")
    if not _whole(shape) or not start <= end <= len(data):
        raise RefsimError(f"{where} must have a shape and two data_offsets within the file, but has {str(shape)[:40]} and {str(offsets)[:40]}.")
    if any(size > LARGEST for size in shape) or math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != end - start:
        raise RefsimError(f"{where} of shape {shape} does not fill its {end - start:,} bytes.")
    flat = np.frombuffer(data[start:end], _DTYPES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(shape)


def _whole(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 64 and all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file.

    Raises
    ------
    RefsimError
        Where it is damaged, holds Python objects, or unpacks to more than a file of its size can.
    """
    where, size = f"checkpoint {path}", path.stat().st_size
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            if not hasattr(archive, "zip"):
                raise RefsimError(f"{where}: is no .npz file.")
            for entry in archive.zip.infolist():
                if entry.file_size > min(LARGEST, _RATIO * size):
                    raise RefsimError(f"{where}: '{entry.filename[:80]}' unpacks to {entry.file_size:,} bytes; no network of this size of file does.")
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, AttributeError, MemoryError, *DAMAGED_ARCHIVE) as error:
        if isinstance(error, RefsimError):
            raise
        reason = first_line(error, 100)
        raise RefsimError(f"{where}: is damaged, or holds Python objects, which refsim does not read ({reason.rstrip('.')}).") from None
    if wrong := [name for name, array in found.items() if array.dtype.kind not in "fiub"]:
        raise RefsimError(f"{where}: '{wrong[0][:80]}' is {found[wrong[0]].dtype}; plain real tensors are needed.")
    return found
