"""The rounding bound holds for every float32 run, and knows what is exact."""

import dataclasses

import numpy as np
import pytest
from conftest import small_network
from hypothesis import given, settings
from hypothesis import strategies as st

import refsim
from refsim import Discrete, Drive, Torch
from refsim.judge.bounded import UNKNOWN, Bounded, constant, quantum_of
from refsim.judge.rounding import distances_to_threshold

NAMES = [
    "bernoulli",
    "cuba_lif",
    "if",
    "li",
    "lif",
    "lif_decay",
    "lif_refractory",
    "plif",
    "poisson_escape",
    "srif",
    "srif_mpr",
    "srm0_escape",
]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(NAMES), st.integers(0, 2**31))
def test_the_bound_covers_what_float32_does(name, seed):
    rng = np.random.default_rng(seed)
    network = small_network(rng, name, sizes=(8, 6))
    drive = Drive.bernoulli(rng.random((4, 8)), 15, "1 ms", seed)
    reference = Discrete().run(network, drive, ("before_reset",))
    trial = Torch(dtype="float32").run(network, drive, ("before_reset",))
    (found,) = distances_to_threshold(reference, np.arange(4), ("float64", "float32"))
    parted = (reference.spikes[0].dense() != trial.spikes[0].dense()).any(axis=2).cumsum(axis=1) > 0
    # Up to and with the first divergence.
    before = ~np.concatenate([np.zeros((4, 1), bool), parted[:, :-1]], axis=1)
    error = np.abs(
        trial.traces[0]["before_reset"].astype(float) - reference.traces[0]["before_reset"]
    )
    assert (error <= found.bound)[before].all()
    assert found.bound.max() < 1e-2  # and it says something


def test_the_bound_is_a_bound_and_not_the_error():
    # 0.1 is no float32; three of them may be off by a few times 2^-24
    total = constant(0.1, 2.0**-24) + constant(0.1, 2.0**-24) + constant(0.1, 2.0**-24)
    error = abs(float(np.float32(0.1) + np.float32(0.1) + np.float32(0.1)) - 0.3)
    assert error <= total.error < 1e-6


@pytest.mark.parametrize(
    ("numbers", "quantum"),
    [
        ([0.5, 0.75], 0.25),
        ([3.0], 1.0),
        ([6.0, 4.0], 2.0),
        ([0.0], 1.0),
        ([], 1.0),
        ([2.0**-17, 1.0], 2.0**-17),
        ([-0.375], 0.125),
    ],
)
def test_quantum_is_the_common_power_of_two(numbers, quantum):
    assert quantum_of(np.array(numbers)) == quantum


def test_dyadic_arithmetic_is_exact_and_says_so():
    a, b = constant(np.array([0.375, -1.5]), 2.0**-24), constant(np.array([0.25, 3.0]), 2.0**-24)
    for result in (a + b, a - b, a * b, -a + 1.0, 2.0 - b, a * (1 - np.array([1.0, 0.0]))):
        assert isinstance(result, Bounded)
        assert (result.error == 0).all()
    big = constant(np.array([2.0**20]), 2.0**-24) + constant(np.array([2.0**-10]), 2.0**-24)
    assert (big.error > 0).all()  # 30 bits do not fit


def test_the_demo_network_is_exact_in_float32():
    from refsim.cases.case import demo_case

    network = demo_case().load()
    drive = Drive.current(refsim.networks.data.digits().values[:5], "1 ms", n_steps=16)
    for layer in distances_to_threshold(
        Discrete().run(network, drive), np.arange(5), ("float64", "float32")
    ):
        near = np.abs(layer.distance) < 1
        assert near.any()
        assert (layer.bound[near] == 0).all()
        # The biases keep every membrane off the grid of the threshold.
        assert np.abs(layer.distance).min() >= 2.0**-17


def test_a_knife_edge_is_a_failure_and_no_tie():
    # dyadic sums meet the threshold exactly; a run with > instead of >= is wrong, and rounding is
    # no excuse
    network = refsim.Network.dense([([[0.25, 0.25]], None, refsim.load("srif"))], "1 ms")
    drive = Drive.events([0, 0], [0, 0], [0, 1], (1, 2, 2), "1 ms")

    def strict(x, s, p, fire):
        v = s["v"] + x
        z = (v > p["v_th"]).to(x.dtype)
        return z, v, {"v": v - z}

    report = refsim.compare(
        Discrete().run(network, drive), Torch(steps={"srif": strict}).run(network, drive)
    )
    assert report.verdict == "fail"
    assert "0 from threshold" in report.sentence


