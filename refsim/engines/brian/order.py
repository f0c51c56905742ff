"""Which arrivals come before which spikes: as they lie in time, and as a run in steps has taken them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arrays import Floats, Ints
from ...network import Layer
from ...spike_times import EventTrain


@dataclass(frozen=True, eq=False)
class Taken:
    """Spikes as a run took them.

    Attributes
    ----------
    train : EventTrain
    steps : (n_spikes,) int64
        In which step; the arrivals of earlier steps were there.
    early : (n_spikes,) bool
        Whether the crossing was sought as if the arrivals of its step had not come yet.
    """

    train: EventTrain
    steps: Ints
    early: NDArray[np.bool_]


def places(layer: Layer, weight: Floats, fired: Taken, heard: Sequence[Taken]) -> tuple[NDArray[np.int8], bool]:
    """Return the places of a layer's spikes among the arrivals in one copy, and whether the run has kept to them.

    Parameters
    ----------
    weight : (n_post, n_pre)
        Of this copy; a weight of 0 is no connection.
    fired : Taken
        The layer's own spikes.
    heard : one Taken a source

    Returns
    -------
    places : (n_spikes, n_arrivals) of int8
        1 where the arrival comes before the spike, both by neuron and then by time, so that copies can be compared; 0 where there is no connection.
    kept : bool
        False where a crossing was reckoned without an arrival that comes before it in the same step, or with one that comes after it. Then its
        time is wrong, and no smaller step need show it.
    """
    train, reach = fired.train, fired.steps + 1 - fired.early
    own = np.lexsort((train.times, train.neurons))
    before, kept, first = [], True, 0
    for source, sent in zip(layer.sources, heard, strict=True):
        arrivals = sent.train
        order = np.lexsort((arrivals.times, arrivals.neurons))
        linked = weight[train.neurons[own]][:, first + arrivals.neurons[order]] != 0
        first += source.width
        ahead = arrivals.times[order] - train.times[own][:, None]
        counted = sent.steps[order] < reach[own][:, None]
        kept &= not (linked & ((counted & (ahead > 0)) | (~counted & (ahead < 0)))).any()
        before.append(linked & (ahead < 0))
    return np.concatenate(before, axis=1).astype(np.int8), kept
