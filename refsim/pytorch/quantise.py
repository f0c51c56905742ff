"""Weights on a grid while they are trained, as a chip of few bits can store them.

They are rounded forward, and the gradient passes straight through backward.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..core.errors import RefsimError


class Grid(nn.Module):
    """A parametrisation: the nearest multiple of a step, within a range.

    Of two multiples that are equally near, the even one is taken.

    Parameters
    ----------
    step : float
        Distance of two neighbours. A power of two makes sums of weights exact.
    low, high : float
        Ends of the range, both multiples of the step. The defaults are lava-dl's signed 8 bits.

    Notes
    -----
    Forward: min(max(round(w/step), low/step), high/step)*step. Backward: dL/dw = dL/dq, straight
    through the rounding (Bengio et al. 2013), as lava-dl has it. Beyond the range dL/dq passes
    where it leads back and is 0 where it leads further out: lava-dl's clamp lets nothing pass, and
    a weight that has left the range never comes back.
    """

    def __init__(self, step: float = 2 / 64, low: float = -4.0, high: float = 254 / 64) -> None:
        super().__init__()
        if not 0 < step < math.inf or not -math.inf < low < high < math.inf:
            raise RefsimError(
                f"Grid: needs a step above 0 and low below high, but was given step {step!r}, "
                f"low {low!r}, high {high!r}."
            )
        self.step, self.first, self.last = step, round(low / step), round(high / step)
        if not (
            math.isclose(self.first * step, low, abs_tol=1e-9 * step)
            and math.isclose(self.last * step, high, abs_tol=1e-9 * step)
        ):
            raise RefsimError(
                f"Grid: low {low:g} and high {high:g} must be multiples of the step {step:g}; "
                f"the nearest are {self.first * step:g} and {self.last * step:g}."
            )

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight on the grid, of the same shape and dtype."""
        rounded: Tensor = _OnGrid.apply(  # type: ignore[no-untyped-call]
            weight, self.step, self.first, self.last
        )
        return rounded

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return what is trained in place of a weight: the weight itself, not yet rounded."""
        return weight

    def extra_repr(self) -> str:
        """Show the grid."""
        return f"step={self.step:g}, low={self.first * self.step:g}, high={self.last * self.step:g}"


class _OnGrid(torch.autograd.Function):
    """Round to the grid; backward pass the gradient on, unless it leads further out of range."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: float, first: int, last: int) -> Tensor:
        number = torch.round(weight / step)
        ctx.save_for_backward(number < first, number > last)
        return number.clamp(first, last) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        below, above = ctx.saved_tensors
        # A descent goes against the gradient.
        outwards = (below & (gradient > 0)) | (above & (gradient < 0))
        return torch.where(outwards, torch.zeros_like(gradient), gradient), None, None, None


def quantise(
    module: nn.Module, step: float = 2 / 64, low: float = -4.0, high: float = 254 / 64
) -> nn.Module:
    """Put the weights of all Linear and Conv layers of a module on a grid, and return the module.

    Biases stay as they are. The bridge reads the weights on the grid.
    `torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")` keeps them for good.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    step, low, high : float
        The grid, as `Grid` has it.

    Raises
    ------
    RefsimError
        Where nothing has a weight, or weights are on a grid already.
    """
    parts = [
        part
        for part in module.modules()
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    if not parts:
        raise RefsimError(
            "quantise: the module has no Linear and no Conv layer, so that there is no weight to "
            "put on a grid."
        )
    if any(parametrize.is_parametrized(part, "weight") for part in parts):
        raise RefsimError(
            "quantise: a weight of the module is parametrised already; "
            "torch.nn.utils.parametrize.remove_parametrizations takes that off."
        )
    for part in parts:
        parametrize.register_parametrization(part, "weight", Grid(step, low, high))
    return module
