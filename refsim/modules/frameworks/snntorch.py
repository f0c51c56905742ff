"""snnTorch: a layer takes one step a call, and returns its spikes and then its states.

A layer that keeps its states itself returns its spikes alone.
"""

from typing import Any

import numpy as np
from torch import nn

from ...core.arrays import Floats
from .framework import Framework, Membranes, Recurrent

_STATES = ("mem", "syn", "spk")


def _forget(part: nn.Module) -> None:
    """Empty the states, to which a layer gives their shape at the next call."""
    for name in _STATES:
        if hasattr(part, name):
            setattr(part, name, getattr(part, name).new_zeros(0))


def _values(_part: nn.Module, values: dict[str, Floats]) -> dict[str, Floats]:
    """Return the decays clipped to 0 and 1, as each call clips them."""
    return {
        name: np.clip(value, 0, 1) if name in ("alpha", "beta") else value
        for name, value in values.items()
    }


def _recurrent(part: nn.Module) -> Recurrent | None:
    net = getattr(part, "recurrent", None)
    return None if net is None else Recurrent(net)


def _membranes(part: Any, _output: object) -> Membranes:
    """Return the membrane that the layer keeps.

    Where the reset belongs to the same step, it is the membrane after the reset, and the one that
    the threshold saw is hidden.
    """
    return (
        Membranes(part.mem, part.mem)
        if getattr(part, "reset_delay", True)
        else Membranes(None, part.mem)
    )


SNNTORCH = Framework(
    name="snntorch",
    title="snnTorch",
    package="snntorch",
    forget=_forget,
    values=_values,
    recurrent=_recurrent,
    membranes=_membranes,
    passive=frozenset({"RecurrentOneToOne", "BatchNormTT1d", "BatchNormTT2d"}),
)
