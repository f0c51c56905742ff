"""The engines agree: to the last bit in float64 on sequential sums, spike by spike with PyTorch."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import mismatches, small_network
from hypothesis import given, settings
from hypothesis import strategies as st

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError, Torch

# Dimensionless neurons that fire on these networks; tests/test_language.py and the files of the
# families have every card.
NAMES = ["cuba_lif", "if", "lif", "lif_decay", "lif_refractory", "srif", "srif_mpr"]
BOTH = ("before_reset", "after_reset")


def drives(rng, n_samples=7, n_inputs=12, n_steps=30):
    """Events, currents that move and currents that are held."""
    return {
        "events": Drive.bernoulli(rng.random((n_samples, n_inputs)), n_steps, "1 ms", 3),
        "moving": Drive.current(rng.normal(0.2, 0.3, (n_samples, n_steps, n_inputs)), "1 ms"),
        "held": Drive.current(rng.random((n_samples, n_inputs)) * 0.5, "1 ms", n_steps=n_steps),
    }


@pytest.mark.parametrize("kind", ["events", "moving", "held"])
@pytest.mark.parametrize("name", NAMES)
def test_numpy_target_equals_discrete_to_the_bit(name, kind, rng):
    network, drive = small_network(rng, name), drives(rng)[kind]
    a, b = Discrete().run(network, drive, BOTH), Brian2(target="numpy").run(network, drive, BOTH)
    assert sum(len(train) for train in a.spikes) > 50
    assert mismatches(a, b) == [0, 0]
    ulps = 4 if name == "srif_mpr" else 0  # tanh and powers are a library's; arithmetic is exact
    for layer in range(2):
        for trace in BOTH:
            assert np.abs(a.traces[layer][trace] - b.traces[layer][trace]).max() <= ulps * 2.0**-52


@pytest.mark.parametrize("kind", ["events", "moving", "held"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_compiled_equals_numpy_target_to_the_bit(dtype, kind, rng):
    # more samples than a batch of 256, so that chunks follow each other; three layers, three cards
    network = small_network(rng, "srif", "lif", "lif_decay", sizes=(12, 9, 6, 4))
    drive = drives(rng, n_samples=300)[kind]
    a = Brian2(dtype=dtype, target="numpy").run(network, drive, BOTH)
    b = Brian2(dtype=dtype, target="cpp").run(network, drive, BOTH)
    assert mismatches(a, b) == [0, 0, 0]
    for layer in range(3):
        assert all(np.array_equal(a.traces[layer][trace], b.traces[layer][trace]) for trace in BOTH)
        assert np.array_equal(a.approach[layer].distance, b.approach[layer].distance)
        assert np.array_equal(a.approach[layer].neuron, b.approach[layer].neuron)


@pytest.mark.parametrize("name", NAMES)
def test_hand_written_steps_fire_as_declared(name, rng):
    network = small_network(rng, name, dyadic=True)
    for kind, drive in drives(rng).items():
        if kind != "events":
            drive = Drive.current(np.round(drive.values * 64) / 64, "1 ms", n_steps=30)
        declared = Discrete().run(network, drive, BOTH)
        for dtype in ("float64", "float32"):
            trial = Torch(dtype=dtype).run(network, drive, BOTH)
            assert mismatches(declared, trial) == [0, 0], (kind, dtype)
        assert np.allclose(
            declared.traces[0]["after_reset"], trial.traces[0]["after_reset"], rtol=0, atol=2e-6
        )


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(NAMES), st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 12))
def test_three_engines_agree_on_any_dyadic_network(name, seed, n_samples, n_steps):
    rng = np.random.default_rng(seed)
    network = small_network(rng, name, sizes=(4, 3, 2), dyadic=True)
    drive = Drive.bernoulli(rng.random((n_samples, 4)), n_steps, "1 ms", seed)
    runs = [
        engine.run(network, drive)
        for engine in (Discrete(), Brian2(target="numpy"), Torch(dtype="float64"))
    ]
    assert mismatches(runs[0], runs[1]) == mismatches(runs[0], runs[2]) == [0, 0]


def test_a_spike_passes_all_layers_in_one_step():
    srif = refsim.load("srif")
    network = refsim.Network.dense([(np.eye(2), None, srif)] * 4, "1 ms")
    drive = Drive.events([0], [3], [1], (1, 6, 2), "1 ms")
    for engine in (Discrete(), Brian2(target="numpy"), Brian2(target="cpp"), Torch()):
        for train in engine.run(network, drive).spikes:
            assert (train.step.tolist(), train.neuron.tolist()) == ([3], [1])


def test_own_cards_work_in_every_engine(rng):
    soft = refsim.load("examples/lif_soft.toml", decay=0.75)
    network = refsim.Network.dense([(rng.normal(0.2, 0.3, (5, 4)), None, soft)], "1 ms")
    drive = Drive.bernoulli(np.full((3, 4), 0.5), 40, "1 ms", 0)

    def step(x, s, p, fire):
        v = p["decay"] * s["v"] + x
        z = fire(v - p["v_th"])
        return z, v, {"v": v - z * p["amount"]}

    runs = [
        engine.run(network, drive)
        for engine in (
            Discrete(),
            Brian2(),
            Brian2(target="cpp"),
            Torch(dtype="float64", steps={"lif_soft": step}),
        )
    ]
    assert len(runs[0].spikes[0]) > 20
    assert [mismatches(runs[0], run) for run in runs[1:]] == [[0]] * 3
    with pytest.raises(RefsimError, match="there is no PyTorch step for this card 'lif_soft'"):
        Torch().run(network, drive)


def test_state_does_not_leak_from_sample_to_sample(rng):
    network, drive = small_network(rng, "lif"), drives(rng, n_samples=300)["events"]
    whole = Brian2(target="cpp").run(network, drive)
    last = Brian2(target="cpp").run(network, drive.take(np.array([299])))
    assert np.array_equal(whole.spikes[1].take(np.array([299])).code, last.spikes[1].code)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "exact"},
        {"dtype": "float16"},
        {"target": "cuda"},
        {"analog": "none"},
        {"refine": 2},
        {"workers": 0},
        {"mode": "fine", "refine": 0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(
        RefsimError, match=r"Brian2: (mode|dtype|target|analog|refine|workers|grid mode)"
    ):
        Brian2(**options)


# --- a live module on trial ---


def test_a_module_is_recorded_as_it_runs_and_left_as_it_was(rng):
    from refsim.pytorch import LIF, SRIF

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(12, 9), SRIF(), torch.nn.Linear(9, 5), LIF(tau=3.0)
    ).double()
    network, drive = refsim.bridge.load(module, dt="1 ms"), drives(rng)["events"]
    module.train()
    module(torch.rand(2, 12, dtype=torch.float64))
    before = [part.v.clone() for part in module if hasattr(part, "v")]
    trial = Torch(module=module).run(network, drive, BOTH)
    assert mismatches(Discrete().run(network, drive), trial) == [0, 0]
    assert module.training
    assert all(
        torch.equal(part.v, v)
        for part, v in zip([part for part in module if hasattr(part, "v")], before, strict=True)
    )
    assert not any(part._forward_hooks for part in module)
    with pytest.raises(RefsimError, match=r"is torch\.float64 and is run as it is"):
        Torch(module=module, dtype="float32").run(network, drive)


def test_a_module_that_is_another_network_is_refused(rng):
    from refsim.pytorch import SRIF

    module = torch.nn.Sequential(torch.nn.Linear(12, 9), SRIF())
    with pytest.raises(RefsimError, match="1 layers of neurons, but the network has 2"):
        Torch(module=module).run(small_network(rng, "srif"), drives(rng)["events"])


def test_a_device_that_is_not_there_is_named(rng):
    with pytest.raises(RefsimError, match="device 'cuda:99' cannot be used here"):
        Torch(device="cuda:99").run(small_network(rng, "srif"), drives(rng)["events"])


def test_a_card_of_two_states_shows_its_membrane():
    model = refsim.load("tests/cards/two_state.toml")
    network = refsim.Network.dense([([[1.0]], None, model)], "1 ms")
    drive = Drive.constant(0.25, 12, "1 ms")
    runs = [engine.run(network, drive, BOTH) for engine in (Discrete(), Brian2(target="numpy"))]
    for run in runs:
        before, after = (run.traces[0][name][0, :, 0] for name in BOTH)
        fired = run.spikes[0].dense()[0, :, 0]
        assert fired.any()
        assert np.array_equal(after, np.where(fired, 0.0, before))
    assert mismatches(*runs) == [0]


def test_a_replaced_step_is_not_run_by_the_step_of_its_name(rng):
    srif = refsim.load("srif")
    strict = dataclasses.replace(
        srif, discrete=dataclasses.replace(srif.discrete, reset=refsim.load("if").discrete.reset)
    )
    network = refsim.Network.dense([(np.ones((2, 12)), None, strict)], "1 ms")
    with pytest.raises(RefsimError, match="there is no PyTorch step for this card 'srif'"):
        Torch().run(network, drives(rng)["events"])


def test_graded_spikes_are_refused(rng):
    from refsim.pytorch import SRIF

    class Graded(SRIF):
        def forward(self, x):
            return 3.5 * super().forward(x)

    module = torch.nn.Sequential(torch.nn.Linear(12, 9), Graded())
    network = refsim.bridge.load(module, dt="1 ms")
    with pytest.raises(RefsimError, match=r"layer 0 gives 3\.5 for a spike"):
        Torch(module=module).run(network, drives(rng)["events"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_of_half_precision_is_run_as_it_is(dtype, rng):
    from refsim.pytorch import SRIF

    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(12, 9), SRIF()).to(dtype)
    network, drive = refsim.bridge.load(module, dt="1 ms"), drives(rng)["events"]
    trial = Torch(module=module).run(network, drive)
    assert trial.provenance["dtype"] == str(dtype).removeprefix("torch.")
    # eleven or eight bits round at every step: spikes may differ, but only where the bound says
    # that they may
    found = [
        row
        for row in refsim.compare(Discrete().run(network, drive), trial).as_dict()["claims"]
        if row["measure"] == "mismatched spikes"
    ]
    assert found[0]["status"] in ("pass", "inconclusive")


def test_weights_that_do_not_fit_the_dtype_are_refused(rng):
    network = refsim.Network.dense([(np.full((2, 12), 1e200), None, refsim.load("srif"))], "1 ms")
    for engine in (Torch(dtype="float32"), Brian2(dtype="float32")):
        with pytest.raises(RefsimError, match=r"a weight of size 1e\+200 does not fit float32"):
            engine.run(network, drives(rng)["events"])


def test_a_run_that_memory_cannot_hold_is_refused(rng):
    network = small_network(rng, "srif")
    with pytest.raises(RefsimError, match="GiB for its spikes and traces, and the machine has"):
        Discrete().run(network, Drive.current(np.ones((1, 12)), "1 ms", n_steps=10**12))


def test_run_wants_an_engine(rng):
    with pytest.raises(RefsimError, match=r"engine must be refsim\.Brian2\(\)"):
        refsim.run(small_network(rng, "srif"), drives(rng)["events"], engine="brian2")
    with pytest.raises(RefsimError, match=r"engine must be refsim\.Brian2\(\)"):
        # The brackets forgotten.
        refsim.run(small_network(rng, "srif"), drives(rng)["events"], engine=Brian2)


def test_run_and_compare_say_what_they_need(rng):
    network, drive = small_network(rng, "srif"), drives(rng)["events"]
    with pytest.raises(RefsimError, match="needs a drive second, .* but ndarray was given"):
        refsim.run(network, np.ones((1, 2, 12)), engine=Brian2())
    with pytest.raises(RefsimError, match="needs a network first, .* but SpikeTrains was given"):
        refsim.run(drive.spikes, drive, engine=Brian2())
    with pytest.raises(RefsimError, match="needs two recordings, .* but Network was given"):
        refsim.compare(refsim.run(network, drive, engine=Discrete()), network)
