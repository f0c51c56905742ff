"""Spikemax: the cross-entropy of the output layer's spikes, read as probabilities of classes."""

from torch import Tensor
from torch.nn import functional as F

from ...core.errors import RefsimError
from ..base import at_least
from .batch import (
    REDUCTIONS,
    among,
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

_EPS = 1e-6  # lava-dl adds it to the sum of the rates


def spikemax(
    spikes: Tensor,
    target: Tensor,
    *,
    window: int | None = None,
    of: str = "counts",
    reading: str = "probability",
    scale: float = 1.0,
    gradient: str | None = None,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy between the target and the classes' shares of the spikes.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        Labels (batch,), or distributions (batch, class); with a window also for each step, with the
        step as last axis.
    window : int, steps, optional
        Length of a causal sliding window; the loss is then summed over the steps. None: one count
        over the whole record.
    of : {"counts", "rates"}
        What is read: spikes, or spikes a step.
    reading : {"probability", "softmax"}
        Shares of the sum, or a softmax.
    scale : float
        For a softmax of counts: they are divided by it.
    gradient : {"exact", "authors"}, optional
        "exact": the derivative of the value, in which a silent class has none. "authors": that of
        the released code, which lets silent classes learn; with a window it is not the derivative.
        By default "authors" without a window, where it differs for silent classes alone, and
        "exact" with one, or with a softmax, where no class is held up.
    reduction : {"mean", "sum", "none"}
        Over the batch.
    mask : Tensor (batch, step), optional
        True where a step counts.

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Raises
    ------
    RefsimError
        For shapes and options that do not go together.

    Notes
    -----
    Formula: L = -sum_i y_i log p_i, p = max(1, c)/sum max(1, c), c counts of the record; summed
        over t with c(t) of a window. Rates: p = r/(sum r + 1e-6). Softmax: p = softmax(c/scale) or
        softmax(r).
    Silence: a silent class counts as one spike, also as a rate, where lava-dl gives NaN; all
        silent: p is uniform. No steps: log C without a window, 0 with one.
    Source: Shrestha, Zhu, Sun 2022 (arXiv 2205.09845) and the authors' released code; rates and
        softmax: lava-dl, SpikeMax.
    """
    _check_options(window, of, reading, scale, gradient, reduction)
    values = working(spikes, "spikemax")
    share = distribution(target, values, "spikemax", each_step=window is not None)
    valid = steps_mask(mask, values, "spikemax")
    counts, per = (
        window_sums(masked(values, valid), window),
        per_step(window, valid) if of == "rates" else 1.0,
    )
    # The logarithm of each class's probability.
    if reading == "softmax":
        logs = F.log_softmax(counts / (per * scale), dim=1)
    else:
        floored = at_least(counts, 1)
        # A silent class counts as one spike. The released code gives it the slope of c all the
        # same, and in a window that of the window's last step alone.
        if gradient == "authors" or (gradient is None and window is None):
            slope = counts if window is None else masked(values, valid)
            floored = floored.detach() + (slope - slope.detach())
        weights = floored / per
        total = weights.sum(1, keepdim=True) + (_EPS if of == "rates" else 0.0)
        logs = weights.log() - total.log()
    each = -(share * logs).sum(1)
    return reduced(sum_over_steps(each, window, valid), reduction)


def _check_options(
    window: int | None, of: str, reading: str, scale: float, gradient: str | None, reduction: str
) -> None:
    """Refuse options that are not known, or that do not go together."""
    check_steps("spikemax", window=window)
    positive("spikemax", scale=scale)
    among(of, ("counts", "rates"), "spikemax", "of")
    among(reading, ("probability", "softmax"), "spikemax", "reading")
    among(reduction, REDUCTIONS, "spikemax", "reduction")
    if gradient is not None:
        among(gradient, ("exact", "authors"), "spikemax", "gradient")
    if scale != 1 and (of, reading) != ("counts", "softmax"):
        raise RefsimError(
            'spikemax: a scale changes neither shares nor rates; give reading="softmax" and '
            'of="counts" with it, or leave it out.'
        )
    if gradient == "authors" and (reading == "softmax" or (window is not None and of == "rates")):
        raise RefsimError(
            "spikemax: the released code has no gradient of its own for a softmax, nor for rates "
            'in a window; give gradient="exact".'
        )
