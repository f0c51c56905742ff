"""Brian2 with spikes between its steps.

Times against other solvers, finite differences against the adjoint, and what is refused.
"""

import numpy as np
import pytest
from oracle_events import Hybrid, solve
from rogues_substeps import CHECKS, CROSSING, ROGUES, Seen, planted
from substep_nets import RIGHT, outcomes

import refsim
from refsim import RefsimError
from refsim.gradients import (
    TimedLoss,
    brian_differences,
    event_driven,
    first_spike_cross_entropy,
    soft_window_spikemax,
)

VOLTS = {
    "tau": "10 ms",
    "tau_s": "5 ms",
    "r": "100 Mohm",
    "v_rest": "-65 mV",
    "v_th": "-50 mV",
    "v_reset": "-70 mV",
    "more": "1 mV",
    "tau_a": "30 ms",
}


def in_volts(**changes):
    """Return a neuron that no file knows.

    Volts and amperes, a threshold that each spike raises, a reset to a value.
    """
    words = {
        "equations": (
            "dv/dt = (v_rest - v + r*s)/tau : volt\nds/dt = -s/tau_s + I/step : "
            "amp\nda/dt = -a/tau_a : volt"
        ),
        "threshold": "v > v_th + a",
        "reset": "v = v_reset; a += more",
        "input": "amp",
        "state": {"v": "-65 mV"},
        "method": "euler",
        "parameters": VOLTS,
    }
    return refsim.NeuronModel("mine", **{**words, **changes})


def exact(network, drive, dt="0.02 ms"):
    return refsim.Brian2(spike_times="exact", dt=dt, target="numpy").run(network, drive)


@pytest.fixture
def two_layers(rng):
    card = refsim.load("lif_exp")
    return refsim.Network.dense(
        [(rng.normal(3, 3, (5, 4)), None, card), (rng.normal(3, 3, (3, 5)), None, card)], "1 ms"
    )


def test_a_batch_has_the_spike_times_of_the_event_driven_solver(two_layers, rng):
    drive = refsim.Drive.raster(rng.random((3, 40, 4)) < 0.06, "1 ms")
    run = exact(two_layers, drive)
    assert run.exact.doubts == ("", "", "")
    for sample in range(3):
        own = drive.spikes.sample == sample
        times = (drive.spikes.step[own] + 1) * 1e-3  # at the end of its step, as in fine mode
        found = event_driven(
            refsim.load("lif_exp"),
            [layer.weight for layer in two_layers.layers],
            times,
            drive.spikes.neuron[own],
            "40 ms",
        )
        for ours, theirs in zip(run.exact.layers, found.layers, strict=True):
            assert np.array_equal(ours[sample].neurons, theirs.neurons)
            assert CROSSING.holds(np.abs(ours[sample].times - theirs.times).max(initial=0))
            assert np.allclose(ours[sample].slopes, theirs.slopes, rtol=1e-9)
    assert all(
        np.array_equal(
            row.counts()[k], np.bincount(run.exact.layers[at][k].neurons, minlength=row.n_neurons)
        )
        for at, row in enumerate(run.spikes)
        for k in range(3)
    )
    assert run.refine == 50


def test_volts_a_bias_and_a_moving_threshold_agree_with_scipy():
    bias, weight, arrivals = 40e-12, 0.9e-9, (1.0, 4.0, 9.0)
    network = refsim.Network.dense([([[weight]], [bias], in_volts())], "1 ms")
    drive = refsim.Drive.events([0, 0, 0], [0, 3, 8], [0, 0, 0], (1, 60, 1), "1 ms")
    ours = exact(network, drive, "0.01 ms").exact.layers[0][0].times
    model = Hybrid(
        flow=lambda _t, y: np.array(
            [(-65 - y[0] + 1e11 * y[1]) / 10, -y[1] / 5 + bias, -y[2] / 30]
        ),
        start=(-65.0, 0.0, 0.0),
        fires=lambda y: y[0] + 50 - y[2],
        reset=lambda y: np.array([-70, y[1], y[2] + 1]),
        arrives=lambda y: np.array([y[0], y[1] + weight, y[2]]),
        arrivals=arrivals,
    )
    theirs, _ = solve(model, np.array([0.0, 60.0]))
    assert len(ours) == len(theirs) > 2
    # SciPy keeps 1e-12 a step, of membranes of some tens, and steps of a quarter of a millisecond.
    assert np.abs(ours * 1e3 - theirs).max() < 1e-9


