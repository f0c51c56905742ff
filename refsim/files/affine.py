"""A linear map as numbers, measured.

What it answers to each unit input, less what it answers to silence.
"""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..core.arrays import Floats
from ..core.errors import RefsimError

_BLOCK = 512  # unit inputs at once
_AT_ONCE = 1 << 25  # numbers of inputs and answers at once: 256 MiB
# Unit inputs are so large, by a power of two, that a bias added to the answer is lost in its
# rounding: a weight comes out to the last bit.
_TALL = 2.0**200
# Smaller than any number of float32, and far above what is left of a bias, rounded in another
# order, beside an input of that size.
_NOTHING = 2.0**-150
# Far above the rounding of sums in float64 of some thousand terms, 1e-12, and far below what a
# rectifier or a pool does.
NOT_LINEAR = 1e-9


def unit_answers(respond: Callable[[Tensor], list[Tensor]], n: int) -> list[Floats]:
    """Return, of each output of a map, the answers to its n unit inputs less that to silence, (n,
    n_out).

    Parameters
    ----------
    respond : function
        (n_samples, n) float64 to a list of (n_samples, n_out).
    """
    silence = respond(torch.zeros(1, n, dtype=torch.float64))
    block = max(1, min(_BLOCK, _AT_ONCE // (n + sum(quiet.numel() for quiet in silence))))
    kept: dict[int, Floats] = {}  # of most outputs there is nothing to keep
    for start in range(0, n, block):
        width = min(block, n - start)
        units = torch.zeros(width, n, dtype=torch.float64)
        units[torch.arange(width), torch.arange(start, start + width)] = _TALL
        for index, (answer, quiet) in enumerate(zip(respond(units), silence, strict=True)):
            weight = ((answer - quiet) / _TALL).numpy()
            weight = np.where(np.abs(weight) < _NOTHING, 0.0, weight)
            if weight.any():
                if index not in kept:
                    kept[index] = np.zeros((n, weight.shape[1]))
                kept[index][start : start + width] = weight
    return [
        kept[index] if index in kept else np.broadcast_to(0.0, (n, quiet.shape[1]))
        for index, quiet in enumerate(silence)
    ]


def measured(module: nn.Module, shape: tuple[int, ...], where: str) -> tuple[Floats, Floats]:
    """Return weight (n_out, n) and bias (n_out,) of a module that maps (batch, *shape).

    Raises
    ------
    RefsimError
        Where the module is not linear.
    """
    double = copy.deepcopy(module).cpu().double().eval()

    def respond(x: Tensor) -> list[Tensor]:
        return [double(x.reshape(-1, *shape)).flatten(1)]

    n = math.prod(shape)
    with torch.no_grad():
        weight = unit_answers(respond, n)[0].T
        bias = respond(torch.zeros(1, n, dtype=torch.float64))[0][0].numpy()
        x = random_inputs(n)
        if not agree(
            respond(x)[0].numpy(),
            x.numpy() @ weight.T + bias,
            np.abs(x.numpy()) @ np.abs(weight).T + np.abs(bias),
        ):
            raise RefsimError(
                f"{where}: {type(module).__name__} is not linear; a connection must be."
            )
    return np.ascontiguousarray(weight), bias


def random_inputs(n: int) -> Tensor:
    """Return numbers of either sign that tell a linear map from another, (3, n)."""
    return torch.randn(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def agree(found: Floats, expected: Floats, size: Floats) -> bool:
    """Whether answers are those of a linear map, to within the rounding of sums of that size."""
    return bool((np.abs(found - expected) <= NOT_LINEAR * size + np.finfo(float).tiny).all())
