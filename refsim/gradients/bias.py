"""The expected surrogate gradient of a stochastic network, and its distance from the true one.

The second half of the file measures that distance, the bias, in five cases: from one layer of
neurons, where there is no bias, to two layers, where there is much.

Source of the cases: Gygax and Zenke 2025 (Neural Computation, arXiv 2404.14964). Sizes, weights and
slope are refsim's choice, and are these: 4 inputs that fire with chance 1/2 in each of 3 steps, 3
hidden neurons where there are two layers, 2 output neurons, decay 0.8, v_th 1, escape function a
sigmoid of slope 3, weights normal with variance 1/n_pre, no bias. The loss is a sum of the spikes
with normal coefficients, or the softmax cross-entropy of their counts. The figures depend on the
weights a good deal, so that each case is twenty networks.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats
from .escape import EscapeLayer, EscapeNetwork, sigmoid_escape
from .expectation import MOST, check_loss_fits, draws, expected_gradient, patterns
from .given_spikes import Gradient, Runs, added, summed_over_runs
from .losses import SpikeLoss, count_cross_entropy, linear_loss

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
    # A length of 0 makes both figures NaN, without a warning.
    size, its = float(np.linalg.norm(true)), float(np.linalg.norm(found))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Distance(
            float(np.divide(np.linalg.norm(found - true), size)),
            float(np.divide((found * true).sum(), size * its)),
        )


def expected_surrogate(
    network: EscapeNetwork,
    inputs: object,
    loss: SpikeLoss,
    *,
    surrogate: Derivative | None = None,
    detach_reset: bool = False,
    most: int = MOST,
    n_draws: int | None = None,
    seed: int = 0,
) -> Gradient:
    """Return the surrogate gradient, expected over the spikes of the network.

    Every run is back-propagated through time and weighted by its probability.

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
    samples = network.checked_inputs(inputs)
    check_loss_fits(network, samples, loss)
    # Each run's gradient counts by the run's probability.
    found = []
    for number, sample in enumerate(samples):
        for weights, runs in (
            patterns(network, sample, most)
            if n_draws is None
            else _equally(network, sample, number, n_draws, seed)
        ):
            found.append(
                summed_over_runs(
                    network,
                    back_propagated(runs, loss.slope(runs.output, number), surrogate, detach_reset),
                    weights / len(samples),
                )
            )
    return added(found)


def _equally(
    network: EscapeNetwork, sample: Floats, number: int, n_draws: int, seed: int
) -> Iterator[tuple[Floats, Runs]]:
    for runs in draws(network, sample, number, n_draws, seed):
        yield np.full(runs.output.shape[0], 1 / n_draws), runs


def back_propagated(
    runs: Runs, slope: Floats, surrogate: Derivative | None, detach_reset: bool
) -> list[tuple[Floats, Floats, Floats]]:
    """Go back through the steps of each run; slope (n_runs, n_classes, n_steps) is dL/ds.

    Returns what `summed_over_runs` takes.
    """
    above, parts = slope.transpose(2, 0, 1), []
    # From the last layer to the first.
    for layer, x, received in zip(
        runs.network.layers[::-1], runs.distance[::-1], runs.received[::-1], strict=True
    ):
        derivative = (surrogate or layer.escape.slope)(x)
        # A detached reset passes no gradient from step to step.
        passed = 0.0 if detach_reset else layer.reset
        # DL/du(t), and dL/dv(t) from the steps after it.
        delta, carried = np.empty(x.shape), np.zeros(x.shape[1:])
        for step in reversed(range(len(x))):
            delta[step] = (above[step] - passed * carried) * derivative[step] + carried
            carried = layer.decay * delta[step]
        parts.append((delta, received, np.ones((len(x), 1, 1))))
        # What the layer sends back is dL/ds of the layer below.
        above = delta @ layer.weight
    return parts[::-1]


def distances(found: Mapping[str, Floats], true: Mapping[str, Floats]) -> dict[str, Distance]:
    """Compare gradients parameter by parameter."""
    return {name: distance(found[name], values) for name, values in true.items()}


