"""Counts of spikes beyond what an integer of 32 bits holds.

Neurons that feed themselves without end are counted right, in every engine.
"""

import numpy as np
import pytest

import refsim
from refsim.cases.neuron import network_of_one
from refsim.engines.brian import text
from refsim.export.script import to_brian2

STEPS = 34  # 3^33 is 5.6e15, below 2^53: a whole number in float64


def counts(engine):
    """Return the counts of a neuron that answers each of its spikes with three."""
    connections = [
        refsim.Connection(np.array([[1.0]])),
        refsim.Connection(np.array([[3.0]]), source="self"),
    ]
    network = refsim.Network.dense([(connections, None, refsim.load("sinabs_iaf"))], "1 ms")
    drive = refsim.Drive.current(np.r_[1.0, np.zeros(STEPS - 1)].reshape(1, -1, 1), "1 ms")
    return (
        refsim.run(network, drive, engine=engine, record=("payload",)).traces[0]["payload"].ravel()
    )


TRUTH = np.array([3.0**step for step in range(STEPS)])


@pytest.mark.parametrize(
    "engine",
    [
        refsim.Discrete(),
        refsim.Torch(dtype="float64"),
        refsim.Brian2(target="numpy"),
        refsim.Brian2(target="cpp"),
    ],
    ids=str,
)
def test_counts_grow_without_turning_over(engine):
    assert np.array_equal(counts(engine), TRUTH)


def test_rogue_brian2s_own_floor_turns_over(monkeypatch):
    keep = text.ThreeAddress.keep
    monkeypatch.setattr(
        text.ThreeAddress,
        "keep",
        lambda self, operation: keep(self, operation.replace("whole_below", "floor")),
    )
    found = counts(refsim.Brian2(target="numpy"))
    assert np.array_equal(found[:19], TRUTH[:19])
    assert not np.array_equal(found, TRUTH)  # 3^20 is more than 2^31


# --- fine mode, and scripts ---


@pytest.fixture
def card():
    """An integrate-and-fire neuron that loses as many thresholds as its membrane holds, and
    remembers how many.
    """
    reset = "n = floor(v/v_th); v -= floor(v/v_th)*v_th"
    return refsim.NeuronModel(
        "many",
        "dv/dt = I/tau : 1\ndn/dt = 0/tau : 1",
        threshold="v >= v_th",
        reset=reset,
        parameters={"v_th": 1.0, "tau": "1 ms"},
    )


def membranes(card, **options):
    drive = refsim.Drive.current(np.full((1, 3, 1), 2.0**33), "1 ms")
    return refsim.run(
        network_of_one(card, 1e-3),
        drive,
        engine=refsim.Brian2(mode="fine", refine=2, **options),
        record=("after_reset", "n"),
    ).traces[0]


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_counts_in_fine_mode(card, target):
    found = membranes(card, target=target)
    # A sub-step each.
    assert (found["n"].ravel().tolist(), found["after_reset"].ravel().tolist()) == (
        [2.0**32] * 6,
        [0.0] * 6,
    )


# NumPy's word for it; C++ has none.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_rogue_brian2s_own_floor_in_fine_mode(card, monkeypatch):
    from refsim.engines.brian import network as objects

    ours = objects.statements
    monkeypatch.setattr(
        objects, "statements", lambda *given: ours(*given).replace("whole_below", "floor")
    )
    assert membranes(card, target="numpy")["n"].ravel()[-1] != 2.0**32


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("faulty", [False, True], ids=["ours", "Brian2's own floor"])
def test_counts_in_a_script(card, faulty):
    script = to_brian2(card, current=2.0**33, refine=2, duration="3 ms")
    script = script.replace("whole_below(v", "floor(v") if faulty else script
    names = {"__name__": "script"}
    exec(script.split("figure, axes")[0], names)
    assert (names["states"].n[0][-1] == 2.0**32) is not faulty
