"""Adaptive and resonating neurons: what a spike leaves behind acts on the spikes after it.

Their steps, then the helpers of the steps, then the layers.
"""

import math

import torch
from torch import Tensor

from .base import Constants, State, Step, Stepped, above, at_least, between
from .layers import Neuron
from .surrogate import Fire


def alif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF whose threshold rises with its spikes; it fires above its threshold."""
    v, b = p["alpha"] * s["v"] + (1 - p["alpha"]) * x, p["rho"] * s["b"]
    threshold = p["b0"] + p["beta"] * b
    z = above(v, threshold, fire)
    return z, v, {"v": v - z * threshold, "b": b + z * p["jump_b"]}


def adlif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF with an adaptation current, both advanced from the old values."""
    v = p["alpha"] * s["v"] + (1 - p["alpha"]) * (x - s["w"])
    w = p["beta"] * s["w"] + (1 - p["beta"]) * p["a"] * s["v"]
    z = fire(v - p["v_th"])
    return z, v, {"v": v - z * p["v_th"], "w": w + z * p["b"]}


def adex_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Adaptive exponential integrate-and-fire, forward Euler, in volts and amps."""
    v, w = s["v"], s["w"]
    upswing = p["g_l"] * p["delta_t"] * torch.exp(between((v - p["v_t"]) / p["delta_t"], -80, 80))
    slope = (p["g_l"] * (p["e_l"] - v) + upswing - w + x) / p["c_m"]
    w = w + p["step"] * ((p["a"] * (v - p["e_l"]) - w) / p["tau_w"])
    v = v + p["step"] * slope
    z = fire(v - p["v_peak"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z, "w": w + z * p["b"]}


def izhikevich_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Izhikevich's simple model, forward Euler, in volts."""
    v, u = s["v"], s["u"]
    slope = (v * v / p["v_2"] + p["slope"] * v + p["v_0"] - u + x) / p["tau"]
    u = u + p["step"] * (p["a"] * (p["b"] * v - u))
    v = v + p["step"] * slope
    z = fire(v - p["v_peak"])
    return z, v, {"v": v * (1 - z) + p["c"] * z, "u": u + z * p["d"]}


def mat2_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Membrane without a reset under a threshold of two time scales, silent while refractory."""
    decay = math.exp(-p["step"] / p["tau_m"])
    v = p["e_l"] + decay * (s["v"] - p["e_l"]) + (1 - decay) * p["r_m"] * x
    th_1, th_2 = (
        math.exp(-p["step"] / p["tau_1"]) * s["th_1"],
        math.exp(-p["step"] / p["tau_2"]) * s["th_2"],
    )
    refractory = s["count"] > 0
    z = torch.where(refractory, torch.zeros_like(v), fire(v - (p["omega"] + th_1 + th_2)))
    after = {"th_1": th_1 + z * p["alpha_1"], "th_2": th_2 + z * p["alpha_2"]}
    return z, v, {"v": v, "count": refractory_count(s["count"], z, p), **after}


def glif3_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF with two after-spike currents; all its states wait while it is refractory."""
    refractory = s["count"] > 0
    v, *currents = (
        torch.where(refractory, s[name], moved)
        for name, moved in zip(("v", "asc_1", "asc_2"), _charged(x, s, p), strict=True)
    )
    z = torch.where(refractory, torch.zeros_like(v), above(v, torch.full_like(v, p["v_th"]), fire))
    return (
        z,
        v,
        {
            "v": v * (1 - z) + p["v_reset"] * z,
            "count": refractory_count(s["count"], z, p),
            **_after(currents, z, p),
        },
    )


def glif5_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """GLIF3 with a partial reset and a threshold that follows spikes and the membrane."""
    refractory, step = s["count"] > 0, p["step"]
    # Spikes raise one part of the threshold, and the membrane drives the other.
    th_s = torch.where(refractory, s["th_s"], math.exp(-step * p["b_s"]) * s["th_s"])
    th_v = torch.where(refractory, s["th_v"], _followed(x, s, p))
    v, *currents = (
        torch.where(refractory, s[name], moved)
        for name, moved in zip(("v", "asc_1", "asc_2"), _charged(x, s, p), strict=True)
    )
    z = torch.where(refractory, torch.zeros_like(v), above(v, p["v_th"] + th_s + th_v, fire))
    # The reset keeps a share of the membrane; the threshold decays through the refractory period.
    reset = p["e_l"] + p["f_v"] * (v - p["e_l"]) + p["v_add"]
    left = p["th_add"] + math.exp(-p["b_s"] * p["t_ref"]) * th_s
    after = {"v": v * (1 - z) + reset * z, "th_s": th_s * (1 - z) + left * z, "th_v": th_v}
    return z, v, {"count": refractory_count(s["count"], z, p), **after, **_after(currents, z, p)}


def rf_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Turn and shrink (x, y); fire where y comes from below its threshold."""
    u, y = turned(x, s, p)
    z = fire(y - p["v_th"]) * (s["y"] < p["v_th"])
    return z, y, {"x": u, "y": y}


def rf_iz_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Turn and shrink (x, y), which a spike puts back to the threshold, at a quarter turn."""
    u, y = turned(x, s, p)
    z = fire(y - p["v_th"]) * (s["y"] < p["v_th"])
    return z, y, {"x": u * (1 - z), "y": y * (1 - z) + p["v_th"] * z}


