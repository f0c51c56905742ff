"""EventTrain: spikes of one layer in one sample at their true times, where no grid has rounded them."""

from dataclasses import dataclass

import numpy as np

from .arrays import Floats, Ints


@dataclass(frozen=True)
class EventTrain:
    """Spikes of one layer in one sample.

    Attributes
    ----------
    times : (n_spikes,) in seconds
        Of a layer ascending; of the input as they were given.
    neurons : (n_spikes,) of int
    slopes : (n_spikes,) in 1/s
        How fast the membrane rose when it reached the threshold. Infinite for input, which nothing moves.
    n_neurons : int
    """

    times: Floats
    neurons: Ints
    slopes: Floats
    n_neurons: int

    def __post_init__(self) -> None:
        for values in (self.times, self.neurons, self.slopes):
            values.setflags(write=False)

    def __len__(self) -> int:
        return len(self.times)

    def first(self) -> Ints:
        """Return which spike is each neuron's first, (n_neurons,); -1 where it never fires."""
        found = np.full(self.n_neurons, -1)
        order = np.argsort(self.times, kind="stable")[::-1]
        found[self.neurons[order]] = order
        return found

    def first_times(self) -> Floats:
        """Return each neuron's first spike time, (n_neurons,) in seconds; infinite where it never fires."""
        first = self.first()
        return np.where(first < 0, np.inf, np.append(self.times, np.inf)[first])


@dataclass(frozen=True)
class ExactTimes:
    """The true spike times of a batch.

    Attributes
    ----------
    layers : one row of EventTrain a layer, one a sample
    doubts : (n_samples,) of str
        Why the times of a sample are not to be believed; empty where nothing speaks against them.
    """

    layers: tuple[tuple[EventTrain, ...], ...]
    doubts: tuple[str, ...]
