"""How far rounding may have moved a read-out over the steps, whatever order its sum is added in.

A module that averages spikes and multiplies once, and one that multiplies in each step and
averages, compute one number in two orders. Each product of a weight and its input is rounded once,
and so are both factors; a sum of n terms in any order adds n - 1 roundings; a mean adds two.
Higham, Accuracy and Stability of Numerical Algorithms, Sec. 4.2: with unit u and k roundings the
error is at most k*u/(1 - k*u) times the sum of sizes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import so_far
from ..core.arrays import Floats, Ints
from ..engines.arrivals import LayerInputs
from ..networks.connection import DRIVE
from ..networks.network import Layer, Network
from ..networks.recording import Recording
from .bounded import (
    UNIT_ROUNDOFF,
    underflow,
)
from .rounding import OF_A_TERM

_OF_A_MEAN = 2  # the number of steps, where it is turned over, and the division


def heard_exactly(network: Network, index: int) -> bool:
    """Return whether a layer receives nothing but the drive and spikes of 0 and 1.

    No run rounds these but to its dtype.
    """
    sources = network.layers[index].sources
    return not any(
        source.layer != DRIVE and network.layers[source.layer].model.discrete.payload
        for source in sources
    )


def bounded_over_steps(
    reference: Recording, index: int, samples: Ints, dtypes: tuple[str, ...]
) -> Floats:
    """Return how far rounding may have moved the output of a read-out over the steps.

    Parameters
    ----------
    reference : Recording
        Its spikes are what the layer receives, in both runs.
    index : int
        Number of the layer.
    samples : (n,) int64
    dtypes : tuple of str
        Dtypes of the runs; their bounds add.

    Returns
    -------
    (n_samples, n_steps, n_neurons)
        In the unit of the output.
    """
    unit = sum(UNIT_ROUNDOFF[dtype] for dtype in dtypes)
    return bound_of(
        reference.network.layers[index], _inputs_by_step(reference, index, samples), unit
    )


def bound_of(layer: Layer, heard: Sequence[NDArray[Any]], unit: float) -> Floats:
    """Return the same bound from the layer's input, (n_samples, n_inputs) a step."""
    rule, weight, bias = layer.model.discrete.over_steps, np.abs(layer.weight).T, np.abs(layer.bias)
    # The sum of sizes in each step, and how many terms it has.
    sizes = np.stack([np.abs(x) @ weight + bias for x in heard])
    terms = np.stack([(x != 0).sum(axis=1, keepdims=True) + 1.0 for x in heard])
    # The larger of two numbers moves by no more than the one that moves most.
    if rule in ("last", "max"):
        return so_far(_gamma(terms + OF_A_TERM, unit) * (sizes + underflow(unit)), rule).swapaxes(
            0, 1
        )
    # A sum or mean over the steps adds the terms of all steps so far.
    roundings = so_far(terms, "sum") + OF_A_TERM + (_OF_A_MEAN if rule == "mean" else 0)
    return (_gamma(roundings, unit) * (so_far(sizes, rule) + underflow(unit))).swapaxes(0, 1)


def _gamma(roundings: Floats, unit: float) -> Floats:
    """Return Higham's gamma; infinite where so many roundings prove nothing."""
    part = roundings * unit
    return np.where(part < 0.5, part / (1 - np.minimum(part, 0.5)), np.inf)


def _inputs_by_step(reference: Recording, index: int, samples: Ints) -> list[NDArray[Any]]:
    """Return the input of a layer in each step, (n_samples, n_inputs)."""
    network, drive = reference.network, reference.drive.take(samples)
    layer, hear, found = network.layers[index], LayerInputs(network, len(samples)), []
    # Only the layers that it receives from are looked up.
    sent = {
        source.layer: reference.spikes[source.layer].take(samples)
        for source in layer.sources
        if source.layer != DRIVE
    }
    trains = {number: train.dense() for number, train in sent.items()}
    for step, frame in enumerate(drive.frames()):
        for number, train in trains.items():
            # What a layer that runs later in a step sends arrives in the next step.
            at = step if number < index else step - 1
            hear.spikes[number] = (
                train[:, at].astype(np.float64) if at >= 0 else np.zeros_like(hear.spikes[number])
            )
        found.append(hear(index, frame))
    return found
