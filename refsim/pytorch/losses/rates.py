"""Losses of rates and counts: squares, logistic, and a band that rates are kept in."""

from torch import Tensor
from torch.nn import functional as F

from ..base import above_zero
from .batch import (
    REDUCTIONS,
    among,
    check_band,
    check_steps,
    distribution,
    masked,
    per_step,
    positive,
    reduced,
    steps_mask,
    sum_over_steps,
    window_sums,
    working,
)


def spike_rate(
    spikes: Tensor,
    target: Tensor,
    *,
    true_rate: float = 0.2,
    false_rate: float = 0.03,
    window: int | None = None,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the squared distance of the rates from those wanted of the class and of the others.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        Labels (batch,), or shares of true_rate (batch, class); with a window also for each step.
    true_rate, false_rate : float, spikes a step
        The defaults are those of the paper's N-MNIST runs.
    window : int, steps, optional
        Length of a causal sliding window; the loss is then summed over the steps.
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = sum_i (r_i - w_i)^2, w = true_rate y + false_rate (1 - y), r spikes a step; summed
        over t with r(t) of a window.
    Silence: nothing special, a rate of 0 is a number like any other and its gradient is that of the
        square. No steps: the rate is 0, or with a window the loss is 0.
    Source: Shrestha, Zhu, Sun 2022; lava-dl, SpikeRate.
    """
    values, share, valid = _checked_inputs("spike_rate", spikes, target, window, reduction, mask)
    wanted = true_rate * share + false_rate * (1 - share)
    rates = window_sums(masked(values, valid), window) / per_step(window, valid)
    each = (rates - wanted).square().sum(1)
    return reduced(sum_over_steps(each, window, valid), reduction)


def spike_moid(
    spikes: Tensor,
    target: Tensor,
    *,
    theta: float = 0.0,
    alpha: float = 1.0,
    window: int | None = None,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the binary cross-entropy of each class, whose rate a logistic function reads.

    It serves samples of several classes, or of none.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        (batch, class), 1 or true for each class that is there; or labels (batch,); with a window
        also for each step.
    theta, alpha : float, spikes a step
        Rate of probability one half, and the width of the step around it.
    window : int, steps, optional
        Length of a causal sliding window; the loss is then summed over the steps.
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = -sum_i (y_i log p_i + (1 - y_i) log(1 - p_i)), p = sigmoid((r - theta)/alpha);
        summed over t with r(t) of a window.
    Silence: nothing special; computed from the logits, so that saturated classes give neither an
        infinite loss nor NaN. No steps: the rate is 0, or with a window the loss is 0.
    Source: lava-dl, SpikeMoid.
    """
    positive("spike_moid", alpha=alpha)
    values, share, valid = _checked_inputs("spike_moid", spikes, target, window, reduction, mask)
    logits = (window_sums(masked(values, valid), window) / per_step(window, valid) - theta) / alpha
    each = F.binary_cross_entropy_with_logits(logits, share.expand_as(logits), reduction="none")
    return reduced(sum_over_steps(each.sum(1), window, valid), reduction)


def spike_count_mse(
    spikes: Tensor,
    target: Tensor,
    *,
    true_count: float,
    false_count: float,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the mean square, over the classes, of the counts less the wanted ones.

    One count is wanted of the class, another of the others.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        Labels (batch,), or shares of true_count (batch, class).
    true_count, false_count : float, spikes
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = 1/C sum_i (n_i - w_i)^2, w = true_count y + false_count (1 - y), n spikes of the
        record.
    Silence: nothing special, a count of 0 is a number like any other. No steps: the counts are 0.
    Source: the mean square error of the counts, for rate codes.
    """
    values, share, valid = _checked_inputs("spike_count_mse", spikes, target, None, reduction, mask)
    wanted = true_count * share + false_count * (1 - share)
    return reduced(
        (masked(values, valid).sum(-1, keepdim=True) - wanted).square().mean(1)[:, 0], reduction
    )


def rate_regulariser(
    spikes: Tensor, *, low: float, high: float, reduction: str = "mean", mask: Tensor | None = None
) -> Tensor:
    """Return by how much rates leave a band, squared.

    It works against neurons that are silent and those that never stop.

    Parameters
    ----------
    spikes : Tensor (batch, neuron, step)
    low, high : float, spikes a step
    reduction : {"mean", "sum", "none"}
        Over the batch.
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = 1/n sum_i (max(0, r_i - high)^2 + max(0, low - r_i)^2), r spikes a step.
    Silence: costs low^2 a neuron, and its gradient raises the rate. No steps: the rates are 0.
    Source: the squared hinge of Zenke and Vogels 2021, with both bounds in one.
    """
    among(reduction, REDUCTIONS, "rate_regulariser", "reduction")
    check_band("rate_regulariser", low, high)
    values = working(spikes, "rate_regulariser", "spikes (batch, neuron, step)")
    valid = steps_mask(mask, values, "rate_regulariser")
    rates = masked(values, valid).sum(-1) / per_step(None, valid)[..., 0]
    return reduced(
        (above_zero(rates - high).square() + above_zero(low - rates).square()).mean(1), reduction
    )


def _checked_inputs(
    loss: str,
    spikes: Tensor,
    target: Tensor,
    window: int | None,
    reduction: str,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Check the options; return the values, the wanted shares and which steps count."""
    check_steps(loss, window=window)
    among(reduction, REDUCTIONS, loss, "reduction")
    values = working(spikes, loss)
    return (
        values,
        distribution(target, values, loss, each_step=window is not None),
        steps_mask(mask, values, loss),
    )
