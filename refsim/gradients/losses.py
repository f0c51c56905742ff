"""Losses of exact spike times, each with its derivative by every spike time: smooth where nothing appears or vanishes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_softmax

from ..arrays import Floats, real_array
from ..errors import RefsimError
from ..network import positive_time
from ..spike_times import EventTrain

HARD_WINDOW = (
    "a hard window counts spikes, and a count stays what it is when a spike moves a little: its gradient is 0 almost everywhere, and there is nothing to check. "
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


def first_spike_cross_entropy(output: EventTrain, label: int, tau: float | str, silent: float | str) -> TimedLoss:
    """Return ``-log softmax(-t/tau)`` at the label, t the first spike time of each class (Goeltz et al. 2021, without their regulariser).

    Parameters
    ----------
    output : EventTrain
        One neuron a class.
    label : int
    tau : float or str
        In seconds; the smaller, the more the classes must lie apart.
    silent : float or str
        The time, in seconds, at which a silent class counts as firing: the end of the record, as in `refsim.pytorch.losses`.
    """
    scale, end = positive_time(tau, "first_spike_cross_entropy: tau"), positive_time(silent, "first_spike_cross_entropy: silent")
    _checked_label(output, label, "first_spike_cross_entropy")
    first = output.first()
    times = np.where(first < 0, end, output.first_times())
    log_p = log_softmax(-times / scale)
    by_class = (np.arange(output.n_neurons) == label) / scale - np.exp(log_p) / scale
    by_time = np.zeros(len(output))
    by_time[first[first >= 0]] = by_class[first >= 0]
    return TimedLoss(float(-log_p[label]), by_time)


def spike_time_distance(output: EventTrain, times: ArrayLike, neurons: ArrayLike, tau: float | str, kernel: str = "exponential") -> TimedLoss:
    """Return the distance of two spike trains behind a kernel, in continuous time and to its end (SpikeTime).

    exponential: ``integral of (h*(s - d))^2`` with ``h(t) = exp(-t/tau)`` (van Rossum 2001); alpha: half that integral, with ``h(t) = t/tau*exp(1 - t/tau)``
    (SLAYER, Shrestha and Orchard 2018). `refsim.pytorch.losses.spike_time` goes to the same, times 1/dt for the exponential, as dt goes to 0.

    Parameters
    ----------
    output : EventTrain
    times : (n_wanted,) in seconds
    neurons : (n_wanted,) of int
        The desired spikes.
    tau : float or str
    kernel : {"exponential", "alpha"}
        The exponential has a kink where a spike meets a desired one: there the mean of both sides, 0, is given.

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
        raise RefsimError(f"{where}: times and neurons are (n_wanted,) both, but have shapes {wanted.shape} and {who.shape}.")
    both, signs = np.concatenate([output.times, wanted]), np.concatenate([np.ones(len(output)), -np.ones(len(wanted))])
    owner = np.concatenate([output.neurons, who])
    pairs = signs[:, None] * signs * (owner[:, None] == owner)
    factor, overlaps = _OVERLAPS[kernel]
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


# Factor in front of the integral; the integral of two kernels a lag x apart, in units of tau, with its derivative by x.
_OVERLAPS: dict[str, tuple[float, Callable[[Floats], tuple[Floats, Floats]]]] = {"exponential": (1.0, _exponential), "alpha": (0.5, _alpha)}


def soft_window_spikemax(output: EventTrain, label: int, start: float, stop: float, width: float, *, scale: float = 1.0) -> TimedLoss:
    """Return Spikemax of counts in a window with soft edges: ``-log softmax(c/scale)`` at the label.

    ``c_i`` is the sum over the spikes of class i of ``sigmoid((t - start)/width)*sigmoid((stop - t)/width)``, which is their number as the width goes to 0
    (Spikemax: Shrestha, Zhu, Sun 2022, in the scaled form; the soft window is refsim's).

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
        raise RefsimError(f"{where}: needs stop above start and scale above 0, but has start {start:g} s, stop {stop:g} s, scale {scale:g}.")
    opens, closes = expit((output.times - start) / width), expit((stop - output.times) / width)
    counts = np.bincount(output.neurons, opens * closes, output.n_neurons)
    log_p = log_softmax(counts / scale)
    by_count = (np.exp(log_p) - (np.arange(output.n_neurons) == label)) / scale
    by_time = by_count[output.neurons] * opens * closes * (closes - opens) / width
    return TimedLoss(float(-log_p[label]), by_time)


def _checked_label(output: EventTrain, label: int, where: str) -> None:
    if not (isinstance(label, int | np.integer) and 0 <= label < output.n_neurons):
        raise RefsimError(f"{where}: label must be a whole number from 0 to {output.n_neurons - 1}, one of the neurons of the last layer, but is {label!r}.")
