"""The check that the backward pass of a loss is its derivative, by central differences.

The differences are taken near the outputs of a run.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...gradients.differences import central_difference
from ..suite import DIGITS, Answer

if TYPE_CHECKING:
    from torch import Tensor

UserLoss = Callable[..., "Tensor"]  # of (values, target), or of values alone
LOSS_LIMIT = DIGITS
# Directions; two steps, and how near their slopes must be, or a corner lies between.
_WAYS, _STEPS, _TRUSTED = 12, (1e-4, 3e-5), 1e-7


def loss_error(loss: UserLoss, target: Sequence[Any], outputs: Floats, seed: int) -> Answer:
    """Return how far autograd's gradient of a loss is from central differences, relative.

    It is asked at graded values above the outputs, where no class is silent.

    Parameters
    ----------
    loss : function ``(values, target) -> Tensor``
    outputs : (n_samples, n_classes, n_steps)
    """
    from ...modules.functions import loss_digits, loss_gradient, loss_value

    # Differences of float32 numbers are too rough to judge by.
    if loss_digits(loss, outputs, *target) < 64:
        return None, "the loss is not computed in float64 where it is given float64"
    # A loss that draws random numbers has no one gradient.
    first, again = (loss_value(loss, outputs, *target) for _ in range(2))
    if abs(first - again) > 0:  # NaN is for `finite` to find
        raise RefsimError(
            "check_gradient: the loss gives another number when it is called again with the "
            "same; no gradient of it can be compared."
        )
    generator, worst = np.random.default_rng(seed), None
    for _ in range(_WAYS):
        # Above the outputs, so that no class is silent.
        values = outputs + generator.uniform(0.5, 1.0, outputs.shape) * max(
            0.5, 3 / outputs.shape[-1]
        )
        along = generator.standard_normal(outputs.shape)
        # Two steps that disagree show a corner between them.
        slope, finer = (
            central_difference(partial(_moved, loss, target, values, along), step)
            for step in _STEPS
        )
        # A missing gradient counts as 0.
        gradient = loss_gradient(loss, values, *target)
        found, length = (
            (0.0, 0.0)
            if gradient is None
            else (float((gradient * along).sum()), float(np.linalg.norm(gradient)))
        )
        # Relative to the gradient's length, so that a flat direction is judged too.
        size = max(length, abs(slope))
        if not abs(slope - finer) > _TRUSTED * size:  # NaN is for `finite` to find
            worst = max(worst or 0.0, abs(found - slope) / size if size else 0.0)
    if worst is None:
        return (
            None,
            (
                "central differences do not settle: the loss has corners everywhere, or is not "
                "computed in float64"
            ),
        )
    return (
        worst,
        "the backward pass of the loss is not its derivative" if worst > LOSS_LIMIT else "",
    )


def _moved(
    loss: UserLoss,
    target: Sequence[Any],
    values: Floats,
    along: Floats,
    offset: float,
) -> float:
    """Return the loss a little further along a direction."""
    from ...modules.functions import loss_value

    return loss_value(loss, values + offset * along, *target)
