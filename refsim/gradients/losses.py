"""Losses of output spikes, each with its derivative.

`TimedLoss` is a loss of exact spike times, smooth where no spike appears or vanishes, with its
derivative by every spike time. `SpikeLoss` is a loss of the stochastic network: a value for each
run, and the derivative by each spike from which back-propagation starts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_softmax

from ..core.arrays import Floats, plain_array, real_array
from ..core.errors import RefsimError
from ..core.spikes import EventTrain
from ..networks.network import positive_time

HARD_WINDOW = (
    "a hard window counts spikes, and a count stays what it is when a spike moves a little: its "
    "gradient is 0 almost everywhere, and there is nothing to check. "
    "Give a width above 0, a fraction of the window"
)


@dataclass(frozen=True)
class TimedLoss:
    """A loss and its derivative.

    Attributes
    ----------
    value : float
    by_time : (n_spikes,) in 1/s
        By each spike time of the layer.
    """

    value: float
    by_time: Floats


def first_spike_cross_entropy(
    output: EventTrain, label: int, tau: float | str, silent: float | str
) -> TimedLoss:
    """Return ``-log softmax(-t/tau)`` at the label, t the first spike time of each class.

    Source: Goeltz et al. 2021, without their regulariser.

    Parameters
    ----------
    output : EventTrain
        One neuron a class.
    label : int
    tau : float or str
        In seconds; the smaller, the more the classes must lie apart.
    silent : float or str
        The time, in seconds, at which a silent class counts as firing: the end of the record, as in
        `refsim.pytorch.losses`.
    """
    scale, end = (
        positive_time(tau, "first_spike_cross_entropy: tau"),
        positive_time(silent, "first_spike_cross_entropy: silent"),
    )
    _checked_label(output, label, "first_spike_cross_entropy")
    # A silent class counts as firing at the end of the record.
    first = output.first()
    times = np.where(first < 0, end, output.first_times())
    log_p = log_softmax(-times / scale)
    # Softmax and the label, by the first time of each class.
    by_class = (np.arange(output.n_neurons) == label) / scale - np.exp(log_p) / scale
    # Only first spikes move the loss.
    by_time = np.zeros(len(output))
    by_time[first[first >= 0]] = by_class[first >= 0]
    return TimedLoss(float(-log_p[label]), by_time)


def spike_time_distance(
    output: EventTrain,
    times: ArrayLike,
    neurons: ArrayLike,
    tau: float | str,
    kernel: str = "exponential",
) -> TimedLoss:
    """Return the distance of two spike trains behind a kernel, in continuous time (SpikeTime).

    The integral goes to the end of the kernel. exponential: ``integral of (h*(s - d))^2`` with
    ``h(t) = exp(-t/tau)`` (van Rossum 2001); alpha: half that integral, with ``h(t) = t/tau*exp(1 -
    t/tau)`` (SLAYER, Shrestha and Orchard 2018). `refsim.pytorch.losses.spike_time` goes to the
    same, times 1/dt for the exponential, as dt goes to 0.

    Parameters
    ----------
    output : EventTrain
    times : (n_wanted,) in seconds
    neurons : (n_wanted,) of int
        The desired spikes.
    tau : float or str
    kernel : {"exponential", "alpha"}
        The exponential has a kink where a spike meets a desired one: there the mean of both sides,
        0, is given.

    Returns
    -------
    TimedLoss
        In seconds.
    """
    where = "spike_time_distance"
    scale = positive_time(tau, f"{where}: tau")
    if kernel not in _OVERLAPS:
        raise RefsimError(f"{where}: kernel must be 'alpha' or 'exponential', but is {kernel!r}.")
    wanted, who = real_array(times, f"{where}: times"), np.asarray(neurons)
    if wanted.ndim != 1 or who.shape != wanted.shape:
        raise RefsimError(
            f"{where}: times and neurons are (n_wanted,) both, but have shapes {wanted.shape} "
            f"and {who.shape}."
        )
    # Desired spikes count with the other sign, so that equal trains give 0.
    both, signs = (
        np.concatenate([output.times, wanted]),
        np.concatenate([np.ones(len(output)), -np.ones(len(wanted))]),
    )
    owner = np.concatenate([output.neurons, who])
    # Only spikes of one neuron interact.
    pairs = signs[:, None] * signs * (owner[:, None] == owner)
    factor, overlaps = _OVERLAPS[kernel]
    # The integral of two kernels depends on their lag alone.
    lag = (both[:, None] - both) / scale
    overlap, slope = overlaps(np.abs(lag))
    value = factor * scale * (pairs * overlap).sum()
    by_time = factor * 2 * (pairs * np.sign(lag) * slope).sum(axis=1)
    return TimedLoss(float(value), by_time[: len(output)])


def _exponential(x: Floats) -> tuple[Floats, Floats]:
    decayed: Floats = np.exp(-x) / 2
    return decayed, -decayed


def _alpha(x: Floats) -> tuple[Floats, Floats]:
    decayed: Floats = math.e**2 / 4 * np.exp(-x)
    return (1 + x) * decayed, -x * decayed


# Factor in front of the integral; the integral of two kernels a lag x apart, in units of tau, with
# its derivative by x.
_OVERLAPS: dict[str, tuple[float, Callable[[Floats], tuple[Floats, Floats]]]] = {
    "exponential": (1.0, _exponential),
    "alpha": (0.5, _alpha),
}


def soft_window_spikemax(
    output: EventTrain, label: int, start: float, stop: float, width: float, *, scale: float = 1.0
) -> TimedLoss:
    """Return Spikemax of counts in a window with soft edges, ``-log softmax(c/scale)``_label.

    ``c_i`` is the sum over the spikes of class i of ``sigmoid((t - start)/width)*sigmoid((stop -
    t)/width)``, which is their number as the width goes to 0 (Spikemax: Shrestha, Zhu, Sun 2022, in
    the scaled form; the soft window is refsim's).

    Parameters
    ----------
    output : EventTrain
        One neuron a class.
    label : int
    start, stop, width : float
        Of the window and of its edges, in seconds.
    scale : float
        Divides the counts.

    Raises
    ------
    RefsimError
        For a hard window, whose gradient is 0.
    """
    where = "soft_window_spikemax"
    _checked_label(output, label, where)
    if not width > 0:
        raise RefsimError(f"{where}: width is {width!r}, but {HARD_WINDOW}.")
    if not (stop > start and scale > 0):
        raise RefsimError(
            f"{where}: needs stop above start and scale above 0, but has start {start:g} s, stop "
            f"{stop:g} s, scale {scale:g}."
        )
    # Each spike counts by how far it is inside of the window.
    opens, closes = expit((output.times - start) / width), expit((stop - output.times) / width)
    counts = np.bincount(output.neurons, opens * closes, output.n_neurons)
    log_p = log_softmax(counts / scale)
    # Softmax and the label, by the count of each class.
    by_count = (np.exp(log_p) - (np.arange(output.n_neurons) == label)) / scale
    by_time = by_count[output.neurons] * opens * closes * (closes - opens) / width
    return TimedLoss(float(-log_p[label]), by_time)


def _checked_label(output: EventTrain, label: int, where: str) -> None:
    if not (isinstance(label, int | np.integer) and 0 <= label < output.n_neurons):
        raise RefsimError(
            f"{where}: label must be a whole number from 0 to {output.n_neurons - 1}, one of the "
            f"neurons of the last layer, but is {label!r}."
        )


@dataclass(frozen=True, eq=False)
class SpikeLoss:
    """A loss of output spikes (n_runs, n_classes, n_steps) of one sample.

    Attributes
    ----------
    name : str
    value : function ``(spikes, sample) -> (n_runs,)``
        sample is its number, for labels and the like.
    slope : function ``(spikes, sample) -> (n_runs, n_classes, n_steps)``
        Derivative of the value by each spike, as if spikes were numbers; what a surrogate gradient
        starts from.
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
            raise RefsimError(
                f"loss '{self.name}': is made for (samples, classes, steps) = ({mine}), but is "
                f"given {given}."
            )


def linear_loss(coefficients: ArrayLike) -> SpikeLoss:
    """Return L = sum over class and step of c s.

    The coefficients are (n_classes, n_steps), or (n_samples, n_classes, n_steps).
    """
    # One matrix for all samples, or one a sample.
    held = real_array(coefficients, "linear_loss: coefficients")
    if held.ndim not in (2, 3):
        raise RefsimError(
            "linear_loss: coefficients must be (n_classes, n_steps) or (n_samples, n_classes, "
            f"n_steps), but have shape {held.shape}."
        )

    def of(sample: int) -> Floats:
        return held if held.ndim == 2 else held[sample]

    shape = (None, *held.shape) if held.ndim == 2 else held.shape

    def value(spikes: Floats, sample: int) -> Floats:
        return np.asarray(np.tensordot(spikes, of(sample), 2), np.float64)

    return SpikeLoss(
        "linear",
        value,
        lambda spikes, sample: np.broadcast_to(of(sample), spikes.shape),
        True,
        shape,
    )


def count_cross_entropy(labels: ArrayLike) -> SpikeLoss:
    """Return L = -log softmax(n)_label, with n the spike counts of the record.

    The labels are (n_samples,).
    """
    held = plain_array(labels, "count_cross_entropy: labels").reshape(-1)
    if held.dtype.kind not in "iu" or not held.size or held.min() < 0:
        raise RefsimError("count_cross_entropy: labels must be whole numbers from 0, one a sample.")

    def shares(spikes: Floats, sample: int) -> Floats:
        if held[sample] >= spikes.shape[1]:
            raise RefsimError(
                f"count_cross_entropy: the label {held[sample]} of sample {sample} needs "
                f"{held[sample] + 1} classes, but there are {spikes.shape[1]}."
            )
        counts = spikes.sum(2)
        raised = np.exp(counts - counts.max(1, keepdims=True))
        return np.asarray(raised / raised.sum(1, keepdims=True))

    def slope(spikes: Floats, sample: int) -> Floats:
        error = shares(spikes, sample)
        error[:, held[sample]] -= 1
        return np.broadcast_to(error[:, :, None], spikes.shape)

    return SpikeLoss(
        "count cross-entropy",
        lambda spikes, sample: -np.log(shares(spikes, sample)[:, held[sample]]),
        slope,
        False,
        (len(held), None, None),
    )
