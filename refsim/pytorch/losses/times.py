"""Losses of spike times: filtered trains, spike numbers in a region, and the first spike.

They are van Rossum's distance, SLAYER's loss of spike numbers, and a cross-entropy of the times
to the first spike.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import RefsimError
from ..srm import alpha_function
from .batch import (
    REDUCTIONS,
    among,
    check_steps,
    distribution,
    filtered,
    masked,
    positive,
    reduced,
    steps_mask,
    working,
)


def spike_time(
    spikes: Tensor,
    desired: Tensor,
    *,
    kernel: str = "exponential",
    tau: float = 5.0,
    dt: float = 1.0,
    order: int = 1,
    length: int = 100,
    cut: float = 0.01,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the squared distance of two sets of filtered spike trains, van Rossum's distance.

    Parameters
    ----------
    spikes, desired : Tensor (batch, class, step)
        1 at a spike.
    kernel : {"exponential", "alpha"}
        lava-dl's low-pass filter, or the response kernel of SLAYER.
    tau, dt : float, in one unit of time
        Time constant of the kernel and duration of a step; by default both in steps.
    order : int
        How often the exponential is convolved with itself, 1 for once through.
    length : int, steps
        Where the exponential kernel ends.
    cut : float
        The alpha kernel ends where it falls below this.
    reduction : {"mean", "sum", "none"}
        Over the batch.
    mask : Tensor (batch, step), optional
        True where a step counts: elsewhere neither spikes nor the filtered difference do.

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: exponential: L = sum_i sum_t (h*(s_i - d_i))(t)^2, h_k = exp(-k dt/tau), for order m
        convolved m - 1 times with itself. alpha: L = dt/2 sum_i sum_t (eps*(s_i - d_i))(t)^2, eps_k
        = (k dt/tau) exp(1 - k dt/tau).
    Silence: the distance to an empty train is that of the desired one; its gradient is that of any
        other. No steps: 0.
    Source: van Rossum 2001; exponential: lava-dl, SpikeTime; alpha: SLAYER, Shrestha and Orchard
        2018.
    """
    among(kernel, ("exponential", "alpha"), "spike_time", "kernel")
    among(reduction, REDUCTIONS, "spike_time", "reduction")
    positive("spike_time", tau=tau, dt=dt, cut=cut)
    check_steps("spike_time", order=order, length=length)
    if kernel == "alpha" and order != 1:
        raise RefsimError(
            "spike_time: an order belongs to the exponential kernel; leave it at 1, or give "
            'kernel="exponential".'
        )
    values = working(spikes, "spike_time")
    if desired.shape != values.shape:
        raise RefsimError(
            "spike_time: desired must be trains of the shape of the spikes, "
            f"{tuple(values.shape)}, but is {tuple(desired.shape)}."
        )
    valid = steps_mask(mask, values, "spike_time")
    response, weight = (
        (_alpha(values, tau, dt, cut), dt / 2)
        if kernel == "alpha"
        else (_exponential(values, tau / dt, order, length), 1.0)
    )
    error = filtered(masked(values - desired.to(values), valid), response)
    return reduced(weight * masked(error, valid).square().sum((1, 2)), reduction)


