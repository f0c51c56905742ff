"""A linear map as numbers: measured by what it answers to unit inputs, less its answer to silence.

`unit_answers` measures any function, and `measured` a module of PyTorch, which it also checks for
linearity. `join_delays` and `shape_text` serve all who make connections of such maps.
"""

import copy
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..core.arrays import Floats, Ints
from ..core.errors import RefsimError

_BLOCK = 512  # unit inputs that run at once
_AT_ONCE = 1 << 25  # numbers of inputs and answers that are kept at once: 256 MiB
# Unit inputs are multiplied by this power of two. It is so large that the rounding of an answer
# removes any bias from it, and each weight comes out exact to the last bit.
_TALL = 2.0**200
# Answers below this are taken for 0. It is smaller than any number of float32, and far above what
# may remain of a bias, rounded in another order, beside an input of size _TALL.
_NOTHING = 2.0**-150
# This is far above the rounding of float64 sums of some thousand terms, 1e-12, and far below what a
# rectifier or a pool changes.
NOT_LINEAR = 1e-9


def unit_answers(respond: Callable[[Tensor], list[Tensor]], n: int) -> list[Floats]:
    """Return the answers of a map to its n unit inputs, less its answer to silence.

    Parameters
    ----------
    respond : function
        The map, from (n_samples, n) float64 to a list of outputs, each (n_samples, n_out).
    n : int
        Number of its inputs.

    Returns
    -------
    list of (n, n_out) float64
        One array for each output.
    """
    silence = respond(torch.zeros(1, n, dtype=torch.float64))
    block = max(1, min(_BLOCK, _AT_ONCE // (n + sum(quiet.numel() for quiet in silence))))
    kept: dict[int, Floats] = {}  # most outputs do not depend on the input, and need no array
    # Blocks bound the memory, however many inputs there are.
    for start in range(0, n, block):
        width = min(block, n - start)
        # Each row of the block is one unit input.
        units = torch.zeros(width, n, dtype=torch.float64)
        units[torch.arange(width), torch.arange(start, start + width)] = _TALL
        for index, (answer, quiet) in enumerate(zip(respond(units), silence, strict=True)):
            # The difference leaves what the unit input adds, and nothing of the bias.
            weight = ((answer - quiet) / _TALL).numpy()
            weight = np.where(np.abs(weight) < _NOTHING, 0.0, weight)
            if weight.any():
                if index not in kept:
                    kept[index] = np.zeros((n, weight.shape[1]))
                kept[index][start : start + width] = weight
    # An output that never answered is 0 everywhere, without memory for it.
    return [
        kept[index] if index in kept else np.broadcast_to(0.0, (n, quiet.shape[1]))
        for index, quiet in enumerate(silence)
    ]


def measured(module: nn.Module, shape: tuple[int, ...], where: str) -> tuple[Floats, Floats]:
    """Return weight (n_out, n) and bias (n_out,) of a module that maps (batch, *shape).

    Parameters
    ----------
    module : nn.Module
        It is copied, and runs in float64 on the CPU.
    shape : tuple of int
        The shape of one sample of n numbers.
    where : str
        Opens the error message.

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
        # Unit inputs alone cannot tell a linear map from one that bends or multiplies.
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
    """Return random numbers (3, n), of both signs and always the same, on which maps differ."""
    return torch.randn(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def agree(found: Floats, expected: Floats, size: Floats) -> bool:
    """Return whether answers equal those expected, to within the rounding of sums of that size."""
    return bool((np.abs(found - expected) <= NOT_LINEAR * size + np.finfo(float).tiny).all())


def join_delays(weights: Mapping[int, Floats]) -> list[tuple[Floats, Ints]]:
    """Return the weights (n_post, n_pre) of one source by their delay, as few as possible.

    Where each input has one delay alone, as behind axonal delays, there is one weight with a delay
    an input, (n_pre,). Elsewhere each weight has its own delay, a single number.
    """
    used = np.array([weight.any(axis=0) for weight in weights.values()])  # (n_delays, n_pre)
    if len(weights) > 1 and (used.sum(axis=0) <= 1).all():
        delays = np.array(list(weights))[used.argmax(axis=0)]
        return [(np.sum(list(weights.values()), axis=0), delays)]
    return [(weight, np.array(delay)) for delay, weight in weights.items()]


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape in words, ``"2x34x34"``."""
    return "x".join(map(str, shape))
