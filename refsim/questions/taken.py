"""What was recorded of a network, layer by layer: which array is of which layer, and when its spikes were fired."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..axes import USUAL
from ..drive import Drive
from ..engines.following import Known
from ..errors import RefsimError, counted, option
from ..network import Network
from ..rasters import Raster, raster
from ..spikes import SpikeTrains

UNNAMED = "x"  # an array without a name is of the last layer
_EVENTS = {"sample", "step", "neuron"}


@dataclass(frozen=True, eq=False)
class Taken:
    """What was recorded, layer by layer, as it was read.

    Attributes
    ----------
    rasters : dict of int to Raster
    late : dict of int to (1,) or (n,) int64
        Steps by which a layer's spikes were recorded later than they are fired; in the rasters they are where they are
        fired. Of the last so many steps nothing is known then.
    early : dict of int to int
        Spikes that were recorded before the first can have come; they are in no raster.
    """

    rasters: Mapping[int, Raster]
    late: Mapping[int, Ints] = field(default_factory=dict)
    early: Mapping[int, int] = field(default_factory=dict)

    @property
    def layers(self) -> list[int]:
        """The layers that were recorded."""
        return sorted(self.rasters)

    def known(self) -> dict[int, Known]:
        """Return what is known of each layer, with where it was seen."""
        return {index: known_from(each.train, each.values, self.late.get(index)) for index, each in self.rasters.items()}

    def sooner(self, late: Mapping[int, Ints]) -> "Taken":
        """Return the same with layers whose spikes were recorded some steps late put to where they are fired."""
        moved = {index: _sooner(each, late[index]) for index, each in self.rasters.items() if index in late and late[index].any()}
        rasters = {index: moved[index][0] if index in moved else each for index, each in self.rasters.items()}
        return Taken(rasters, {index: late[index] for index in moved}, {index: each[1] for index, each in moved.items() if each[1]})


def known_from(train: SpikeTrains, values: NDArray[Any] | None, late: Ints | None) -> Known:
    """Return what is known of a layer that was recorded `late` steps after it fired: of so many steps at its end, nothing."""
    if late is None or not late.any():
        return Known(train.dense(), None, values)
    steps = np.arange(train.n_steps)[:, None]
    return Known(train.dense(), steps < train.n_steps - np.broadcast_to(late, train.n_neurons), values)


def _sooner(each: Raster, late: Ints) -> tuple[Raster, int]:
    """Return a raster whose spikes lie `late` steps sooner, and how many of them would lie before the first step."""
    train, by = each.train, np.broadcast_to(late, each.train.n_neurons)
    step = train.step - by[train.neuron]
    keep = step >= 0
    moved = SpikeTrains.from_events(train.sample[keep], step[keep], train.neuron[keep], train.n_samples, train.n_steps, train.n_neurons, train.dt)
    return Raster(moved, None if each.values is None else _values_sooner(each.values, by), each.axes, each.others), int((~keep).sum())


def _values_sooner(values: NDArray[Any], by: Ints) -> NDArray[Any]:
    moved = np.zeros_like(values)
    for neuron, lag in enumerate(by):
        moved[:, : values.shape[1] - lag, neuron] = values[:, lag:, neuron]
    return moved


def take(given: Mapping[int, Any], network: Network, drive: Drive, axes: str | None, where: str) -> Taken:
    """Read what was recorded of each layer."""
    rasters = {}
    for index, each in sorted(given.items()):
        layer = network.layers[index]
        shape = (drive.n_samples, drive.n_steps, layer.n_post)
        rasters[index] = raster(each, layer, shape, network.dt, axes, f"{where}, layer {index}")
    return Taken(rasters)


def by_layer(given: Any, network: Network, where: str) -> dict[int, Any]:
    """Return what was given by the number of its layer.

    Raises
    ------
    RefsimError
        Where a name is none of the network's, or nothing was given.
    """
    if isinstance(given, Mapping) and not _EVENTS.issubset(given):
        named: dict[int, Any] = {}
        for name, each in given.items():
            index = layer_named(name, network, where, whole=len(given) == len(network.layers))
            if index in named:
                raise RefsimError(f"{where}: layer {index} is given twice, the second time as {name!r}.")
            named[index] = each
    elif isinstance(given, list | tuple):
        if len(given) != len(network.layers):
            raise RefsimError(
                f"{where}: needs a list with an entry for each of the {counted(len(network.layers), 'layer')}, None where it was not recorded, but has {len(given)}; "
                "one array by itself, or a dict by layer, may be given too."
            )
        named = dict(enumerate(given))
    else:
        named = {len(network.layers) - 1: given}
    found = {index: each for index, each in named.items() if each is not None}
    if not found:
        raise RefsimError(f"{where}: no layer was recorded; give the spikes of one at least.")
    return found


def layer_named(name: object, network: Network, where: str, *, whole: bool = False) -> int:
    """Return the number of a layer from its name or number; ``x`` is the last.

    Parameters
    ----------
    whole : bool
        Whether all are named; NumPy's names for arrays without any, ``arr_0``, then count the layers.
    """
    count, text = len(network.layers), str(name).strip()
    for index, layer in enumerate(network.layers):
        if text and text in (layer.name, layer.name.strip("'\"")):
            return index
    if text == UNNAMED:
        return count - 1
    number = text.removeprefix("arr_") if whole else text
    for prefix in ("layers.", "layer", "_", "."):
        number = number.removeprefix(prefix).strip()
    if (number.isascii() and number.isdigit() and int(number) < count) or number == "-1":
        return int(number) % count
    names = [layer.name.strip("'\"") for layer in network.layers]
    told = "" if names == [f"layer {index}" for index in range(count)] else f", or {', '.join(names)}"
    raise RefsimError(
        f"{where}: {text!r} is no layer of this network; its layers are {', '.join(map(str, range(count)))}{told}. "
        "Name each array by its layer, numpy.savez(file, **{'0': ..., '1': ...}); an array x is of the last one."
    )


def told_axes(taken: Taken, name: str) -> list[str]:
    """Say how arrays were read where that is not the usual way, or not the only one."""
    lines = []
    for index, each in sorted(taken.rasters.items()):
        if each.others:
            other = option("expected_axes", each.others[0])
            lines.append(f"{name}, layer {index}: read as {each.axes}; it fits {' and '.join(each.others)} too, which {other} would say")
        elif each.axes not in (USUAL, "step, neuron", "spike trains", "events"):
            lines.append(f"{name}, layer {index}: read as {each.axes}, which is what fits")
    return lines
