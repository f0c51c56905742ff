"""Whether two runs, whose gradients are to be compared, fire alike; and where not, whether it is rounding at a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..distances import Divergence, earliest, first_divergences, mismatched
from ..drive import Drive
from ..network import Network
from ..recording import Recording
from ..rounding import distances_to_threshold
from ..spikes import SpikeTrains


@dataclass(frozen=True)
class SpikesApart:
    """How two runs part.

    Attributes
    ----------
    count : int
        Spikes that one run has and the other has not.
    tie : bool
        Whether rounding explains where each sample parts.
    words : str
        Where that is, how far from threshold, and how far rounding reaches there; "" where the runs are one.
    """

    count: int
    tie: bool = False
    words: str = ""


def spikes_apart(network: Network, inputs: Floats, declared: Sequence[Floats], trial: Sequence[Floats], dtype: str) -> SpikesApart:
    """Compare what the layers of two runs gave, the declared one in float64, the trial in a dtype.

    Parameters
    ----------
    inputs : (n_samples, n_steps, n_inputs)
    declared, trial : (n_steps, n_samples, n_neurons) a layer
    """
    drive = Drive.current(inputs, network.dt)
    left, right = (_recording(network, drive, gave) for gave in (declared, trial))
    count = sum(len(mismatched(a, b)) for a, b in zip(left.spikes, right.spikes, strict=True))
    if not count:
        return SpikesApart(0)
    partings = first_divergences(left, right)
    samples = np.unique([where.sample for where in partings])
    layers = distances_to_threshold(left, samples, ("float64", dtype))
    rows = []
    for where in partings:
        at = (int(np.searchsorted(samples, where.sample)), where.step, where.neuron)
        rows.append((where, abs(float(layers[where.layer].distance[at])), float(layers[where.layer].bound[at])))
    real = [row for row in rows if not row[1] <= row[2]]
    told = {where: (distance, bound) for where, distance, bound in real or rows}
    first = earliest(list(told))
    return SpikesApart(count, not real, _words(network, first, *told[first]))


def _words(network: Network, where: Divergence, distance: float, bound: float) -> str:
    place = f"they part at {network.layers[where.layer].name}, sample {where.sample}, step {where.step}, neuron {where.neuron}"
    return f"{place}: {distance:.2g} from threshold, where rounding reaches {bound:.2g}"


def _recording(network: Network, drive: Drive, gave: Sequence[Floats]) -> Recording:
    trains = [
        SpikeTrains.from_dense(np.zeros_like(each, bool) if layer.model.discrete.readout else each != 0, network.dt)
        for layer, each in ((layer, each.transpose(1, 0, 2)) for layer, each in zip(network.layers, gave, strict=True))
    ]
    return Recording(network, drive, tuple(trains), (), (), {})
