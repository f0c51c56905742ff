"""What all steps share: their form, the precision they keep, and bounds with a declared slope.

First autocast: what adds up (membranes, kernels, potentials) stays float32 under it, as PyTorch
keeps its own sums. Then bounds whose slope at the bound itself is stated here, because PyTorch's
own slope changed with release 2.14, from 1 to 0: spikes are whole numbers and membranes rest on
round ones, so that a bound is met exactly, and often. NaN stays NaN. Last, what a step takes and
returns, and how one is called where its reset passes no gradient on.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .surrogate import Fire

_SHORT = (torch.bfloat16, torch.float16)

Bound = Tensor | float


def autocast_in_use(device: torch.device) -> bool:
    """Return whether autocast is on for tensors of a device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context that computes in the dtype of the tensors, and not under autocast."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return what autocast has shortened as float32, and all else as it is."""
    return x.float() if x.dtype in _SHORT else x


def at_least(x: Tensor, low: Bound) -> Tensor:
    """Return x, or the bound where x lies below it; at the bound the slope by x is 1."""
    return torch.where(x < low, low, x)


def at_most(x: Tensor, high: Bound) -> Tensor:
    """Return x, or the bound where x lies above it; at the bound the slope by x is 1."""
    return torch.where(x > high, high, x)


def between(x: Tensor, low: Bound, high: Bound) -> Tensor:
    """Return x within two bounds; at either the slope by x is 1."""
    return at_most(at_least(x, low), high)


def piece(x: Tensor, low: Bound, high: Bound) -> Tensor:
    """Return x within two bounds; at the lower the slope by x is 1, and at the upper it is 0.

    This is what the text of a card means by a clip: where two pieces of a function meet at a
    bound, the bound is counted in one of them, not in both and not in neither.
    """
    raised = at_least(x, low)
    return torch.where(raised >= high, high, raised)


def above_zero(x: Tensor) -> Tensor:
    """Return x where it is above 0, else 0; at 0 the slope is 0, as it is below."""
    return torch.where(x <= 0, torch.zeros_like(x), x)


def size(x: Tensor) -> Tensor:
    """Return x without its sign; at 0 the slope is 0."""
    return torch.where(x < 0, -x, above_zero(x))


# By name: a number that all neurons share, or a tensor (neurons,) where they differ. Arithmetic
# with a tensor gives a tensor either way, and a step does nothing else with a constant.
Constants = Mapping[str, Any]
State = Mapping[str, Tensor]
# The spikes, what the threshold saw, and the states after the step.
Stepped = tuple[Tensor, Tensor, dict[str, Tensor]]
# The input is a Tensor, or for a card with two inputs a dict of Tensors by input.
Step = Callable[[Any, State, Constants, Fire], Stepped]


def stepped(
    step: Step,
    x: Tensor | Mapping[str, Tensor],
    state: State,
    constants: Constants,
    fire: Fire,
    *,
    detach_reset: bool,
) -> Stepped:
    """Advance by one step, with or without a gradient through the reset.

    With ``detach_reset`` the states follow from the spikes as they are, without their gradient.

    Parameters
    ----------
    step : function ``(x, state, constants, fire) -> (spikes, seen, states)``
    x : Tensor (batch, neurons), or dict of such tensors by input
    state : dict of str to Tensor (batch, neurons)
        The states before the step.
    constants : dict of str to float or Tensor (neurons,)
    fire : function from distance to threshold to spikes
    detach_reset : bool

    Returns
    -------
    spikes, seen : Tensor (batch, neurons)
        1 for a spike, and what the threshold saw.
    states : dict of str to Tensor (batch, neurons)
        The states after the step.
    """
    if not detach_reset:
        return step(x, state, constants, fire)
    # The first pass gives the spikes with their gradient, and keeps each decision.
    fired: list[Tensor] = []

    def keep_decision(distance: Tensor) -> Tensor:
        fired.append(fire(distance))
        return fired[-1]

    spikes, seen, _ = step(x, state, constants, keep_decision)
    # The second pass gives the states, from the same decisions without their gradient.
    decisions = iter(fired)
    _, _, after = step(x, state, constants, lambda _distance: next(decisions).detach())
    return spikes, seen, after


def above(v: Tensor, threshold: Bound, fire: Fire) -> Tensor:
    """Spike where the membrane is above its threshold, and not where it is merely at it.

    ``fire`` alone would spike in both cases.
    """
    distance = v - threshold
    return fire(torch.where(distance == 0, torch.full_like(distance, -1.0), distance))
