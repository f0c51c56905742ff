"""Measures between two recordings, on integer steps.

Counts and rates are no judge: a late spike has the same count.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Ints
from ..core.errors import RefsimError
from ..core.spikes import SpikeTrains
from ..networks.network import Layer
from ..networks.recording import Recording


def check_comparable(left: Recording, right: Recording) -> None:
    """Refuse to compare recordings of other shapes, networks or drives."""
    for given in (left, right):
        if not isinstance(given, Recording):
            raise RefsimError(
                "compare: needs two recordings, as refsim.run returns them, but "
                f"{type(given).__name__} was given."
            )
    shapes = [
        [(train.n_samples, train.n_steps, train.n_neurons) for train in recording.spikes]
        for recording in (left, right)
    ]
    if shapes[0] != shapes[1]:
        raise RefsimError(
            f"these recordings cannot be compared: {left.label} has (samples, steps, neurons) "
            f"{shapes[0]}, {right.label} has {shapes[1]}."
        )
    if left.network is not right.network and not same_network(left, right):
        raise RefsimError(
            "these recordings cannot be compared: they are of two networks, with other weights, "
            "neurons or dt. Run one Network in both engines."
        )
    if left.drive is not right.drive and not same_drive(left, right):
        raise RefsimError(
            "these recordings cannot be compared: they had different input. Give both runs the "
            "same Drive."
        )


def same_network(left: Recording, right: Recording) -> bool:
    """Return whether two recordings are of networks with equal numbers and equal neurons."""
    if left.network.dt != right.network.dt:
        return False
    for a, b in zip(left.network.layers, right.network.layers, strict=True):
        first, second = a.constants(left.network.dt), b.constants(left.network.dt)
        same = (
            a.model.text == b.model.text
            and first.keys() == second.keys()
            and all(np.array_equal(first[name], second[name]) for name in first)
        )
        if (
            not same
            or not same_wiring(a, b)
            or not np.array_equal(a.weight, b.weight)
            or not np.array_equal(a.bias, b.bias)
        ):
            return False
    return True


def same_wiring(left: Layer, right: Layer) -> bool:
    """Return whether two layers hear of the same sources after the same delays."""
    pairs = zip(left.sources, right.sources, strict=False)
    return len(left.sources) == len(right.sources) and all(
        a.layer == b.layer and np.array_equal(a.delay, b.delay) for a, b in pairs
    )


def same_drive(left: Recording, right: Recording) -> bool:
    """Return whether two recordings had equal input."""
    a, b = left.drive, right.drive
    if a.spikes is not None and b.spikes is not None:
        return bool(np.array_equal(a.spikes.code, b.spikes.code))
    if a.values is not None and b.values is not None:
        return bool(np.array_equal(a.values, b.values))
    return False


def mismatched(left: SpikeTrains, right: SpikeTrains) -> Ints:
    """Return the codes of spikes that only one of the two trains has."""
    found: Ints = np.setxor1d(left.code, right.code, assume_unique=True)
    return found


def delays(left: Recording, right: Recording, most: int = 4) -> list[int] | None:
    """Return by how many steps each layer of the right recording lags the left, where each lags by
    a whole number; else None.

    The first thing to look for when two simulators disagree: a layer that hands its spikes on one
    step late.
    """
    found = []
    for a, b in zip(left.spikes, right.spikes, strict=True):
        lag = next((lag for lag in range(most + 1) if _lags(a, b, lag)), None)
        if lag is None:
            return None
        found.append(lag)
    return found if any(found) else None


def _lags(a: SpikeTrains, b: SpikeTrains, lag: int) -> bool:
    """Return whether one train is the other, so many steps later; their counts tell most apart."""
    return int(np.count_nonzero(a.step < a.n_steps - lag)) == len(b) and bool(
        np.array_equal(_delayed(a, lag).code, b.code)
    )


def _delayed(train: SpikeTrains, lag: int) -> SpikeTrains:
    stays = train.step < train.n_steps - lag
    return SpikeTrains(
        train.sample[stays],
        train.step[stays] + lag,
        train.neuron[stays],
        train.n_samples,
        train.n_steps,
        train.n_neurons,
        train.dt,
    )


@dataclass(frozen=True)
class Displacement:
    """How far the spikes of two runs lie apart in time.

    Attributes
    ----------
    mean_steps : float
        Mean of ``|t_left - t_right|`` over the n-th spikes of neurons that fired equally often, in
        steps of dt; NaN where there are none.
    other_count : float
        Share of active neurons that fired more or less often; their spikes cannot be paired.
    changed_decisions : int
        Samples whose class differs.
    """

    mean_steps: float
    other_count: float
    changed_decisions: int


def displacement(left: Recording, right: Recording) -> Displacement:
    """Compare two runs whose sub-steps may differ in length, spike by spike, over all layers."""
    shifts, other, active = [], 0, 0
    for a, b in zip(left.spikes, right.spikes, strict=True):
        counts_a, counts_b = a.counts().ravel(), b.counts().ravel()
        active += int(((counts_a > 0) | (counts_b > 0)).sum())
        other += int((counts_a != counts_b).sum())
        shifts.append(
            _shifts(a, left.refine, counts_a == counts_b)
            - _shifts(b, right.refine, counts_a == counts_b)
        )
    steps = np.abs(np.concatenate(shifts))
    mean = float(steps.mean()) if steps.size else float("nan")
    return Displacement(
        mean, other / max(active, 1), int((left.decisions() != right.decisions()).sum())
    )


def _shifts(train: SpikeTrains, refine: int, paired: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return spike times in steps of dt, of the paired neurons, ordered by sample, neuron and time."""
    cell = train.sample * train.n_neurons + train.neuron
    order = np.lexsort((train.step, cell))
    keep = paired[cell[order]]
    # A spike is found at the end of its sub-step.
    times: NDArray[np.float64] = (train.step[order][keep] + 1) / refine
    return times
