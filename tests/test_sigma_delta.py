"""Spikes that carry a number.

The sigma-delta card against plain integers in every engine, and payloads through layers, delays and
bounds.
"""

import dataclasses
import itertools

import numpy as np
import oracle_sigma_delta
import pytest
import torch
from conftest import mismatches
from rogues_graded import CHECKS, ROGUES
from rogues_srm import failing

import refsim
from refsim import Brian2, Connection, Discrete, Drive, RefsimError, Torch
from refsim.__main__ import main
from refsim.cases.case import read_case
from refsim.core.shelf import shelf
from refsim.engines.discrete import LayerState

NUMPY, CPP, TORCH = Brian2(target="numpy"), Brian2(target="cpp"), Torch(dtype="float64")
ENGINES = {
    "discrete": Discrete(),
    "brian2-numpy": NUMPY,
    "brian2-cpp": CPP,
    "torch": TORCH,
    "synapses": Brian2(target="numpy", connections="synapses"),
}
WHAT = ("payload", "before_reset", "after_reset")


def whole(rng, size, *shape):
    return rng.integers(-size, size + 1, shape)


def ones(n_inputs):
    return Drive.current(np.ones((1, 5, n_inputs)), "1 ms")


def as_network(layers):
    """Return the oracle's layers as a network of cards."""
    rows = []
    for n, layer in enumerate(layers):
        known = {-1: "input", n: "self"}
        wires = [
            Connection(weight.astype(float), source=known.get(source, source), delay=delay)
            for source, weight, delay in layer["inputs"]
        ]
        rows.append(
            (
                wires,
                None,
                refsim.load("sigma_delta"),
                {"v_th": layer["v_th"], "bias": layer["bias"]},
            )
        )
    return refsim.Network.dense(rows, "1 ms")


def chain(rng, sizes=(7, 9, 8, 4), delay=0):
    """Return a random chain; thresholds and biases of the first layer differ between neurons."""
    pairs = enumerate(itertools.pairwise(sizes))
    layers = [
        {"v_th": 30 * 4**n, "bias": 10 * n, "inputs": [(n - 1, whole(rng, 6, post, pre), delay)]}
        for n, (pre, post) in pairs
    ]
    layers[0] |= {"v_th": rng.integers(1, 60, sizes[1]), "bias": whole(rng, 40, sizes[1])}
    return layers


def looped(rng):
    """Return two layers: delays that differ, a layer that hears itself, and one that hears a later
    layer.
    """
    inputs = [
        (-1, whole(rng, 9, 6, 5), rng.integers(0, 4, 5)),
        (0, -rng.integers(0, 2, (6, 6)), rng.integers(1, 5, 6)),
        (1, whole(rng, 1, 6, 3), 1),
    ]
    return [
        {"v_th": 9, "bias": 15, "inputs": inputs},
        {"v_th": 4, "bias": 3, "inputs": [(0, whole(rng, 2, 3, 6), rng.integers(0, 3, 6))]},
    ]


def check(found, sent):
    assert all((out > 0).sum() > 20 and (out < 0).sum() > 20 for out in sent)
    assert max(np.abs(out).max() for out in sent) < 2**50
    for trace, train, out in zip(found.traces, found.spikes, sent, strict=True):
        assert np.array_equal(trace["payload"], out)
        assert np.array_equal(train.dense(), out != 0)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_sends_to_the_last_bit_what_plain_integers_do(engine, seed):
    rng = np.random.default_rng(seed)
    layers, given = chain(rng), whole(rng, 20, 4, 80, 7)
    check(
        engine.run(as_network(layers), Drive.current(given.astype(float), "1 ms"), WHAT),
        oracle_sigma_delta.network(given, layers),
    )


@pytest.mark.parametrize(
    "engine",
    [Discrete(), NUMPY, CPP, TORCH],
    ids=["discrete", "brian2-numpy", "brian2-cpp", "torch"],
)
# The compiled network takes 256 samples at once: what the first ones sent must be forgotten.
@pytest.mark.parametrize("n_samples", [3, 300])
def test_what_spikes_carry_waits_with_them(engine, n_samples, rng):
    layers, given = looped(rng), (rng.random((n_samples, 30, 5)) < 0.3).astype(np.int64)
    check(
        engine.run(as_network(layers), Drive.raster(given.astype(bool), "1 ms"), WHAT),
        oracle_sigma_delta.network(given, layers),
    )


