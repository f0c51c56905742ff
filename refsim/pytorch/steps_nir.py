"""Steps of NIR's neurons whose spikes have times of their own within a step, written by hand; the others are conventions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .steps_types import State, Step, Stepped, above
from .surrogate import Fire


def nir_lif_timed_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """LIF under a held input: after its crossing it has the rest of the step to leave v_reset."""
    start, goal = s["v"], p["v_rest"] + p["r"] * x
    v = goal + p["decay"] * (start - goal)
    z = above(v, p["v_th"], fire)
    # decay of the rest of the step: that of the whole, less what had passed at the crossing
    rest = torch.where((z > 0) & (start <= p["v_th"]), p["decay"] * (goal - start) / (goal - p["v_th"]), p["decay"] + torch.zeros_like(v))
    return z, v, {"v": torch.where(z > 0, goal - (goal - p["v_reset"]) * rest, v)}


def nir_if_timed_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """IF under a held input: what lies above the threshold was gained after the spike."""
    v = s["v"] + p["gain"] * x
    z = above(v, p["v_th"], fire)
    return z, v, {"v": v - z * (p["v_th"] - p["v_reset"])}


NIR_STEPS: dict[str, Step] = {"nir_lif_timed": nir_lif_timed_step, "nir_if_timed": nir_if_timed_step}
