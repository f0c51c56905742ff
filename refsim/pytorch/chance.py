"""Stochastic neurons: a chance of a spike, compared with a number that the run draws.

Their steps, then their layers.
"""

import torch
from torch import Tensor

from .base import Constants, State, Stepped, above_zero, between
from .layers import Neuron
from .surrogate import Fire


def drawn_spike(chance: Tensor, uniform: Tensor) -> Tensor:
    """Spike where the drawn number lies below the chance.

    The gradient is that of the chance, which is the expected value of the spike.
    """
    return (uniform < chance).to(chance.dtype) + (chance - chance.detach())


def poisson_escape_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky membrane with an exponential rate."""
    v = p["decay"] * s["v"] + x
    chance = 1 - torch.exp(-p["rate_th"] * p["step"] * torch.exp(p["beta"] * (v - p["v_th"])))
    return drawn_spike(chance, p["uniform"]), p["uniform"], {"v": v}


def bernoulli_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Fire with the clipped input as the chance."""
    return drawn_spike(between(p["gain"] * x, 0, 1), p["uniform"]), p["uniform"], {"v": x}


def srm0_escape_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Spike response with an exponential rate and a refractory response to the last spike."""
    v, eta = p["decay"] * s["v"] + x, p["recovery"] * s["eta"]
    chance = 1 - torch.exp(-p["rate_th"] * p["step"] * torch.exp(p["beta"] * (v + eta - p["v_th"])))
    z = drawn_spike(chance, p["uniform"])
    return (
        z,
        p["uniform"],
        {"v": v, "eta": torch.where(z > 0, torch.full_like(eta, -p["depth"]), eta)},
    )


def ssnn_composite_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Fire with the mean of the earlier input as the chance.

    The error gives events of the gradient, of either sign, where the chance is not clipped.
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


class PoissonEscape(Neuron):
    """Poisson neuron with an exponential rate: card ``poisson_escape``."""

    card = "poisson_escape"
    step = staticmethod(poisson_escape_step)


class Bernoulli(Neuron):
    """Memoryless neuron whose clipped input is its chance: card ``bernoulli``."""

    card = "bernoulli"
    step = staticmethod(bernoulli_step)


class SRM0Escape(Neuron):
    """Spike response model with escape noise: card ``srm0_escape``."""

    card = "srm0_escape"
    step = staticmethod(srm0_escape_step)


class SSNNComposite(Neuron):
    """Composite stochastic neuron, a reconstruction: card ``ssnn_composite``."""

    card = "ssnn_composite"
    step = staticmethod(ssnn_composite_step)


CHANCE_STEPS = {
    "poisson_escape": poisson_escape_step,
    "bernoulli": bernoulli_step,
    "srm0_escape": srm0_escape_step,
    "ssnn_composite": ssnn_composite_step,
}
