"""Layers that nobody recorded.

What they may have fired, where rounding leaves it open, so that the recorded ones are what they
are.

A right recording in float32 of the last layer alone may part from the reference because a neuron
below it, which nobody saw, lies on its threshold. So the decisions of such layers that rounding can
tip are tried the other way; where one that is tipped makes what was recorded, the two part there,
within rounding. Where none does, but some lie within rounding, nothing is decided: those layers
must be recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Ints
from ..core.spikes import SpikeTrains
from ..engines.following import Flip, Known, Rasters, replay
from ..networks.recording import Recording
from .recorded import known_of, unlike, upstream
from .rounding import distances_to_threshold

_SAMPLES = 16  # searched; of more that part the rest is left open where rounding leaves it open
_ROUNDS = 12  # decisions that are tipped in one sample
_AT_ONCE = 48  # decisions that are tried in one run
_BLOCK = 16  # samples that are looked at in one run
_NEVER = (1 << 62, 0, 0)

Decision = tuple[int, int, int]  # layer, step, neuron
# Step, how many there are wrong with a minus, layer: the larger, the later.
Place = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Settled:
    """A trial whose unrecorded layers are what rounding lets them be.

    Attributes
    ----------
    trial : Recording
    open : (n,) int64
        Samples that part where a layer that was not recorded lies within rounding of threshold, and
        nothing tells which way it went.
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
        Runs of the same network and drive in the trial's dtype, whose unrecorded layers are tried
        first.
    """
    known = known_of(trial)
    free = [
        index
        for index in range(len(trial.network.layers))
        if index not in known or known[index].seen is not None
    ]
    parted = _parted(known, reference)
    if not free or not len(parted):
        return Settled(trial, np.zeros(0, np.int64))
    fired = [train.dense() for train in trial.spikes]
    for other in others:
        same = np.setdiff1d(parted, _parted(known, other))
        for index in free if len(same) else ():
            fired[index][same] = other.spikes[index].take(same).dense()
        parted = np.setdiff1d(parted, same)
    search = _Search(trial, reference, known)
    doubtful, sure = search.doubtful(_by_step(parted, known, reference), fired)
    left, tipped = [], 0
    for row, sample in enumerate(doubtful):
        # beside a sure fault there is nothing to gain: what is in doubt is left open
        found = (
            search.run(sample, [each[sample][None] for each in fired])
            if row < _SAMPLES and not sure
            else None
        )
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
    rows = [
        unlike(each, run.spikes[index].dense()).any(axis=(1, 2)) for index, each in known.items()
    ]
    return np.flatnonzero(np.any(rows, axis=0))


def _by_step(samples: Ints, known: Mapping[int, Known], run: Recording) -> Ints:
    """Return samples by the step in which they part from a run."""
    steps = [
        unlike(each, run.spikes[index].dense())[samples].any(axis=2)
        for index, each in known.items()
    ]
    return samples[np.argsort(np.argmax(np.any(steps, axis=0), axis=1), kind="stable")]


@dataclass(frozen=True, eq=False)
class _Search:
    """Tips unseen decisions of a sample, one after the other, until what was recorded comes out."""

    trial: Recording
    reference: Recording
    known: Mapping[int, Known]

    def doubtful(self, samples: Ints, fired: Rasters) -> tuple[list[int], bool]:
        """Return the samples that are wrong where something unseen may be the reason, and whether
        one is wrong without.

        Those that part first are looked at first, and none behind one that is wrong without such a
        reason: it decides.
        """
        found, sure = [], False
        for first in range(0, len(samples), _BLOCK):
            some = np.sort(samples[first : first + _BLOCK])
            if sure:
                break
            mine = [each[some] for each in fired]
            near = self._near(mine, some)
            for row, parts in enumerate(self._first(*self._tip(some, [[]] * len(some)), near)):
                if parts == _NEVER:
                    continue
                if self._candidates([each[row] for each in near], parts):
                    found.append(int(some[row]))
                else:
                    sure = True
        return found, sure

    def run(self, sample: int, fired: Rasters) -> tuple[Rasters, int] | None:
        """Return what all layers fire and how many decisions tipped, where every recorded decision
        is then right or within rounding; else None.
        """
        tipped: list[Decision] = []
        one = np.array([sample])
        near = self._near(fired, one)
        parts = self._first(*self._tip(one, [tipped]), near)[0]
        for _ in range(_ROUNDS):
            tried = [
                row
                for row in self._candidates([each[0] for each in near], parts)
                if row not in tipped
            ][:_AT_ONCE]
            if not tried:
                return None
            runs = self._tip(np.full(len(tried), sample), [[*tipped, each] for each in tried])
            firsts = self._first(*runs, near)
            best = max(range(len(tried)), key=lambda row: firsts[row])
            if firsts[best][:2] <= parts[:2]:
                return None
            tipped, fired = [*tipped, tried[best]], [each[best][None] for each in runs[0]]
            near = self._near(fired, one)
            # What is within rounding has changed with the spikes.
            parts = self._first(*self._tip(one, [tipped]), near)[0]
            if parts == _NEVER:
                return fired, len(tipped)
        return None

    def _near(self, fired: Rasters, samples: Ints) -> Rasters:
        """Return the decisions that rounding can tip, where each neuron follows what fired.

        Those of which no bound is known too.
        """
        dtypes = (str(self.reference.provenance["dtype"]), str(self.trial.provenance["dtype"]))
        trains = tuple(SpikeTrains.from_dense(each, self.trial.network.dt) for each in fired)
        part = replace(self.trial, drive=self.trial.drive.take(samples), spikes=trains)
        layers = distances_to_threshold(part, np.arange(len(samples)), dtypes)
        return [
            ~np.isfinite(each.bound) | ((each.bound > 0) & (np.abs(each.distance) <= each.bound))
            for each in layers
        ]

    def _candidates(self, near: Sequence[NDArray[np.bool_]], parts: Place) -> list[Decision]:
        """Return the unseen decisions within rounding that lead to where it parts, the latest
        first.
        """
        step, _, layer = parts
        rows = []
        for index in upstream(self.trial.network, layer) | {layer}:
            for at, neuron in np.argwhere(near[index][: step + 1] & ~self._seen(index)[: step + 1]):
                rows.append((index, int(at), int(neuron)))
        return sorted(rows, key=lambda row: (-row[1], -row[0], row[2]))

    def _seen(self, index: int) -> NDArray[np.bool_]:
        """Return where a layer was recorded, (n_steps, n_neurons)."""
        shape = (self.trial.drive.n_steps, self.trial.network.layers[index].n_post)
        each = self.known.get(index)
        return (
            np.zeros(shape, bool)
            if each is None
            else np.ones(shape, bool)
            if each.seen is None
            else each.seen
        )

    def _tip(self, samples: Ints, choices: Sequence[Sequence[Decision]]) -> tuple[Rasters, Rasters]:
        """Run a sample for each choice of unseen decisions that are taken the other way.

        Return what fires, and what is decided.
        """
        known = {
            index: Known(
                each.fired[samples],
                each.seen,
                None if each.carried is None else each.carried[samples],
            )
            for index, each in self.known.items()
        }
        flips: list[Flip] = [(row, *each) for row, choice in enumerate(choices) for each in choice]
        return replay(self.trial.network, self.trial.drive, known, samples, flips)

    def _first(self, fired: Rasters, decided: Rasters, near: Rasters) -> list[Place]:
        """Return, a row, the first recorded decision that is wrong beyond rounding.

        `_NEVER` where there is none.
        """
        found = [_NEVER] * len(fired[0])
        for index in self.known:
            wrong = ((fired[index] != decided[index]) & self._seen(index) & ~near[index]).sum(
                axis=2
            )
            for row in np.flatnonzero(wrong.any(axis=1)):
                step = int(np.argmax(wrong[row] > 0))
                found[row] = min(found[row], (step, -int(wrong[row, step]), index))
        return found
