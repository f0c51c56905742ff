"""Values of parameters, spread over the neurons of a layer and parted by whether they differ.

`as_torch_spreads` follows PyTorch, `by_channel` follows lava-dl. `part_shared` then tells what all
neurons of a layer share from what each has for itself, which is how a `Network` keeps them.
"""

import math
from collections.abc import Mapping

import numpy as np

from ..core.arrays import Floats
from ..core.errors import RefsimError


def as_torch_spreads(value: Floats, shape: tuple[int, ...], where: str) -> Floats:
    """Return one value as (1,), and several as (n,), spread as PyTorch broadcasts them.

    Parameters
    ----------
    value : array
        One number, or an array that broadcasts to the shape, such as (channels, 1, 1).
    shape : tuple of int
        The shape of the n neurons, without batch and time.
    where : str
        Opens the error message.

    Raises
    ------
    RefsimError
        Where the value does not fit the neurons.
    """
    if value.size == 1:
        return value.reshape(1)
    try:
        return np.broadcast_to(value, shape).reshape(-1)
    except ValueError:
        raise RefsimError(
            f"{where}: has shape {value.shape}, which does not fit its neurons, {shape}."
        ) from None


def by_channel(value: Floats, shape: tuple[int, ...], where: str) -> Floats:
    """Return one value as (1,), and one a channel or one a neuron as (n,).

    Parameters
    ----------
    shape : tuple of int
        The shape of the n neurons; its first axis counts the channels.

    Raises
    ------
    RefsimError
        Where there are as many values as neither channels nor neurons.
    """
    flat = np.ravel(value)
    if flat.size in (1, math.prod(shape)):
        return flat
    if flat.size == shape[0]:
        return np.repeat(flat, math.prod(shape[1:]))
    raise RefsimError(
        f"{where}: has {flat.size} values, but its layer has {math.prod(shape)} neurons in "
        f"{shape[0]} channels."
    )


def part_shared(values: Mapping[str, Floats]) -> tuple[dict[str, float], dict[str, Floats]]:
    """Return the parameters that all neurons share, and those that differ, (n,), by name."""
    same: dict[str, float] = {}
    own: dict[str, Floats] = {}
    for name, flat in values.items():
        if flat.size and (flat == flat[0]).all():
            same[name] = float(flat[0])
        else:
            own[name] = flat
    return same, own
