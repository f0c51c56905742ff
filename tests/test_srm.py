"""Spike response neurons: against sums over kernels, SLAYER's own network, and each other.

Rogues of the family by name.
"""

import numpy as np
import pytest
import torch
from conftest import every_engine_agrees, mismatches, real_data
from oracle_srm import alpha_kernel, filtered, srm_layer
from rogues_srm import CARDS, ROGUES, SRM_CHECKS, altered, failing

import refsim
from refsim import Brian2, Discrete, Drive, Torch
from refsim.cases.case import read_case
from refsim.cases.neuron import network_of_one, read_curve
from refsim.core.shelf import shelf

ENGINES = [Discrete(), Brian2(target="numpy"), Brian2(target="cpp"), Torch(dtype="float64")]
IDS = ["discrete", "brian2-numpy", "brian2-cpp", "torch"]
UNCUT = 1e-30  # below the last bit of any membrane: the kernels of these runs are never cut


def layer(card, n=4, **parameters):
    return refsim.Network.dense(
        [
            (
                np.eye(n),
                None,
                refsim.load(card, tau_s="4 ms", tau_ref="2 ms", theta=1.0, **parameters),
            )
        ],
        "1 ms",
    )


def noise(rng, shape=(5, 120, 4)):
    return Drive.current((rng.random(shape) < 0.3) * rng.random(shape), "1 ms")


# --- engines ---


@pytest.mark.parametrize("card", ["srm_alpha", "srm_slayer"])
def test_every_engine_agrees_on_a_card(card, rng):
    assert len(every_engine_agrees(layer(card), noise(rng)).spikes[0]) > 50


@pytest.mark.parametrize("card", ["srm_alpha", "srm_slayer"])
def test_a_layer_is_trained_and_put_on_trial(card, rng):
    from refsim.pytorch import SRMAlpha, SRMSlayer

    neuron = {"srm_alpha": SRMAlpha, "srm_slayer": SRMSlayer}[card](
        surrogate="sigmoid", dt="1 ms", tau_s="4 ms", theta=0.2
    )
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False), neuron).double()
    module[0].weight.data.abs_()
    torch.stack([module(torch.ones(2, 4, dtype=torch.float64)) for _ in range(9)]).sum().backward()
    assert module[0].weight.grad.abs().min() > 0
    refsim.pytorch.reset(module)
    network = refsim.bridge.load(module, dt="1 ms")
    reference = Discrete().run(network, noise(rng))
    assert len(reference.spikes[0]) > 10
    assert mismatches(
        reference, Torch(module=module).run(network, noise(np.random.default_rng(7)))
    ) == [0]


# --- closed forms and limits ---


def kernel_sum(drive, tau_s, tau_ref, theta, scale_ref, cut_s=0.0, cut_ref=0.0):
    """Return spikes and membranes (n_neurons, n_steps) for the weighted spikes of one sample, steps
    of 1 ms.
    """
    n_steps = drive.shape[1]
    return srm_layer(
        filtered(drive, alpha_kernel(tau_s, 1.0, 1.0, cut_s, n_steps)),
        alpha_kernel(tau_ref, 1.0, -scale_ref * theta, cut_ref, n_steps),
        theta,
    )[::-1]


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
def test_alpha_traces_are_a_kernel_sum_without_an_end(engine, rng):
    # 500 steps: a cut anywhere, a step of delay too many or a factor would show at once; what is
    # left is rounding of sums near 1 to 10
    drive = noise(rng, (1, 500, 4))
    found = engine.run(layer("srm_alpha"), drive, ("before_reset",))
    membrane, fired = kernel_sum(drive.values[0].T, 4.0, 2.0, 1.0, 2.0)
    assert fired.sum() > 50
    assert np.array_equal(found.spikes[0].dense()[0].T, fired > 0)
    assert np.abs(found.traces[0]["before_reset"][0].T - membrane).max() <= 1e-12


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
def test_kernels_without_a_cut_are_the_alpha_traces(engine, rng):
    drive = noise(rng)
    traces, kernels = (
        Discrete().run(layer("srm_alpha"), drive, ("before_reset",)),
        engine.run(layer("srm_slayer", cut_s=UNCUT, cut_ref=UNCUT), drive, ("before_reset",)),
    )
    assert mismatches(traces, kernels) == [0]
    assert (
        np.abs(traces.traces[0]["before_reset"] - kernels.traces[0]["before_reset"]).max() <= 1e-12
    )


