"""One PyTorch function a neuron, written by hand and not made from the card.

That independence is the check.

Each takes ``(x, s, p, fire)``: input of this step (batch, neurons), states before it by name,
constants by name, and the function from distance to spike. Each returns ``(z, seen, s)``: spikes,
what the threshold saw, states after it. Cards with two inputs get x as a dict by input; a random
number or the duration of the step come as constants,
``p["uniform"]`` and ``p["step"]``.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .adaptive_steps import ADAPTIVE_STEPS
from .base import State, Step, Stepped, at_least, at_most
from .biophysical_steps import BIOPHYSICAL_STEPS
from .chance_steps import CHANCE_STEPS
from .framework_steps import NIR_STEPS, NORSE_STEPS
from .loihi_steps import LOIHI_STEPS
from .readout_steps import READOUT_STEPS
from .srm_steps import SRM_STEPS
from .surrogate import Fire


def if_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Integrate-and-fire with hard reset."""
    v = s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def lif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky integrate-and-fire, form A: the input is divided by tau, in steps.

    Keep = 1 - 1/tau in double precision.
    """
    v = p["keep"] * s["v"] + x / p["tau"]
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def lif_decay_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky integrate-and-fire, form B: the input is added whole, after the decay."""
    v = p["decay"] * s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def srif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Soft-reset integrate-and-fire: a spike subtracts its value."""
    v = s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v - z * p["spike_value"]}


def srif_mpr_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """SRIF whose threshold sees the rectified membrane; the membrane itself is carried on."""
    v = s["v"] + x
    seen = mpr(v)
    z = fire(seen - p["v_th"])
    return z, seen, {"v": v - z * p["spike_value"]}


def lif_refractory_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky integrate-and-fire that holds its membrane for n_ref steps after a spike."""
    held = s["count"] > 0
    v = torch.where(held, s["v"], p["decay"] * s["v"] + x)
    z = torch.where(held, torch.zeros_like(v), fire(v - p["v_th"]))
    count = at_least(s["count"] - 1, 0)
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z, "count": count * (1 - z) + p["n_ref"] * z}


def li_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky integrator without a threshold."""
    v = p["decay"] * s["v"] + x
    return torch.zeros_like(v), v, {"v": v}


def eif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Exponential integrate-and-fire, forward Euler, in volts."""
    v = s["v"]
    upswing = p["delta_t"] * torch.exp((v - p["v_t"]) / p["delta_t"])
    v = v + p["step"] * ((p["v_rest"] - v + upswing + p["r_m"] * x) / p["tau_m"])
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def plif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Leaky integrate-and-fire whose 1/tau is learnt."""
    v = s["v"] + (x - s["v"]) * p["share"]
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def cuba_lif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Exponential synapse and membrane: the current jumps, acts, and then decays."""
    current = s["i_syn"] + x
    v = p["beta"] * s["v"] + current
    z = fire(v - p["v_th"])
    return z, v, {"i_syn": p["alpha"] * current, "v": v * (1 - z) + p["v_reset"] * z}


def lif_exp_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Exact solution of membrane and exponential current between spikes.

    The old current acts, decays, and then jumps.
    """
    v = p["keep_m"] * s["v"] + p["gain"] * s["i_syn"]
    z = fire(v - p["v_th"])
    return z, v, {"i_syn": p["keep_syn"] * s["i_syn"] + x, "v": v - z * p["v_th"]}


def coba_lif_step(x: Mapping[str, Tensor], s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Conductance-based membrane, exponential Euler.

    Conductances are held over the step, then decay and jump.
    """
    g_e, g_i = s["g_e"], s["g_i"]
    total = p["g_l"] + g_e + g_i
    goal = (p["g_l"] * p["e_l"] + g_e * p["e_e"] + g_i * p["e_i"]) / total
    v = goal + (s["v"] - goal) * torch.exp(-total * p["step"] / p["c_m"])
    z = fire(v - p["v_th"])
    g_e = g_e * math.exp(-p["step"] / p["tau_e"]) + x["I_excitatory"]
    g_i = g_i * math.exp(-p["step"] / p["tau_i"]) + x["I_inhibitory"]
    return z, v, {"g_e": g_e, "g_i": g_i, "v": v * (1 - z) + p["v_reset"] * z}


def qif_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Quadratic integrate-and-fire, forward Euler, in volts."""
    v = s["v"]
    v = v + p["step"] * (
        ((v - p["v_rest"]) * (v - p["v_c"]) / (p["v_c"] - p["v_rest"]) + p["r_m"] * x) / p["tau_m"]
    )
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def mpr(u: Tensor) -> Tensor:
    """Membrane potential rectifier of Guo et al. 2022, Eq.

    10, piece by piece, with a gradient free of NaN.
    """
    below = 1 - torch.pow(1 - at_most(u, 0), 1 / 3)
    middle = torch.tanh(3 * (u - 0.5)) / (2 * math.tanh(1.5)) + 0.5
    above = torch.pow(at_least(u, 1), 1 / 3)
    return torch.where(u < 0, below, torch.where(u >= 1, above, middle))


STEPS: dict[str, Step] = {
    "if": if_step,
    "lif": lif_step,
    "lif_decay": lif_decay_step,
    "srif": srif_step,
    "srif_mpr": srif_mpr_step,
    "lif_refractory": lif_refractory_step,
    "li": li_step,
    "eif": eif_step,
    "plif": plif_step,
    "cuba_lif": cuba_lif_step,
    "lif_exp": lif_exp_step,
    "coba_lif": coba_lif_step,
    "qif": qif_step,
    **CHANCE_STEPS,
    **SRM_STEPS,
    **LOIHI_STEPS,
    **ADAPTIVE_STEPS,
    **BIOPHYSICAL_STEPS,
    **NORSE_STEPS,
    **NIR_STEPS,
    **READOUT_STEPS,
}
