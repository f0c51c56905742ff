"""lava-dl's .net files (HDF5, netx): the groups of `layer` in order, each a block."""

import re
from pathlib import Path
from typing import Any

from ...errors import RefsimError
from ...units import to_si
from .entries import Entries
from .hdf5 import read_tree
from .lava_blocks import Block, network_of
from .reading import Asked, Reading

_MOST = 10_000  # layers
_RATIO = 1000  # weights are trained, and an array that fills more than this times the size of its file is a bomb
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
        raise RefsimError(f"{where}: says its layers itself and takes no description; what it leaves unsaid is given by --convention and --dt.")
    file = Entries(read_tree(path, "network", ratio=_RATIO), where)
    layers = file.group("layer")
    names = layers.keys
    if wrong := [name for name in names if not re.fullmatch(r"\d{1,5}", name)]:
        raise RefsimError(f"{where}: its layers must be numbered, but one is named '{wrong[0][:40]}'.")
    if sorted(map(int, names)) != list(range(len(names))) or not 0 < len(names) <= _MOST:
        raise RefsimError(f"{where}: its layers must be numbered from 0 on, without a gap, but are {', '.join(sorted(names, key=int)[:8]) or 'none'}.")
    blocks = [_block(layers.group(str(index)), f"{where}, layer {index}") for index in range(len(names))]
    dt = asked.dt if asked.dt is not None else _step(file)
    return network_of(blocks, asked.convention, dt, where, "lava-dl .net", file.unread())


def _block(group: Entries, where: str) -> Block:
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


def _weight(group: Entries, where: str) -> Any:
    """Return the weight; of a complex one the real part, where the imaginary part is zero."""
    if not group.is_group("weight"):
        return group.array("weight")
    parts = group.group("weight")
    if parts.array("imag").any():
        raise RefsimError(f"{where}: has weights on the imaginary part of its neurons, and the card takes input on the real part alone.")
    return parts.array("real")


def _neuron(group: Entries) -> dict[str, Any]:
    return {name: group.word_or_number(name) for name in group.keys}


def _step(file: Entries) -> object:
    """Return the duration of a step, simulation/Ts in milliseconds; None where the file has none."""
    if not file.is_group("simulation") or "Ts" not in file.group("simulation").keys:
        return None
    value = file.group("simulation").array("Ts")
    return to_si(f"{float(value.ravel()[0])} ms", "second", f"{file.where}: simulation/Ts")
