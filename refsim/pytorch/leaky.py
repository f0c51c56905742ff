"""Integrate-and-fire neurons, leaky and not, without an adaptation: steps, then layers.

First those whose step is an exact map (``if`` to ``li``), then those with an exponential or
quadratic membrane, a learnt leak, or a synapse.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..cards.neuron import NeuronModel
from .base import Constants, State, Step, Stepped, at_least, at_most
from .layers import Neuron
from .surrogate import Fire


def if_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Integrate-and-fire with hard reset."""
    v = s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def lif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky integrate-and-fire, form A: the input is divided by tau, which counts steps.

    The constant ``keep`` is 1 - 1/tau, computed in double precision.
    """
    v = p["keep"] * s["v"] + x / p["tau"]
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def lif_decay_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky integrate-and-fire, form B: the input is added whole, after the decay."""
    v = p["decay"] * s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def srif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Soft-reset integrate-and-fire: a spike subtracts its value."""
    v = s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v - z * p["spike_value"]}


def srif_mpr_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """SRIF whose threshold sees the rectified membrane; the membrane itself stays as it is."""
    v = s["v"] + x
    seen = mpr(v)
    z = fire(seen - p["v_th"])
    return z, seen, {"v": v - z * p["spike_value"]}


def lif_refractory_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky integrate-and-fire that holds its membrane for n_ref steps after a spike."""
    refractory = s["count"] > 0
    v = torch.where(refractory, s["v"], p["decay"] * s["v"] + x)
    z = torch.where(refractory, torch.zeros_like(v), fire(v - p["v_th"]))
    count = at_least(s["count"] - 1, 0)
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z, "count": count * (1 - z) + p["n_ref"] * z}


def li_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky integrator without a threshold."""
    v = p["decay"] * s["v"] + x
    return torch.zeros_like(v), v, {"v": v}


def eif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Exponential integrate-and-fire, forward Euler, in volts."""
    v = s["v"]
    upswing = p["delta_t"] * torch.exp((v - p["v_t"]) / p["delta_t"])
    v = v + p["step"] * ((p["v_rest"] - v + upswing + p["r_m"] * x) / p["tau_m"])
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def plif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Leaky integrate-and-fire whose 1/tau is learnt."""
    v = s["v"] + (x - s["v"]) * p["share"]
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def cuba_lif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Exponential synapse and membrane: the current jumps, acts, and then decays."""
    current = s["i_syn"] + x
    v = p["beta"] * s["v"] + current
    z = fire(v - p["v_th"])
    return z, v, {"i_syn": p["alpha"] * current, "v": v * (1 - z) + p["v_reset"] * z}


def lif_exp_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Solve membrane and exponential current exactly between spikes.

    The old current acts, decays, and then jumps.
    """
    v = p["keep_m"] * s["v"] + p["gain"] * s["i_syn"]
    z = fire(v - p["v_th"])
    return z, v, {"i_syn": p["keep_syn"] * s["i_syn"] + x, "v": v - z * p["v_th"]}


def coba_lif_step(x: Mapping[str, Tensor], s: State, p: Constants, fire: Fire) -> Stepped:
    """Conductance-based membrane, exponential Euler.

    The conductances stay constant over the step, then they decay and jump.
    """
    g_e, g_i = s["g_e"], s["g_i"]
    total = p["g_l"] + g_e + g_i
    goal = (p["g_l"] * p["e_l"] + g_e * p["e_e"] + g_i * p["e_i"]) / total
    v = goal + (s["v"] - goal) * torch.exp(-total * p["step"] / p["c_m"])
    z = fire(v - p["v_th"])
    g_e = g_e * math.exp(-p["step"] / p["tau_e"]) + x["I_excitatory"]
    g_i = g_i * math.exp(-p["step"] / p["tau_i"]) + x["I_inhibitory"]
    return z, v, {"g_e": g_e, "g_i": g_i, "v": v * (1 - z) + p["v_reset"] * z}


def qif_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Quadratic integrate-and-fire, forward Euler, in volts."""
    v = s["v"]
    v = v + p["step"] * (
        ((v - p["v_rest"]) * (v - p["v_c"]) / (p["v_c"] - p["v_rest"]) + p["r_m"] * x) / p["tau_m"]
    )
    z = fire(v - p["v_th"])
    return z, v, {"v": v * (1 - z) + p["v_reset"] * z}