def test_powers_and_clips_with_uncertain_arguments_are_bounded():
    u = 2.0**-24
    v, b = constant(np.array([0.7]), u), constant(np.array([0.3]), u)
    for result, exact in ((2.0**v, 2.0**0.7), (b ** (v * 40.0), 0.3**28.0)):
        single = (
            np.float32(0.3) ** (np.float32(0.7) * np.float32(40))
            if exact < 1
            else np.float32(2) ** np.float32(0.7)
        )
        assert abs(float(single) - exact) <= result.error < 1e-3
    from refsim.judge.bounded import BOUNDED_FUNCTIONS

    clipped = BOUNDED_FUNCTIONS["clip"](constant(np.array([3.0]), u), 0.0, v)
    assert clipped.error >= v.error > 0


def test_float16_underflow_is_within_the_bound():
    from refsim.pytorch import SRIF

    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), SRIF(v_th=0.00315))
    module[0].weight.data.fill_(3.2e-7)
    module.half()
    network = refsim.bridge.load(module, dt="1 ms")
    drive = Drive.current(np.full((1, 3, 1), 1e4), "1 ms")
    assert (
        refsim.compare(
            Discrete().run(network, drive), Torch(module=module).run(network, drive)
        ).verdict
        != "fail"
    )


def test_tau_per_neuron_near_one_is_within_the_bound():
    taus = 1 + np.array([3e-4, 5e-4, 7e-4, 9e-4, 1.1e-3, 1.3e-3]) * 1.0123
    weight = np.stack([np.ones(6), (0.5 + 3e-5 + (1 - 1 / taus) * 1000 / taus) * taus], axis=1)
    network = refsim.Network.dense([(weight, None, refsim.load("lif"), {"tau": taus})], "1 ms")
    x = np.zeros((1, 2, 2))
    x[0, 0, 0], x[0, 1, 1] = -1000, 1
    drive = Drive.current(x, "1 ms")
    assert (
        refsim.compare(
            Discrete().run(network, drive), Torch(dtype="float32").run(network, drive)
        ).verdict
        != "fail"
    )


LOGISTIC = refsim.NeuronModel(
    "logistic",
    state={"v": 0.3},
    discrete={"integrate": "v = 3.99*v*(1 - v) + I", "fire": "z = v >= 0.9", "reset": "v = v"},
)


def spike_changed(reference, step):
    """Return the run with one decision of its only neuron turned round."""
    dense = reference.spikes[0].dense()
    dense[0, step, 0] ^= True
    return dataclasses.replace(reference, spikes=(refsim.SpikeTrains.from_dense(dense, 1e-3),))


def test_a_bound_that_is_lost_is_unknown_and_no_tie():
    # a chaotic map blows up every difference: after some steps nobody knows how far rounding
    # reaches
    from refsim.cases.neuron import alone
    from refsim.judge.comparison import compare_recordings

    reference = Discrete().run(
        alone(LOGISTIC, "1 ms"), Drive.current(np.zeros((1, 200, 1)), "1 ms")
    )
    trial = spike_changed(reference, 199)
    found = compare_recordings(reference, trial)
    assert (found.outcome, found.status, found.undecided) == ("not judged", "inconclusive", 1)
    assert found.replay.judged_share < 0.5
    assert "where no bound on rounding is known" in refsim.compare(reference, trial).sentence
    # an early fault of the same neuron is within reach of the bound, and is none of rounding's
    assert refsim.compare(reference, spike_changed(reference, 0)).verdict == "fail"
    # where nobody knows, agreement is no proof either
    assert compare_recordings(reference, reference).outcome == "too coarse"


def test_a_late_fault_of_a_neuron_that_forgets_is_no_tie():
    # a cubic near its rest forgets what rounding did, and so does the bound
    from refsim.cases.neuron import alone

    rng = np.random.default_rng(0)
    drive = Drive.current(np.abs(rng.normal(0.4, 0.5, (1, 80, 1))), "1 ms")
    reference = Discrete().run(alone(refsim.load("tests/cards/rising.toml"), "1 ms"), drive)
    last = int(np.flatnonzero(reference.spikes[0].dense()[0, :, 0])[-1])
    report = refsim.compare(reference, spike_changed(reference, last))
    assert report.verdict == "fail"
    assert f"step {last}" in report.sentence


def test_a_hard_reset_ends_what_is_unknown():
    lost = Bounded(np.array([1.0]), np.array([UNKNOWN]), 2.0**-24)
    assert (lost * np.array([0.0])).error < 2.0**-125  # no more than underflow
    assert (lost * np.array([1.0])).error >= UNKNOWN
