"""The expected loss of a stochastic network and its gradient, exactly or from drawn runs.

`expected_gradient` sums over every pattern of spikes that a small network can fire.
`score_function` (REINFORCE) estimates the same gradient from drawn runs, for networks too large to
enumerate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..core.arrays import Floats
from ..core.errors import RefsimError, counted
from .differences import central_difference
from .escape import EscapeNetwork
from .given_spikes import (
    Gradient,
    Runs,
    added,
    choose_by_chance,
    choose_given,
    play,
    probability,
    score_parts,
    summed_over_runs,
)
from .losses import SpikeLoss

MOST = 2**20  # patterns of a sample; a network of 20 neurons and steps takes seconds
_PORTION = 2**13  # patterns at once


@dataclass(frozen=True, eq=False)
class Expected:
    """An expectation over all patterns, the mean over samples.

    Attributes
    ----------
    loss : float
    gradient : dict of str to array
        W1, b1, ... of the shapes of the parameters.
    n_patterns : int
        Of one sample.
    """

    loss: float
    gradient: Gradient
    n_patterns: int


def expected_gradient(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, most: int = MOST
) -> Expected:
    """Compute d E[L]/dw exactly: sum over patterns of P L d log P / dw.

    Parameters
    ----------
    network : EscapeNetwork
    inputs : (n_samples, n_steps, n_inputs)
        Spikes or currents; (n_steps, n_inputs) is one sample.
    loss : SpikeLoss
    most : int
        Patterns of a sample that are still tried; there are 2^(neurons x steps).

    Raises
    ------
    RefsimError
        Where there are more patterns, with their number.

    Notes
    -----
    Gygax and Zenke 2025 (Neural Computation, arXiv 2404.14964) take the same truth: the gradient of
    the expected loss of a network with escape noise. Spikes held, the membrane is linear in the
    weights, so that d log P / dw needs no back-propagation.
    """
    samples = network.checked_inputs(inputs)
    check_loss_fits(network, samples, loss)
    losses, gradients = [], []
    for number, sample in enumerate(samples):
        for weights, runs in patterns(network, sample, most):
            # Probability times loss; with the score this is the derivative of the expectation.
            paid = weights * loss.value(runs.output, number)
            losses.append(paid.sum())
            gradients.append(summed_over_runs(network, score_parts(runs), paid / len(samples)))
    return Expected(
        float(np.sum(losses)) / len(samples),
        added(gradients),
        2 ** _bits(network, samples.shape[1]),
    )


def expected_loss(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, most: int = MOST
) -> float:
    """Compute E[L] exactly, the mean over samples; see `expected_gradient`."""
    samples = network.checked_inputs(inputs)
    check_loss_fits(network, samples, loss)
    paid = [
        (weights * loss.value(runs.output, number)).sum()
        for number, sample in enumerate(samples)
        for weights, runs in patterns(network, sample, most)
    ]
    return float(np.sum(paid)) / len(samples)


def difference_quotients(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, step: float = 1e-3, most: int = MOST
) -> Gradient:
    """Return the gradient of the exact expected loss by central differences of fourth order.

    They use no derivative at all. At the default step the formula leaves about step^4 = 1e-12 and
    rounding 1e-13 of a loss of order 1.
    """

    def moved(name: str, place: tuple[int, ...], by: float) -> float:
        values = network.parameters[name].copy()
        values[place] += by
        return expected_loss(network.having({name: values}), inputs, loss, most=most)

    found: Gradient = {name: np.zeros(values.shape) for name, values in network.parameters.items()}
    # One parameter after the other, without any formula of a derivative.
    for name, slopes in found.items():
        for place in np.ndindex(slopes.shape):
            slopes[place] = central_difference(partial(moved, name, place), step)
    return found


def slope_along(gradient: Mapping[str, Floats], direction: Mapping[str, Floats]) -> float:
    """Return the derivative along a direction, of which only the parameters that move are named."""
    return float(sum((gradient[name] * way).sum() for name, way in direction.items()))


def patterns(
    network: EscapeNetwork, sample: Floats, most: int = MOST
) -> Iterator[tuple[Floats, Runs]]:
    """Go through all patterns of a sample (n_steps, n_inputs) in portions.

    Each portion is the probabilities (n_runs,) of its patterns and their runs.
    """
    n_steps, sizes = len(sample), [layer.shape[0] for layer in network.layers]
    bits = _bits(network, n_steps)
    # Refused before any work, with the way out.
    if bits > np.log2(most):
        raise RefsimError(
            f"enumeration: {counted(sum(sizes), 'neuron')} over {counted(n_steps, 'step')} can "
            f"fire 2^{bits} patterns, and at most {most:,} are tried. "
            "Give fewer neurons or steps, or draw runs instead: score_function, or "
            "surrogate_bias(..., n_draws=100_000)."
        )
    ends = np.cumsum([n_steps * size for size in sizes])
    # The binary digits of a number are the spikes of a pattern.
    for first in range(0, 2**bits, _PORTION):
        numbers = np.arange(first, min(first + _PORTION, 2**bits))
        fired = (numbers[:, None] >> np.arange(bits) & 1).astype(np.float64)
        # The digits are dealt out to layers, steps and neurons.
        spikes = [
            part.reshape(len(numbers), n_steps, size).transpose(1, 0, 2)
            for part, size in zip(np.split(fired, ends[:-1], axis=1), sizes, strict=True)
        ]
        runs = play(network, sample, len(numbers), choose_given(spikes))
        yield probability(runs), runs


def check_loss_fits(network: EscapeNetwork, samples: Floats, loss: SpikeLoss) -> None:
    """Refuse a loss made for other samples, classes or steps."""
    loss.check(len(samples), network.layers[-1].shape[0], samples.shape[1])


def _bits(network: EscapeNetwork, n_steps: int) -> int:
    return n_steps * sum(layer.shape[0] for layer in network.layers)


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


def score_function(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, n_draws: int = 10_000, seed: int = 0
) -> Estimate:
    """Estimate d E[L]/dw without bias: the mean of (L - baseline) d log P / dw over drawn runs.

    The baseline of a run is the mean loss of the other runs drawn with it, which leaves the mean as
    it is and takes most of the noise.

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
    Williams 1992, Machine Learning 8 (REINFORCE); the baseline that leaves one out: Kool, van Hoof
    and Welling 2019.
    """
    samples = network.checked_inputs(inputs)
    check_loss_fits(network, samples, loss)
    # The error of so few runs would be taken for knowledge.
    if n_draws < 100:
        raise RefsimError(
            "score_function: n_draws must be at least 100, for its standard error means little "
            f"below, but is {n_draws}."
        )
    sums = [
        _of_sample(network, sample, number, loss, n_draws, seed)
        for number, sample in enumerate(samples)
    ]
    # Samples are independent, so their variances add.
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


def draws(
    network: EscapeNetwork, sample: Floats, number: int, n_draws: int, seed: int
) -> Iterator[Runs]:
    """Draw runs of a sample in portions of about equal size."""
    # Portions are sized by the largest array that a run needs.
    widest = max(
        layer.shape[0] * layer.shape[1] + len(sample) * (sum(layer.shape) + 1)
        for layer in network.layers
    )
    n_portions = -(-n_draws // max(50, _ROOM // widest))
    # Each sample has its own stream, so that samples do not depend on each other.
    generator = np.random.default_rng([seed, number])
    for portion in range(n_portions):
        size = n_draws * (portion + 1) // n_portions - n_draws * portion // n_portions
        yield play(network, sample, size, choose_by_chance(network, generator))


def _of_sample(
    network: EscapeNetwork, sample: Floats, number: int, loss: SpikeLoss, n_draws: int, seed: int
) -> tuple[Gradient, Gradient, tuple[float, float]]:
    """Return mean and squared standard error of the gradient of a sample, and of its loss."""
    firsts, seconds, paid = [], [], []
    for runs in draws(network, sample, number, n_draws, seed):
        values = loss.value(runs.output, number)
        # Less the baseline: the mean stays, and most of the noise goes.
        weights = above_baseline(values)
        parts = score_parts(runs)
        firsts.append(summed_over_runs(network, parts, weights))
        seconds.append(_squares(network, parts, weights))
        paid.append(values)
    first, second, losses = added(firsts), added(seconds), np.concatenate(paid)
    mean = {name: total / n_draws for name, total in first.items()}
    # The variance of a mean, from the sums of squares.
    spread = {
        name: (second[name] / n_draws - mean[name] ** 2).clip(min=0) / n_draws for name in first
    }
    return mean, spread, (float(losses.mean()), float(losses.var() / n_draws))


def above_baseline(values: Floats) -> Floats:
    """Return each loss less the mean of the others, (n_runs,).

    That is N/(n - 1) times its distance from the mean of all, N = n runs.
    """
    return np.asarray((values - values.mean()) * len(values) / (len(values) - 1))


def _squares(
    network: EscapeNetwork, parts: list[tuple[Floats, Floats, Floats]], weights: Floats
) -> Gradient:
    """Return the sum over runs of each run's squared contribution."""
    found: Gradient = {}
    for index, (layer, (post, pre, alone)) in enumerate(
        zip(network.layers, parts, strict=True), start=1
    ):
        # The gradient of a single run, before it is squared.
        one_run = post.transpose(1, 2, 0) @ pre.transpose(1, 0, 2)
        found[f"W{index}"] = np.asarray(np.tensordot(weights**2, one_run**2, 1), np.float64)
        if layer.bias is not None:
            found[f"b{index}"] = np.tensordot(weights**2, (post * alone).sum(0) ** 2, 1)
    return found
