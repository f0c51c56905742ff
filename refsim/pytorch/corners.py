"""Bounds whose slope at the bound itself is said here: PyTorch's own changed with release 2.14, from 1 to 0.

Spikes are whole numbers and membranes rest on round ones, so that a bound is met exactly, and often. NaN stays NaN.
"""

from typing import Any

import torch
from torch import Tensor


def at_least(x: Tensor, low: Any) -> Tensor:
    """Return x, or the bound where x lies below it; at the bound the slope by x is 1."""
    return torch.where(x < low, low, x)


def at_most(x: Tensor, high: Any) -> Tensor:
    """Return x, or the bound where x lies above it; at the bound the slope by x is 1."""
    return torch.where(x > high, high, x)


def between(x: Tensor, low: Any, high: Any) -> Tensor:
    """Return x within two bounds; at either the slope by x is 1."""
    return at_most(at_least(x, low), high)


def piece(x: Tensor, low: Any, high: Any) -> Tensor:
    """Return x within two bounds, as a card's text means it; at the lower the slope is 1 and at the upper 0.

    So pieces of a function that meet at a bound are counted once there, not twice and not never.
    """
    raised = at_least(x, low)
    return torch.where(raised >= high, high, raised)


def above_zero(x: Tensor) -> Tensor:
    """Return x where it is above 0, else 0; at 0 the slope is 0, as it is below."""
    return torch.where(x <= 0, torch.zeros_like(x), x)


def size(x: Tensor) -> Tensor:
    """Return x without its sign; at 0 the slope is 0."""
    return torch.where(x < 0, -x, above_zero(x))
