"""Connections from any layer, with delays.

One network in every engine, the plain Synapses of Brian2 among them.
"""

import dataclasses

import numpy as np
import pytest
from conftest import mismatches

import refsim
from refsim import Brian2, Connection, Discrete, Drive, Network, RefsimError, Torch

STEPS = 40
SRIF, LIF = refsim.load("srif"), refsim.load("lif")


def dyadic(rng, *shape, mean=0.1):
    """Weights whose sums are exact in any order, so that engines which add in another order must
    agree too.
    """
    return np.round(rng.normal(mean, 0.4, shape) * 64) / 64


def wired(rng, **changes):
    """Two layers that hear of the input, of each other and of themselves, after delays of every
    kind.
    """
    given = {
        "axonal": Connection(dyadic(rng, 9, 12), delay=rng.integers(0, 4, 12)),
        "recurrent": Connection(dyadic(rng, 9, 9), source="self", delay=rng.integers(1, 5, (9, 9))),
        "feedback": Connection(dyadic(rng, 9, 5), source=1),
        "forward": Connection(dyadic(rng, 5, 9)),
        "skip": Connection(dyadic(rng, 5, 12), source="input", delay=2),
        "own": Connection(dyadic(rng, 5, 5), source="self"),
    } | changes
    first, second = (
        [given[name] for name in names]
        for names in (("axonal", "recurrent", "feedback"), ("forward", "skip", "own"))
    )
    return Network.dense([(first, dyadic(rng, 9, mean=0.0), SRIF), (second, None, LIF)], "1 ms")


def spiking(rng):
    return Drive.bernoulli(rng.random((6, 12)) * 0.4, STEPS, "1 ms", 0)


ENGINES = {
    "synapses": Brian2(target="numpy", connections="synapses"),
    "numpy": Brian2(target="numpy"),
    "compiled": Brian2(target="cpp"),
    "torch": Torch(dtype="float64"),
    "torch float32": Torch(dtype="float32"),
}


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_agrees_on_recurrence_and_delays(name, rng):
    network, drive = wired(rng), spiking(rng)
    reference = Discrete().run(network, drive)
    assert min(len(train) for train in reference.spikes) > 100
    assert mismatches(reference, ENGINES[name].run(network, drive)) == [0, 0]


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_currents_may_be_delayed(target, rng):
    network, drive = wired(rng), Drive.current(rng.normal(0.1, 0.3, (6, STEPS, 12)), "1 ms")
    assert mismatches(
        Discrete().run(network, drive), Brian2(target=target).run(network, drive)
    ) == [0, 0]


@pytest.mark.parametrize("kind", ["events", "current"])
@pytest.mark.parametrize("analog", ["current", "impulse"])
def test_fine_mode_agrees_with_the_synapses(kind, analog, rng):
    undelayed = (
        {
            "axonal": Connection(dyadic(rng, 9, 12)),
            "skip": Connection(dyadic(rng, 5, 12), source="input"),
        }
        if kind == "current"
        else {}
    )
    network = wired(rng, **undelayed)
    drive = (
        spiking(rng)
        if kind == "events"
        else Drive.current(np.round(rng.random((6, 12)) * 16) / 64, "1 ms", n_steps=STEPS)
    )
    settings = {"mode": "fine", "refine": 4, "analog": analog}
    fast, compiled, plain = (
        Brian2(**settings, **more)
        for more in (
            {"target": "numpy"},
            {"target": "cpp"},
            {"target": "numpy", "connections": "synapses"},
        )
    )
    reference = plain.run(network, drive)
    assert min(len(train) for train in reference.spikes) > 100
    assert mismatches(reference, fast.run(network, drive)) == [0, 0]
    assert mismatches(reference, compiled.run(network, drive)) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["grid", "fine"])
def test_the_compiled_synapses_agree_with_the_compiled_product(mode, rng):
    network, drive = wired(rng), spiking(rng)
    settings = {"mode": mode, "refine": 4 if mode == "fine" else 1, "target": "cpp"}
    assert mismatches(
        Brian2(**settings).run(network, drive),
        Brian2(connections="synapses", **settings).run(network, drive),
    ) == [0, 0]


def one_step_short(rng, network):
    sources = tuple(
        dataclasses.replace(source, delay=np.maximum(source.delay - 1, int(source.layer >= 0)))
        for source in network.layers[0].sources
    )
    return sources, network.layers[0].weight


def transposed(rng, network):
    layer = network.layers[0]
    weights = [
        weight.T if source.layer == 0 else weight
        for source, weight in zip(layer.sources, layer.weights, strict=True)
    ]
    return layer.sources, np.hstack(weights)


def through_the_recurrent_weights(rng, network):
    """Send a layer's input through the weights of its recurrence, as a released importer does."""
    layer = network.layers[0]
    weights = [
        layer.weights[1][:, np.arange(weight.shape[1]) % 9] if source.layer == -1 else weight
        for source, weight in zip(layer.sources, layer.weights, strict=True)
    ]
    return layer.sources, np.hstack(weights)


