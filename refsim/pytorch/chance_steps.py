"""Steps of the stochastic neurons, written by hand.

A chance of a spike, held against a number that the run draws.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .base import State, Stepped, above_zero, between
from .surrogate import Fire


def drawn_spike(chance: Tensor, uniform: Tensor) -> Tensor:
    """Spike where the number lies below the chance.

    The gradient is that of the chance, which is the expected spike.
    """
    return (uniform < chance).to(chance.dtype) + (chance - chance.detach())


def poisson_escape_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky membrane with an exponential rate."""
    v = p["decay"] * s["v"] + x
    chance = 1 - torch.exp(-p["rate_th"] * p["step"] * torch.exp(p["beta"] * (v - p["v_th"])))
    return drawn_spike(chance, p["uniform"]), p["uniform"], {"v": v}


def bernoulli_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Fire with the clipped input as the chance."""
    return drawn_spike(between(p["gain"] * x, 0, 1), p["uniform"]), p["uniform"], {"v": x}


def srm0_escape_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Spike response with a refractory response to the last spike, exponential rate."""
    v, eta = p["decay"] * s["v"] + x, p["recovery"] * s["eta"]
    chance = 1 - torch.exp(-p["rate_th"] * p["step"] * torch.exp(p["beta"] * (v + eta - p["v_th"])))
    z = drawn_spike(chance, p["uniform"])
    return (
        z,
        p["uniform"],
        {"v": v, "eta": torch.where(z > 0, torch.full_like(eta, -p["depth"]), eta)},
    )


def ssnn_composite_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Activation by the mean of earlier input.

    Gradient events by the error, where the activation is not clipped.
    """
    u, n = s["u"], s["n"] + 1
    gate = ((u > 0) & (u < 1)).to(u.dtype)
    error = p["error"] * torch.ones_like(u)
    above, below = (gate * p["scale"] * above_zero(side) for side in (error, -error))
    z = drawn_spike(between(u, 0, 1), p["uniform"])
    streams = {
        "plus": (p["uniform_2"] < above).to(u.dtype),
        "minus": (p["uniform_3"] < below).to(u.dtype),
    }
    return z, p["uniform"], {"u": u + (x - u) / n, "n": n, **streams}


CHANCE_STEPS = {
    "poisson_escape": poisson_escape_step,
    "bernoulli": bernoulli_step,
    "srm0_escape": srm0_escape_step,
    "ssnn_composite": ssnn_composite_step,
}