def adrf_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Turn and shrink (x, y) under a threshold that a spike raises twice.

    One part of the rise lasts long, the other is refractory.
    """
    u, y = turned(x, s, p)
    th, r = p["th_decay"] * s["th"], p["r_decay"] * s["r"]
    z = fire(y - (p["v_th"] + th + r)) * (s["y"] < p["v_th"] + s["th"] + s["r"])
    return z, y, {"x": u, "y": y, "th": th + z * p["th_step"], "r": r + 2 * z * (p["v_th"] + th)}


def refractory_count(count: Tensor, z: Tensor, p: Constants) -> Tensor:
    """Count refractory steps down, and begin anew at a spike."""
    left: Tensor = at_least(count - 1, 0) * (1 - z) + p["n_ref"] * z
    return left


def turned(x: Tensor, s: State, p: Constants) -> tuple[Tensor, Tensor]:
    """Turn (x, y) by one step, shrink it, and add the input to x."""
    angle = 2 * math.pi / p["period"]
    c, d = p["decay"] * math.cos(angle), p["decay"] * math.sin(angle)
    return c * s["x"] - d * s["y"] + x, d * s["x"] + c * s["y"]


def _charged(x: Tensor, s: State, p: Constants) -> tuple[Tensor, Tensor, Tensor]:
    """Return the membrane and the two after-spike currents one step later."""
    decay, step = math.exp(-p["step"] * p["g"] / p["c_m"]), p["step"]
    v = p["e_l"] + decay * (s["v"] - p["e_l"]) + (1 - decay) / p["g"] * x
    currents = []
    for name in ("1", "2"):
        kept = math.exp(-step * p["k_" + name])
        v = v + s["asc_" + name] * (kept - decay) / (p["g"] - p["c_m"] * p["k_" + name])
        currents.append(kept * s["asc_" + name])
    return v, currents[0], currents[1]


def _followed(x: Tensor, s: State, p: Constants) -> Tensor:
    """Return the part of the threshold that follows the membrane, one step later.

    The membrane is a sum of exponentials, and each drives the threshold by a share of its own.
    """
    step, leak, rate_v = p["step"], p["g"] / p["c_m"], p["b_v"]

    def driven(rate: float) -> float:
        return float((math.exp(-step * rate) - math.exp(-step * rate_v)) / (rate_v - rate))

    # The after-spike currents decay at rates of their own; what is left decays with the leak.
    parts = {
        rate: s["asc_" + name] / (p["g"] - p["c_m"] * rate)
        for name, rate in (("1", p["k_1"]), ("2", p["k_2"]))
    }
    rest = s["v"] - p["e_l"] - x / p["g"] - sum(parts.values())
    drive = (
        rest * driven(leak)
        + x / p["g"] * driven(0.0)
        + sum(part * driven(rate) for rate, part in parts.items())
    )
    after: Tensor = math.exp(-step * rate_v) * s["th_v"] + p["a_v"] * drive
    return after


def _after(currents: list[Tensor], z: Tensor, p: Constants) -> dict[str, Tensor]:
    """Return the after-spike currents; a spike takes them to the end of its refractory period."""
    after = {}
    for name, current in zip(("1", "2"), currents, strict=True):
        left = p["r_" + name] * math.exp(-p["k_" + name] * p["t_ref"])
        after["asc_" + name] = current * (1 - z) + (p["amp_" + name] + left * current) * z
    return after


class ALIF(Neuron):
    """Adaptive leaky integrate-and-fire of LSNNs: card ``alif``."""

    card = "alif"
    step = staticmethod(alif_step)


class AdLIF(Neuron):
    """Leaky integrate-and-fire with an adaptation current: card ``adlif``."""

    card = "adlif"
    step = staticmethod(adlif_step)


class AdEx(Neuron):
    """Adaptive exponential integrate-and-fire, in volts and amps: card ``adex``."""

    card = "adex"
    step = staticmethod(adex_step)


class Izhikevich(Neuron):
    """Izhikevich's simple model, in volts: card ``izhikevich``."""

    card = "izhikevich"
    step = staticmethod(izhikevich_step)


class MAT2(Neuron):
    """Multi-timescale adaptive threshold, in volts and amps: card ``mat2``."""

    card = "mat2"
    step = staticmethod(mat2_step)


class GLIF3(Neuron):
    """Generalised leaky integrate-and-fire, level 3, in volts and amps: card ``glif3``."""

    card = "glif3"
    step = staticmethod(glif3_step)


class GLIF5(Neuron):
    """Generalised leaky integrate-and-fire, level 5, in volts and amps: card ``glif5``."""

    card = "glif5"
    step = staticmethod(glif5_step)


class RF(Neuron):
    """Resonate-and-fire without a reset: card ``rf``."""

    card = "rf"
    step = staticmethod(rf_step)


class RFIz(Neuron):
    """Resonate-and-fire with Izhikevich's reset: card ``rf_iz``."""

    card = "rf_iz"
    step = staticmethod(rf_iz_step)


class AdRF(Neuron):
    """Resonate-and-fire under an adaptive threshold: card ``adrf``."""

    card = "adrf"
    step = staticmethod(adrf_step)


ADAPTIVE_STEPS: dict[str, Step] = {
    "alif": alif_step,
    "adlif": adlif_step,
    "adex": adex_step,
    "izhikevich": izhikevich_step,
    "mat2": mat2_step,
    "glif3": glif3_step,
    "glif5": glif5_step,
    "rf": rf_step,
    "rf_iz": rf_iz_step,
    "adrf": adrf_step,
}