def test_the_referee_of_the_product_delays_no_payload(rng):
    with pytest.raises(
        RefsimError,
        match=(
            "layer 1: connections='synapses' delays no spikes that carry a number; use the "
            "layer product"
        ),
    ):
        Brian2(target="numpy", connections="synapses").run(
            as_network(chain(rng, delay=2)), Drive.bernoulli(np.ones((1, 7)), 5, "1 ms", 0)
        )


def test_with_the_smallest_threshold_a_network_is_the_rectified_one_step_by_step(rng):
    first, second, values = whole(rng, 5, 8, 6), whole(rng, 5, 3, 8), whole(rng, 9, 2, 50, 6)
    network = as_network(
        [
            {"v_th": 1, "bias": 7, "inputs": [(-1, first, 0)]},
            {"v_th": 1, "bias": -4, "inputs": [(0, second, 0)]},
        ]
    )
    found = Discrete().run(
        network,
        Drive.current(np.diff(values, axis=1, prepend=0).astype(float), "1 ms"),
        ("payload",),
    )
    wanted = np.maximum(np.maximum(values @ first.T + 7, 0) @ second.T - 4, 0)
    assert np.array_equal(found.traces[1]["payload"].cumsum(axis=1), wanted)


def test_a_module_of_such_layers_goes_on_trial(rng):
    from refsim.pytorch import SigmaDelta

    module = torch.nn.Sequential(
        torch.nn.Linear(5, 6, bias=False),
        SigmaDelta(v_th=20),
        torch.nn.Linear(6, 3, bias=False),
        SigmaDelta(v_th=50, bias=4),
    ).double()
    for part in (module[0], module[2]):
        part.weight.data = torch.tensor(whole(rng, 9, *part.weight.shape).astype(float))
    network, drive = (
        refsim.bridge.load(module, dt="1 ms"),
        Drive.bernoulli(rng.random((4, 5)), 60, "1 ms", 1),
    )
    reference, trial = CPP.run(network, drive, WHAT), Torch(module=module).run(network, drive, WHAT)
    assert refsim.compare(reference, trial).verdict == "pass"
    module[3].register_forward_hook(lambda _module, _inputs, output: output + (output != 0))
    report = refsim.compare(reference, Torch(module=module).run(network, drive, WHAT))
    assert report.verdict == "fail"
    assert "but the output of layer 1 differs by 1" in report.sentence


# --- what is refused ---


def test_there_is_no_fine_mode_and_no_float32(rng):
    network, drive = as_network(chain(rng)), ones(7)
    with pytest.raises(
        RefsimError,
        match=(
            "card 'sigma_delta' is a map in discrete time and has no ODE; run it with mode='grid'"
        ),
    ):
        Brian2(mode="fine", refine=2).run(network, drive)
    with pytest.raises(RefsimError, match="card 'sigma_delta' computes with whole numbers"):
        Torch(dtype="float32").run(network, drive)


def test_a_probe_of_spikes_is_not_for_what_they_carry():
    with pytest.raises(
        RefsimError,
        match="the spikes of 'sigma_delta' carry a number, and a probe sees whether there is one",
    ):
        refsim.check_step(lambda x, state: (x > 0, state), against=refsim.load("sigma_delta"))


def test_a_card_that_parts_its_weights_by_sign_hears_no_numbers_of_either(rng):
    network = refsim.Network.dense(
        [(np.eye(3), None, refsim.load("sigma_delta")), (np.eye(3), None, refsim.load("coba_lif"))],
        "1 ms",
    )
    with pytest.raises(
        RefsimError,
        match=(
            "layer 1: card 'coba_lif' parts weights by their sign, and the spikes that it "
            "hears carry numbers of either sign"
        ),
    ):
        Discrete().run(network, ones(3))


# --- rogues ---


def test_the_card_passes_every_check():
    assert not failing(refsim.load("sigma_delta"), CHECKS)


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_a_rogue_is_caught_by_its_name_alone(rogue):
    assert failing(rogue.make(), CHECKS) == {rogue.caught_by}


def test_every_check_has_its_rogue():
    assert {rogue.caught_by for rogue in ROGUES} == set(CHECKS)


def test_every_engine_computes_what_a_hand_does():
    verdicts = read_case(shelf("validation") / "code" / "sigma_delta_by_hand.toml").run().verdicts
    assert len(verdicts) == 9
    assert {verdict.status for verdict in verdicts} == {"pass"}


