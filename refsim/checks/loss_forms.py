"""Closed forms of the losses and of their gradients, in NumPy.

They are written from the formulas and share no line with the PyTorch side. Each takes values
(batch, class, step) and a target and returns the loss of each sample, (batch,), and its gradient,
of the shape of the values. A sum over a window or a kernel is a product with a lower triangular
matrix, and its gradient is a product with the transposed matrix.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats

Answer = tuple[Floats, Floats]  # losses (batch,), gradients (batch, class, step)


@dataclass(frozen=True)
class LossForm:
    """One loss.

    Attributes
    ----------
    answer : function ``(values, target, **options) -> (losses, gradients)``
    target : {"share", "trains", "none"}
        What it is compared with: shares of the classes (batch, class), trains of the shape of the
        values, or nothing.
    defaults : dict
        Options of the PyTorch side that have no default there, for checks that are given none.
    derivative : function of the options
        Whether the declared gradient is the derivative of the value, where no class is silent.
    of : {"spikes", "membranes"}
        What the values are. Membranes have no spikes among them: of two that are equal any is the
        largest, and more than one gradient is right.
    """

    answer: Callable[..., Answer]
    target: str = "share"
    defaults: Mapping[str, object] | None = None
    derivative: Callable[[Mapping[str, object]], bool] = lambda options: True
    of: str = "spikes"

    @property
    def options(self) -> set[str]:
        """Names of the options."""
        return set(list(inspect.signature(self.answer).parameters)[2:])


def _over(kernel: Floats, steps: int) -> Floats:
    """Return the matrix M of a causal filter: (M @ s)[t] = sum_k kernel[k] s[t - k]."""
    # Row t, column u holds the kernel at t - u, and 0 where that is negative.
    lag = np.arange(steps)[:, None] - np.arange(steps)[None, :]
    inside = (lag >= 0) & (lag < len(kernel))
    return np.where(inside, kernel[np.where(inside, lag, 0)], 0.0)


def _summed(steps: int, window: int | None) -> Floats:
    """Return the matrix of counts: one row for the record, or one a step for a window."""
    return np.ones((1, steps)) if window is None else _over(np.ones(window), steps)


def _log_softmax(x: Floats) -> Floats:
    return np.asarray(x - np.logaddexp.reduce(x, axis=1, keepdims=True))


def _spikemax(
    values: Floats,
    share: Floats,
    window: int | None = None,
    of: str = "counts",
    reading: str = "probability",
    scale: float = 1.0,
    gradient: str | None = None,
) -> Answer:
    steps, y = values.shape[-1], share[:, :, None]
    # Counts over the record, or over a window at each step.
    matrix = _summed(steps, window)
    counts = values @ matrix.T
    per = 1.0 if of == "counts" else steps if window is None else window
    # A softmax of the counts needs no floor.
    if reading == "softmax":
        logs = _log_softmax(counts / per / scale)
        back = (np.exp(logs) - y) / per / scale
    else:
        # A silent class counts as one spike, so that its share is not 0.
        floored = np.maximum(counts, 1) / per
        total = floored.sum(1, keepdims=True) + (1e-6 if of == "rates" else 0)
        logs = np.log(floored / total)
        back = (1 / total - y / floored) / per
        # The exact derivative of a floor is 0 below it.
        if gradient == "exact" or (gradient is None and window is not None):
            back = back * (counts >= 1)
    # The authors' gradient for a window leaves out the window's own sum.
    losses = -(y * logs).sum((1, 2))
    return losses, back if gradient == "authors" and window is not None else back @ matrix


def _spike_rate(
    values: Floats,
    share: Floats,
    true_rate: float = 0.2,
    false_rate: float = 0.03,
    window: int | None = None,
) -> Answer:
    per = window or values.shape[-1]
    matrix = _summed(values.shape[-1], window) / per
    error = values @ matrix.T - (true_rate * share + false_rate * (1 - share))[:, :, None]
    return (error**2).sum((1, 2)), 2 * error @ matrix


def _spike_moid(
    values: Floats, share: Floats, theta: float = 0.0, alpha: float = 1.0, window: int | None = None
) -> Answer:
    matrix = _summed(values.shape[-1], window) / (window or values.shape[-1])
    y, x = share[:, :, None], (values @ matrix.T - theta) / alpha
    losses = (y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, x)).sum((1, 2))
    return losses, (np.exp(-np.logaddexp(0, -x)) - y) / alpha @ matrix


def _spike_count_mse(
    values: Floats, share: Floats, true_count: float, false_count: float
) -> Answer:
    error = values.sum(-1) - (true_count * share + false_count * (1 - share))
    return (error**2).mean(1), np.broadcast_to(
        2 / values.shape[1] * error[:, :, None], values.shape
    )


def _alpha(ratio: float, cut: float, steps: int) -> Floats:
    k = np.arange(int(2 * steps + 1000 / ratio))
    kernel = k * ratio * np.exp(1 - k * ratio)
    return np.asarray(kernel[: np.flatnonzero((kernel < cut) & (k * ratio > 1))[0]])


def _spike_time(
    values: Floats,
    desired: Floats,
    kernel: str = "exponential",
    tau: float = 5.0,
    dt: float = 1.0,
    order: int = 1,
    length: int = 100,
    cut: float = 0.01,
) -> Answer:
    steps = values.shape[-1]
    # The alpha kernel is cut where it has decayed, as in SLAYER.
    if kernel == "alpha":
        matrix, weight = _over(_alpha(dt / tau, cut, steps), steps), dt / 2
    else:
        # An exponential of higher order is the exponential convolved with itself.
        once = np.exp(-np.arange(length) * dt / tau)
        response = once
        for _ in range(order - 1):
            response = np.convolve(response, once)[:length]
        matrix, weight = _over(response, steps), 1.0
    # The distance is of the filtered trains.
    error = (values - desired) @ matrix.T
    return weight * (error**2).sum((1, 2)), 2 * weight * error @ matrix


def _num_spikes(
    values: Floats,
    share: Floats,
    true_count: float,
    false_count: float,
    region: tuple[int, int],
    tau: float = 10.0,
    dt: float = 1.0,
    cut: float = 0.01,
) -> Answer:
    steps, (start, stop) = values.shape[-1], region
    # Within the region only the count matters, outside it every spike.
    inside = np.isin(np.arange(steps), np.arange(start, stop))
    matrix = _over(_alpha(dt / tau, cut, steps), steps)
    # The count that each class should have.
    wanted = true_count * share + false_count * (1 - share)
    count_error = (values[..., inside].sum(-1) - wanted)[:, :, None] / (stop - start)
    # The error of the count is spread evenly over the region.
    error = (values * ~inside) @ matrix.T + count_error * inside
    return dt / 2 * (error**2).sum((1, 2)), dt * error @ matrix


def _ttfs(values: Floats, share: Floats, tau: float = 1.0) -> Answer:
    # The chance of no spike yet; its sum is the expected first spike.
    silent = np.cumprod(1 - values, -1)
    first = silent.sum(-1)
    logs = _log_softmax(-first / tau)
    before = np.concatenate([np.ones_like(silent[..., :1]), silent[..., :-1]], -1)
    # Sum over u >= t of the product of 1 - s from t + 1 to u, from the last step on.
    rest = np.ones_like(first)
    slope = np.empty_like(values)
    for step in reversed(range(values.shape[-1])):
        slope[..., step] = -before[..., step] * rest
        rest = 1 + (1 - values[..., step]) * rest
    return -(share * logs).sum(1), ((share - np.exp(logs)) / tau)[:, :, None] * slope


def _max_membrane(values: Floats, share: Floats) -> Answer:
    largest = values.max(-1)
    logs = _log_softmax(largest)
    # The gradient goes to the step of the largest membrane alone.
    at = np.arange(values.shape[-1]) == values.argmax(-1)[:, :, None]
    return -(share * logs).sum(1), (np.exp(logs) - share)[:, :, None] * at


def _tet(values: Floats, share: Floats, lam: float, constant: float) -> Answer:
    _, classes, steps = values.shape
    logs, y = _log_softmax(values), share[:, :, None]
    # Cross-entropy in each step, and a pull towards a constant.
    losses = (1 - lam) * -(y * logs).sum(1).mean(-1) + lam * ((values - constant) ** 2).mean((1, 2))
    return losses, (
        (1 - lam) * (np.exp(logs) - y) + lam * 2 * (values - constant) / classes
    ) / steps


def _band(x: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    above, below = np.maximum(0, x - high), np.maximum(0, low - x)
    return above**2 + below**2, 2 * (above - below)


def _rate_regulariser(values: Floats, _: object, low: float, high: float) -> Answer:
    cost, slope = _band(values.mean(-1), low, high)
    return cost.mean(1), np.broadcast_to(
        slope[:, :, None] / values.shape[1] / values.shape[2], values.shape
    )


def _membrane_regulariser(values: Floats, _: object, low: float, high: float) -> Answer:
    cost, slope = _band(values, low, high)
    return cost.mean((1, 2)), slope / values.shape[1] / values.shape[2]


def _is_derivative(options: Mapping[str, object]) -> bool:
    return options.get("window") is None or options.get("gradient") != "authors"


LOSS_FORMS: dict[str, LossForm] = {
    "spikemax": LossForm(_spikemax, derivative=_is_derivative),
    "spike_rate": LossForm(_spike_rate),
    "spike_time": LossForm(_spike_time, "trains"),
    "num_spikes": LossForm(
        _num_spikes,
        defaults={"true_count": 7, "false_count": 2, "region": (2, 9)},
        derivative=lambda options: False,
    ),
    "spike_moid": LossForm(_spike_moid),
    "spike_count_mse": LossForm(_spike_count_mse, defaults={"true_count": 7, "false_count": 2}),
    "ttfs_cross_entropy": LossForm(_ttfs),
    "max_membrane_cross_entropy": LossForm(_max_membrane, of="membranes"),
    "tet": LossForm(_tet, defaults={"lam": 0.05, "constant": 1.0}, of="membranes"),
    "membrane_regulariser": LossForm(
        _membrane_regulariser, "none", {"low": -1.0, "high": 1.0}, of="membranes"
    ),
    "rate_regulariser": LossForm(_rate_regulariser, "none", {"low": 0.4, "high": 0.5}),
}
