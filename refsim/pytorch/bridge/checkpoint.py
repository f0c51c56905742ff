"""Read tensors by name from a file of PyTorch, NumPy or safetensors, as data and never as code."""

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import RefsimError, listed
from .arrayfiles import read_npz, read_safetensors
from .pickled import check_pickle

TENSOR_FILES = (".pt", ".pth", ".ckpt", ".safetensors", ".npz")
_CURE = "Save it anew with torch.save(module.state_dict(), path)."


def read_tensors(path: Path, key: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by the end of its name; `key` is for PyTorch's alone."""
    readers = {".safetensors": read_safetensors, ".npz": read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return read_checkpoint(path, key)
    if key is not None:
        raise RefsimError(f"checkpoint {path}: has no parts, and key = {key!r} names one; leave it out of the description.")
    check_there(path)
    return reader(path)


_HDF5 = b"\x89HDF\r\n\x1a\n"
_READ = "refsim reads .pt, .safetensors and .npz with a description, .net of lava-dl, .nir and .refsim"
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
    """Refuse a file of another program by its name or first bytes, with what it is and how its weights come in.

    Raises
    ------
    RefsimError
        Where it is such a file; a file that is not there is left to the reader.
    """
    kind, cure = _FOREIGN.get(path.suffix.lower(), ("", ""))
    if path.is_file() and not kind:
        with open(path, "rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                kind = "is HDF5, in which Keras saves its models, and no file of PyTorch"
                cure = f"{_KERAS} A network of lava-dl ends in .net, one of NIR in .nir."
    if path.is_file() and kind:
        raise RefsimError(f"checkpoint {path}: {kind}; {_READ}. {cure}")


def check_there(path: Path) -> None:
    """Refuse a path where no file is, or an empty one."""
    if not path.is_file():
        raise RefsimError(f"checkpoint {path}: {'is a folder' if path.is_dir() else 'there is no such file'}.")
    if path.stat().st_size == 0:
        raise RefsimError(f"checkpoint {path}: is empty. {_CURE}")


def read_checkpoint(path: Path, key: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the tensors of a ``.pt`` file as arrays.

    Parameters
    ----------
    path : Path
    key : str, optional
        Name of the state_dict inside a larger checkpoint.

    Raises
    ------
    RefsimError
        Where the file is missing, cut short, empty, holds code or holds no tensors.
    """
    where = f"checkpoint {path}"
    check_there(path)
    check_own(path)
    _check_unpacked(path, where)
    check_pickle(path, where, _CURE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise RefsimError(f"{where}: holds Python code or objects besides tensors, and refsim runs no code from a file. {_CURE}") from None
        raise RefsimError(f"{where}: is not a PyTorch file. {_CURE}") from None
    except Exception as error:  # a damaged file ends in many kinds of error inside the reader
        raise RefsimError(f"{where}: cannot be read; it is damaged, cut short, or no PyTorch file ({_first_line(error)}). {_CURE}") from None
    return tensors_of(_inner(found, key, where), where)


def _check_unpacked(path: Path, where: str) -> None:
    """Refuse an archive with packed entries: PyTorch writes none, and a small one may unpack to any size."""
    if zipfile.is_zipfile(path):
        with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as file:
            if packed := [entry.filename for entry in file.infolist() if entry.compress_type != zipfile.ZIP_STORED]:
                raise RefsimError(f"{where}: '{packed[0][:80]}' in it is packed, which PyTorch never does, and may unpack to any size. {_CURE}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0][:120].rstrip(".") if lines else type(error).__name__


def _inner(found: object, key: str | None, where: str) -> Mapping[str, Any]:
    _check_keys(found, where)
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            have = listed(found) if isinstance(found, Mapping) else type(found).__name__
            raise RefsimError(f"{where}: has no entry '{key}'; it has {have}.")
        found = found[key]
        _check_keys(found, where)
    if not isinstance(found, Mapping) or not found:
        raise RefsimError(f"{where}: holds a {type(found).__name__} and no named tensors. {_CURE}")
    inside = [name for name, value in found.items() if isinstance(value, Mapping)]
    if inside:
        raise RefsimError(f'{where}: is a larger checkpoint with parts {listed(found)}; say which is the state_dict, key = "{inside[0]}" in the description.')
    return found


def _check_keys(found: object, where: str) -> None:
    """Refuse keys that are no names: a tuple may be so deep that nothing can write it."""
    for key in found if isinstance(found, Mapping) else ():
        if not isinstance(key, str | int):
            raise RefsimError(f"{where}: names a thing by a {type(key).__name__}, where a state_dict has the names of its tensors. {_CURE}")


def tensors_of(state: Mapping[str, Any], where: str) -> dict[str, NDArray[Any]]:
    """Return each tensor as an array, of float64 where it is no whole numbers, or say which entry is none."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise RefsimError(f"{where}: entry '{name}' is a {type(value).__name__} and no tensor. {_CURE}")
        if value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise RefsimError(f"{where}: tensor '{name}' is {value.dtype}, {value.layout}; plain real tensors are needed.")
        if value.is_meta or value.numel() > value.untyped_storage().nbytes() // value.element_size():
            raise RefsimError(f"{where}: tensor '{name}' of shape {tuple(value.shape)} claims more numbers than the file holds.")
        held = value.detach().cpu()
        arrays[str(name)] = np.asarray((held.double() if held.is_floating_point() else held).numpy())  # NumPy has no bfloat16
    return arrays
