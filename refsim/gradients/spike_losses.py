"""Losses of output spikes for the stochastic network: a value for each run, and the derivative by each spike that back-propagation takes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, plain_array, real_array
from ..errors import RefsimError


@dataclass(frozen=True, eq=False)
class SpikeLoss:
    """A loss of output spikes (n_runs, n_classes, n_steps) of one sample.

    Attributes
    ----------
    name : str
    value : function ``(spikes, sample) -> (n_runs,)``
        sample is its number, for labels and the like.
    slope : function ``(spikes, sample) -> (n_runs, n_classes, n_steps)``
        Derivative of the value by each spike, as if spikes were numbers; what a surrogate gradient starts from.
    linear : bool
        Whether the value is a weighted sum of the spikes.
    shape : (n_samples, n_classes, n_steps), None where any will do
    """

    name: str
    value: Callable[[Floats, int], Floats]
    slope: Callable[[Floats, int], Floats]
    linear: bool = False
    shape: tuple[int | None, int | None, int | None] = (None, None, None)

    def check(self, n_samples: int, n_classes: int, n_steps: int) -> None:
        """Refuse a network or inputs that the loss does not fit."""
        given = (n_samples, n_classes, n_steps)
        if any(mine not in (None, its) for mine, its in zip(self.shape, given, strict=True)):
            mine = ", ".join("any" if size is None else str(size) for size in self.shape)
            raise RefsimError(f"loss '{self.name}': is made for (samples, classes, steps) = ({mine}), but is given {given}.")


def linear_loss(coefficients: ArrayLike) -> SpikeLoss:
    """Return L = sum over class and step of c s; coefficients (n_classes, n_steps), or (n_samples, n_classes, n_steps)."""
    held = real_array(coefficients, "linear_loss: coefficients")
    if held.ndim not in (2, 3):
        raise RefsimError(f"linear_loss: coefficients must be (n_classes, n_steps) or (n_samples, n_classes, n_steps), but have shape {held.shape}.")

    def of(sample: int) -> Floats:
        return held if held.ndim == 2 else held[sample]

    shape = (None, *held.shape) if held.ndim == 2 else held.shape

    def value(spikes: Floats, sample: int) -> Floats:
        return np.asarray(np.tensordot(spikes, of(sample), 2), np.float64)

    return SpikeLoss("linear", value, lambda spikes, sample: np.broadcast_to(of(sample), spikes.shape), True, shape)


def count_cross_entropy(labels: ArrayLike) -> SpikeLoss:
    """Return L = -log softmax(n)_label, n the spike counts of the record: softmax cross-entropy of counts; labels (n_samples,)."""
    held = plain_array(labels, "count_cross_entropy: labels").reshape(-1)
    if held.dtype.kind not in "iu" or not held.size or held.min() < 0:
        raise RefsimError("count_cross_entropy: labels must be whole numbers from 0, one a sample.")

    def shares(spikes: Floats, sample: int) -> Floats:
        if held[sample] >= spikes.shape[1]:
            raise RefsimError(
                f"count_cross_entropy: the label {held[sample]} of sample {sample} needs {held[sample] + 1} classes, but there are {spikes.shape[1]}."
            )
        counts = spikes.sum(2)
        raised = np.exp(counts - counts.max(1, keepdims=True))
        return np.asarray(raised / raised.sum(1, keepdims=True))

    def slope(spikes: Floats, sample: int) -> Floats:
        error = shares(spikes, sample)
        error[:, held[sample]] -= 1
        return np.broadcast_to(error[:, :, None], spikes.shape)

    return SpikeLoss("count cross-entropy", lambda spikes, sample: -np.log(shares(spikes, sample)[:, held[sample]]), slope, False, (len(held), None, None))
