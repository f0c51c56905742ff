"""Read-outs over the steps: neurons that never fire and whose membrane is the answer.

It is the mean, the sum, the last or the maximum of what has arrived. Put a read-out behind the
last Linear; its output after the last step decides. Their steps, then their layers.
"""

import torch
from torch import Tensor

from .base import Constants, State, Step, Stepped
from .layers import Neuron
from .surrogate import Fire


def readout_mean_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Average over the steps so far."""
    total, n_steps = s["total"] + x, s["n_steps"] + 1
    return _silent(total / n_steps, {"total": total, "n_steps": n_steps})


def readout_sum_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Add up over the steps so far."""
    return _silent(s["v"] + x)


def readout_last_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Take what arrives in the step."""
    return _silent(x)


def readout_max_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Keep the largest input so far; of equal ones the last takes the gradient."""
    return _silent(torch.where(x >= s["v"], x, s["v"]))


def _silent(v: Tensor, more: State | None = None) -> Stepped:
    """Return a step without spikes, whose threshold sees the membrane."""
    return torch.zeros_like(v), v, {"v": v, **(more or {})}


class ReadoutMean(Neuron):
    """Mean over the steps so far, without spikes: card ``readout_mean``."""

    card = "readout_mean"
    step = staticmethod(readout_mean_step)


class ReadoutSum(Neuron):
    """Sum over the steps so far, without spikes: card ``readout_sum``."""

    card = "readout_sum"
    step = staticmethod(readout_sum_step)


class ReadoutLast(Neuron):
    """Input of the last step alone, without spikes: card ``readout_last``."""

    card = "readout_last"
    step = staticmethod(readout_last_step)


class ReadoutMax(Neuron):
    """Largest input of a step so far, without spikes: card ``readout_max``."""

    card = "readout_max"
    step = staticmethod(readout_max_step)


READOUT_STEPS: dict[str, Step] = {
    "readout_mean": readout_mean_step,
    "readout_sum": readout_sum_step,
    "readout_last": readout_last_step,
    "readout_max": readout_max_step,
}
