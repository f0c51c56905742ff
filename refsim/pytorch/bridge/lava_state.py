"""A state_dict of lava-dl with its description: float weights come onto their grid, decays become whole numbers, as slayer computes with them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...arrays import Floats
from ...errors import RefsimError, listed
from .description import Description
from .lava_blocks import Block, network_of
from .lava_format import Kind, lava_format
from .reading import Asked, Reading
from .tensors import Tensors

_GEOMETRY = {"stride", "padding", "dilation", "groups"}
_KINDS = ("dense", "conv", "pool", "flatten", "input")
_NORMED = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))  # PyTorch's older and newer names
_KEYS = {"block", "kind", "neuron", "shape", *_GEOMETRY}


def read_state(tensors: Mapping[str, NDArray[Any]], description: Description, asked: Asked, where: str) -> Reading:
    """Read a state_dict of slayer's blocks.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus or misshapen, or a block is one that refsim does not read.
    """
    state = Tensors(tensors, where)
    blocks = [_block(row, state, f"{where}, layer {index}") for index, row in enumerate(description.rows)]
    state.finish(description.ignore)
    dt = description.dt if asked.dt is None else asked.dt
    return network_of(blocks, {**description.convention, **asked.convention}, dt, where, "state_dict of lava-dl", description.ignore)


def _block(row: Mapping[str, Any], state: Tensors, where: str) -> Block:
    kind = row.get("kind", "dense")
    if kind not in _KINDS:
        raise RefsimError(f"{where}: kind must be one of {', '.join(_KINDS)}, but is {kind!r}.")
    shape = tuple(row.get("shape", ()))
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
        raise RefsimError(f"{where}: shape must be whole numbers above 0, such as [2, 34, 34], but is {row['shape']!r}.")
    if kind in ("flatten", "input"):
        return Block(where, kind, shape)
    prefix, name = row.get("block"), row.get("neuron")
    if not isinstance(prefix, str) or not isinstance(name, str):
        raise RefsimError(f'{where}: needs block = "...", the prefix of its tensors such as "blocks.0", and neuron = "CUBA", or another of lava-dl\'s types.')
    lava = lava_format()
    neuron = lava.kind(name, where)
    given = {key: value for key, value in row.items() if key not in _KEYS}
    if wrong := [key for key, value in given.items() if isinstance(value, bool) or not isinstance(value, int | float)]:
        raise RefsimError(f"{where}: {listed(wrong)} must be a number.")
    entries = {"type": name, **neuron.entries(given, where), **_decays(neuron, prefix, state)}
    geometry = {key: np.asarray(row[key], np.float64) for key in _GEOMETRY & set(row)}
    weight = _weight(prefix, state, where)
    weight = weight.reshape(len(weight), -1) if kind == "dense" else weight.reshape(weight.shape[:4])
    mean, held = (state.take(key) if key in state else None for key in (f"{prefix}.neuron.norm.running_mean", f"{prefix}.delay.delay"))
    return Block(where, kind, shape, weight, geometry, None if mean is None else -on_grid(mean), held, entries)


def on_grid(values: Floats) -> Floats:
    """Return numbers rounded to the grid of lava-dl's weights and within its bounds, as whole numbers."""
    grid = lava_format().grid
    return np.clip(np.rint(values / grid["step"]) * grid["step"], grid["minimum"], grid["maximum"]) * grid["scale"]


def _decays(kind: Kind, prefix: str, state: Tensors) -> dict[str, Floats]:
    return {entry: np.clip(np.rint(state.take(f"{prefix}.neuron.{tensor}").ravel()), 0, 4096) for entry, tensor in kind.tensors.items()}


def _weight(prefix: str, state: Tensors, where: str) -> Floats:
    """Return the weight of a block on its grid; of a complex one the real part, where the imaginary part is zero."""
    take: Callable[[str], Floats] = lambda part: on_grid(_normed(f"{prefix}.synapse{part}", state))  # noqa: E731
    if any(f"{prefix}.synapse.imag.{name}" in state for name in ("weight", *(pair[0] for pair in _NORMED))):
        if take(".imag").any():
            raise RefsimError(f"{where}: has weights on the imaginary part of its neurons, and the card takes input on the real part alone.")
        return take(".real")
    return take("")


def _normed(name: str, state: Tensors) -> Floats:
    """Return a weight, put together where weight norm keeps its size and its direction apart."""
    for pair in _NORMED:
        if f"{name}.{pair[0]}" in state:
            size, direction = (torch.tensor(state.take(f"{name}.{part}"), dtype=torch.float32) for part in pair)
            break
    else:
        return state.take(f"{name}.weight")
    return np.asarray(torch._weight_norm(direction, size, 0).double().numpy())
