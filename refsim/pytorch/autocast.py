"""What adds up stays float32 under autocast: membranes, kernels and potentials, as PyTorch keeps its own sums."""

import contextlib
from typing import Any

import torch
from torch import Tensor

_SHORT = (torch.bfloat16, torch.float16)


def autocast_in_use(device: torch.device) -> bool:
    """Return whether autocast is on for tensors of a device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def no_autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context that computes in the dtype of the tensors, whatever autocast says outside."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """Return what autocast has shortened as float32, and all else as it is."""
    return x.float() if x.dtype in _SHORT else x
