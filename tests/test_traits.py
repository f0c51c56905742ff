"""Which convention explains a difference.

Only one that shows, in a layer that fires, and that the neuron can have.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

import refsim
from refsim.core.spikes import SpikeTrains
from refsim.judge.causes import explaining_traits

DYADIC = {"beta": 0.75, "v_th": 1.0}  # sums are exact: nothing is a tie


def network(model, *, second=1.0):
    rng = np.random.default_rng(3)
    weights = [np.round(rng.normal(0, 0.6, shape) * 2) / 2 for shape in ((9, 12), (7, 9))]
    return refsim.Network.dense(
        [(weights[0], None, model), (second * weights[1], None, model)], "1 ms"
    )


@pytest.fixture
def drive(rng):
    return refsim.Drive.bernoulli(rng.random((3, 12)), 40, "1 ms", 0)


def of(**traits):
    return refsim.load("snntorch_leaky", **DYADIC, **traits)


def trial_of(model, drive, *, read=None, second=1.0):
    """A run of a network of one neuron, taken for one of another."""
    run = refsim.run(network(model, second=second), drive, engine=refsim.Discrete())
    return replace(run, network=network(read or of(), second=second))


def told(trial):
    return {(each.trait, each.found, each.layers) for each in explaining_traits(trial)}


def silenced(trial, layer):
    spikes = list(trial.spikes)
    spikes[layer] = SpikeTrains.from_dense(np.zeros_like(spikes[layer].dense()), trial.network.dt)
    return replace(trial, spikes=tuple(spikes))


def test_a_silent_layer_is_not_named(drive):
    assert ("comparison", ">=", (0, 1)) in told(trial_of(of(comparison=">="), drive))
    silent = trial_of(of(comparison=">="), drive, second=-1e-3)
    assert not len(silent.spikes[1])
    assert told(silent) == {("comparison", ">=", (0,))}


def test_a_dead_layer_has_no_convention(drive):
    right = trial_of(of(), drive)
    assert told(silenced(right, 1)) == set()
    assert told(silenced(silenced(right, 0), 1)) == set()


def test_a_layer_behind_a_fault_is_right_on_what_it_heard(drive):
    """The first layer alone is another.

    The second, of the same card, fires as declared on what the first sent.
    """
    networks = [network(of()), network(of())]
    layers = networks[1].layers
    mixed = replace(networks[1], layers=(replace(layers[0], model=of(reset="set")), layers[1]))
    trial = replace(refsim.run(mixed, drive, engine=refsim.Discrete()), network=networks[0])
    named = told(trial)
    assert ("reset", "set", (0,)) in named
    assert {layers for _, _, layers in named} == {(0,)}


def test_a_fault_that_is_no_convention_is_none(drive):
    net = network(of())
    off = replace(
        net,
        layers=(replace(net.layers[0], weight=net.layers[0].weight[::-1].copy()), net.layers[1]),
    )
    assert told(replace(refsim.run(off, drive, engine=refsim.Discrete()), network=net)) == set()


def test_a_module_has_no_trait_whose_parameter_it_does_not_have(drive):
    """With a synaptic decay that refsim makes up, a synapse explains this run.

    But no Leaky has a synapse.
    """
    trial = trial_of(of(synapse="jump, use, decay"), drive)
    assert {trait for trait, _, _ in told(trial)} == {"synapse"}
    module = replace(trial, provenance={**trial.provenance, "code": "module"})
    assert told(module) == set()
    strict = trial_of(of(comparison=">="), drive)
    assert told(replace(strict, provenance={**strict.provenance, "code": "module"})) == {
        ("comparison", ">=", (0, 1))
    }


def test_causes_are_data_in_the_report(drive, tmp_path):
    trial = replace(
        trial_of(of(comparison=">="), drive), provenance={"dtype": "float64", "label": "the trial"}
    )
    report = refsim.compare(refsim.run(network(of()), drive, engine=refsim.Discrete()), trial)
    (cause,) = json.loads((report.save(tmp_path) / "report.json").read_text())["causes"]
    assert cause.pop("words") in report.sentence
    assert cause == {
        "kind": "convention",
        "card": "snntorch_leaky",
        "trait": "comparison",
        "declared": ">",
        "found": ">=",
        "layers": [0, 1],
    }
    same = refsim.run(network(of()), drive, engine=refsim.Discrete())
    assert refsim.compare(same, same).as_dict()["causes"] == []
