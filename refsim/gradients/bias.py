"""The expected surrogate gradient of a stochastic network, and how far from the true gradient it is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from .enumeration import MOST, check_loss_fits, patterns
from .escape import EscapeNetwork
from .replay import Gradient, Runs, added, gathered
from .score_function import draws
from .spike_losses import SpikeLoss

Derivative = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Distance:
    """How far one array is from another that is taken for true.

    Attributes
    ----------
    relative : float
        Length of the difference over the length of the true one.
    cosine : float
        Of the angle between them.
    """

    relative: float
    cosine: float


def distance(found: Floats, true: Floats) -> Distance:
    """Compare two gradients of one shape; NaN where one of them is 0."""
    size, its = float(np.linalg.norm(true)), float(np.linalg.norm(found))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Distance(float(np.divide(np.linalg.norm(found - true), size)), float(np.divide((found * true).sum(), size * its)))


def expected_surrogate(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, *, surrogate: Derivative | None = None, detach_reset: bool = False,
    most: int = MOST, n_draws: int | None = None, seed: int = 0,
) -> Gradient:  # fmt: skip
    """Return the surrogate gradient, expected over the spikes of the network: back-propagation through time in every run, weighted by its probability.

    Parameters
    ----------
    network, inputs, loss
        As of `expected_gradient`.
    surrogate : function of distances to threshold, optional
        What ds/du is taken to be; by default the derivative of each layer's escape function.
    detach_reset : bool
        Whether the reset passes no gradient.
    n_draws : int, optional
        So many drawn runs of each sample in place of all patterns; for large networks.
    """
    samples = network.heard(inputs)
    check_loss_fits(network, samples, loss)
    found = []
    for number, sample in enumerate(samples):
        for weights, runs in patterns(network, sample, most) if n_draws is None else _equally(network, sample, number, n_draws, seed):
            found.append(gathered(network, back_propagated(runs, loss.slope(runs.output, number), surrogate, detach_reset), weights / len(samples)))
    return added(found)


def _equally(network: EscapeNetwork, sample: Floats, number: int, n_draws: int, seed: int) -> Iterator[tuple[Floats, Runs]]:
    for runs in draws(network, sample, number, n_draws, seed):
        yield np.full(runs.output.shape[0], 1 / n_draws), runs


def back_propagated(runs: Runs, slope: Floats, surrogate: Derivative | None, detach_reset: bool) -> list[tuple[Floats, Floats, Floats]]:
    """Go back through the steps of each run; slope (n_runs, n_classes, n_steps) is dL/ds. Returns what `gathered` takes."""
    above, parts = slope.transpose(2, 0, 1), []
    for layer, x, heard in zip(runs.network.layers[::-1], runs.distance[::-1], runs.heard[::-1], strict=True):
        derivative = (surrogate or layer.escape.slope)(x)
        passed = 0.0 if detach_reset else layer.reset
        delta, carried = np.empty(x.shape), np.zeros(x.shape[1:])  # dL/du(t), and dL/dv(t) from the steps after it
        for step in reversed(range(len(x))):
            delta[step] = (above[step] - passed * carried) * derivative[step] + carried
            carried = layer.decay * delta[step]
        parts.append((delta, heard, np.ones((len(x), 1, 1))))
        above = delta @ layer.weight
    return parts[::-1]


def distances(found: Mapping[str, Floats], true: Mapping[str, Floats]) -> dict[str, Distance]:
    """Compare gradients parameter by parameter."""
    return {name: distance(found[name], values) for name, values in true.items()}
