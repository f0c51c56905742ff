"""Steps of framework neurons that no traits of a convention describe, by hand.

First Norse's: adapting thresholds, membranes that wait, exponential upswings, Izhikevich. Then
NIR's neurons whose spikes have times of their own within a step.
"""

import torch
from torch import Tensor

from .base import Constants, State, Step, Stepped, above, above_zero
from .surrogate import Fire


def lsnn_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF under a threshold that rises with its spikes.

    The current that came before acts, then takes the input.
    """
    v = s["v"] + p["rate"] * (p["v_rest"] - s["v"] + s["i_syn"])
    b = s["b"] + p["adapt_rate"] * (p["v_th"] - s["b"])
    z = above(v, b, fire)
    return (
        z,
        v,
        {
            "v": _after_spike(v, z, p),
            "i_syn": p["syn_decay"] * s["i_syn"] + x,
            "b": b + p["beta"] * z,
        },
    )


def lif_refrac_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF whose membrane waits for some steps after a spike."""
    current, waiting = s["i_syn"] + x, s["rho"] > 0
    v = torch.where(waiting, s["v"], _advanced(s["v"], current, p))
    z = torch.where(waiting, torch.zeros_like(v), above(v, p["v_th"], fire))
    return (
        z,
        v,
        {
            "v": _after_spike(v, z, p),
            "i_syn": p["syn_decay"] * current,
            "rho": _counted_down(s["rho"], z, p),
        },
    )


def lif_ex_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF with an exponential upswing of the membrane as it was."""
    current = s["i_syn"] + x
    v = _advanced(s["v"], _upswing(s["v"], p) + current, p)
    z = above(v, p["v_th"], fire)
    return z, v, {"v": _after_spike(v, z, p), "i_syn": p["syn_decay"] * current}


def lif_adex_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF with an exponential upswing and an adaptation, which follows the membrane as it was."""
    current = s["i_syn"] + x
    v = _advanced(s["v"], _upswing(s["v"], p) + current - s["a"], p)
    z = above(v, p["v_th"], fire)
    return (
        z,
        v,
        {
            "v": _after_spike(v, z, p),
            "i_syn": p["syn_decay"] * current,
            "a": _adapted(s, p) + p["adaptation_spike"] * z,
        },
    )


def lif_adex_refrac_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Adaptive exponential LIF whose membrane waits for some steps after a spike.

    A crossing in that time is no spike, but it raises the adaptation too.
    """
    current, waiting = s["i_syn"] + x, s["rho"] > 0
    free = _advanced(s["v"], _upswing(s["v"], p) + current - s["a"], p)
    crossed = above(free, p["v_th"], fire)
    v, z = torch.where(waiting, s["v"], free), torch.where(waiting, torch.zeros_like(free), crossed)
    after = {
        "i_syn": p["syn_decay"] * current,
        "a": _adapted(s, p) + p["adaptation_spike"] * crossed,
        "rho": _counted_down(s["rho"], z, p),
    }
    return z, v, {"v": _after_spike(v, z, p), **after}


def norse_izhikevich_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Izhikevich's neuron, forward Euler of both variables."""
    v = s["v"] + p["rate"] * (p["sq"] * s["v"] * s["v"] + p["mn"] * s["v"] + p["bias"] - s["u"] + x)
    u = s["u"] + p["rate"] * p["a"] * (p["b"] * s["v"] - s["u"])
    z = above(v, p["v_th"], fire)
    return z, v, {"v": v * (1 - z) + p["c"] * z, "u": u + p["d"] * z}


def _advanced(v: Tensor, force: Tensor, p: Constants) -> Tensor:
    moved: Tensor = v + p["rate"] * (p["v_rest"] - v + force)
    return moved


def _upswing(v: Tensor, p: Constants) -> Tensor:
    rise: Tensor = p["delta_T"] * torch.exp((v - p["v_th"]) / p["delta_T"])
    return rise


def _adapted(s: State, p: Constants) -> Tensor:
    followed: Tensor = s["a"] + p["ada_rate"] * (
        p["adaptation_current"] * (s["v"] - p["v_rest"]) - s["a"]
    )
    return followed


def _after_spike(v: Tensor, z: Tensor, p: Constants) -> Tensor:
    there: Tensor = v * (1 - z) + p["v_reset"] * z
    return there


def _counted_down(rho: Tensor, z: Tensor, p: Constants) -> Tensor:
    """Count one step down, not below 0; a spike starts the count again."""
    counted: Tensor = above_zero(rho - (rho > 0).to(rho.dtype)) * (1 - z) + p["rho_reset"] * z
    return counted


NORSE_STEPS: dict[str, Step] = {
    "norse_lsnn": lsnn_step,
    "norse_lif_refrac": lif_refrac_step,
    "norse_lif_ex": lif_ex_step,
    "norse_lif_adex": lif_adex_step,
    "norse_lif_adex_refrac": lif_adex_refrac_step,
    "norse_izhikevich": norse_izhikevich_step,
}


def nir_lif_timed_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """LIF under a constant input; after its crossing it leaves v_reset for the rest of the step."""
    start, goal = s["v"], p["v_rest"] + p["r"] * x
    v = goal + p["decay"] * (start - goal)
    z = above(v, p["v_th"], fire)
    # Decay over the rest of the step: that of the whole, less what had passed at the crossing.
    rest = torch.where(
        (z > 0) & (start <= p["v_th"]),
        p["decay"] * (goal - start) / (goal - p["v_th"]),
        p["decay"] + torch.zeros_like(v),
    )
    return z, v, {"v": torch.where(z > 0, goal - (goal - p["v_reset"]) * rest, v)}


def nir_if_timed_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """IF under a constant input; what lies above the threshold was gained after the spike."""
    v = s["v"] + p["gain"] * x
    z = above(v, p["v_th"], fire)
    return z, v, {"v": v - z * (p["v_th"] - p["v_reset"])}


NIR_STEPS: dict[str, Step] = {
    "nir_lif_timed": nir_lif_timed_step,
    "nir_if_timed": nir_if_timed_step,
}
