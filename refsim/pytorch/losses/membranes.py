"""Losses of membranes, and of outputs at each step.

They are the cross-entropy of the largest membrane, TET, and a band that membranes are kept in.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import RefsimError
from ..base import above_zero
from .batch import (
    REDUCTIONS,
    among,
    check_band,
    distribution,
    masked,
    mean_over_steps,
    reduced,
    steps_mask,
    working,
)

_MEMBRANE = "membranes (batch, class, step)"


def max_membrane_cross_entropy(
    membrane: Tensor, target: Tensor, *, reduction: str = "mean", mask: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of a softmax over the largest membrane that each class reached.

    Parameters
    ----------
    membrane : Tensor (batch, class, step), in units of the logits
        Of a readout without spikes, usually.
    target : Tensor
        Labels (batch,), or distributions (batch, class).
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional
        True where a step counts.

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = -sum_i y_i log softmax(m)_i, m_i = max_t v_i(t). The gradient goes to one step a
        class: of equal membranes, to the first.
    Silence: a membrane at rest is a number like any other; no steps: m = 0, L = log C.
    Source: maximum over time of Cramer et al. 2020 (Heidelberg spoken digits) and Zenke and Vogels
        2021.
    """
    among(reduction, REDUCTIONS, "max_membrane_cross_entropy", "reduction")
    values = working(membrane, "max_membrane_cross_entropy", _MEMBRANE)
    share, valid = (
        distribution(target, values, "max_membrane_cross_entropy"),
        steps_mask(mask, values, "max_membrane_cross_entropy"),
    )
    # A record without steps has membranes of 0.
    largest = values.sum(-1)
    if values.shape[-1]:
        lowest = torch.full_like(values, torch.finfo(values.dtype).min)
        values = torch.where(valid > 0, values, lowest)
        # The index comes from a detached copy, so that one step alone takes the gradient.
        reached = values.gather(-1, values.detach().argmax(-1, keepdim=True))[..., 0]
        largest = torch.where(valid.sum(-1) > 0, reached, torch.zeros_like(reached))
    return reduced(-(share[..., 0] * F.log_softmax(largest, dim=1)).sum(1), reduction)


def tet(
    outputs: Tensor,
    target: Tensor,
    *,
    lam: float,
    constant: float,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the loss of temporal efficient training, TET.

    It is the cross-entropy of the output at each step, and its distance to a constant.

    Parameters
    ----------
    outputs : Tensor (batch, class, step)
        Logits of each step: membranes, or the sum that would be averaged over the steps.
    target : Tensor
        Labels (batch,), or distributions (batch, class); or either for each step.
    lam : float, 0 to 1
        Share of the distance to the constant.
    constant : float
        What all outputs are drawn to.
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional
        True where a step counts.

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = (1 - lam) mean_t CE(o(t), y) + lam mean_{t,i} (o_i(t) - constant)^2.
    Silence: outputs of 0 are logits like any other, log C a step. No steps: 0.
    Source: TET, Deng et al. 2022 (ICLR).
    """
    among(reduction, REDUCTIONS, "tet", "reduction")
    if not 0 <= lam <= 1:
        raise RefsimError(f"tet: lam must be 0 to 1, but is {lam!r}.")
    values = working(outputs, "tet", "outputs (batch, class, step)")
    share, valid = (
        distribution(target, values, "tet", each_step=True),
        steps_mask(mask, values, "tet"),
    )
    values = masked(values, valid)
    entropy = -(share * F.log_softmax(values, dim=1)).sum(1)
    each = (1 - lam) * entropy + lam * (values - constant).square().mean(1)
    return reduced(mean_over_steps(each, valid), reduction)


def membrane_regulariser(
    membrane: Tensor,
    *,
    low: float,
    high: float,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return by how much membranes leave a band, squared.

    Parameters
    ----------
    membrane : Tensor (batch, neuron, step), in the membrane's unit
    low, high : float, in the same unit
    reduction : {"mean", "sum", "none"}
        Over the batch.
    mask : Tensor (batch, step), optional
        True where a step counts.

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = mean_{t,i} (max(0, v_i(t) - high)^2 + max(0, low - v_i(t))^2).
    Silence: membranes inside the band cost nothing and have no gradient. No steps: 0.
    Source: a squared hinge; RMP-Loss and MPD-Loss are other formulas, and are not claimed.
    """
    among(reduction, REDUCTIONS, "membrane_regulariser", "reduction")
    check_band("membrane_regulariser", low, high)
    values = working(membrane, "membrane_regulariser", "membranes (batch, neuron, step)")
    valid = steps_mask(mask, values, "membrane_regulariser")
    values = masked(values, valid)
    each = (above_zero(values - high).square() + above_zero(low - values).square()).mean(1)
    return reduced(mean_over_steps(each, valid), reduction)