def test_both_cards_are_one_in_continuous_time(rng):
    drive = Drive.bernoulli(rng.random((3, 4)), 60, "1 ms", 2)
    runs = [
        Brian2(mode="fine", refine=4, target="numpy").run(layer(card), drive)
        for card in ("srm_alpha", "srm_slayer")
    ]
    assert len(runs[0].spikes[0]) > 20
    assert mismatches(*runs) == [0]
    # A sum that is cut claims no method.
    assert refsim.check_declared_step(refsim.load("srm_slayer")).status == "skipped"


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
@pytest.mark.parametrize("card", ["srm_alpha", "srm_slayer"])
def test_a_potential_peaks_at_its_time_constant_with_its_weight(card, engine):
    found = engine.run(
        layer(card, n=1, scale_ref=0.0),
        Drive.current([[[0.75]] + [[0.0]] * 20], "1 ms"),
        ("before_reset",),
    )
    u = found.traces[0]["before_reset"][0, :, 0]
    assert u[0] == 0  # a spike is felt in the next step
    assert np.argmax(u) == 4
    assert abs(u[4] - 0.75) <= 4 * 2.0**-52  # an exponential, a product of few factors near 1


@pytest.mark.parametrize("card", ["srm_alpha", "srm_slayer"])
def test_the_case_of_one_spike_passes_and_a_rogue_fails_it(card):
    case = read_case(shelf("validation") / "curve" / f"{card}_potential.toml")
    assert {verdict.status for verdict in case.run().verdicts} == {"pass"}
    rogue = {
        "srm_alpha": ("y + share_s*x", "y + 0.5*share_s*x"),
        "srm_slayer": ("abs(eps) < cut_s", "abs(eps) < 0.5*cut_s"),
    }[card]
    curve = read_curve(altered(card, rogue), case.table)
    assert curve.membrane_errors(curve.run(Discrete())).max() > 1e6 * case.claims[0].limit


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
def test_at_its_threshold_a_membrane_fires(engine):
    # the kernel is 1 at its peak, 4*step/tau_s is 1, and no rounding comes in between
    below, at = (
        engine.run(layer("srm_slayer", n=1), Drive.current([[[height]] + [[0.0]] * 8], "1 ms"))
        .spikes[0]
        .step
        for height in (1 - 2.0**-52, 1.0)
    )
    assert below.tolist() == []
    assert at.tolist() == [4]


def test_a_spike_holds_the_next_one_back():
    # a constant current of twice the threshold: without refractoriness every step fires, with it
    # not
    drive = Drive.constant(2.0, 60, "1 ms")
    counts = [
        len(
            Discrete()
            .run(
                network_of_one(
                    refsim.load("srm_alpha", tau_s="4 ms", theta=1.0, scale_ref=scale), "1 ms"
                ),
                drive,
            )
            .spikes[0]
        )
        for scale in (0.0, 2.0)
    ]
    assert counts[0] == 59  # all but the first, in which nothing has arrived
    assert 0 < counts[1] < 59


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
def test_layers_of_kernels_wait_for_their_first_spike(engine, rng):
    # nothing arrives for ten steps: a silent past is an array of zeros too, for the layer above
    model = refsim.load("srm_slayer", tau_s="2 ms", theta=0.5)
    network = refsim.Network.dense(
        [(np.abs(rng.normal(0.5, 0.2, (3, 2))), None, model), (np.ones((2, 3)), None, model)],
        "1 ms",
    )
    step = np.repeat(np.arange(10, 40, 3), 2)
    drive = Drive.events(np.zeros_like(step), step, np.tile([0, 1], 10), (1, 60, 2), "1 ms")
    found = engine.run(network, drive)
    assert len(found.spikes[1]) > 3
    assert mismatches(Discrete().run(network, drive), found) == [0, 0]


