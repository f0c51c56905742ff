"""Fine mode: the ODE at dt/k with the same weights, as the design defines it."""

import dataclasses

import numpy as np
import pytest
from conftest import mismatches, small_network

import refsim
from refsim import Brian2, Discrete, Drive
from refsim.cases.findings import climb


def fine(refine, **options):
    return Brian2(mode="fine", refine=refine, target=options.pop("target", "numpy"), **options)


def times(recording, layer=0):
    """Spike times in seconds, at the end of their sub-step."""
    train = recording.spikes[layer]
    return (train.step + 1) * train.dt


def test_constant_current_into_lif_converges_to_the_closed_form():
    # tau_m dv/dt = -v + I from 0 to v_th: t = tau_m ln(I/(I - v_th))
    model = refsim.load("lif", tau=20.0)
    tau_m = model.constants(1e-3)["tau_m"]
    network = refsim.Network.dense([([[1.0]], None, model)], "1 ms")
    drive = Drive.constant(0.9, 60, "1 ms")
    exact = tau_m * np.log(0.9 / 0.4)
    for refine in (1, 4, 16, 64):
        first = times(fine(refine).run(network, drive))[0]
        # Found at the end of the sub-step that crosses.
        assert exact <= first <= exact + 1e-3 / refine + 1e-12


def test_integrator_fires_at_its_exact_rate():
    # dv/dt = I/step: rate I in continuous time for SRIF, since a spike takes 1
    network = refsim.Network.dense([([[1.0]], None, refsim.load("srif"))], "1 ms")
    drive = Drive.constant(0.25, 64, "1 ms")
    steps = times(fine(8).run(network, drive)) / 1e-3
    assert np.allclose(steps, 2 + 4 * np.arange(16), atol=1e-9)


@pytest.mark.parametrize("name", ["srif", "if", "lif_decay"])
def test_impulses_at_the_edge_leave_only_repeated_firing(name, rng):
    # analog="impulse": without a residue above threshold, fine mode is grid mode at any k
    network = small_network(rng, name, sizes=(12, 9), dyadic=True)
    network = refsim.Network.dense(
        [(network.layers[0].weight / 8 + 0.03125, None, network.layers[0].model)], "1 ms"
    )
    drive = Drive.bernoulli(rng.random((6, 12)), 30, "1 ms", 1)
    grid, run = (
        Discrete().run(network, drive, ("after_reset",)),
        fine(4, analog="impulse").run(network, drive),
    )
    assert grid.traces[0]["after_reset"].max() < 0.5, (
        "the case must leave no residue above threshold"
    )
    assert np.array_equal(run.spikes[0].step % 4, np.full(len(run.spikes[0]), 3))
    merged = refsim.SpikeTrains.from_events(
        run.spikes[0].sample, run.spikes[0].step // 4, run.spikes[0].neuron, 6, 30, 9, 1e-3
    )
    assert len(merged) > 50
    assert np.array_equal(merged.code, grid.spikes[0].code)


def test_a_pulse_is_a_rectangle_of_one_step_from_its_arrival():
    # layer 0 fires at sub-step 3 of 4; its weight then drives layer 1 for exactly 4 sub-steps
    first, second = refsim.load("lif", tau=2.0), refsim.load("lif", tau=1e6, v_th=1e9)
    network = refsim.Network.dense([([[1.0]], None, first), ([[1.0]], None, second)], "1 ms")
    drive = Drive.current(np.array([0.55, 0.0, 0.0, 0.0]).reshape(1, 4, 1) * 2, "1 ms")
    run = fine(4).run(network, drive, ("after_reset",))
    (arrival,) = run.spikes[0].step
    v = run.traces[1]["after_reset"][0, :, 0]
    rising = np.flatnonzero(np.diff(np.concatenate([[0.0], v])) > 1e-9)
    assert rising.tolist() == [arrival, arrival + 1, arrival + 2, arrival + 3]


@pytest.mark.parametrize("kind", ["events", "current"])
@pytest.mark.parametrize("analog", ["current", "impulse"])
@pytest.mark.parametrize("names", [("srif", "lif_decay"), ("lif", "lif")])
def test_compiled_fine_mode_equals_the_numpy_target(names, analog, kind, rng):
    network = small_network(rng, *names)
    drive = (
        Drive.bernoulli(rng.random((20, 12)), 12, "1 ms", 5)
        if kind == "events"
        else Drive.current(rng.random((20, 12)), "1 ms", n_steps=12)
    )
    for refine in (1, 3):
        a, b = (
            fine(refine, analog=analog, target=target).run(network, drive)
            for target in ("numpy", "cpp")
        )
        assert len(a.spikes[1]) > 20
        assert mismatches(a, b) == [0, 0]


def test_the_ladder_converges_at_order_one(rng):
    # one layer: in deeper ones a spike that appears or vanishes hides the order behind the count
    network = refsim.Network.dense(
        [(rng.random((40, 12)), None, refsim.load("lif", tau=10.0))], "1 ms"
    )
    drive = Drive.current(rng.random((10, 12)) * 0.3, "1 ms", n_steps=40)
    grid = Discrete().run(network, drive)
    ladder = climb(grid, [fine(refine).run(network, drive) for refine in (4, 8, 16, 32)])
    assert 0.8 < ladder.order < 1.2  # spikes on a grid are late by up to a sub-step: order 1
    steps = [rung.to_next.mean_steps for rung in ladder.rungs[:-1]]
    assert steps == sorted(steps, reverse=True)


def test_bias_is_spread_or_kept_at_the_edge():
    network = refsim.Network.dense([([[0.0]], [0.25], refsim.load("srif", v_th=1e9))], "1 ms")
    drive = Drive.events([], [], [], (1, 2, 1), "1 ms")
    spread = fine(4).run(network, drive, ("after_reset",)).traces[0]["after_reset"][0, :, 0]
    edge = (
        fine(4, analog="impulse")
        .run(network, drive, ("after_reset",))
        .traces[0]["after_reset"][0, :, 0]
    )
    assert np.allclose(spread, 0.0625 * np.arange(1, 9), atol=1e-15)
    assert np.allclose(edge, [0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0.5], atol=1e-15)


@pytest.mark.parametrize(("target", "workers"), [("numpy", 1), ("cpp", 1), ("cpp", 3)])
def test_a_ladder_is_its_rungs(target, workers, rng):
    network, drive = (
        small_network(rng, "lif", sizes=(12, 8, 3)),
        Drive.bernoulli(rng.random((600, 12)), 20, "1 ms", 5),
    )
    engine = Brian2(mode="fine", target=target, workers=workers)
    rungs = engine.ladder(network, drive, (2, 1, 4), ("after_reset",))
    assert [run.refine for run in rungs] == [2, 1, 4]
    for run in rungs:
        alone = dataclasses.replace(engine, refine=run.refine, workers=1).run(
            network, drive, ("after_reset",)
        )
        assert all(
            np.array_equal(one.code, other.code)
            for one, other in zip(run.spikes, alone.spikes, strict=True)
        )
        assert all(
            np.array_equal(one["after_reset"], other["after_reset"])
            for one, other in zip(run.traces, alone.traces, strict=True)
        )
        assert run.label == alone.label
    assert len({run.spikes[0].n_steps for run in rungs}) == 3
    assert engine.ladder(network, drive, ()) == []
