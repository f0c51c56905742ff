"""A state_dict of lava-dl with its description.

Float weights come onto their grid, decays become whole numbers, as slayer computes with them.

lava-dl's .net files (HDF5, netx): the groups of `layer` in order, each a block.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..core.errors import RefsimError, listed
from ..core.units import to_si
from .description import Description
from .hdf5 import GroupReader, read_tree
from .lava_blocks import Block, network_of
from .lava_format import Kind, lava_format
from .reading import Asked, Reading
from .weights import Tensors

_STATE_GEOMETRY = {"stride", "padding", "dilation", "groups"}
_KINDS = ("dense", "conv", "pool", "flatten", "input")
# PyTorch's older and newer names.
_NORMED = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
_KEYS = {"block", "kind", "neuron", "shape", *_STATE_GEOMETRY}


def read_state(
    tensors: Mapping[str, NDArray[Any]], description: Description, asked: Asked, where: str
) -> Reading:
    """Read a state_dict of slayer's blocks.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus or misshapen, or a block is one that refsim does not
        read.
    """
    state = Tensors(tensors, where)
    blocks = [
        _block_of_state(row, state, f"{where}, layer {index}")
        for index, row in enumerate(description.rows)
    ]
    state.finish(description.ignore)
    dt = description.dt if asked.dt is None else asked.dt
    return network_of(
        blocks,
        {**description.convention, **asked.convention},
        dt,
        where,
        "state_dict of lava-dl",
        description.ignore,
    )


def _block_of_state(row: Mapping[str, Any], state: Tensors, where: str) -> Block:
    kind = row.get("kind", "dense")
    if kind not in _KINDS:
        raise RefsimError(f"{where}: kind must be one of {', '.join(_KINDS)}, but is {kind!r}.")
    shape = tuple(row.get("shape", ()))
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape):
        raise RefsimError(
            f"{where}: shape must be whole numbers above 0, such as [2, 34, 34], but is "
            f"{row['shape']!r}."
        )
    if kind in ("flatten", "input"):
        return Block(where, kind, shape)
    prefix, name = row.get("block"), row.get("neuron")
    if not isinstance(prefix, str) or not isinstance(name, str):
        raise RefsimError(
            f'{where}: needs block = "...", the prefix of its tensors such as "blocks.0", and '
            'neuron = "CUBA", or another of lava-dl\'s types.'
        )
    lava = lava_format()
    neuron = lava.kind(name, where)
    given = {key: value for key, value in row.items() if key not in _KEYS}
    if wrong := [
        key
        for key, value in given.items()
        if isinstance(value, bool) or not isinstance(value, int | float)
    ]:
        raise RefsimError(f"{where}: {listed(wrong)} must be a number.")
    entries = {"type": name, **neuron.numbers_from(given, where), **_decays(neuron, prefix, state)}
    geometry = {key: np.asarray(row[key], np.float64) for key in _STATE_GEOMETRY & set(row)}
    weight = _weight_of_state(prefix, state, where)
    weight = (
        weight.reshape(len(weight), -1) if kind == "dense" else weight.reshape(weight.shape[:4])
    )
    mean, held = (
        state.take(key) if key in state else None
        for key in (f"{prefix}.neuron.norm.running_mean", f"{prefix}.delay.delay")
    )
    return Block(
        where,
        kind,
        shape,
        weight,
        geometry,
        None if mean is None else -on_grid(mean),
        held,
        entries,
    )


def on_grid(values: Floats) -> Floats:
    """Return numbers rounded to the grid of lava-dl's weights and within its bounds, as whole
    numbers.
    """
    grid = lava_format().grid
    return (
        np.clip(np.rint(values / grid["step"]) * grid["step"], grid["minimum"], grid["maximum"])
        * grid["scale"]
    )


def _decays(kind: Kind, prefix: str, state: Tensors) -> dict[str, Floats]:
    return {
        entry: np.clip(np.rint(state.take(f"{prefix}.neuron.{tensor}").ravel()), 0, 4096)
        for entry, tensor in kind.tensors.items()
    }


def _weight_of_state(prefix: str, state: Tensors, where: str) -> Floats:
    """Return the weight of a block on its grid.

    Of a complex one the real part, where the imaginary part is zero.
    """

    def take(part: str) -> Floats:
        return on_grid(_normed(f"{prefix}.synapse{part}", state))

    if any(
        f"{prefix}.synapse.imag.{name}" in state
        for name in ("weight", *(pair[0] for pair in _NORMED))
    ):
        if take(".imag").any():
            raise RefsimError(
                f"{where}: has weights on the imaginary part of its neurons, and the card takes "
                "input on the real part alone."
            )
        return take(".real")
    return take("")


def _normed(name: str, state: Tensors) -> Floats:
    """Return a weight, put together where weight norm keeps its size and its direction apart."""
    for pair in _NORMED:
        if f"{name}.{pair[0]}" in state:
            size, direction = (
                torch.tensor(state.take(f"{name}.{part}"), dtype=torch.float32) for part in pair
            )
            break
    else:
        return state.take(f"{name}.weight")
    return np.asarray(torch._weight_norm(direction, size, 0).double().numpy())


_MOST = 10_000  # layers
# Weights are trained, and an array that fills more than this times the size of its file is a bomb.
_RATIO = 1000
_GEOMETRY = ("stride", "padding", "dilation", "groups")
# What repeats the shape of the weight.
_SAID_TWICE = ("inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize")


def read_net(path: Path, asked: Asked) -> Reading:
    """Read a .net file.

    Raises
    ------
    RefsimError
        Where the file is damaged, or a block or neuron is one that refsim does not read.
    """
    where = f"network {path}"
    if asked.describe is not None:
        raise RefsimError(
            f"{where}: says its layers itself and takes no description; what it leaves unsaid is "
            "given by --convention and --dt."
        )
    file = GroupReader(read_tree(path, "network", ratio=_RATIO), where)
    layers = file.group("layer")
    names = layers.keys
    if wrong := [name for name in names if not re.fullmatch(r"\d{1,5}", name)]:
        raise RefsimError(
            f"{where}: its layers must be numbered, but one is named '{wrong[0][:40]}'."
        )
    if sorted(map(int, names)) != list(range(len(names))) or not 0 < len(names) <= _MOST:
        raise RefsimError(
            f"{where}: its layers must be numbered from 0 on, without a gap, but are "
            f"{', '.join(sorted(names, key=int)[:8]) or 'none'}."
        )
    blocks = [
        _block(layers.group(str(index)), f"{where}, layer {index}") for index in range(len(names))
    ]
    dt = asked.dt if asked.dt is not None else _step(file)
    return network_of(blocks, asked.convention, dt, where, "lava-dl .net", file.unread())


def _block(group: GroupReader, where: str) -> Block:
    keys = group.keys
    shape = tuple(int(size) for size in group.array("shape").ravel()) if "shape" in keys else ()
    if any(size < 1 for size in shape):
        raise RefsimError(f"{where}: shape must be whole numbers above 0, but is {shape}.")
    for name in _SAID_TWICE:
        if name in keys:
            group.array(name)
    return Block(
        where,
        group.text("type"),
        shape,
        _weight(group, where) if "weight" in keys else None,
        {name: group.array(name) for name in _GEOMETRY if name in keys},
        group.array("bias") if "bias" in keys else None,
        group.array("delay") if "delay" in keys else None,
        _neuron(group.group("neuron")) if "neuron" in keys else None,
    )


def _weight(group: GroupReader, where: str) -> Any:
    """Return the weight; of a complex one the real part, where the imaginary part is zero."""
    if not group.is_group("weight"):
        return group.array("weight")
    parts = group.group("weight")
    if parts.array("imag").any():
        raise RefsimError(
            f"{where}: has weights on the imaginary part of its neurons, and the card takes "
            "input on the real part alone."
        )
    return parts.array("real")


def _neuron(group: GroupReader) -> dict[str, Any]:
    return {name: group.word_or_number(name) for name in group.keys}


def _step(file: GroupReader) -> object:
    """Return the duration of a step, simulation/Ts in milliseconds.

    None where the file has none.
    """
    if not file.is_group("simulation") or "Ts" not in file.group("simulation").keys:
        return None
    value = file.group("simulation").array("Ts")
    return to_si(f"{float(value.ravel()[0])} ms", "second", f"{file.where}: simulation/Ts")