def mpr(u: Tensor) -> Tensor:
    """Return the rectified membrane of Guo et al. 2022, Eq. 10, with a gradient free of NaN.

    Each of the three pieces gets its own part of u, so that no root of a negative number arises
    in a piece that is not chosen.
    """
    below = 1 - torch.pow(1 - at_most(u, 0), 1 / 3)
    middle = torch.tanh(3 * (u - 0.5)) / (2 * math.tanh(1.5)) + 0.5
    above = torch.pow(at_least(u, 1), 1 / 3)
    return torch.where(u < 0, below, torch.where(u >= 1, above, middle))


class IF(Neuron):
    """Integrate-and-fire, hard reset: card ``if``."""

    card = "if"
    step = staticmethod(if_step)


class LIF(Neuron):
    """Leaky integrate-and-fire, form A: card ``lif``."""

    card = "lif"
    step = staticmethod(lif_step)


class LIFDecay(Neuron):
    """Leaky integrate-and-fire, form B: card ``lif_decay``."""

    card = "lif_decay"
    step = staticmethod(lif_decay_step)


class SRIF(Neuron):
    """Soft-reset integrate-and-fire: card ``srif``."""

    card = "srif"
    step = staticmethod(srif_step)


class SRIFMPR(Neuron):
    """SRIF behind the membrane potential rectifier: card ``srif_mpr``."""

    card = "srif_mpr"
    step = staticmethod(srif_mpr_step)


class LIFRefractory(Neuron):
    """Leaky integrate-and-fire with an absolute refractory period: card ``lif_refractory``."""

    card = "lif_refractory"
    step = staticmethod(lif_refractory_step)


class LI(Neuron):
    """Leaky integrator, a readout without spikes; its output is its membrane: card ``li``."""

    card = "li"
    step = staticmethod(li_step)


class EIF(Neuron):
    """Exponential integrate-and-fire, in volts: card ``eif``."""

    card = "eif"
    step = staticmethod(eif_step)


class PLIF(Neuron):
    """Leaky integrate-and-fire whose leak is learnt: card ``plif``.

    ``w`` is a parameter of the module, 1/tau = sigmoid(w).
    """

    card = "plif"
    step = staticmethod(plif_step)

    def __init__(
        self, surrogate: str | Fire | None = "rectangle", *, w: float = 0.0, **options: Any
    ) -> None:
        super().__init__(surrogate, w=w, **options)
        self.w = nn.Parameter(torch.tensor(float(w)))

    def now(self) -> Constants:
        """Return the constants, with w and its share as they are now."""
        return {**self.constants, "w": self.w, "share": torch.sigmoid(self.w)}

    def declared(self) -> NeuronModel:
        """Return the card with w as it is now."""
        return self.model.with_parameters(w=float(self.w.detach()))


class CubaLIF(Neuron):
    """Leaky integrate-and-fire behind an exponential synapse: card ``cuba_lif``."""

    card = "cuba_lif"
    step = staticmethod(cuba_lif_step)


class LIFExp(Neuron):
    """Leaky integrate-and-fire behind an exponential synapse, solved exactly between spikes.

    Card ``lif_exp``. Give it ``dt``.
    """

    card = "lif_exp"
    step = staticmethod(lif_exp_step)


class QIF(Neuron):
    """Quadratic integrate-and-fire, in volts: card ``qif``."""

    card = "qif"
    step = staticmethod(qif_step)


LEAKY_STEPS: dict[str, Step] = {
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
}
