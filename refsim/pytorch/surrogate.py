"""Surrogate gradients: a hard step forward, a smooth stand-in backward. All act on the distance ``x`` to threshold."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import RefsimError, listed

Fire = Callable[[Tensor], Tensor]

# Name -> derivative of the spike by the distance to threshold.
SURROGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "rectangle": lambda x: (x.abs() <= 0.5).to(x.dtype),  # straight-through clamp of InfLoR-SNN: 1 on [0, 1] at v_th 0.5
    "triangle": lambda x: torch.clamp(1 - x.abs(), min=0),  # TET, gamma = 1
    "sigmoid": lambda x: 4 * torch.sigmoid(4 * x) * torch.sigmoid(-4 * x),  # SpikingJelly, alpha = 4
    "arctangent": lambda x: 1 / (1 + (math.pi * x) ** 2),  # snnTorch, alpha = 2
    "superspike": lambda x: 1 / (1 + 100 * x.abs()) ** 2,  # Zenke and Ganguli 2018, beta = 100
}


class _Spike(torch.autograd.Function):
    """1 where x >= 0; backward multiplies by the surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, name: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.name = name
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * SURROGATES[ctx.name](x), None


def spike_function(name: str | None) -> Fire:
    """Return the function from distance to spike, with the named surrogate gradient.

    Parameters
    ----------
    name : str or None
        A key of ``SURROGATES``: rectangle, triangle, sigmoid, arctangent, superspike; None for no gradient.
    """
    if name is None:
        return heaviside
    if name not in SURROGATES:
        raise RefsimError(f"surrogate {name!r} is not known; known are {listed(SURROGATES)}.")

    return partial(spike, name=name)


def spike(x: Tensor, name: str) -> Tensor:
    """Spike where x >= 0; the gradient is the named surrogate's."""
    spikes: Tensor = _Spike.apply(x, name)  # type: ignore[no-untyped-call]
    return spikes


def heaviside(x: Tensor) -> Tensor:
    """Spike where x >= 0; no gradient. What a trained network does when it is only run."""
    return (x >= 0).to(x.dtype)
