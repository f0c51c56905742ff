"""snnTorch: one step a call; spikes first, then the states, or spikes alone where the layer keeps
its states itself.
"""

from typing import Any

import numpy as np
from torch import nn

from .framework import Framework, Membranes, Recurrent

_STATES = ("mem", "syn", "spk")


def _forget(part: nn.Module) -> None:
    """Empty the states; a layer gives an empty one its shape at the next call."""
    for name in _STATES:
        if hasattr(part, name):
            setattr(part, name, getattr(part, name).new_zeros(0))


def _values(_part: nn.Module, values: dict[str, Any]) -> dict[str, Any]:
    """Clamp the decays, as each call does."""
    return {
        name: np.clip(value, 0, 1) if name in ("alpha", "beta") else value
        for name, value in values.items()
    }


def _recurrent(part: nn.Module) -> Recurrent | None:
    net = getattr(part, "recurrent", None)
    return None if net is None else Recurrent(net)


def _membranes(part: Any, _output: Any) -> Membranes:
    """Return the kept membrane; where the reset belongs to the step, it is the one after it, and
    what the threshold saw is hidden.
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
