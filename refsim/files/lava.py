"""The two kinds of files that lava-dl saves, read as blocks.

`read_state` reads a state_dict of slayer with its description. Its weights are rounded to their
grid, and its decays to whole numbers, as slayer does in each step. `read_net` reads a .net file of
netx, which is HDF5, one group for each block. `lava_blocks` turns the blocks into a Network.
"""

import re
from collections.abc import Mapping
from pathlib import Path

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
# The names under which weight norm keeps size and direction, in older and in newer PyTorch.
_NORMED = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
_KEYS = {"block", "kind", "neuron", "shape", *_STATE_GEOMETRY}


def read_state(
    tensors: Mapping[str, NDArray[np.generic]], description: Description, asked: Asked, where: str
) -> Reading:
    """Read a state_dict of slayer's blocks.

    Parameters
    ----------
    tensors : dict of str to array
    description : Description
        Of the form ``"lava-dl"``; it has a row for each block.
    asked : Asked
    where : str
        The file in a message.

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


def _block_of_state(row: Mapping[str, object], state: Tensors, where: str) -> Block:
    """Return one block of a state_dict, as its row of the description says it."""
    kind = row.get("kind", "dense")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RefsimError(f"{where}: kind must be one of {', '.join(_KINDS)}, but is {kind!r}.")
    # Flattening and input have a shape alone, and no tensors.
    shape = _shape(row.get("shape", ()), where)
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
    # Every other key is a number that was given to lava-dl, such as the threshold.
    rest = {key: value for key, value in row.items() if key not in _KEYS}
    given = {
        key: value
        for key, value in rest.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if wrong := [key for key in rest if key not in given]:
        raise RefsimError(f"{where}: {listed(wrong)} must be a number.")
    entries = {"type": name, **neuron.numbers_from(given, where), **_decays(neuron, prefix, state)}
    # A dense weight may have axes of length 1 behind the first two.
    geometry = {key: np.asarray(row[key], np.float64) for key in _STATE_GEOMETRY & set(row)}
    weight = _weight_of_state(prefix, state, where)
    weight = (
        weight.reshape(len(weight), -1) if kind == "dense" else weight.reshape(weight.shape[:4])
    )
    # The running mean of the norm of the neuron acts as a bias.
    mean, delay = (
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
        delay,
        entries,
    )


def _shape(given: object, where: str) -> tuple[int, ...]:
    """Return the shape of a layer, as a description gives it."""
    sizes = tuple(given) if isinstance(given, list | tuple) else (None,)
    if not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise RefsimError(
            f"{where}: shape must be whole numbers above 0, such as [2, 34, 34], but is {given!r}."
        )
    return sizes


def on_grid(values: Floats) -> Floats:
    """Return numbers on the grid of lava-dl's weights and within its bounds, as whole numbers."""
    grid = lava_format().grid
    return (
        np.clip(np.rint(values / grid["step"]) * grid["step"], grid["minimum"], grid["maximum"])
        * grid["scale"]
    )


def _decays(kind: Kind, prefix: str, state: Tensors) -> dict[str, Floats]:
    """Return the decays of a neuron as whole numbers, 4096 for all."""
    return {
        entry: np.clip(np.rint(state.take(f"{prefix}.neuron.{tensor}").ravel()), 0, 4096)
        for entry, tensor in kind.tensors.items()
    }


def _weight_of_state(prefix: str, state: Tensors, where: str) -> Floats:
    """Return the weight of a block on its grid; of a complex one, the real part."""

    def take(part: str) -> Floats:
        return on_grid(_normed(f"{prefix}.synapse{part}", state))

    if any(
        f"{prefix}.synapse.imag.{name}" in state
        for name in ("weight", *(pair[0] for pair in _NORMED))
    ):
        _check_imaginary(take(".imag"), where)
        return take(".real")
    return take("")


def _check_imaginary(weight: Floats, where: str) -> None:
    """Refuse a complex weight whose imaginary part is not zero."""
    if weight.any():
        raise RefsimError(
            f"{where}: has weights on the imaginary part of its neurons, and the card takes "
            "input on the real part alone."
        )


def _normed(name: str, state: Tensors) -> Floats:
    """Return a weight, computed where weight norm keeps its size and its direction apart."""
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
# Trained weights hardly compress; an array of more than this times the size of its file is a bomb.
_RATIO = 1000
_GEOMETRY = ("stride", "padding", "dilation", "groups")
# These entries only repeat the shape of the weight.
_SAID_TWICE = ("inFeatures", "outFeatures", "inChannels", "outChannels", "kernelSize")


def read_net(path: Path, asked: Asked) -> Reading:
    """Read a .net file.

    Parameters
    ----------
    path : Path
    asked : Asked
        The duration of a step, and traits that the file leaves unsaid; it takes no description.

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
    # HDF5 keeps no order of groups, so that only their numbers say it.
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
    """Return one block of a .net file."""
    keys = group.keys
    shape = tuple(int(size) for size in group.array("shape").ravel()) if "shape" in keys else ()
    if any(size < 1 for size in shape):
        raise RefsimError(f"{where}: shape must be whole numbers above 0, but is {shape}.")
    # They are read so that they do not count as entries that mean nothing.
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


def _weight(group: GroupReader, where: str) -> Floats:
    """Return the weight of a block; of a complex one, the real part."""
    if not group.is_group("weight"):
        return group.array("weight")
    parts = group.group("weight")
    _check_imaginary(parts.array("imag"), where)
    return parts.array("real")


def _neuron(group: GroupReader) -> dict[str, object]:
    return {name: group.word_or_number(name) for name in group.keys}


def _step(file: GroupReader) -> object:
    """Return the duration of a step, which simulation/Ts gives in milliseconds; None without it."""
    if not file.is_group("simulation") or "Ts" not in file.group("simulation").keys:
        return None
    value = file.group("simulation").array("Ts")
    return to_si(f"{float(value.ravel()[0])} ms", "second", f"{file.where}: simulation/Ts")
