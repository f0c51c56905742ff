"""Every decision on its own: planted faults are found where they are, all of them, and nowhere
else.
"""

import dataclasses
import itertools

import numpy as np
import pytest

import refsim
from refsim import Connection, Discrete, Drive, Torch
from refsim.judge.comparison import compare_recordings
from refsim.judge.replay import replay

FAULTS = ("threshold", "bias", "row", "columns", "delay")


def faulty(layer, fault, rng):
    """Return a layer with one planted fault that no rounding explains."""
    if fault == "threshold":
        v_th = layer.model.parameters["v_th"].value
        return dataclasses.replace(layer, model=layer.model.with_parameters(v_th=1.3 * v_th))
    if fault == "bias":
        return dataclasses.replace(layer, bias=layer.bias + 0.2)
    weight = layer.weight.copy()
    if fault == "row":
        weight[rng.integers(len(weight))] *= -1
    elif fault == "columns":
        weight = np.roll(weight, 1, axis=1)
    else:
        sources = tuple(dataclasses.replace(each, delay=each.delay + 1) for each in layer.sources)
        return dataclasses.replace(layer, sources=sources)
    return dataclasses.replace(layer, weight=weight)


def made_network(rng, kind):
    """Return a network of four layers.

    Recurrent, convolutional, or of tenths, whose sums meet the threshold.
    """
    sizes = (18, 16, 16, 16, 12)
    card = refsim.load("if", v_th=0.7) if kind == "ties" else refsim.load("lif", tau=2.5, v_th=0.6)
    layers = []
    for index, (n_pre, n_post) in enumerate(itertools.pairwise(sizes)):
        if kind == "ties":
            weight = rng.integers(-2, 5, (n_post, n_pre)) / 10
        elif kind == "convolutional":
            kernel = rng.normal(0.7, 0.5, 5)
            weight = np.zeros((n_post, n_pre))
            for post in range(n_post):
                for tap in range(5):
                    if 0 <= (pre := post + tap - 2) < n_pre:
                        weight[post, pre] = kernel[tap]
        else:
            weight = rng.normal(0.15, 0.5, (n_post, n_pre))
        maps = [Connection(weight)]
        if kind == "recurrent" and index in (1, 2):
            maps.append(Connection(rng.normal(0, 0.3, (n_post, n_post)), source="self"))
        layers.append((maps, np.full(n_post, 0.0 if kind == "ties" else 0.05), card))
    return refsim.Network.dense(layers, dt="1 ms")


def trial_of(network, drive, changed, dtype="float32"):
    """Run other layers in place of some, and hand the run out as one of the network itself."""
    layers = tuple(changed.get(index, layer) for index, layer in enumerate(network.layers))
    run = Torch(dtype=dtype).run(dataclasses.replace(network, layers=layers), drive)
    return dataclasses.replace(run, network=network)


CASES = [(kind, seed) for seed in range(14) for kind in ("recurrent", "convolutional", "ties")][:40]


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_the_culprits_are_the_layers_that_were_changed(kind, seed):
    rng = np.random.default_rng([seed, len(kind)])
    network = made_network(rng, kind)
    drive = Drive.bernoulli(rng.uniform(0.1, 0.6, (6, 18)), 60, "1 ms", seed)
    planted = sorted(rng.choice(4, size=1 + seed % 3, replace=False).tolist())
    changed = {
        index: faulty(network.layers[index], FAULTS[(seed + index) % len(FAULTS)], rng)
        for index in planted
    }
    found = compare_recordings(Discrete().run(network, drive), trial_of(network, drive, changed))
    assert found.outcome == "wrong decisions"
    assert found.replay.culprits == planted


@pytest.mark.parametrize(("kind", "seed"), CASES)
def test_a_right_network_has_no_wrong_decision(kind, seed):
    rng = np.random.default_rng([seed, len(kind)])
    network = made_network(rng, kind)
    drive = Drive.bernoulli(rng.uniform(0.1, 0.6, (6, 18)), 60, "1 ms", seed)
    trial = trial_of(network, drive, {})
    found = replay(trial, np.arange(6), ("float64", "float32"))
    assert found.count("wrong") == 0
    assert found.total == 6 * 60 * (16 + 16 + 16 + 12)
    assert found.judged_share == 1


