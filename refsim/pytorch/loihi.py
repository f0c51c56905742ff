"""Loihi's integer neurons: their steps, the helpers of the steps, then their layers.

Tensors are float64, which holds whole numbers exactly up to 2^53. Where the card names real
decays, the whole numbers that lava-dl makes of them are computed here a second time.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .base import Constants, State, Step, Stepped, above_zero, size
from .layers import Neuron
from .surrogate import Fire


class _Shifted(torch.autograd.Function):
    """Shift forward and divide backward, as lava-dl does.

    The cut has no slope of its own, and without a slope no gradient would reach the past.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.sign(x) * torch.floor(torch.abs(x) / 4096)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient / 4096


def shifted(x: Tensor) -> Tensor:
    """Divide by 4096 and cut the fraction towards 0, so that -1 gives 0 and not -1."""
    whole: Tensor = _Shifted.apply(x)  # type: ignore[no-untyped-call]
    return whole


def cuba_loihi_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Advance current and then membrane; fire above the threshold, not at it."""
    u = shifted(s["u"] * (4096 - p["i_decay"])) + _weight(x, p)
    v = shifted(s["v"] * (4096 - p["v_decay"])) + u + p["bias"]
    z = 1 - fire(p["v_th"] - v)
    return z, v, {"u": u, "v": torch.where(z > 0, torch.zeros_like(v), v)}


def alif_loihi_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Compare a membrane without a reset with a threshold and a refractory response.

    Both decay, and jump after a spike.
    """
    u = shifted(s["u"] * (4096 - p["i_decay"])) + _weight(x, p)
    v = shifted(s["v"] * (4096 - p["v_decay"])) + u
    a, r = _relaxed(s, p)
    z = fire(v - (p["v_th"] + a + r))
    return z, v, {"u": u, "v": v, **_raised(a, r, z, p)}


def rf_loihi_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Fire where the phase passes zero with the real part at or above the threshold."""
    re, im = _turned(x, s, p)
    z = fire(re - p["v_th"]) * _phase_passes_zero(s["im"], im)
    return z, re, {"re": re, "im": im}


def rf_iz_loihi_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Fire where the imaginary part reaches the threshold.

    After a spike the neuron starts again one below the threshold, with a real part of 0.
    """
    re, im = _turned(x, s, p)
    z = fire(im - p["v_th"])
    return (
        z,
        im,
        {
            "re": torch.where(z > 0, torch.zeros_like(re), re),
            "im": torch.where(z > 0, p["v_th"] - 1 + torch.zeros_like(im), im),
        },
    )


def adrf_loihi_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Compare a resonator with the threshold and the refractory response of ``alif_loihi``."""
    re, im = _turned(x, s, p)
    a, r = _relaxed(s, p)
    z = fire(re - (p["v_th"] + a + r)) * _phase_passes_zero(s["im"], im)
    return z, re, {"re": re, "im": im, **_raised(a, r, z, p)}


def sigma_delta_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Send the change of the rectified sum where it is large enough, else keep it for later."""
    total = s["total"] + x
    act = above_zero(total + p["bias"])
    change = act - s["act"] + s["residue"]
    moved = size(change)
    z = fire(moved - p["v_th"])
    sent = change * z
    return z, moved, {"total": total, "act": act, "residue": change - sent, "sent": sent}


def _weight(x: Tensor, p: Constants) -> Tensor:
    scaled: Tensor = x * 2.0 ** (6 + p["w_exp"])
    return scaled


def _turned(x: Tensor, s: State, p: Constants) -> tuple[Tensor, Tensor]:
    """Turn and shrink the complex state by one step, and add the input to the real part.

    Each of the four products is cut to a whole number on its own, as on the chip.
    """
    keep, angle = 4096 * (1 - p["decay"]), 2 * math.pi / p["period"]
    cos, sin = _whole(keep, torch.cos, math.cos, angle), _whole(keep, torch.sin, math.sin, angle)
    re = shifted(cos * s["re"]) - shifted(sin * s["im"]) + _weight(x, p)
    im = shifted(sin * s["re"]) + shifted(cos * s["im"])
    return re, im


def _whole(
    keep: Tensor | float,
    of_tensor: Callable[[Tensor], Tensor],
    of_number: Callable[[float], float],
    angle: Tensor | float,
) -> Tensor | float:
    """Return keep times a function of the angle, rounded half up to a whole number."""
    value = keep * (of_tensor(angle) if isinstance(angle, Tensor) else of_number(angle))
    return torch.floor(value + 0.5) if isinstance(value, Tensor) else math.floor(value + 0.5)


def _phase_passes_zero(before: Tensor, now: Tensor) -> Tensor:
    return ((before < 0) & (now >= 0)).to(now.dtype)


def _relaxed(s: State, p: Constants) -> tuple[Tensor, Tensor]:
    """Return the rise of the threshold and the refractory response, before this step's spike."""
    return shifted(s["a"] * (4096 - p["th_decay"])), shifted(s["r"] * (4096 - p["r_decay"]))


def _raised(a: Tensor, r: Tensor, z: Tensor, p: Constants) -> dict[str, Tensor]:
    """Add what a spike adds to the refractory response and to the threshold.

    The response grows by twice the threshold that the membrane passed, the threshold by a step.
    """
    return {"r": r + 2 * (p["v_th"] + a) * z, "a": a + p["th_step"] * z}


class CubaLoihi(Neuron):
    """Current-based leaky integrate-and-fire in integers: card ``cuba_loihi``.

    Run it in float64.
    """

    card = "cuba_loihi"
    step = staticmethod(cuba_loihi_step)


class AlifLoihi(Neuron):
    """Adaptive leaky integrate-and-fire in integers: card ``alif_loihi``. Run it in float64."""

    card = "alif_loihi"
    step = staticmethod(alif_loihi_step)


class RFLoihi(Neuron):
    """Resonate-and-fire in integers: card ``rf_loihi``. Run it in float64."""

    card = "rf_loihi"
    step = staticmethod(rf_loihi_step)


class RFIzLoihi(Neuron):
    """Resonate-and-fire with Izhikevich's reset, in integers: card ``rf_iz_loihi``.

    Run it in float64.
    """

    card = "rf_iz_loihi"
    step = staticmethod(rf_iz_loihi_step)


class AdRFLoihi(Neuron):
    """Adaptive resonate-and-fire in integers: card ``adrf_loihi``. Run it in float64."""

    card = "adrf_loihi"
    step = staticmethod(adrf_loihi_step)


class SigmaDelta(Neuron):
    """Sigma-delta neuron; its output is what its spikes carry: card ``sigma_delta``.

    Run it in float64.
    """

    card = "sigma_delta"
    step = staticmethod(sigma_delta_step)


LOIHI_STEPS: dict[str, Step] = {
    "cuba_loihi": cuba_loihi_step,
    "alif_loihi": alif_loihi_step,
    "rf_loihi": rf_loihi_step,
    "rf_iz_loihi": rf_iz_loihi_step,
    "adrf_loihi": adrf_loihi_step,
    "sigma_delta": sigma_delta_step,
}