N_NETWORKS = 20
_INPUTS, _STEPS, _HIDDEN, _OUTPUTS = 4, 3, 3, 2
_SLOPE, _V_TH = 3.0, 1.0


@dataclass(frozen=True)
class BiasCase:
    """One case: how many layers, whether a spike takes v_th from the membrane, and the loss."""

    title: str
    n_layers: int
    soft_reset: bool
    linear: bool


CASES = {
    1: BiasCase("1 layer, no reset, linear loss", 1, False, True),
    2: BiasCase("1 layer, no reset, count cross-entropy", 1, False, False),
    3: BiasCase("1 layer, soft reset, linear loss", 1, True, True),
    4: BiasCase("2 layers, soft reset, linear loss", 2, True, True),
    5: BiasCase("2 layers, soft reset, count cross-entropy", 2, True, False),
}


def case_network(number: int, seed: int = 0) -> tuple[EscapeNetwork, Floats, SpikeLoss]:
    """Return network, inputs (1, 3, 4) and loss of a case; the seed says which of its networks."""
    case, generator = CASES[number], np.random.default_rng(seed)
    sizes = [_INPUTS, *([_HIDDEN] if case.n_layers == 2 else []), _OUTPUTS]
    reset, escape = (_V_TH if case.soft_reset else 0.0), sigmoid_escape(_SLOPE)
    # Weights of variance 1/n_pre keep membranes near threshold in both layers.
    layers = [
        EscapeLayer(
            generator.normal(0, 1 / np.sqrt(n_pre), (n_post, n_pre)),
            None,
            0.8,
            _V_TH,
            reset,
            escape,
        )
        for n_pre, n_post in itertools.pairwise(sizes)
    ]
    inputs = (generator.random((1, _STEPS, _INPUTS)) < 0.5).astype(np.float64)
    loss = (
        linear_loss(generator.normal(size=(_OUTPUTS, _STEPS)))
        if case.linear
        else count_cross_entropy(generator.integers(0, _OUTPUTS, 1))
    )
    return EscapeNetwork.of(layers), inputs, loss


@dataclass(frozen=True)
class BiasRow:
    """A line of the table: one parameter of a case, over its twenty networks.

    The gradient of the reset is kept, or ``detached``.
    """

    case: BiasCase
    parameter: str
    detached: bool
    found: tuple[Distance, ...]

    def summary(self, name: str) -> tuple[float, float, float]:
        """Return median, smallest and largest of ``relative`` or ``cosine``."""
        values = np.array([getattr(one, name) for one in self.found])
        return float(np.median(values)), float(values.min()), float(values.max())


def five_cases(n_networks: int = N_NETWORKS) -> list[BiasRow]:
    """Measure the table; some seconds."""
    return [row for number in CASES for row in _rows(number, n_networks)]


def _rows(number: int, n_networks: int) -> Iterator[BiasRow]:
    case, made = CASES[number], [case_network(number, seed) for seed in range(n_networks)]
    truths = [expected_gradient(*one).gradient for one in made]
    # Without a reset there is nothing to detach.
    for detached in (False, True) if case.soft_reset else (False,):
        found = [
            distances(expected_surrogate(*one, detach_reset=detached), true)
            for one, true in zip(made, truths, strict=True)
        ]
        for parameter in reversed(truths[0]):
            yield BiasRow(case, parameter, detached, tuple(one[parameter] for one in found))


def bias_table(rows: list[BiasRow]) -> str:
    """Return the table in Markdown, as it stands in ``docs/gradients.md``.

    A cell has the median, and in brackets the smallest and the largest.
    """
    lines = [
        "| case | gradient of the reset | weights | relative difference | cosine |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        reset = "none" if not row.case.soft_reset else "detached" if row.detached else "kept"
        # Median, smallest and largest over the twenty networks.
        relative, cosine = (
            f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
            for digits, (middle, low, high) in (
                (3, row.summary("relative")),
                (4, row.summary("cosine")),
            )
        )
        lines.append(f"| {row.case.title} | {reset} | {row.parameter} | {relative} | {cosine} |")
    return "\n".join(lines) + "\n"
