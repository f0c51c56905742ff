"""Steps of read-outs over the steps, by hand.

What never fires, and gives the mean, sum, last or maximum of what has arrived.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .base import State, Step, Stepped
from .surrogate import Fire


def readout_mean_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Average over the steps so far."""
    total, n_steps = s["total"] + x, s["n_steps"] + 1
    return _silent(total / n_steps, {"total": total, "n_steps": n_steps})


def readout_sum_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Add up over the steps so far."""
    return _silent(s["v"] + x)


def readout_last_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Take what arrives in the step."""
    return _silent(x)


def readout_max_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Keep the largest of a step so far; of equal ones the last takes the gradient."""
    return _silent(torch.where(x >= s["v"], x, s["v"]))


def _silent(v: Tensor, more: State | None = None) -> Stepped:
    return torch.zeros_like(v), v, {"v": v, **(more or {})}


READOUT_STEPS: dict[str, Step] = {
    "readout_mean": readout_mean_step,
    "readout_sum": readout_sum_step,
    "readout_last": readout_last_step,
    "readout_max": readout_max_step,
}