def test_a_neuron_has_parameters_of_its_own_and_an_early_impulse_comes_as_its_step_begins():
    card, thresholds, weight = refsim.load("cuba_lif"), np.array([0.5, 0.8]), 0.9
    drive = refsim.Drive.raster(np.arange(30)[None, :, None] % 3 == 0, "1 ms")
    network = refsim.Network.dense(
        [([[weight], [weight]], None, card, {"v_th": thresholds})], "1 ms"
    )
    ours = exact(network, drive).exact.layers[0][0]
    known = card.constants(1e-3)
    for neuron, v_th in enumerate(thresholds):
        model = Hybrid(
            flow=lambda _t, y: (
                np.array([-y[0] / known["tau_m"] + y[1] / known["tau_c"], -y[1] / known["tau_syn"]])
                * 1e-3
            ),
            start=(0.0, weight),  # the first arrival
            fires=lambda y, v_th=v_th: y[0] - v_th,
            reset=lambda y: np.array([0.0, y[1]]),
            arrives=lambda y: np.array([y[0], y[1] + weight]),
            arrivals=tuple(np.arange(3.0, 30.0, 3.0)),
        )
        theirs, _ = solve(model, np.array([0.0, 30.0]))
        own = ours.times[ours.neurons == neuron] * 1e3
        assert len(own) == len(theirs) > 2
        assert np.abs(own - theirs).max() < 1e-9  # as above


def test_four_random_networks_have_the_adjoint():
    found = outcomes(range(4), ("0.1 ms", "0.04 ms"))
    assert not [each.doubt for each in found if each.doubt]
    assert all(each.same and RIGHT.holds(each.off) for each in found)


def test_the_honest_pass_every_check():
    seen = Seen()
    assert not [name for name, wrong in CHECKS.items() if wrong(seen)]


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_rogue_is_found_by_its_check_first(rogue):
    fault = rogue.make()
    with planted(fault.module, fault.old, fault.new):
        seen = Seen()
        assert next(name for name, wrong in CHECKS.items() if wrong(seen)) == rogue.caught_by


@pytest.mark.slow
def test_compiled_and_numpy_have_the_same_times(two_layers, rng):
    drive = refsim.Drive.raster(rng.random((3, 40, 4)) < 0.06, "1 ms")
    both = [
        refsim.Brian2(spike_times="exact", dt="0.1 ms", target=target).run(two_layers, drive).exact
        for target in ("cpp", "numpy")
    ]
    for left, right in zip(*(run.layers for run in both), strict=True):
        assert sum(len(train) for train in left) > 2
        assert all(
            CROSSING.holds(np.abs(a.times - b.times).max(initial=0))
            for a, b in zip(left, right, strict=True)
        )