@pytest.mark.parametrize("fault", [one_step_short, transposed, through_the_recurrent_weights])
def test_a_misread_connection_is_another_network(fault, rng):
    network, drive = wired(rng), spiking(rng)
    sources, weight = fault(rng, network)
    layers = (
        dataclasses.replace(network.layers[0], sources=sources, weight=weight),
        network.layers[1],
    )
    wrong = dataclasses.replace(network, layers=layers)
    assert sum(mismatches(Discrete().run(network, drive), Discrete().run(wrong, drive))) > 10


def test_a_chunk_hears_nothing_of_the_chunk_before(rng):
    network, drive = wired(rng), Drive.bernoulli(rng.random((300, 12)) * 0.4, 12, "1 ms", 0)
    assert mismatches(Discrete().run(network, drive), Brian2(target="cpp").run(network, drive)) == [
        0,
        0,
    ]


def test_other_delays_compile_nothing(rng, monkeypatch):
    from refsim.engines.brian import compile as standalone

    Brian2(target="cpp").run(wired(rng), spiking(rng))
    monkeypatch.setattr(standalone, "_compile", lambda *_: pytest.fail("compiled again"))
    longer = {
        "axonal": Connection(dyadic(rng, 9, 12), delay=rng.integers(0, 9, 12)),
        "skip": Connection(dyadic(rng, 5, 12), source="input", delay=7),
    }
    network, drive = wired(rng, **longer), spiking(rng)
    assert mismatches(Discrete().run(network, drive), Brian2(target="cpp").run(network, drive)) == [
        0,
        0,
    ]


W = np.eye(3)


def test_a_source_may_be_numpys_integer():
    assert (
        Network.dense([(W, None, SRIF), (Connection(W, source=np.int64(0)), None, SRIF)], "1 ms")
        .layers[1]
        .sources[0]
        .layer
        == 0
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            Connection(W, source="self", delay=0),
            (
                r"layer 0: delay must lie in 1..65,536 steps, but reaches from 0 to 0; a layer "
                r"that "
                r"has not fired yet"
            ),
        ),
        (
            [Connection(W), Connection(W, source="self", delay=1e-3)],
            r"delay must be whole steps, .* Divide times by dt",
        ),
        (
            Connection(W, delay=70_000),
            r"0\.\.65,536 steps, .*; a longer delay is a mistake of units",
        ),
        (Connection(W, delay=[[1], [2, 3]]), "layer 0: delay: is not an array"),
        (Connection(W, delay=-1), "a spike cannot arrive before it is fired"),
        (
            Connection(W, source="above"),
            (
                "source must be 'below', 'self', 'input' or the number of a layer, 0 to 0, but is "
                "'above'"
            ),
        ),
        (Connection(W, source=4), "but is 4"),
        ([Connection(W), W], "a list of connections holds ndarray; write refsim.Connection"),
        (
            [Connection(W), Connection(np.ones((2, 3)), source="self")],
            "its connections lead to 3 and 2 neurons",
        ),
        (Connection(W, source="self"), "no layer hears of the input"),
        (
            [Connection(W), Connection(np.ones((3, 4)), source="self")],
            r"its weight \(3, 4\) needs 4 inputs, but layer 0 has 3 neurons",
        ),
    ],
)
def test_a_wrong_connection_is_explained(given, says):
    with pytest.raises(RefsimError, match=says):
        Network.dense([(given, None, SRIF)], "1 ms")


def test_what_synapses_cannot_do_is_refused(rng):
    chance = Network.dense([(np.eye(3), None, refsim.load("poisson_escape"))], "1 ms")
    drive = Drive.constant([0.1, 0.1, 0.1], 5, "1 ms")
    with pytest.raises(RefsimError, match="runs no card with random numbers"):
        Brian2(connections="synapses").run(chance, drive)
    big = Network.dense([(np.zeros((1000, 3)), None, SRIF)], "1 ms")
    with pytest.raises(
        RefsimError,
        match="stores every synapse once a sample, 30,000,000 here and at most 20,000,000",
    ):
        Brian2(connections="synapses").run(
            big, Drive.current(np.zeros((10_000, 3)), "1 ms", n_steps=1)
        )
    with pytest.raises(RefsimError, match="leave the scheduler out"):
        Brian2(connections="synapses", scheduler="tcp://127.0.0.1:1")


def test_the_membranes_of_the_synapses_are_those_of_the_product(rng):
    network, drive = wired(rng), spiking(rng)
    product, plain = (
        Brian2(target="numpy", connections=kind).run(network, drive, record=("before_reset",))
        for kind in ("product", "synapses")
    )
    for a, b, near, far in zip(
        product.traces, plain.traces, product.approach, plain.approach, strict=True
    ):
        assert np.array_equal(a["before_reset"], b["before_reset"])
        assert np.array_equal(near.distance, far.distance)
