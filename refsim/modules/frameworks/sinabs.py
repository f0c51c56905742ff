"""Sinabs: all steps a call, batch first or batch and time in one axis.

States last from call to call.
"""

from typing import Any

import torch
from torch import nn

from .framework import Framework, Membranes, Recurrent

# Where they are buffers; LIF's spike_threshold is a parameter.
_STATES = ("v_mem", "i_syn", "b", "spike_threshold")


def _squeezed(part: nn.Module) -> bool:
    return any(kind.__name__ == "SqueezeMixin" for kind in type(part).__mro__)


def _forget(part: nn.Module) -> None:
    """Empty the states; a layer makes empty ones anew, while of states of another number of samples
    it draws some at random.
    """
    for name in _STATES:
        held = part._buffers.get(name)
        if held is not None:
            part._buffers[name] = torch.zeros(0, device=held.device)


def _expect(part: Any, n_samples: int) -> None:
    """Say how an axis of batch and time is parted.

    A layer is made for one number of samples or of steps.
    """
    if _squeezed(part):
        part.batch_size, part.num_timesteps = n_samples, -1
    elif type(part).__name__ == "UnflattenTime":
        part.batch_size = n_samples


def _recurrent(part: nn.Module) -> Recurrent | None:
    net = getattr(part, "rec_connect", None)
    return None if net is None else Recurrent(net, late=True)


def _membranes(part: Any, _output: Any) -> Membranes:
    """Return the membrane after each step, where the layer was told to record it."""
    kept = (getattr(part, "recordings", None) or {}).get("v_mem") if part.record_states else None
    return Membranes(None, kept if kept is None or not _squeezed(part) else kept.flatten(0, 1))


SINABS = Framework(
    name="sinabs",
    title="Sinabs",
    package="sinabs",
    axes=lambda part: "batch and time" if _squeezed(part) else "batch first",
    forget=_forget,
    expect=_expect,
    recurrent=_recurrent,
    membranes=_membranes,
    single=True,  # spikes are float32, and times a threshold that is one number they stay so
    passive=frozenset(
        {
            "Network",
            "Repeat",
            "FlattenTime",
            "UnflattenTime",
            "SumPool2d",
            "Merge",
            "ChannelShift",
            "Cropping2dLayer",
        }
    ),
)
