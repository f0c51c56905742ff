"""Spikes as integers (`SpikeTrains`), and at their true times (`EventTrain`, `ExactTimes`).

A float time may lose its spike on the way back to a step; an integer cannot. True times are kept
apart, for runs in which no grid has rounded them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Ints
from .errors import RefsimError


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """The spikes of one layer for a batch of samples.

    Attributes
    ----------
    sample, step, neuron : (n_spikes,) int64
        Sorted by sample, then step, then neuron; no spike twice.
    n_samples, n_steps, n_neurons : int
    dt : float
        Duration of a step, in seconds.
    """

    sample: Ints
    step: Ints
    neuron: Ints
    n_samples: int
    n_steps: int
    n_neurons: int
    dt: float

    @classmethod
    def from_events(
        cls,
        sample: object,
        step: object,
        neuron: object,
        n_samples: int,
        n_steps: int,
        n_neurons: int,
        dt: float,
        *,
        where: str = "spikes",
    ) -> "SpikeTrains":
        """Check and sort spikes given in any order.

        Raises
        ------
        RefsimError
            Where the arrays are not integers of one length, lie outside their range, or hold a
            spike twice.
        """
        shape = (n_samples, n_steps, n_neurons)
        given = zip(("sample", "step", "neuron"), (sample, step, neuron), shape, strict=True)
        columns = [_column(values, name, bound, where) for name, values, bound in given]
        if len({len(column) for column in columns}) != 1:
            raise RefsimError(
                f"{where}: sample, step and neuron must have one length, but have "
                f"{', '.join(str(len(column)) for column in columns)}."
            )
        # One integer stands for each spike, so that one sort orders them and shows repetitions.
        code = np.sort((columns[0] * n_steps + columns[1]) * n_neurons + columns[2])
        twice = np.flatnonzero(code[1:] == code[:-1])
        if twice.size:
            first = _decode(code[twice[:1]], n_steps, n_neurons)
            raise RefsimError(
                f"{where}: {twice.size} spikes are given twice, the first at sample "
                f"{first[0][0]}, step {first[1][0]}, neuron {first[2][0]}; a neuron spikes at "
                "most once a step."
            )
        return cls(*_decode(code, n_steps, n_neurons), *shape, dt)

    @classmethod
    def from_dense(cls, dense: NDArray[np.bool_], dt: float) -> "SpikeTrains":
        """Read a bool array (n_samples, n_steps, n_neurons)."""
        sample, step, neuron = (np.asarray(axis, np.int64) for axis in np.nonzero(dense))
        n_samples, n_steps, n_neurons = dense.shape
        return cls(sample, step, neuron, n_samples, n_steps, n_neurons, dt)

    @classmethod
    def joined(cls, parts: "list[SpikeTrains]") -> "SpikeTrains":
        """Join the trains of consecutive batches into one; the samples are numbered on."""
        first = parts[0]
        offsets = np.cumsum([0, *(part.n_samples for part in parts)])
        sample = np.concatenate(
            [part.sample + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
        )
        step, neuron = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("step", "neuron")
        )
        return cls(sample, step, neuron, int(offsets[-1]), first.n_steps, first.n_neurons, first.dt)

    @property
    def code(self) -> Ints:
        """One integer a spike, ascending: ``(sample*n_steps + step)*n_neurons + neuron``."""
        return (self.sample * self.n_steps + self.step) * self.n_neurons + self.neuron

    def dense(self) -> NDArray[np.bool_]:
        """Return the spikes as a bool array (n_samples, n_steps, n_neurons)."""
        dense = np.zeros((self.n_samples, self.n_steps, self.n_neurons), bool)
        dense[self.sample, self.step, self.neuron] = True
        return dense

    def counts(self) -> Ints:
        """Return how often each neuron fires over all steps, (n_samples, n_neurons)."""
        flat = np.bincount(
            self.sample * self.n_neurons + self.neuron, minlength=self.n_samples * self.n_neurons
        )
        return flat.reshape(self.n_samples, self.n_neurons)

    def take(self, samples: Ints) -> "SpikeTrains":
        """Return the given samples, renumbered in that order; each may be named once."""
        # Consecutive samples are one stretch of the sorted spikes.
        if len(samples) and np.array_equal(
            samples, np.arange(samples[0], samples[0] + len(samples))
        ):
            return self._stretch(int(samples[0]), len(samples))
        # Otherwise each spike is looked up by the new place of its sample.
        place = np.full(self.n_samples, -1, np.int64)
        place[samples] = np.arange(len(samples))
        keep = place[self.sample] >= 0
        columns = (place[self.sample[keep]], self.step[keep], self.neuron[keep])
        return SpikeTrains.from_events(
            *columns, len(samples), self.n_steps, self.n_neurons, self.dt
        )

    def _stretch(self, first: int, count: int) -> "SpikeTrains":
        """Return consecutive samples. The spikes are sorted, so that two searches find them."""
        low, high = np.searchsorted(self.sample, [first, first + count])
        return SpikeTrains(
            self.sample[low:high] - first,
            self.step[low:high],
            self.neuron[low:high],
            count,
            self.n_steps,
            self.n_neurons,
            self.dt,
        )

    def __len__(self) -> int:
        """Return the number of spikes."""
        return len(self.sample)


def _column(values: object, name: str, bound: int, where: str) -> Ints:
    column = np.asarray(values)
    if column.size == 0:
        return np.zeros(0, np.int64)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        raise RefsimError(
            f"{where}: {name} must be a list of integers, but has dtype {column.dtype} and shape "
            f"{column.shape}. Times must be turned into steps first."
        )
    column = column.astype(np.int64)
    if column.min() < 0 or column.max() >= bound:
        raise RefsimError(
            f"{where}: {name} must lie in 0..{bound - 1}, but reaches from {column.min()} to "
            f"{column.max()}."
        )
    return column


def _decode(code: Ints, n_steps: int, n_neurons: int) -> tuple[Ints, Ints, Ints]:
    bins, neuron = np.divmod(code, n_neurons)
    sample, step = np.divmod(bins, n_steps)
    return sample, step, neuron


@dataclass(frozen=True)
class EventTrain:
    """Spikes of one layer in one sample, at their true times.

    Attributes
    ----------
    times : (n_spikes,) float64, in seconds
        Of a layer in ascending order; of the input in the order that was given.
    neurons : (n_spikes,) int64
    slopes : (n_spikes,) float64, in 1/s
        How fast the membrane rose when it reached the threshold; infinite for the input, which no
        change of a weight moves.
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
        """Return which spike is the first of each neuron, (n_neurons,); -1 where it never fires."""
        found = np.full(self.n_neurons, -1)
        # Written from the last to the first, so that the earliest spike of a neuron stays.
        order = np.argsort(self.times, kind="stable")[::-1]
        found[self.neurons[order]] = order
        return found

    def first_times(self) -> Floats:
        """Return when each neuron fires first, (n_neurons,) in seconds; infinite where never."""
        first = self.first()
        return np.where(first < 0, np.inf, np.append(self.times, np.inf)[first])


@dataclass(frozen=True)
class ExactTimes:
    """The true spike times of a batch.

    Attributes
    ----------
    layers : tuple of tuple of EventTrain
        A row for each layer, with one train for each sample.
    doubts : (n_samples,) of str
        Why the times of a sample may be wrong; empty where nothing speaks against them.
    """

    layers: tuple[tuple[EventTrain, ...], ...]
    doubts: tuple[str, ...]
