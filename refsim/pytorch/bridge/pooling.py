"""Max pools over spikes: the largest of some 0s and 1s is 1 where there is a 1, so that a pool is a layer that fires where any of its inputs does."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from ...arrays import Floats
from .framework import Framework

_LARGEST_OF: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.MaxPool1d: functional.max_pool1d,
    nn.MaxPool2d: functional.max_pool2d,
    nn.MaxPool3d: functional.max_pool3d,
}
POOLS = tuple(_LARGEST_OF)


def _axes(part: nn.Module) -> str:
    """Return how a pool that knows of time takes it; PyTorch's own takes what comes, which a run shows."""
    return "time first" if getattr(part, "step_mode", "s") == "m" else ""


def _pooled(part: Any, frames: Tensor) -> Tensor:
    """Return the largest number of each window of frames (time, batch, ...)."""
    pool = next(function for kind, function in _LARGEST_OF.items() if isinstance(part, kind))
    found = pool(frames.flatten(0, 1), part.kernel_size, part.stride, part.padding, part.dilation, part.ceil_mode)
    return found.reshape(*frames.shape[:2], *found.shape[1:])


POOLING = Framework(name="pytorch", title="PyTorch", package="torch", axes=_axes, arriving=_pooled)


def fault_of_weights(from_input: bool, weights: Iterable[Floats], bias: Floats) -> str:
    """Return why what reaches a pool cannot be spikes alone, from the measured maps; nothing where it can."""
    if from_input:
        return "the module's input reaches it past all neurons"
    if bias.any():
        return "a bias reaches it"
    each = np.unique(np.concatenate([np.unique(weight) for weight in weights] or [np.zeros(1)]))
    if not np.isin(each, (0.0, 1.0)).all():
        return f"spikes reach it scaled, by {each[~np.isin(each, (0.0, 1.0))][0]:g}"
    return "" if each[-1] else "no spike reaches it"


def fault_of_answers(given: Tensor, found: Tensor, arrived: list[tuple[Floats, Floats]]) -> str:
    """Return why a pool is not given spikes of one neuron at each place; nothing where it is.

    Parameters
    ----------
    given : (n_samples, ...)
        What the pool was given in a step, where each neuron in front answered with a positive number of its own in place of a spike.
    found : (n_samples, n_out)
        The largest of each window.
    arrived : list of (n_samples, n_source), (n_out, n_source)
        The numbers that arrive, and the map of 0s and 1s that was measured.
    """
    numbers = np.concatenate([np.zeros(1), *(x.ravel() for x, _ in arrived)])
    if not np.isin(given.numpy(), numbers).all():
        return "sums, products or other numbers than spikes reach it"
    expected = np.zeros(found.shape)
    for x, weight in arrived:
        expected = np.maximum(expected, np.stack([(weight * sample).max(1) for sample in x]))
    return "" if np.array_equal(found.numpy(), expected) else "what reaches it changes from step to step, or from sample to sample"
