"""What adds up stays float32 under autocast.

Membranes, kernels and potentials, as PyTorch keeps its own sums.

Bounds whose slope at the bound itself is said here: PyTorch's own changed with release 2.14, from 1
to 0.

Spikes are whole numbers and membranes rest on round ones, so that a bound is met exactly, and
often. NaN stays NaN.

What a PyTorch step takes and returns, and what steps share.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .surrogate import Fire

_SHORT = (torch.bfloat16, torch.float16)


def autocast_in_use(device: torch.device) -> bool:
    """Return whether autocast is on for tensors of a device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context that computes in the dtype of the tensors, whatever autocast says outside."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return what autocast has shortened as float32, and all else as it is."""
    return x.float() if x.dtype in _SHORT else x


def at_least(x: Tensor, low: Any) -> Tensor:
    """Return x, or the bound where x lies below it; at the bound the slope by x is 1."""
    return torch.where(x < low, low, x)


def at_most(x: Tensor, high: Any) -> Tensor:
    """Return x, or the bound where x lies above it; at the bound the slope by x is 1."""
    return torch.where(x > high, high, x)


def between(x: Tensor, low: Any, high: Any) -> Tensor:
    """Return x within two bounds; at either the slope by x is 1."""
    return at_most(at_least(x, low), high)


def piece(x: Tensor, low: Any, high: Any) -> Tensor:
    """Return x within two bounds, as a card's text means it.

    At the lower the slope is 1 and at the upper 0.

    So pieces of a function that meet at a bound are counted once there, not twice and not never.
    """
    raised = at_least(x, low)
    return torch.where(raised >= high, high, raised)


def above_zero(x: Tensor) -> Tensor:
    """Return x where it is above 0, else 0; at 0 the slope is 0, as it is below."""
    return torch.where(x <= 0, torch.zeros_like(x), x)


def size(x: Tensor) -> Tensor:
    """Return x without its sign; at 0 the slope is 0."""
    return torch.where(x < 0, -x, above_zero(x))


State = Mapping[str, Tensor]
# Spikes, what the threshold saw, states after the step.
Stepped = tuple[Tensor, Tensor, dict[str, Tensor]]
Step = Callable[[Any, State, Mapping[str, Any], Fire], Stepped]


def stepped(
    step: Step,
    x: Any,
    state: State,
    constants: Mapping[str, Any],
    fire: Fire,
    *,
    detach_reset: bool,
) -> Stepped:
    """Advance by one step; where the reset is to pass no gradient, states follow from the spikes as
    they are, without theirs.
    """
    if not detach_reset:
        return step(x, state, constants, fire)
    fired: list[Tensor] = []

    def recorded(distance: Tensor) -> Tensor:
        fired.append(fire(distance))
        return fired[-1]

    spikes, seen, _ = step(x, state, constants, recorded)
    given = iter(fired)
    _, _, after = step(x, state, constants, lambda _distance: next(given).detach())
    return spikes, seen, after


def above(v: Tensor, threshold: Any, fire: Fire) -> Tensor:
    """Spike where the membrane is above its threshold and not merely at it.

    `fire` alone would take both.
    """
    distance = v - threshold
    return fire(torch.where(distance == 0, torch.full_like(distance, -1.0), distance))
