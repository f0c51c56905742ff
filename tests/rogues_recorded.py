"""Faults of a recording, planted in spikes that are right.

Each must fail, at the place where it was planted.
"""

import numpy as np


def dropped(spikes):
    """One spike is missing."""
    made = spikes.copy()
    made[tuple(np.argwhere(spikes)[len(np.argwhere(spikes)) // 2])] = False
    return made


def added(spikes):
    """One spike is too many."""
    made = spikes.copy()
    made[tuple(np.argwhere(~spikes)[-1])] = True
    return made


def late(spikes):
    """All come one step later."""
    return np.concatenate([np.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)


def one_late(spikes):
    """One spike comes one step later: its count is right."""
    made = spikes.copy()
    free = np.argwhere(spikes[:, :-1] & ~spikes[:, 1:])
    sample, step, neuron = free[len(free) // 2]
    made[sample, step, neuron], made[sample, step + 1, neuron] = False, True
    return made


def permuted(spikes):
    """The neurons stand in another order."""
    return np.roll(spikes, 1, axis=2)


def shuffled(spikes):
    """The samples stand in another order."""
    return np.roll(spikes, 1, axis=0)


def silent(spikes):
    """Nothing was recorded."""
    return np.zeros_like(spikes)


def full(spikes):
    """Every neuron fires in every step."""
    return np.ones_like(spikes)


# Name -> what is done to right spikes, and what the report says of it besides the place.
RECORDINGS = {
    "dropped": (dropped, "1 of "),
    "added": (added, "and 1 of its"),
    "late": (late, "an output 1 step later (--expected-delay 1)"),
    "one_late": (one_late, "1 of "),
    "permuted": (permuted, "the neurons of layer 1 in another order"),
    "shuffled": (shuffled, "the samples of layer 1 in another order"),
    "silent": (silent, "layer 1 was recorded to be silent"),
    "full": (full, "0 of "),
}
