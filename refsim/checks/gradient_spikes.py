"""Whether two runs, whose gradients are to be compared, fire alike; and where not, whether it is rounding at a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..distances import mismatched
from ..drive import Drive
from ..network import Network
from ..recording import Recording
from ..rounding import replay
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
    found = replay(right, np.arange(drive.n_samples), ("float64", dtype))
    first = next(iter(found.wrong or found.open), None)
    if first is None:  # each decision is as the card says, so it is not the module that parts
        return SpikesApart(count, True, "no decision of the module is wrong by itself")
    return SpikesApart(
        count,
        not found.wrong,
        f"they part at {network.layers[first.layer].name}, sample {first.sample}, step {first.step}, neuron {first.neuron}: "
        f"{abs(first.distance):.2g} from threshold, where rounding reaches {first.bound:.2g}",
    )


def _recording(network: Network, drive: Drive, gave: Sequence[Floats]) -> Recording:
    trains = [
        SpikeTrains.from_dense(np.zeros_like(each, bool) if layer.model.discrete.readout else each != 0, network.dt)
        for layer, each in ((layer, each.transpose(1, 0, 2)) for layer, each in zip(network.layers, gave, strict=True))
    ]
    return Recording(network, drive, tuple(trains), (), (), {})
