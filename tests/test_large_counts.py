"""Counts of spikes beyond what an integer of 32 bits holds: neurons that feed themselves without end are counted right, in every engine."""

import numpy as np
import pytest

import refsim
from refsim.engines.brian import text

STEPS = 34  # 3^33 is 5.6e15, below 2^53: a whole number in float64


def counts(engine):
    """Return the counts of a neuron that answers each of its spikes with three."""
    connections = [refsim.Connection(np.array([[1.0]])), refsim.Connection(np.array([[3.0]]), source="self")]
    network = refsim.Network.dense([(connections, None, refsim.load("sinabs_iaf"))], "1 ms")
    drive = refsim.Drive.current(np.r_[1.0, np.zeros(STEPS - 1)].reshape(1, -1, 1), "1 ms")
    return refsim.run(network, drive, engine=engine, record=("payload",)).traces[0]["payload"].ravel()


TRUTH = np.array([3.0**step for step in range(STEPS)])


@pytest.mark.parametrize("engine", [refsim.Discrete(), refsim.Torch(dtype="float64"), refsim.Brian2(target="numpy"), refsim.Brian2(target="cpp")], ids=str)
def test_counts_grow_without_turning_over(engine):
    assert np.array_equal(counts(engine), TRUTH)


def test_rogue_brian2s_own_floor_turns_over(monkeypatch):
    keep = text.ThreeAddress.keep
    monkeypatch.setattr(text.ThreeAddress, "keep", lambda self, operation: keep(self, operation.replace("whole_below", "floor")))
    found = counts(refsim.Brian2(target="numpy"))
    assert np.array_equal(found[:19], TRUTH[:19])
    assert not np.array_equal(found, TRUTH)  # 3^20 is more than 2^31
