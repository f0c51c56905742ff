"""What arrives at a layer in each step: kernels over the past, delays, and the spikes of others.

First the kernels of a card at run time, which sum over the past in ascending order of its age.
Then the input of each layer: the drive and the spikes of other layers, each after its delay.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import kernel_values
from ..core.arrays import Ints
from ..core.errors import RefsimError
from ..networks.connection import DRIVE, Source
from ..networks.network import Layer, Network

# Of the dtype of a run, float32 or float64; spikes may be booleans.
Array = NDArray[Any]
# What a kernel sums: arrays here, and in other rooms slopes or bounds that add and multiply.
Arrived = Any


def layer_kernels(layer: Layer, dt: float) -> dict[str, list[float]]:
    """Return the values of each kernel of a layer at k = 0, 1, ... steps.

    Raises
    ------
    RefsimError
        Where parameters given per neuron make kernels that differ.
    """
    model, found = layer.model, {}
    # One set of constants for all neurons, or one for each where parameters are given per neuron.
    rows = (
        [
            {name: float(values[neuron]) for name, values in layer.parameters.items()}
            for neuron in range(layer.n_post)
        ]
        if layer.parameters
        else [{}]
    )
    for name in model.kernels:
        where = f"{layer.name}: kernel {name}"
        each = [kernel_values(model, name, model.constants(dt, row), dt, where) for row in rows]
        if any(values != each[0] for values in each):
            raise RefsimError(
                f"{where}: all neurons of a layer share a kernel; give its parameters one value, "
                "or neurons of another kernel a layer of their own."
            )
        found[name] = each[0]
    return found


@dataclass
class Convolution:
    """One kernel of one layer.

    Attributes
    ----------
    values : list
        The kernel at k = 0, 1, ...
    own : bool
        Whether it is over the neuron's own spikes. Those are of earlier steps, so that k starts
        at 1.
    """

    values: Sequence[Arrived]
    own: bool
    past: deque[Arrived | None] = field(default_factory=deque)

    def of_input(self, current: Arrived) -> Arrived:
        """Take the input of this step, and return the sum with it."""
        self.remember(current)
        return self.value()

    def remember(self, arrived: Arrived) -> None:
        """Put what arrived in front of the past; a step without any is kept as None."""
        self.past.appendleft(arrived if np.any(getattr(arrived, "value", arrived)) else None)
        if len(self.past) > len(self.values):
            self.past.pop()

    def value(self) -> Arrived:
        """Return the sum over the past, the newest first."""
        total: Arrived = 0.0
        for weight, arrived in zip(
            self.values[1:] if self.own else self.values, self.past, strict=False
        ):
            if arrived is not None:
                total = total + weight * arrived
        return total


class DelayLine:
    """Give the frames of a source, (n_samples, n_pre), each input its own number of calls late."""

    def __init__(self, delay: Ints, n_samples: int) -> None:
        self.delay, self.calls = delay, 0
        self.kept = np.zeros((int(delay.max()) + 1, n_samples, len(delay))) if delay.any() else None

    def __call__(self, frame: Array) -> Array:
        """Take the frame of now, return what arrives now; before the first frame it is silent."""
        if self.kept is None:
            return frame
        # The frames are kept in a ring, long enough for the longest delay.
        size = len(self.kept)
        self.kept[self.calls % size] = frame
        arrived: Array = self.kept[
            (self.calls - self.delay) % size, :, np.arange(len(self.delay))
        ].T
        self.calls += 1
        return arrived.astype(frame.dtype)


class LayerInputs:
    """The input of every layer, step by step.

    Parameters
    ----------
    network : Network
    n_samples : int

    Attributes
    ----------
    spikes : list of (n_samples, n_neurons), one a layer
        The latest output of each layer; who runs the network sets it.
    """

    def __init__(self, network: Network, n_samples: int) -> None:
        self.sources = [layer.sources for layer in network.layers]
        self.lines = [
            [
                DelayLine(lag(source.layer, index, source.delay), n_samples)
                for source in layer.sources
            ]
            for index, layer in enumerate(network.layers)
        ]
        self.spikes: list[Array] = [np.zeros((n_samples, layer.n_post)) for layer in network.layers]

    def __call__(self, index: int, frame: Array) -> Array:
        """Return what layer `index` receives now, (n_samples, n_pre).

        Layers are asked in their order, each once a step.
        """
        received = [
            line(frame if source.layer == DRIVE else self.spikes[source.layer])
            for source, line in zip(self.sources[index], self.lines[index], strict=True)
        ]
        return received[0] if len(received) == 1 else np.concatenate(received, axis=1)


def received_by(
    network: Network, index: int, frames: Iterable[Array], sent: Sequence[Array]
) -> Iterator[Array]:
    """Yield, step by step, what one layer receives in a run whose layers sent what is given.

    Parameters
    ----------
    frames : iterable of (n_samples, n_inputs)
        The drive, a frame a step.
    sent : list of (n_samples, n_steps, n_neurons), one a layer
        What other layers received of each; only the sources of this layer are looked at.

    Yields
    ------
    (n_samples, n_pre)
    """
    sources = {source.layer for source in network.layers[index].sources if source.layer != DRIVE}
    inputs: LayerInputs | None = None
    for step, frame in enumerate(frames):
        inputs = inputs or LayerInputs(network, len(frame))
        for source in sources:
            # A layer that has not run yet in this step is received a step late.
            when = step if source < index else step - 1
            inputs.spikes[source] = (
                sent[source][:, when] if when >= 0 else np.zeros_like(sent[source][:, 0])
            )
        yield inputs(index, frame)


def lag(source: int, index: int, delay: Ints) -> Ints:
    """Return how many steps the latest spikes of a source must wait.

    The spikes of a layer that has not run yet in this step are a step old already.
    """
    return delay - 1 if source >= index else delay


def steady(sources: Sequence[Source], held: bool) -> bool:
    """Return whether a layer receives the same in every step.

    It does where its only source is a drive that stays as it is, without a delay.
    """
    return held and all(source.layer == DRIVE and not source.delayed for source in sources)
