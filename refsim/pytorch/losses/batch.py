"""What every loss does with its batch, from the checks of its options to the reduction at the end.

In this order: precision, targets, masks, sums over sliding windows, filters, reductions, and
checks of options. Tensors are (batch, class, step). Half precision is computed in float32, as
PyTorch's own losses are under autocast, and so are whole numbers and booleans. Nothing here leaves
the device or asks for a value, so that a loss can be compiled whole.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import RefsimError, listed
from ..base import at_least, no_autocast

REDUCTIONS = ("mean", "sum", "none")


def working(values: Tensor, loss: str, what: str = "spikes (batch, class, step)") -> Tensor:
    """Return the values in the precision of the loss: float64 as it is, all else as float32.

    Raises
    ------
    RefsimError
        Where the values are no tensor of three axes.
    """
    if not isinstance(values, Tensor) or values.dim() != 3:
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise RefsimError(f"{loss}: needs {what}, but was given {shape}.")
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def distribution(target: Tensor, values: Tensor, loss: str, *, each_step: bool = False) -> Tensor:
    """Return the share of each class that the target wants, (batch, class, 1 or step).

    Parameters
    ----------
    target : Tensor
        Whole numbers are labels, (batch,) or (batch, step); all else is a share for each class,
        (batch, class) or (batch, class, step).
    values : Tensor (batch, class, step)
        Of which shape, dtype and device are taken.
    loss : str
        Its name, for messages.
    each_step : bool
        Whether the target may be given for each step.

    Raises
    ------
    RefsimError
        For a target of another shape, or a label that is no class.
    """
    batch, classes, steps = values.shape
    labels = not (target.is_floating_point() or target.dtype == torch.bool)
    shapes = [(batch,), (batch, steps)] if labels else [(batch, classes), (batch, classes, steps)]
    allowed = shapes if each_step else shapes[:1]
    if tuple(target.shape) not in allowed:
        raise RefsimError(
            f"{loss}: target has shape {tuple(target.shape)}; for values {tuple(values.shape)} "
            f"give labels, whole numbers of shape ({batch},), "
            f"or a distribution, floats of shape ({batch}, {classes})"
            + (", or either for each step, with the step as last axis." if each_step else ".")
        )
    if labels:
        return _one_hot(target, values, loss)
    return (target if target.dim() == 3 else target[..., None]).to(values)


def _one_hot(labels: Tensor, values: Tensor, loss: str) -> Tensor:
    classes = values.shape[1]
    # Only on a CPU, and not while it is compiled, does it cost nothing to look at the values.
    if labels.device.type == "cpu" and not torch.compiler.is_compiling() and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise RefsimError(
                f"{loss}: labels must be 0 to {classes - 1} for {classes} classes, but go from "
                f"{low} to {high}."
            )
    index = (labels if labels.dim() == 2 else labels[:, None])[:, None].long()
    # This is a scatter and no comparison: on a GPU too, a label out of range then stops the
    # program, and is never a sample without a class.
    return values.new_zeros(index.shape[0], classes, index.shape[2]).scatter(1, index, 1.0)


def steps_mask(mask: Tensor | None, values: Tensor, loss: str) -> Tensor:
    """Return (batch, 1, step), 1 where a step counts and 0 where it does not.

    A mask is (batch, step), true where it counts.
    """
    batch, _, steps = values.shape
    if mask is None:
        return values.new_ones(1, 1, steps).expand(batch, 1, steps)
    if tuple(mask.shape) != (batch, steps):
        raise RefsimError(
            f"{loss}: mask must be (batch, step), here ({batch}, {steps}), true where a step "
            f"counts, but has shape {tuple(mask.shape)}."
        )
    return (mask != 0).to(values)[:, None]


def masked(values: Tensor, valid: Tensor) -> Tensor:
    """Return the values where a step counts and 0 elsewhere, so that padding may be NaN."""
    return torch.where(valid > 0, values, torch.zeros_like(values))


def window_sums(values: Tensor, window: int | None) -> Tensor:
    """Return sums over all steps, (batch, class, 1), or at each step over the last ones.

    A window reaches ``window`` steps back, with zeros before the first step.
    """
    if window is None:
        return values.sum(-1, keepdim=True)
    if not values.shape[-1]:
        return values
    return F.pad(values, (window - 1, 0)).unfold(-1, window, 1).sum(-1)


def per_step(window: int | None, valid: Tensor) -> Tensor:
    """Return the number of steps by which a count is divided for a rate.

    It is the window, or the number of steps of a sample that count, at least 1.
    """
    if window is not None:
        return valid.new_full((1, 1, 1), float(window))
    return at_least(valid.sum(-1, keepdim=True), 1)


def filtered(values: Tensor, kernel: Tensor) -> Tensor:
    """Convolve (batch, class, step) with a kernel whose first value acts in the step of the spike.

    It is computed in the dtype of the values, whatever autocast says outside.
    """
    batch, classes, steps = values.shape
    if not values.numel():
        return values
    kernel = kernel[:steps]
    with no_autocast(values.device):
        rows = F.pad(values.reshape(batch * classes, 1, steps), (len(kernel) - 1, 0))
        return F.conv1d(rows, kernel.flip(0)[None, None]).reshape(values.shape)


def reduced(samples: Tensor, reduction: str) -> Tensor:
    """Return the mean of the samples (batch,), their sum, or the samples themselves.

    The mean of an empty batch is 0.
    """
    if reduction == "none":
        return samples
    return samples.sum() / max(samples.shape[0], 1) if reduction == "mean" else samples.sum()


def sum_over_steps(each: Tensor, window: int | None, valid: Tensor) -> Tensor:
    """Return the loss of each sample (batch,), of a loss (batch, 1 or step).

    Without a window it is one number already; with one, the steps that count are added up.
    """
    return (each if window is None else each * valid[:, 0]).sum(-1)


def mean_over_steps(each: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over the steps that count (batch,), of a loss (batch, step)."""
    return (each * valid[:, 0]).sum(-1) / at_least(valid[:, 0].sum(-1), 1)


def among(value: object, known: tuple[str, ...], loss: str, name: str) -> None:
    """Refuse an option that is not one of those known."""
    if value not in known:
        raise RefsimError(f"{loss}: {name} must be one of {listed(known)}, but is {value!r}.")


def positive(loss: str, **values: float) -> None:
    """Refuse a number that is not positive."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise RefsimError(f"{loss}: {name} must be a positive number, but is {value!r}.")


def check_band(loss: str, low: float, high: float) -> None:
    """Refuse a band whose lower bound lies above its upper one."""
    if not low <= high:
        raise RefsimError(
            f"{loss}: low must not lie above high, but low={low:g} and high={high:g}."
        )


def check_steps(loss: str, **values: int | None) -> None:
    """Refuse a number of steps that is no whole number from 1 on."""
    for name, value in values.items():
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            raise RefsimError(
                f"{loss}: {name} must be a whole number of steps, at least 1, but is {value!r}."
            )