# --- SLAYER's released network ---

STEP, N_STEPS = 0.1, 501  # ms


def table(name):
    return np.loadtxt(real_data(f"srm/{name}.txt"), comments="#", ndmin=2)


def events(name):
    """Return step and neuron of each spike; identities in the files start at 1."""
    time, neuron = table(name).T
    return np.round(time / STEP).astype(int), neuron.astype(int) - 1


def released(card="srm_slayer", **cuts):
    """Return the network; it was run without a cut of the refractory response."""
    given = {"tau_s": "1 ms", "tau_ref": "1 ms", "theta": 10.0, "scale_ref": 2.0} | (
        {"cut_ref": UNCUT} | cuts if card == "srm_slayer" else {}
    )
    model = refsim.load(card, **given)
    return refsim.Network.dense(
        [(table("w1learned"), None, model), (table("w2learned"), None, model)], "0.1 ms"
    )


def run(engine, network):
    step, neuron = events("spikeIn")
    return engine.run(
        network,
        Drive.events(np.zeros_like(step), step, neuron, (1, N_STEPS, 250), "0.1 ms"),
        ("before_reset",),
    )


def hidden_wrong(found):
    wanted = np.zeros((N_STEPS, 25), bool)
    wanted[events("spikeHid")] = True
    return int((found.spikes[0].dense()[0] != wanted).sum())


def printed(values, digits=6):
    """Return half a unit of the last of six printed digits of each value, and rounding."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    return 0.5 * 10.0 ** (size - digits + 1) * (1 + 1e-9)


@pytest.mark.parametrize("engine", ENGINES, ids=IDS)
def test_slayer_network_fires_and_moves_as_slayer_printed(engine):
    found = run(engine, released())
    assert len(found.spikes[0]) == 289
    assert hidden_wrong(found) == 0
    assert found.spikes[1].step.tolist() == [203, 355, 447]  # 20.3, 35.5 and 44.7 ms
    for name, index, neuron in (
        ("spikeFuncHid", 0, 0),
        ("spikeFuncHid04", 0, 4),
        ("spikeFuncOut", 1, 0),
    ):
        _, membrane, fired = table(name).T
        assert (
            np.abs(found.traces[index]["before_reset"][0, :, neuron] - membrane)
            <= printed(membrane)
        ).all()
        assert np.array_equal(found.spikes[index].dense()[0, :, neuron], fired > 0)


def test_slayer_network_tells_each_cut_from_the_right_one():
    # The figure that came with the data: potentials without a cut.
    assert hidden_wrong(run(Discrete(), released("srm_alpha"))) == 47
    assert hidden_wrong(run(Discrete(), released(cut_ref=0.01))) > 0
    # The spikes are the same; the printed digits tell it.
    found = run(Discrete(), released(cut_ref=1e-4))
    membrane = table("spikeFuncHid")[:, 1]
    assert hidden_wrong(found) == 0
    assert (np.abs(found.traces[0]["before_reset"][0, :, 0] - membrane) > printed(membrane)).any()


# --- rogues ---


@pytest.mark.parametrize("card", ["srm_alpha", "srm_slayer"])
def test_the_cards_pass_every_check_of_the_family(card):
    assert failing(CARDS[card](), SRM_CHECKS) == set()


@pytest.mark.parametrize(
    "rogue",
    [rogue for rogue in ROGUES if rogue.caught_by in SRM_CHECKS],
    ids=lambda rogue: rogue.name,
)
def test_a_rogue_of_the_family_is_caught_by_its_check_alone(rogue):
    assert failing(rogue.make(), SRM_CHECKS) == {rogue.caught_by}


def test_every_check_of_the_family_has_its_rogue():
    assert set(SRM_CHECKS) <= {rogue.caught_by for rogue in ROGUES}
