"""The primitives of NIR 1.0: which fields each has, read and checked one by one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...arrays import DIVERGED, Floats, real_array
from ...errors import RefsimError, listed
from .hdf5 import Tree

_CONV = ("weight", "stride", "padding", "dilation", "groups", "bias")
_POOL = ("kernel_size", "stride", "padding")
# Kind -> the fields that it needs, and those that it may leave out.
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Affine": (("weight", "bias"), ()),
    "Linear": (("weight",), ()),
    "Scale": (("scale",), ()),
    "Conv1d": (_CONV, ("input_shape",)),
    "Conv2d": (_CONV, ("input_shape",)),
    "SumPool2d": (_POOL, ()),
    "AvgPool2d": (_POOL, ()),
    "Flatten": (("start_dim", "end_dim"), ("input_type",)),
    "Delay": (("delay",), ()),
    "Threshold": (("threshold",), ()),
    "I": (("r",), ()),
    "IF": (("r", "v_threshold"), ("v_reset",)),
    "LI": (("tau", "r", "v_leak"), ()),
    "LIF": (("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": (("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), ("v_reset", "w_in")),
}
INTEGRATORS = ("I", "LI", "CubaLI")  # their membrane is their output
FIRING = ("IF", "LIF", "CubaLIF")
NEURONS = (*INTEGRATORS, *FIRING, "Threshold")
_ABSENT = {"v_reset": 0.0, "w_in": 1.0}  # what NIR says of a field that is left out
_COUNTS = {"stride", "padding", "dilation", "groups", "kernel_size", "start_dim", "end_dim", "shape", "input_shape", "input_type"}
_MAY_BE_NEGATIVE = {"start_dim", "end_dim"}
_WORDS = ("same", "valid")
LARGEST = 1 << 18  # numbers in one signal: what 512 of them need stays below a gigabyte


@dataclass(frozen=True)
class Node:
    """A primitive, its numbers float64 and finite.

    Attributes
    ----------
    name : str
        ``"a"``, or ``"sub.a"`` inside a subgraph.
    kind : str
        A key of ``FIELDS``; "Pass" for what only hands on: the Input and Output of a subgraph.
    values : dict of str to float64 array
    padding : str
        "same" or "valid", where the padding is a word.
    where : str
        The node in a message.
    """

    name: str
    kind: str
    values: Mapping[str, Floats]
    padding: str
    where: str

    def whole(self, field: str, n: int) -> tuple[int, ...]:
        """Return a field as n whole numbers, where one stands for all."""
        flat = self.values[field].reshape(-1)
        if flat.size not in (1, n):
            raise RefsimError(f"{self.where}: {field} must be {n} whole numbers or one, but has shape {self.values[field].shape}.")
        return tuple(int(value) for value in np.broadcast_to(flat, n))


def read_node(name: str, entry: object, where: str) -> Node:
    """Read one node of a graph.

    Raises
    ------
    RefsimError
        For a type that NIR 1.0 does not have, a field that is missing, surplus, or no finite number.
    """
    here = f"{where}: node '{name}'"
    kind = kind_of(entry, here)
    if kind not in FIELDS:
        raise RefsimError(f"{here}: is of type '{kind}', which refsim does not read; of NIR it reads NIRGraph, {listed(FIELDS)}.")
    assert isinstance(entry, dict)
    needed, optional = FIELDS[kind]
    here = f"{here} ({kind})"
    if missing := [field for field in needed if field not in entry]:
        raise RefsimError(f"{here}: lacks {listed(missing)}; needed are {', '.join(needed)}.")
    if surplus := set(entry) - {*needed, *optional, "type"}:
        raise RefsimError(f"{here}: has {listed(surplus)}, which NIR does not give it; it has {', '.join((*needed, *optional))}.")
    padding = entry.get("padding")
    word = padding if isinstance(padding, str) else ""
    if word and word not in _WORDS:
        raise RefsimError(f"{here}: padding must be whole numbers, 'same' or 'valid', but is {word[:40]!r}.")
    values = {
        field: _numbers(field, entry[field], f"{here}: {field}") for field in (*needed, *optional) if field in entry and not (word and field == "padding")
    }
    values |= {field: np.array(_ABSENT[field]) for field in optional if field in _ABSENT and field not in entry}
    return Node(name, kind, values, word, here)


def kind_of(entry: object, where: str) -> str:
    """Return the type that a node says."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str):
        raise RefsimError(f"{where}: says no type; a node of NIR is a group with a text named type.")
    return kind


def _numbers(field: str, value: "Tree | object", where: str) -> Floats:
    if not isinstance(value, np.ndarray):
        raise RefsimError(f"{where} must be numbers, but is {'a group' if isinstance(value, dict) else 'text'}.")
    array = real_array(value, where, cure=DIVERGED)
    if array.size == 0:
        raise RefsimError(f"{where} holds no number; its shape is {array.shape}.")
    if field in _COUNTS:
        least = 0 if field == "padding" else 1
        if array.ndim > 1 or (array != np.round(array)).any() or (field not in _MAY_BE_NEGATIVE and array.min() < least) or np.abs(array).max() > LARGEST:
            raise RefsimError(f"{where} must be whole numbers from {least} to {LARGEST:,}, but is {_short(array)}.")
    return array


def _short(array: Floats) -> str:
    return np.array2string(array, threshold=6) if array.ndim < 2 else f"of shape {array.shape}"
