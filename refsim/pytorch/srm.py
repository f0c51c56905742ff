"""Spike response neurons, by traces that never end or by kernels that do: steps, then layers.

The card of a cut kernel sums over the past. Here each arrival is added to the steps to come, as
SLAYER does it. That is another order of additions, so that the last bit may differ, and nothing
else.
"""

import functools
import math

import torch
from torch import Tensor

from ..core.errors import RefsimError
from .base import Constants, State, Step, Stepped
from .layers import Neuron
from .surrogate import Fire


def srm_alpha_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Advance two traces in a row for the input, and two for the neuron's own spikes.

    The membrane reads the traces before this step's input and spike are added to them.
    """
    ratio, ratio_ref = p["step"] / p["tau_s"], p["step"] / p["tau_ref"]
    kept, kept_ref = _decay(ratio), _decay(ratio_ref)
    y = kept * (s["y"] + ratio * s["x"])
    q = kept_ref * (s["q"] + ratio_ref * s["r"])
    u = math.e * y - p["scale_ref"] * p["theta"] * math.e * q
    z = fire(u - p["theta"])
    return z, u, {"x": kept * s["x"] + x, "y": y, "r": kept_ref * s["r"] + z, "q": q}


def srm_slayer_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Add a kernel to the steps to come for each arrival, and one for each own spike.

    The state ``ahead`` (steps, batch, neurons) holds the membranes of the steps to come.
    """
    # The response to an input, and the refractory response to the neuron's own spike.
    eps = alpha_function(_one(p["step"] / p["tau_s"]), 1.0, _one(p["cut_s"]))
    depth = -_one(p["scale_ref"] * p["theta"])
    nu = alpha_function(_one(p["step"] / p["tau_ref"]), depth, _one(p["cut_ref"]))
    length = max(len(eps), len(nu), 1)
    ahead = s["ahead"] if "ahead" in s else x.new_zeros((length, *x.shape))
    ahead = ahead + _spread(eps, x, length)
    u = ahead[0]
    z = fire(u - p["theta"])
    ahead = ahead + _spread(nu, z, length)
    return z, u, {"u": u, "ahead": torch.cat([ahead[1:], torch.zeros_like(ahead[:1])])}


@functools.cache
def alpha_function(ratio: float, scale: float, cut: float) -> tuple[float, ...]:
    """Return ``scale*(k*ratio)*exp(1 - k*ratio)`` at k = 0, 1, ...

    The values end before the first k past the peak at which the size is below ``cut``.
    """
    values: list[float] = []
    while True:
        t = len(values) * ratio
        value = scale * t * math.exp(1 - t)
        if t > 1 and abs(value) < cut:
            return tuple(values)
        values.append(value)


def _spread(kernel: tuple[float, ...], x: Tensor, length: int) -> Tensor:
    """Return what an arrival now adds to each step to come, (length, batch, neurons)."""
    padded = x.new_tensor(kernel + (0.0,) * (length - len(kernel)))
    return padded[:, None, None] * x


def _decay(ratio: Tensor | float) -> Tensor | float:
    return torch.exp(-ratio) if isinstance(ratio, Tensor) else math.exp(-ratio)


def _one(value: Tensor | float) -> float:
    """Return the value that all neurons of a layer share."""
    if not isinstance(value, Tensor):
        return float(value)
    if bool((value != value.flatten()[0]).any()):
        raise RefsimError(
            "srm_slayer: all neurons of a layer share a kernel; give its parameters one value, "
            "or neurons of another kernel a layer of their own."
        )
    return float(value.flatten()[0])


class SRMAlpha(Neuron):
    """Spike response model with alpha functions that never end: card ``srm_alpha``.

    Give it ``dt``.
    """

    card = "srm_alpha"
    step = staticmethod(srm_alpha_step)


class SRMSlayer(Neuron):
    """Spike response model with SLAYER's kernels, cut as it cuts them: card ``srm_slayer``.

    Give it ``dt``.
    """

    card = "srm_slayer"
    step = staticmethod(srm_slayer_step)


SRM_STEPS: dict[str, Step] = {"srm_alpha": srm_alpha_step, "srm_slayer": srm_slayer_step}
