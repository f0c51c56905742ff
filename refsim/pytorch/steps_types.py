"""What a PyTorch step takes and returns, and what steps share."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .surrogate import Fire

State = Mapping[str, Tensor]
Stepped = tuple[Tensor, Tensor, dict[str, Tensor]]  # spikes, what the threshold saw, states after the step
Step = Callable[[Any, State, Mapping[str, Any], Fire], Stepped]


def stepped(step: Step, x: Any, state: State, constants: Mapping[str, Any], fire: Fire, *, detach_reset: bool) -> Stepped:
    """Advance by one step; where the reset is to pass no gradient, states follow from the spikes as they are, without theirs."""
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
    """Spike where the membrane is above its threshold and not merely at it; `fire` alone would take both."""
    distance = v - threshold
    return fire(torch.where(distance == 0, torch.full_like(distance, -1.0), distance))
