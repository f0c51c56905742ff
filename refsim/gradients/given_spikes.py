"""Runs of an EscapeNetwork, with spikes that are given or drawn by chance.

Beside the runs stand their probability, its derivative, and the sums that make gradients of them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats
from .escape import EscapeLayer, EscapeNetwork

# Layer, step, distances (runs, neurons) -> spikes of the same shape.
Choose = Callable[[int, int, Floats], Floats]
Gradient = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Runs:
    """Many runs of one sample.

    Attributes
    ----------
    network : EscapeNetwork
    received : list of (n_steps, n_runs, n_pre)
        What arrives at each layer.
    distance : list of (n_steps, n_runs, n_post)
        Membrane less threshold, before the reset.
    spikes : list of (n_steps, n_runs, n_post)
    """

    network: EscapeNetwork
    received: list[Floats]
    distance: list[Floats]
    spikes: list[Floats]

    @property
    def output(self) -> Floats:
        """Spikes of the last layer, (n_runs, n_neurons, n_steps), as losses take them."""
        return self.spikes[-1].transpose(1, 2, 0)


def play(network: EscapeNetwork, sample: Floats, n_runs: int, choose: Choose) -> Runs:
    """Run one sample (n_steps, n_inputs) many times.

    `choose` says who fires, and the network what that does to the membranes.
    """
    runs = Runs(network, [], [], [])
    # All runs get the same input.
    below = np.broadcast_to(sample[:, None, :], (len(sample), n_runs, sample.shape[1]))
    for index, layer in enumerate(network.layers):
        distance, spikes = _layer(layer, below, functools.partial(choose, index))
        runs.received.append(below)
        runs.distance.append(distance)
        runs.spikes.append(spikes)
        below = spikes
    return runs


def _layer(
    layer: EscapeLayer, below: Floats, choose: Callable[[int, Floats], Floats]
) -> tuple[Floats, Floats]:
    # The input of all steps at once.
    current = below @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)
    distance, spikes = np.empty_like(current), np.empty_like(current)
    # The membrane step by step, for its reset depends on the spikes.
    v = np.zeros(current.shape[1:])
    for step in range(len(current)):
        u = layer.decay * v + current[step]
        distance[step] = u - layer.v_th
        spikes[step] = choose(step, distance[step])
        v = u - layer.reset * spikes[step]
    return distance, spikes


def choose_given(spikes: Sequence[Floats]) -> Choose:
    """Take spikes as they are given, a list of (n_steps, n_runs, n_post)."""
    return lambda layer, step, distance: spikes[layer][step]


def choose_by_chance(network: EscapeNetwork, generator: np.random.Generator) -> Choose:
    """Draw each spike with its chance."""
    return lambda layer, step, distance: (
        generator.random(distance.shape) < network.layers[layer].escape.chance(distance)
    ).astype(np.float64)


def choose_at_threshold(layer: int, step: int, distance: Floats) -> Floats:
    """Fire at or above threshold: the network without noise."""
    return (distance >= 0).astype(np.float64)


def probability(runs: Runs) -> Floats:
    """Return how probable each run's spikes are, (n_runs,)."""
    found = np.ones(runs.output.shape[0])
    for layer, distance, spikes in zip(
        runs.network.layers, runs.distance, runs.spikes, strict=True
    ):
        chance = layer.escape.chance(distance)
        # Spikes are independent, given the membranes.
        found = found * np.where(spikes > 0, chance, 1 - chance).prod((0, 2))
    return found


def scores(runs: Runs) -> list[Floats]:
    """Return d log P / d u of each layer, (n_steps, n_runs, n_post), with the spikes fixed.

    It is 0 where a run cannot happen.
    """
    found = []
    for layer, distance, spikes in zip(
        runs.network.layers, runs.distance, runs.spikes, strict=True
    ):
        chance, slope = layer.escape.chance(distance), layer.escape.slope(distance)
        # The chance of what did happen, a spike or none.
        likely = np.where(spikes > 0, chance, 1 - chance)
        found.append(
            np.divide(
                np.where(spikes > 0, slope, -slope),
                likely,
                out=np.zeros_like(slope),
                where=likely > 0,
            )
        )
    return found


def traces(layer: EscapeLayer, received: Floats) -> Floats:
    """Return du/dW with the spikes fixed: the filtered input (n_steps, n_runs, n_pre).

    The reset takes nothing away from it, for the spikes that cause it are fixed too.
    """
    found = np.empty(received.shape)
    kept = np.zeros(received.shape[1:])
    for step in range(len(received)):
        # The membrane keeps a fraction of what arrived earlier.
        kept = layer.decay * kept + received[step]
        found[step] = kept
    return found


def summed_over_runs(
    network: EscapeNetwork, by_layer: Sequence[tuple[Floats, Floats, Floats]], weights: Floats
) -> Gradient:
    """Sum (at the neuron) x (at the synapse), weighted by run.

    Parameters
    ----------
    by_layer : list of ((n_steps, n_runs, n_post), (n_steps, n_runs, n_pre), (n_steps, 1, 1))
        At the neuron, at the weights, at the bias.
    weights : (n_runs,)

    Returns
    -------
    dict of str to array
        W1, b1, ... of the shapes of the parameters.
    """
    found: Gradient = {}
    for index, (layer, (post, pre, alone)) in enumerate(
        zip(network.layers, by_layer, strict=True), start=1
    ):
        weighted = post * weights[:, None]
        found[f"W{index}"] = np.asarray(np.tensordot(weighted, pre, ((0, 1), (0, 1))), np.float64)
        if layer.bias is not None:
            found[f"b{index}"] = (weighted * alone).sum((0, 1))
    return found


def score_parts(runs: Runs) -> list[tuple[Floats, Floats, Floats]]:
    """Return for each layer what `summed_over_runs` makes the derivative of log P of."""
    alone = np.ones((runs.received[0].shape[0], 1, 1))
    return [
        (score, traces(layer, received), traces(layer, alone))
        for layer, received, score in zip(
            runs.network.layers, runs.received, scores(runs), strict=True
        )
    ]


def added(gradients: Sequence[Mapping[str, Floats]]) -> Gradient:
    """Return the sum of gradients, name by name."""
    return {
        name: np.sum([gradient[name] for gradient in gradients], axis=0) for name in gradients[0]
    }
