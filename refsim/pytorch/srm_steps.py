"""Steps of the spike response neurons, written by hand: traces that never end, or kernels that do.

The card of a cut kernel sums over the past. Here each arrival is added to the steps to come, as
SLAYER does it: another order of additions, so that the last bit may differ, and nothing else.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RefsimError
from .base import State, Step, Stepped
from .surrogate import Fire


def srm_alpha_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Read two traces in a row for what arrives and two for the neuron's own spikes, before
    anything is added to them.
    """
    ratio, ratio_ref = p["step"] / p["tau_s"], p["step"] / p["tau_ref"]
    kept, kept_ref = _decay(ratio), _decay(ratio_ref)
    y = kept * (s["y"] + ratio * s["x"])
    q = kept_ref * (s["q"] + ratio_ref * s["r"])
    u = math.e * y - p["scale_ref"] * p["theta"] * math.e * q
    z = fire(u - p["theta"])
    return z, u, {"x": kept * s["x"] + x, "y": y, "r": kept_ref * s["r"] + z, "q": q}


def srm_slayer_step(x: Tensor, s: State, p: Mapping[str, Any], fire: Fire) -> Stepped:
    """Let what arrives and what fires add its kernel to the steps to come.

    ``ahead`` (steps, batch, neurons) holds them.
    """
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
    """Return ``scale*(k*ratio)*exp(1 - k*ratio)`` at k = 0, 1, ..

    Up to the first k past the peak where it is below `cut` in size.
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


def _decay(ratio: Any) -> Any:
    return torch.exp(-ratio) if isinstance(ratio, Tensor) else math.exp(-ratio)


def _one(value: Any) -> float:
    """Return the value that all neurons of a layer share."""
    if not isinstance(value, Tensor):
        return float(value)
    if bool((value != value.flatten()[0]).any()):
        raise RefsimError(
            "srm_slayer: all neurons of a layer share a kernel; give its parameters one value, "
            "or neurons of another kernel a layer of their own."
        )
    return float(value.flatten()[0])


SRM_STEPS: dict[str, Step] = {"srm_alpha": srm_alpha_step, "srm_slayer": srm_slayer_step}