def num_spikes(
    spikes: Tensor,
    target: Tensor,
    *,
    true_count: float,
    false_count: float,
    region: tuple[int, int],
    tau: float = 10.0,
    dt: float = 1.0,
    cut: float = 0.01,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return SLAYER's loss of spike numbers: a count inside a region of steps, silence outside.

    Its gradient is not the derivative of its value, by design: the count enters as a constant, and
    reaches the spikes only through the response kernel.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        Labels (batch,), or shares of true_count (batch, class).
    true_count, false_count : float, spikes in the region
    region : (start, stop), steps
        From start up to, and without, stop.
    tau, dt : float, in one unit of time
        Time constant of the response kernel and duration of a step.
    cut : float
        The kernel ends where it falls below this.
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = dt/2 sum_i sum_t e_i(t)^2, e = eps*(s outside the region) + (n - w)/(stop - start)
        inside it, w = true_count y + false_count (1 - y). Backward: dL/ds_i(t) = dt sum_k e_i(t +
        k) eps_k at every t.
    Silence: the count is 0 and its gradient raises it; eps_0 = 0, so a spike in the last step has
        none. No steps: 0.
    Source: SLAYER, Shrestha and Orchard 2018, and slayerPytorch, spikeLoss.py, which lets the
        response to spikes outside reach into the region.
    """
    among(reduction, REDUCTIONS, "num_spikes", "reduction")
    positive("num_spikes", tau=tau, dt=dt, cut=cut)
    start, stop = region
    if not 0 <= start < stop:
        raise RefsimError(
            "num_spikes: region must be (start, stop), steps, with 0 <= start < stop, but is "
            f"{region!r}."
        )
    values = working(spikes, "num_spikes")
    share, valid = (
        distribution(target, values, "num_spikes"),
        steps_mask(mask, values, "num_spikes"),
    )
    spread = masked(values, valid)
    # Inside the region the count is off by a constant, spread over the steps of the region.
    inside = torch.zeros_like(valid)
    inside[..., start:stop] = 1.0
    wanted = true_count * share + false_count * (1 - share)
    count_error = ((spread * inside).sum(-1, keepdim=True) - wanted).detach() / (stop - start)
    # Spikes inside have no value here, but their gradient goes through the kernel all the same.
    error = (
        filtered(spread - (spread * inside).detach(), _alpha(values, tau, dt, cut))
        + count_error * inside
    )
    return reduced(dt / 2 * masked(error, valid).square().sum((1, 2)), reduction)


def ttfs_cross_entropy(
    spikes: Tensor,
    target: Tensor,
    *,
    tau: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of the times to the first spike; earlier classes are likelier.

    Parameters
    ----------
    spikes : Tensor (batch, class, step)
    target : Tensor
        Labels (batch,), or distributions (batch, class).
    tau : float, steps
        Time by which an earlier spike makes a class e times likelier.
    reduction : {"mean", "sum", "none"}
    mask : Tensor (batch, step), optional

    Returns
    -------
    Tensor, a number; (batch,) for reduction "none"

    Notes
    -----
    Formula: L = -sum_i y_i log softmax(-t/tau)_i, t_i = sum_t prod_{k <= t} (1 - s_i(k)): the step
        of the first spike, and for s between 0 and 1 its expectation.
    Silence: a silent class fires at the end of the record, one step after the last; its gradient
        calls for a spike, the earlier the better. No steps: log C.
    Source: Goeltz et al. 2021 (Nature Machine Intelligence 3), without their regulariser; the
        product form of t is refsim's.
    """
    among(reduction, REDUCTIONS, "ttfs_cross_entropy", "reduction")
    positive("ttfs_cross_entropy", tau=tau)
    values = working(spikes, "ttfs_cross_entropy")
    share, valid = (
        distribution(target, values, "ttfs_cross_entropy"),
        steps_mask(mask, values, "ttfs_cross_entropy"),
    )
    first = first_spike(masked(values, valid), valid)
    return reduced(-(share[..., 0] * F.log_softmax(-first / tau, dim=1)).sum(1), reduction)


def first_spike(spikes: Tensor, valid: Tensor) -> Tensor:
    """Return the number of steps that count before the first spike, (batch, class).

    Of probabilities in place of spikes it is the expectation.
    """
    return (valid * torch.cumprod(1 - spikes, -1)).sum(-1)


def _exponential(like: Tensor, tau: float, order: int, length: int) -> Tensor:
    once = torch.exp(-torch.arange(length, device=like.device, dtype=like.dtype) / tau)
    kernel = once
    for _ in range(order - 1):
        kernel = filtered(kernel[None, None], once)[0, 0]
    return kernel


def _alpha(like: Tensor, tau: float, dt: float, cut: float) -> Tensor:
    return like.new_tensor(_alpha_values(dt / tau, cut))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _alpha_values(ratio: float, cut: float) -> tuple[float, ...]:
    return alpha_function(ratio, 1.0, cut)
