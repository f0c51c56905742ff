"""What each layer hears in a step: the drive and the spikes of other layers, each after its delay."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..connection import DRIVE
from ..network import Network


class DelayLine:
    """Hand on the frames of one source, (n_samples, n_pre), each input its own number of calls later."""

    def __init__(self, delay: Ints, n_samples: int) -> None:
        self.delay, self.calls = delay, 0
        self.kept = np.zeros((int(delay.max()) + 1, n_samples, len(delay))) if delay.any() else None

    def __call__(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Take the frame of now, return what arrives now; silence came before the first."""
        if self.kept is None:
            return frame
        size = len(self.kept)
        self.kept[self.calls % size] = frame
        arrived: NDArray[Any] = self.kept[(self.calls - self.delay) % size, :, np.arange(len(self.delay))].T
        self.calls += 1
        return arrived.astype(frame.dtype)


class Hearing:
    """The input of every layer, step by step.

    Parameters
    ----------
    network : Network
    n_samples : int
    """

    def __init__(self, network: Network, n_samples: int) -> None:
        self.sources = [layer.sources for layer in network.layers]
        self.lines = [[DelayLine(lag(source.layer, index, source.delay), n_samples) for source in layer.sources] for index, layer in enumerate(network.layers)]
        self.spikes: list[NDArray[Any]] = [np.zeros((n_samples, layer.n_post)) for layer in network.layers]

    def __call__(self, index: int, frame: NDArray[Any]) -> NDArray[Any]:
        """Return what layer `index` hears now, (n_samples, n_pre); layers are asked in order, each once a step."""
        heard = [
            line(frame if source.layer == DRIVE else self.spikes[source.layer]) for source, line in zip(self.sources[index], self.lines[index], strict=True)
        ]
        return heard[0] if len(heard) == 1 else np.concatenate(heard, axis=1)


def heard_by(network: Network, index: int, frames: Iterable[NDArray[Any]], sent: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield, step by step, what one layer hears of a run whose layers sent what is given.

    Parameters
    ----------
    frames : iterable of (n_samples, n_inputs)
        The drive, a frame a step.
    sent : list of (n_samples, n_steps, n_neurons), one a layer
        What other layers heard of each; only those that the layer listens to are looked at.
    """
    sources = {source.layer for source in network.layers[index].sources if source.layer != DRIVE}
    hear: Hearing | None = None
    for step, frame in enumerate(frames):
        hear = hear or Hearing(network, len(frame))
        for source in sources:
            when = step if source < index else step - 1  # of a layer that has not run yet in this step, the last is heard
            hear.spikes[source] = sent[source][:, when] if when >= 0 else np.zeros_like(sent[source][:, 0])
        yield hear(index, frame)


def lag(source: int, index: int, delay: Ints) -> Ints:
    """Return how long the spikes last seen of a source must wait: those of a layer not yet run in this step are a step old."""
    return delay - 1 if source >= index else delay


def steady(sources: Sequence[Any], held: bool) -> bool:
    """Return whether a layer hears the same in every step: of the drive alone, undelayed, which is held."""
    return held and all(source.layer == DRIVE and not source.delayed for source in sources)
