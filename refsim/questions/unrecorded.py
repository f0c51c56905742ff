"""Layers that nobody recorded: what they may have fired, where rounding leaves it open, so that the recorded ones are what they are.

A right recording in float32 of the last layer alone may part from the reference because a neuron below it, which nobody
saw, lies on its threshold. So the decisions of such layers that rounding can tip are tried the other way; where one that
is tipped makes what was recorded, the two part there, within rounding. Where none does, but some lie within rounding,
nothing is decided: those layers must be recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..engines.following import Flip, Known, Rasters, replay
from ..recording import Recording
from ..rounding import distances_to_threshold
from ..spikes import SpikeTrains
from .recorded import known_of, unlike, upstream

_SAMPLES = 16  # searched; of more that part the rest is left open where rounding leaves it open
_ROUNDS = 12  # decisions that are tipped in one sample
_AT_ONCE = 48  # decisions that are tried in one run
_NEVER = (1 << 62, 0, 0)

Place = tuple[int, int, int]  # step, how many there are wrong with a minus, layer: the larger, the later


@dataclass(frozen=True, eq=False)
class Settled:
    """A trial whose unrecorded layers are what rounding lets them be.

    Attributes
    ----------
    trial : Recording
    open : (n,) int64
        Samples that part where a layer that was not recorded lies within rounding of threshold, and nothing tells which way it went.
    tipped : int
        Decisions of unrecorded layers that were taken the other way.
    """

    trial: Recording
    open: Ints
    tipped: int = 0


def settle(trial: Recording, reference: Recording, others: Sequence[Recording] = ()) -> Settled:
    """Let the unrecorded layers fire, within rounding, what explains the recorded ones.

    Parameters
    ----------
    trial : Recording
        As `as_recording` made it.
    reference : Recording
    others : list of Recording
        Runs of the same network and drive in the trial's dtype, whose unrecorded layers are tried first.
    """
    known = known_of(trial)
    free = [index for index in range(len(trial.network.layers)) if index not in known or known[index].seen is not None]
    parted = _parted(known, reference)
    if not free or not len(parted):
        return Settled(trial, np.zeros(0, np.int64))
    fired = [train.dense() for train in trial.spikes]
    for other in others:
        same = np.setdiff1d(parted, _parted(known, other))
        for index in free if len(same) else ():
            fired[index][same] = other.spikes[index].take(same).dense()
        parted = np.setdiff1d(parted, same)
    left, tipped = [], 0
    for row, sample in enumerate(parted):
        search = _Search(trial, reference, known, int(sample))
        found = search.run([each[sample][None] for each in fired], rounds=_ROUNDS if row < _SAMPLES else 0)
        if found is None:
            left.append(sample)
            continue
        tipped += found[1]
        for index in free:
            fired[index][sample] = found[0][index][0]
    trains = tuple(SpikeTrains.from_dense(each, trial.network.dt) for each in fired)
    return Settled(replace(trial, spikes=trains), np.array(left, np.int64), tipped)


def _parted(known: Mapping[int, Known], run: Recording) -> Ints:
    """Return the samples in which a run fires otherwise than was recorded."""
    rows = [unlike(each, run.spikes[index].dense()).any(axis=(1, 2)) for index, each in known.items()]
    return np.flatnonzero(np.any(rows, axis=0))


@dataclass(frozen=True, eq=False)
class _Search:
    """One sample, whose unseen decisions are tipped one after the other until what was recorded comes out."""

    trial: Recording
    reference: Recording
    known: Mapping[int, Known]
    sample: int

    def run(self, fired: Rasters, rounds: int) -> tuple[Rasters, int] | None:
        """Return what all layers fire and how many decisions tipped, where every recorded decision is then right or within rounding.

        The same spikes come back where nothing unseen can explain what is wrong; None where something may, and none was found.
        """
        tipped: list[tuple[int, int, int]] = []
        start, near = fired, self._near(fired)
        parts = self._first(*self._tip([tipped]), near)[0]
        for _ in range(rounds):
            if parts == _NEVER:
                return fired, len(tipped)
            tried = [row for row in self._candidates(near, parts) if row not in tipped][:_AT_ONCE]
            if not tried:
                break
            runs = self._tip([[*tipped, each] for each in tried])
            firsts = self._first(*runs, near)
            best = max(range(len(tried)), key=lambda row: firsts[row])
            if firsts[best][:2] <= parts[:2]:
                break
            tipped, fired = [*tipped, tried[best]], [each[best][None] for each in runs[0]]
            near, parts = self._near(fired), firsts[best]
        if parts == _NEVER:
            return fired, len(tipped)
        return None if tipped or self._candidates(near, parts) else (start, 0)

    def _near(self, fired: Rasters) -> Rasters:
        """Return the decisions that rounding can tip, where each neuron follows what fired; those of which no bound is known too."""
        dtypes = (str(self.reference.provenance["dtype"]), str(self.trial.provenance["dtype"]))
        trains = tuple(SpikeTrains.from_dense(each, self.trial.network.dt) for each in fired)
        part = replace(self.trial, drive=self.trial.drive.take(np.array([self.sample])), spikes=trains)
        layers = distances_to_threshold(part, np.zeros(1, np.int64), dtypes)
        return [~np.isfinite(each.bound) | ((each.bound > 0) & (np.abs(each.distance) <= each.bound)) for each in layers]

    def _candidates(self, near: Rasters, parts: Place) -> list[tuple[int, int, int]]:
        """Return (layer, step, neuron) of the unseen decisions within rounding that lead to where it parts, the latest first."""
        step, _, layer = parts
        rows = []
        for index in upstream(self.trial.network, layer) | {layer}:
            for at, neuron in np.argwhere(near[index][0, : step + 1] & ~self._seen(index)[: step + 1]):
                rows.append((index, int(at), int(neuron)))
        return sorted(rows, key=lambda row: (-row[1], -row[0], row[2]))

    def _seen(self, index: int) -> NDArray[np.bool_]:
        """Return where a layer was recorded, (n_steps, n_neurons)."""
        shape = (self.trial.drive.n_steps, self.trial.network.layers[index].n_post)
        each = self.known.get(index)
        return np.zeros(shape, bool) if each is None else np.ones(shape, bool) if each.seen is None else each.seen

    def _tip(self, choices: Sequence[Sequence[tuple[int, int, int]]]) -> tuple[Rasters, Rasters]:
        """Run the sample once for each choice of unseen decisions that are taken the other way."""
        rows = np.full(len(choices), self.sample)
        known = {index: Known(each.fired[rows], each.seen, None if each.carried is None else each.carried[rows]) for index, each in self.known.items()}
        flips: list[Flip] = [(row, *each) for row, choice in enumerate(choices) for each in choice]
        return replay(self.trial.network, self.trial.drive, known, rows, flips)

    def _first(self, fired: Rasters, decided: Rasters, near: Rasters) -> list[Place]:
        """Return, a row, step and layer of the first recorded decision that is wrong beyond rounding; `_NEVER` where there is none."""
        found = [_NEVER] * len(fired[0])
        for index in self.known:
            wrong = ((fired[index] != decided[index]) & self._seen(index) & ~near[index]).sum(axis=2)
            for row in np.flatnonzero(wrong.any(axis=1)):
                step = int(np.argmax(wrong[row] > 0))
                found[row] = min(found[row], (step, -int(wrong[row, step]), index))
        return found