# --- what is refused ---


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (refsim.load("eif"), "a current that lasts a step"),
        (refsim.load("coba_lif"), "parts its input by the sign"),
        (refsim.load("poisson_escape"), "fires by chance"),
        (refsim.load("bernoulli"), "has no ODE"),
        (refsim.load("lif_refractory"), "refractory period"),
        (refsim.load("li"), "has no spikes"),
        (refsim.load("lif_decay"), "the very state that an arrival makes jump"),
        (refsim.load("srm_slayer"), "no reset of what its threshold compares"),
        (refsim.load("lif_exp", tau_m="5 ms"), "divides by zero"),
        (
            in_volts(
                equations=(
                    "dv/dt = (v_rest - v + r*s)*v/v_rest/tau : volt\nds/dt = -s/tau_s + "
                    "I/step : amp\nda/dt = -a/tau_a : volt"
                )
            ),
            "not linear",
        ),
        (
            in_volts(
                equations=(
                    "dv/dt = (v_rest - v + r*s - a)/tau : volt\nds/dt = -s/tau_s + I/step "
                    ": amp\nda/dt = (v - v_rest)/tau_a : volt"
                )
            ),
            "in a circle",
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_card_without_exact_times_is_refused_for_its_reason(card, why):
    drive = refsim.Drive.raster(np.ones((1, 5, 1), bool), "1 ms")
    with pytest.raises(RefsimError, match=why):
        exact(refsim.Network.dense([([[1.0]], None, card)], "1 ms"), drive)


def test_delays_loops_currents_and_steps_that_do_not_divide_are_refused():
    card, drive = refsim.load("lif_exp"), refsim.Drive.raster(np.ones((1, 5, 1), bool), "1 ms")
    for wire, why in (
        (refsim.Connection([[1.0]], "input", 2), "no delays"),
        ([refsim.Connection([[1.0]]), refsim.Connection([[1.0]], "self")], "hears of layer 0"),
    ):
        with pytest.raises(RefsimError, match=why):
            exact(refsim.Network.dense([(wire, None, card)], "1 ms"), drive)
    network = refsim.Network.dense([([[1.0]], None, card)], "1 ms")
    with pytest.raises(RefsimError, match="made of currents"):
        exact(network, refsim.Drive.constant(1.0, 5, "1 ms"))
    with pytest.raises(RefsimError, match="whole numbers"):
        exact(network, drive, "0.3 ms")
    with pytest.raises(RefsimError, match="spike times alone"):
        refsim.Brian2(spike_times="exact", dt="0.1 ms").run(network, drive, ("after_reset",))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"spike_times": "true"}, "one of grid, exact"),
        ({"spike_times": "exact"}, "needs the step"),
        ({"dt": "0.1 ms"}, "dt is the step of spike_times='exact'"),
        ({"spike_times": "exact", "dt": "-1 ms"}, "above zero"),
        ({"spike_times": "exact", "dt": "0.1 ms", "dtype": "float32"}, "leave the other arguments"),
    ],
)
def test_wrong_words_are_refused(words, why):
    with pytest.raises(RefsimError, match=why):
        refsim.Brian2(**words)


@pytest.mark.parametrize(
    ("loss", "dt", "why"),
    [
        (lambda output: soft_window_spikemax(output, 0, 0.0, 0.04, 0.0), None, "hard window"),
        (
            lambda output: TimedLoss(float(len(output)), np.zeros(len(output))),
            None,
            "counts spikes",
        ),
        (lambda output: float(output.times.sum()), None, "must return a TimedLoss"),
        (
            lambda output: first_spike_cross_entropy(output, 0, "5 ms", "40 ms"),
            ("0.1 ms",),
            "two steps",
        ),
        (
            lambda output: first_spike_cross_entropy(output, 0, "5 ms", "40 ms"),
            ("0.1 ms", "0.09 ms"),
            "factor of 2",
        ),
    ],
)
def test_a_loss_without_a_gradient_and_a_single_step_are_refused(loss, dt, why):
    network = refsim.Network.dense([([[9.0]], None, refsim.load("lif_exp"))], "1 ms")
    with pytest.raises(RefsimError, match=why):
        brian_differences(
            network, [1e-3], [0], "40 ms", loss, dt=dt or ("0.5 ms", "0.2 ms"), target="numpy"
        )


def test_the_public_function_gives_a_gradient_and_its_status():
    network = refsim.Network.dense([([[9.0]], None, refsim.load("lif_exp"))], "1 ms")
    found = brian_differences(
        network,
        [1e-3],
        [0],
        "40 ms",
        lambda output: TimedLoss(float(output.times.sum()), np.ones(len(output))),
        target="numpy",
    )
    assert found.status == "accepted"
    assert found.gradient.weights[0][0, 0] < 0
    assert found.gradient.inputs == pytest.approx([len(found.layers[0])], rel=1e-9)