def one_layer(v_th=0.3):
    """Return two neurons that share nothing.

    The first ties at threshold, the second fires in each step.
    """
    network = refsim.Network.dense(
        [(np.diag([0.1, 1.0]), None, refsim.load("if", v_th=v_th))], "1 ms"
    )
    return network, Drive.raster(np.ones((1, 40, 2)), "1 ms")


def recorded(network, drive, dense):
    run = Discrete().run(network, drive)
    spikes = (refsim.SpikeTrains.from_dense(dense, network.dt),)
    return dataclasses.replace(
        run, spikes=spikes, provenance={**run.provenance, "dtype": "float32", "label": "trial"}
    )


def test_a_tie_hides_nothing_beside_it():
    network, drive = one_layer()
    reference = Discrete().run(network, drive)
    dense = reference.spikes[0].dense()
    tied = dense.copy()
    tied[0, :, 0] = np.roll(dense[0, :, 0], 1)
    dead = dense.copy()
    dead[0, 5:, 1] = False
    both = np.stack([tied[..., 0], dead[..., 1]], axis=-1)
    assert compare_recordings(reference, recorded(network, drive, tied)).outcome == "rounding"
    for spikes in (dead, both):
        found = compare_recordings(reference, recorded(network, drive, spikes))
        assert found.outcome == "wrong decisions"
        assert found.replay.layers[0].wrong == 35  # one for each spike that a dead neuron owes
        assert (found.first.neuron, found.first.step) == (1, 5)


def test_one_lost_spike_is_one_wrong_decision_however_much_follows():
    rng = np.random.default_rng(2)
    network = made_network(rng, "recurrent")
    drive = Drive.bernoulli(rng.uniform(0.1, 0.6, (1, 18)), 60, "1 ms", 2)
    free = Discrete().run(network, drive)
    sample, step, neuron = (
        int(each[3]) for each in (free.spikes[1].sample, free.spikes[1].step, free.spikes[1].neuron)
    )
    # what a run does that loses this spike: all that follows from it, as it follows
    dense = [train.dense() for train in free.spikes]
    dense[1][sample, step, neuron] = False
    trial = _followed(network, drive, dense, from_step=step)
    assert sum(compare_recordings(free, trial).mismatched) > 20
    found = replay(trial, np.arange(1), ("float64", "float64"))
    assert [(row.layer, row.step, row.neuron) for row in found.wrong] == [(1, step, neuron)]


def _followed(network, drive, dense, from_step):
    """Let a network run on from a step in which one spike is taken away."""
    from refsim.engines.arrivals import LayerInputs
    from refsim.engines.discrete import LayerState, signed_sums

    states = [LayerState.start(layer, network.dt, 1) for layer in network.layers]
    hear, out = LayerInputs(network, 1), [np.zeros_like(each) for each in dense]
    for step, frame in enumerate(drive.frames()):
        for index, (layer, state) in enumerate(zip(network.layers, states, strict=True)):
            given = dense[index][:, step] if (index, step) == (1, from_step) else None
            fired, _ = state.step(signed_sums(layer, hear(index, frame)), fired=given)
            hear.spikes[index], out[index][:, step] = state.output(fired), fired
    run = Discrete().run(network, drive)
    return dataclasses.replace(
        run, spikes=tuple(refsim.SpikeTrains.from_dense(each, network.dt) for each in out)
    )


def test_known_membranes_are_held_against_the_replay():
    network, drive = one_layer()
    reference = Discrete().run(network, drive, ("before_reset",))
    trace = reference.traces[0]["before_reset"].copy()
    trace[0, 7, 0] += 1e-3  # too little to change a spike
    trial = dataclasses.replace(reference, traces=({"before_reset": trace},))
    found = compare_recordings(reference, trial)
    assert (found.outcome, found.replay.layers[0].membranes) == ("other membranes", 1)
    assert compare_recordings(reference, reference).outcome == "same"


