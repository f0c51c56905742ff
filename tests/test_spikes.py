"""SpikeTrains: integers in, integers out, nothing lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refsim import RefsimError, SpikeTrains


@settings(deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)))
def test_dense_and_back_loses_nothing(dense):
    trains = SpikeTrains.from_dense(dense, 1e-4)
    assert np.array_equal(trains.dense(), dense)
    assert np.array_equal(trains.counts(), dense.sum(axis=1))
    assert np.array_equal(trains.code, np.sort(trains.code))


@settings(deadline=None)
@given(hnp.arrays(bool, (5, 6, 4)), st.permutations(range(5)), st.integers(1, 5))
def test_take_renumbers_the_samples(dense, order, count):
    chosen = np.array(order[:count])
    assert np.array_equal(SpikeTrains.from_dense(dense, 1.0).take(chosen).dense(), dense[chosen])


def test_a_thousand_spikes_survive_where_float_times_lose_some():
    steps = np.arange(1000)
    zeros = np.zeros(1000, int)
    trains = SpikeTrains.from_events(zeros, steps, zeros, 1, 1000, 1, 1e-4)
    assert np.array_equal(trains.step, steps)
    lost = set(steps) - set(np.floor(steps * 1e-4 / 1e-4).astype(int))
    assert lost, "the trap that integers avoid: floor(t/dt) loses spikes at this dt"


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (([0], [0.5], [0]), "must be a list of integers"),
        (([0], [9], [0]), "must lie in 0..4"),
        (([0], [-1], [0]), "must lie in 0..4"),
        (([0, 0], [1], [0]), "must have one length"),
        (([0, 0], [1, 1], [2, 2]), "given twice, the first at sample 0, step 1, neuron 2"),
    ],
)
def test_wrong_events_are_refused(columns, says):
    with pytest.raises(RefsimError, match=says):
        SpikeTrains.from_events(*columns, 2, 5, 3, 1e-3)