def test_an_engine_that_sends_ones_parts_in_the_second_layer(rng, monkeypatch):
    network, drive = (
        as_network(chain(rng)),
        Drive.current(whole(rng, 20, 2, 60, 7).astype(float), "1 ms"),
    )
    reference = NUMPY.run(network, drive, WHAT)
    monkeypatch.setattr(LayerState, "output", lambda _state, fired: np.asarray(fired, float))
    wrong = mismatches(reference, Discrete().run(network, drive))
    assert wrong[0] == 0
    assert wrong[1] > 0


def test_a_pytorch_step_that_sends_ones_is_caught_by_the_engines_alone():
    from refsim.pytorch.steps import STEPS

    def sends_ones(x, s, p, fire):
        z, size, state = STEPS["sigma_delta"](x, s, p, fire)
        return z, size, state | {"sent": z}

    verdicts = refsim.check_card(refsim.load("sigma_delta"), steps={"sigma_delta": sends_ones})
    assert {verdict.claim.measure for verdict in verdicts if verdict.status == "fail"} == {
        "engines"
    }


def test_the_last_payload_is_judged_though_every_spike_is_the_same(rng):
    network, drive = (
        as_network(chain(rng)),
        Drive.current(whole(rng, 20, 2, 60, 7).astype(float), "1 ms"),
    )
    reference, trial = (engine.run(network, drive, WHAT) for engine in (NUMPY, TORCH))
    assert (
        "spikes of Brian2 grid float64 and what they carry, over 2 samples"
        in refsim.compare(reference, trial).sentence
    )
    assert refsim.compare(reference, trial).verdict == "pass"
    assert np.array_equal(
        reference.decisions(), reference.traces[-1]["payload"].mean(axis=1).argmax(axis=1)
    )
    off = trial.traces[-1]["payload"].copy()
    off[tuple(np.argwhere(off)[0])] += 1
    report = refsim.compare(
        reference,
        dataclasses.replace(
            trial, traces=(*trial.traces[:-1], trial.traces[-1] | {"payload": off})
        ),
    )
    assert report.verdict == "fail"
    assert "but the output of layer 2 differs by 1" in report.sentence
    unread = refsim.compare(*(engine.run(network, drive) for engine in (NUMPY, TORCH)))
    assert unread.verdict == "inconclusive"
    assert "record=('payload',)" in unread.sentence


def test_the_command_shows_what_spikes_carry(capsys):
    assert main(["run", "sigma_delta", "--values", "50,70,-200,10"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()[1:]
    assert head.split()[-1] == "payload"
    assert [float(row.split()[-1]) for row in rows] == [0, 120, -120, 0]


# --- real numbers: rounding goes on with what is sent ---


def graded_step(x, s, p, fire):
    v = p["decay"] * s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v - z * v, "sent": z * v}


def cancelling():
    """Return a network and input whose first layer loses most digits of what it sends, and whose
    second adds next to no rounding of its own.
    """
    card = refsim.load("tests/cards/graded.toml")
    current = np.zeros((1, 12, 2))
    current[0, ::3], current[0, 1::3] = -10000.1, [9002.3, 9001.7]
    return refsim.Network.dense(
        [(np.eye(2), None, card), (np.eye(2), None, card)], "1 ms"
    ), Drive.current(current, "1 ms")


def test_float32_rounds_what_is_sent_and_the_bound_follows():
    network, drive = cancelling()
    reference, trial = (
        NUMPY.run(network, drive, WHAT),
        Torch(dtype="float32", steps={"graded": graded_step}).run(network, drive, WHAT),
    )
    assert mismatches(reference, trial) == [0, 0]
    assert len(reference.spikes[1]) == 8
    assert np.abs(reference.traces[1]["payload"] - trial.traces[1]["payload"]).max() > 1e-4
    assert refsim.compare(reference, trial).verdict == "pass"


def test_a_bound_that_ends_at_its_layer_would_blame_rounding_on_the_code(monkeypatch):
    from refsim.judge import rounding as thresholds

    network, drive = cancelling()
    reference, trial = (
        NUMPY.run(network, drive, WHAT),
        Torch(dtype="float32", steps={"graded": graded_step}).run(network, drive, WHAT),
    )
    monkeypatch.setattr(
        thresholds.BoundedSum,
        "__call__",
        lambda weigh, x, _off=0.0, value=None, *, whole=thresholds.BoundedSum.__call__: whole(
            weigh, x, value=value
        ),
    )
    report = refsim.compare(reference, trial)
    assert report.verdict == "fail"
    assert "output of layer 1 differs by" in report.sentence
