"""Sinabs: a layer takes all steps in one call, batch first, or batch and time in one axis.

The states stay from call to call.
"""

from typing import Any

import torch
from torch import nn

from .framework import Framework, Membranes, Recurrent

# Only those of these that are buffers are states; the spike_threshold of LIF is a parameter.
_STATES = ("v_mem", "i_syn", "b", "spike_threshold")


def _squeezed(part: nn.Module) -> bool:
    return any(kind.__name__ == "SqueezeMixin" for kind in type(part).__mro__)


def _forget(part: nn.Module) -> None:
    """Empty the states, which a layer then makes anew.

    From states of another number of samples it would draw some at random.
    """
    for name in _STATES:
        state = part._buffers.get(name)
        if state is not None:
            part._buffers[name] = torch.zeros(0, device=state.device)


def _expect(part: Any, n_samples: int) -> None:
    """Set how an axis of batch and time is divided; a layer is made for one number of samples."""
    if _squeezed(part):
        part.batch_size, part.num_timesteps = n_samples, -1
    elif type(part).__name__ == "UnflattenTime":
        part.batch_size = n_samples


def _recurrent(part: nn.Module) -> Recurrent | None:
    net = getattr(part, "rec_connect", None)
    return None if net is None else Recurrent(net, late=True)


def _membranes(part: Any, _output: object) -> Membranes:
    """Return the membrane after each step, where the layer is set to record it."""
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
    # Spikes are float32, and stay so when they are multiplied by a single threshold.
    single=True,
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
