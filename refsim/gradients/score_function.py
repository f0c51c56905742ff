"""The score function (REINFORCE): the same gradient of the expected loss from drawn runs, for networks too large to enumerate."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..errors import RefsimError
from .enumeration import check_loss_fits
from .escape import EscapeNetwork
from .replay import Gradient, Runs, added, drawn, gathered, play, score_parts
from .spike_losses import SpikeLoss

_ROOM = 2**22  # numbers of one array; bounds the runs at once


@dataclass(frozen=True, eq=False)
class Estimate:
    """An expectation from drawn runs, the mean over samples, with its standard error.

    Attributes
    ----------
    loss, loss_error : float
    gradient, error : dict of str to array
        W1, b1, ... of the shapes of the parameters.
    n_draws : int
        Runs of each sample.
    """

    loss: float
    loss_error: float
    gradient: Gradient
    error: Gradient
    n_draws: int


def score_function(network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, n_draws: int = 10_000, seed: int = 0) -> Estimate:
    """Estimate d E[L]/dw without bias: the mean of (L - baseline) d log P / dw over drawn runs.

    The baseline of a run is the mean loss of the other runs drawn with it, which leaves the mean as it is and takes most of the noise.

    Parameters
    ----------
    network, inputs, loss
        As of `expected_gradient`.
    n_draws : int
        Runs of each sample, at least 100; the standard error falls with their root.
    seed : int
        Equal seeds give equal draws.

    Notes
    -----
    Williams 1992, Machine Learning 8 (REINFORCE); the baseline that leaves one out: Kool, van Hoof and Welling 2019.
    """
    samples = network.heard(inputs)
    check_loss_fits(network, samples, loss)
    if n_draws < 100:
        raise RefsimError(f"score_function: n_draws must be at least 100, for its standard error means little below, but is {n_draws}.")
    sums = [_of_sample(network, sample, number, loss, n_draws, seed) for number, sample in enumerate(samples)]
    count = len(samples)
    means, variances = added([one[0] for one in sums]), added([one[1] for one in sums])
    losses = np.array([one[2] for one in sums])
    return Estimate(
        float(losses[:, 0].mean()),
        float(np.sqrt(losses[:, 1].sum()) / count),
        {name: total / count for name, total in means.items()},
        {name: np.sqrt(total) / count for name, total in variances.items()},
        n_draws,
    )


def draws(network: EscapeNetwork, sample: Floats, number: int, n_draws: int, seed: int) -> Iterator[Runs]:
    """Draw runs of a sample in portions of about equal size."""
    widest = max(layer.shape[0] * layer.shape[1] + len(sample) * (sum(layer.shape) + 1) for layer in network.layers)
    n_portions = -(-n_draws // max(50, _ROOM // widest))
    generator = np.random.default_rng([seed, number])
    for portion in range(n_portions):
        size = n_draws * (portion + 1) // n_portions - n_draws * portion // n_portions
        yield play(network, sample, size, drawn(network, generator))


def _of_sample(network: EscapeNetwork, sample: Floats, number: int, loss: SpikeLoss, n_draws: int, seed: int) -> tuple[Gradient, Gradient, tuple[float, float]]:
    """Return mean and squared standard error of the gradient of a sample, and of its loss."""
    firsts, seconds, paid = [], [], []
    for runs in draws(network, sample, number, n_draws, seed):
        values = loss.value(runs.output, number)
        weights = above_baseline(values)
        parts = score_parts(runs)
        firsts.append(gathered(network, parts, weights))
        seconds.append(_squares(network, parts, weights))
        paid.append(values)
    first, second, losses = added(firsts), added(seconds), np.concatenate(paid)
    mean = {name: total / n_draws for name, total in first.items()}
    spread = {name: (second[name] / n_draws - mean[name] ** 2).clip(min=0) / n_draws for name in first}
    return mean, spread, (float(losses.mean()), float(losses.var() / n_draws))


def above_baseline(values: Floats) -> Floats:
    """Return each loss less the mean of the others, (n_runs,): n/(n - 1) times its distance from the mean of all."""
    return np.asarray((values - values.mean()) * len(values) / (len(values) - 1))


def _squares(network: EscapeNetwork, parts: list[tuple[Floats, Floats, Floats]], weights: Floats) -> Gradient:
    """Return the sum over runs of each run's squared contribution."""
    found: Gradient = {}
    for index, (layer, (post, pre, alone)) in enumerate(zip(network.layers, parts, strict=True), start=1):
        one_run = post.transpose(1, 2, 0) @ pre.transpose(1, 0, 2)
        found[f"W{index}"] = np.asarray(np.tensordot(weights**2, one_run**2, 1), np.float64)
        if layer.bias is not None:
            found[f"b{index}"] = np.tensordot(weights**2, (post * alone).sum(0) ** 2, 1)
    return found
