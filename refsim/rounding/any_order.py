"""How far rounding reaches in a read-out over the steps, whatever order its sum over inputs and steps is added in.

A module that averages spikes and multiplies once, and one that multiplies in each step and averages, compute one number in two
orders. Each product of a weight and what it hears is rounded once, and so are both factors; a sum of n terms in any order adds
n - 1 roundings; a mean adds two. Higham, Accuracy and Stability of Numerical Algorithms, Sec. 4.2: with unit u and k roundings
the error is at most k*u/(1 - k*u) times the sum of sizes.
"""

import numpy as np

from ..arrays import Floats, Ints
from ..connection import DRIVE
from ..engines.delays import Hearing
from ..model.over_steps import so_far
from ..network import Network
from ..recording import Recording
from .bounded import underflow

_OF_A_TERM = 5  # weight, input, their product, the bias, and a mean of inputs that was taken first
_OF_A_MEAN = 2  # the number of steps, where it is turned over, and the division


def heard_exactly(network: Network, index: int) -> bool:
    """Whether a layer hears nothing but the drive and spikes of 0 and 1, which no run rounds but to its dtype."""
    sources = network.layers[index].sources
    return not any(source.layer != DRIVE and network.layers[source.layer].model.discrete.payload for source in sources)


def bounded_over_steps(run: Recording, index: int, samples: Ints, unit: float) -> Floats:
    """Return how far rounding may have taken the output of a read-out over the steps, (n_samples, n_steps, n_neurons).

    Parameters
    ----------
    run : Recording
        Its spikes are what the layer hears.
    unit : float
        The unit roundoffs of the runs together.
    """
    rule = run.network.layers[index].model.discrete.over_steps
    sizes, terms = _sizes(run, index, samples)
    if rule in ("last", "max"):  # the larger of two numbers moves by no more than the one that moves most
        return so_far(_gamma(terms + _OF_A_TERM, unit) * (sizes + underflow(unit)), rule).swapaxes(0, 1)
    roundings = so_far(terms, "sum") + _OF_A_TERM + (_OF_A_MEAN if rule == "mean" else 0)
    return (_gamma(roundings, unit) * (so_far(sizes, rule) + underflow(unit))).swapaxes(0, 1)


def _gamma(roundings: Floats, unit: float) -> Floats:
    """Return Higham's gamma; infinite where so many roundings prove nothing."""
    part = roundings * unit
    return np.where(part < 0.5, part / (1 - np.minimum(part, 0.5)), np.inf)


def _sizes(run: Recording, index: int, samples: Ints) -> tuple[Floats, Floats]:
    """Return, of the sum of a layer in each step, the size of its terms (n_steps, n_samples, n_neurons), and how many (n_steps, n_samples, 1)."""
    network, drive = run.network, run.drive.take(samples)
    layer, hear = network.layers[index], Hearing(network, len(samples))
    sent = {source.layer: run.spikes[source.layer].take(samples) for source in layer.sources if source.layer != DRIVE}
    trains = {number: train.dense() for number, train in sent.items()}
    weight, bias = np.abs(layer.weight).T, np.abs(layer.bias)
    sizes, terms = np.zeros((drive.n_steps, len(samples), layer.n_post)), np.zeros((drive.n_steps, len(samples), 1))
    for step, frame in enumerate(drive.frames()):
        late = step - 1  # a layer that runs later in a step was last heard the step before
        for number, train in trains.items():
            at = step if number < index else late
            hear.spikes[number] = train[:, at].astype(np.float64) if at >= 0 else np.zeros_like(hear.spikes[number])
        x = hear(index, frame)
        sizes[step], terms[step] = np.abs(x) @ weight + bias, (x != 0).sum(axis=1, keepdims=True) + 1
    return sizes, terms