def test_a_membrane_that_is_no_number_is_named_and_never_passes():
    network, drive = one_layer()

    def step(x, s, p, fire):
        v = s["v"] + x
        v = v.where(v < 0.25, v * float("nan")) if v.shape[-1] == 2 else v
        z = fire(v - p["v_th"])
        return z, v, {"v": v * (1 - z)}

    trial = Torch(steps={"if": step}).run(network, drive)
    assert trial.not_a_number == (0, 0, 1, 0)
    report = refsim.compare(Discrete().run(network, drive), trial)
    assert report.verdict == "fail"
    assert "NaN or infinite, first at layer 0, sample 0, neuron 1, step 0" in report.sentence


def test_a_card_that_runs_away_is_not_the_fault_of_the_trial():
    away = refsim.NeuronModel(
        "away",
        state={"v": 1.0},
        discrete={"integrate": "v = v*v*9 + I", "fire": "z = v < 0", "reset": "v = v"},
    )
    network = refsim.Network.dense([([[1.0]], None, away)], "1 ms")
    drive = Drive.current(np.ones((1, 40, 1)), "1 ms")

    def step(x, s, p, fire):
        v = s["v"] * s["v"] * 9 + x
        return v.new_zeros(v.shape), v, {"v": v}

    with np.errstate(all="ignore"):
        reference = Discrete().run(network, drive)
    report = refsim.compare(
        reference, Torch(dtype="float64", steps={"away": step}).run(network, drive)
    )
    assert report.verdict == "inconclusive"
    assert "leaves the range of numbers" in report.sentence


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("slip", ["none", "tau", "bias"])
def test_in_short_dtypes_a_slip_fails_and_a_right_module_does_not(dtype, slip):
    torch = pytest.importorskip("torch")
    from refsim.pytorch import LIF

    def module(tau=2.0, bias=True):
        torch.manual_seed(4)
        made = torch.nn.Sequential(
            torch.nn.Linear(20, 30), LIF(tau=tau), torch.nn.Linear(30, 10), LIF(tau=tau)
        )
        with torch.no_grad():
            for linear in (made[0], made[2]):
                linear.weight.mul_(4)
                linear.bias.add_(0.3)
                linear.bias.mul_(1.0 if bias else 0.0)
        return made.to(getattr(torch, dtype))

    declared = refsim.bridge.load(module(), dt="1 ms")
    drive = Drive.bernoulli(np.random.default_rng(0).uniform(0.1, 0.5, (20, 20)), 40, "1 ms", 0)
    trial = {"none": module(), "tau": module(tau=2.2), "bias": module(bias=False)}[slip]
    found = compare_recordings(
        Discrete().run(declared, drive), Torch(module=trial).run(declared, drive)
    )
    assert (found.status == "fail") == (slip != "none"), found.outcome


def test_a_replay_that_had_lost_the_run_before_it_is_nan_blames_nobody():
    """Only then: what is NaN without an earlier doubt, or in the step of the first, is told."""
    from types import SimpleNamespace

    from refsim.judge.replay import _Block

    # Five neurons, one sample, three steps; each is NaN in the last step, the last one in none.
    distance = np.full((1, 3, 5), 0.5)
    distance[0, 2, :4] = np.nan
    bound, differs = np.full((1, 3, 5), 1e-6), np.zeros((1, 3, 5), bool)
    bound[0, 0, 1] = 0.4  # coarse, two steps before
    differs[0, 1, 2] = True  # another decision, a step before
    bound[0, 2, 3] = np.inf  # in doubt only in the step itself
    bound[0, 0, 4] = 0.4  # in doubt, but a number
    row = SimpleNamespace(distance=distance, differs=differs)
    found = _Block._parted_before(None, distance, row, bound, 1.0)
    wanted = np.zeros((1, 3, 5), bool)
    wanted[0, 2, 1:3] = True
    assert np.array_equal(found, wanted)
