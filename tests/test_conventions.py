"""Conventions: every combination of traits means the same in the card's text and in the PyTorch
step, and a wrong trait shows.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import refsim
from refsim import RefsimError
from refsim.cards.read import switched
from refsim.cards.traits import OPTIONS
from refsim.judge.causes import explaining_traits

BASE = "snntorch_leaky"
DYADIC = {"beta": 0.75, "v_th": 1.0}  # sums are exact: nothing is a tie


TRAITS = [trait for trait in OPTIONS if trait not in ("latency", "synapse", "start")]
_EVERY = 499  # one in so many, besides those in which two options meet for the first time


def combinations():
    """Return conventions that go together.

    So many that each two options of two traits meet where they can.
    """
    met = set()
    for number, chosen in enumerate(_all_combinations()):
        here = set(itertools.combinations(chosen.items(), 2))
        if number % _EVERY == 0 or not here <= met:
            met |= here
            yield chosen


def _all_combinations():
    for options in itertools.product(*(OPTIONS[trait] for trait in TRAITS)):
        chosen = dict(zip(TRAITS, options, strict=True))
        again = chosen["moment"].startswith("now, and again")
        if again and (chosen["spikes"] != "one" or chosen["reset"] not in ("subtract", "set")):
            continue
        silent = (chosen["reset"], chosen["moment"], chosen["comparison"], chosen["threshold"]) == (
            "none",
            "now",
            ">=",
            "fixed",
        )
        if chosen["spikes"].startswith("none") and not silent:
            continue
        if chosen["reset"] == "none" and chosen["moment"] != "now":
            continue
        yield chosen


def network(rng, model, grid=64):
    weights = [np.round(rng.normal(0, 0.6, shape) * grid) / grid for shape in ((9, 12), (7, 9))]
    return refsim.Network.dense([(weight, None, model) for weight in weights], "1 ms")


@pytest.fixture
def drive(rng):
    return refsim.Drive.bernoulli(rng.random((3, 12)), 40, "1 ms", 0)


def outputs(recording):
    return [train.dense() for train in recording.spikes]


@pytest.mark.parametrize("synapse", OPTIONS["synapse"])
def test_text_and_pytorch_step_agree_for_all_traits(synapse, rng, drive):
    for chosen in combinations():
        model = refsim.load(BASE, synapse=synapse, **chosen, **DYADIC)
        net, record = network(rng, model), ("after_reset",)
        ours, theirs = (
            refsim.run(net, drive, engine=engine, record=record)
            for engine in (refsim.Discrete(), refsim.Torch(dtype="float64"))
        )
        assert all(map(np.array_equal, outputs(ours), outputs(theirs))), chosen
        assert all(
            np.allclose(a["after_reset"], b["after_reset"], rtol=0, atol=1e-9)
            for a, b in zip(ours.traces, theirs.traces, strict=True)
        ), chosen


STARTS = {
    "uniform": {},
    "a value a neuron": {"v_start": np.linspace(-2, 2, 9)},
    "another value a neuron": {"v_th": np.linspace(0.5, 2, 9)},
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_a_parameter_in_every_engine(name, rng, drive):
    """The programs of `own` values are compiled once and run twice, so that a start is no part of
    what is compiled.
    """
    model = refsim.load(BASE, start="v_start", v_start=0.7, **DYADIC)
    weights = rng.normal(0, 0.6, (9, 12))
    for factor in (1, -1):
        own = {
            key: values if key == "v_th" else factor * values
            for key, values in STARTS[name].items()
        }
        net = refsim.Network.dense([(weights, None, model, own)], "1 ms")
        engines = (
            refsim.Discrete(),
            refsim.Torch(dtype="float64"),
            refsim.Brian2(target="numpy"),
            refsim.Brian2(target="cpp"),
        )
        seen = [
            refsim.run(net, drive, engine=engine, record=("after_reset",)).traces[0]["after_reset"]
            for engine in engines
        ]
        assert all(np.allclose(each, seen[0], rtol=0, atol=1e-12) for each in seen[1:])
        start = own.get("v_start", np.full(9, 0.7))
        silent = refsim.run(
            net,
            refsim.Drive.current(np.zeros((1, 1, 12)), "1 ms"),
            engine=refsim.Discrete(),
            record=("before_reset",),
        )
        due = (start > own.get("v_th", model.parameter("v_th").value)) * own.get(
            "v_th", model.parameter("v_th").value
        )
        # A late reset is due where it starts above.
        assert np.allclose(
            silent.traces[0]["before_reset"][0, 0], 0.75 * start - due, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(
    "chosen", list(combinations())[::17], ids=lambda chosen: " ".join(chosen.values())
)
def test_brian2_runs_what_the_text_says(chosen, rng, drive):
    net = network(rng, refsim.load(BASE, synapse="jump, use, decay", **chosen, **DYADIC))
    ours, theirs = (
        refsim.run(net, drive, engine=engine, record=("after_reset",))
        for engine in (refsim.Discrete(), refsim.Brian2(target="numpy"))
    )
    assert all(map(np.array_equal, outputs(ours), outputs(theirs)))
    assert all(
        np.array_equal(a["after_reset"], b["after_reset"])
        for a, b in zip(ours.traces, theirs.traces, strict=True)
    )


# Planted faults: the trait that is misread, on a neuron where it shows.
MISREAD = {
    "comparison": {"comparison": ">="},
    "reset": {"reset": "set"},
    "moment": {"moment": "now"},
    "leak": {"leak": "none"},
    "synapse": {"synapse": "jump, use, decay"},
    "input": {"input": "share"},
    "spikes": {"spikes": "many"},
    "floor": {"floor": "v_min"},
    "start": {"start": "v_start", "v_start": -2.0},
}


@pytest.mark.parametrize("trait", MISREAD)
def test_a_misread_trait_changes_spikes(trait, rng, drive):
    models = [refsim.load(BASE, **DYADIC, **traits) for traits in ({}, MISREAD[trait])]
    right, wrong = (
        refsim.run(
            network(np.random.default_rng(3), model, grid=2), drive, engine=refsim.Discrete()
        )
        for model in models
    )
    assert any(
        not np.array_equal(a, b) for a, b in zip(outputs(right), outputs(wrong), strict=True)
    )


@pytest.mark.parametrize(
    ("traits", "said"),
    [
        ({"reset": "hard"}, "reset must be one of 'none', 'subtract', .*'set', .* but is 'hard'"),
        ({"moment": "now, and again after the update", "reset": "none", "spikes": "many"}, None),
        (
            {"moment": "now, and again after the update", "spikes": "many"},
            "is for one spike a step",
        ),
        ({"resett": "set"}, "has no parameter 'resett'"),
    ],
)
def test_traits_that_are_not_known_or_do_not_go_together(traits, said):
    if said is None:
        assert refsim.load(BASE, **traits).convention["moment"] == "now"
        return
    with pytest.raises(RefsimError, match=said):
        refsim.load(BASE, **traits)


def test_a_card_of_statements_has_no_traits_to_switch():
    with pytest.raises(RefsimError, match="says its step in statements"):
        switched(refsim.load("srif"), reset="set")


# Another start is a number, which no trait tells.
@pytest.mark.parametrize("trait", [trait for trait in MISREAD if trait != "start"])
def test_the_trait_that_is_misread_is_named(trait, drive):
    """A run that follows another convention is told by its spikes alone."""
    right, wrong = (
        network(np.random.default_rng(3), refsim.load(BASE, **DYADIC, **traits), grid=2)
        for traits in ({}, MISREAD[trait])
    )
    trial = replace(refsim.run(wrong, drive, engine=refsim.Discrete()), network=right)
    assert trait in {each.trait for each in explaining_traits(trial)}
    assert explaining_traits(refsim.run(right, drive, engine=refsim.Discrete())) == []


def test_a_report_names_the_convention(drive):
    right, wrong = (
        network(np.random.default_rng(3), refsim.load(BASE, **DYADIC, comparison=sign), grid=2)
        for sign in (">", ">=")
    )
    trial = replace(
        refsim.run(wrong, drive, engine=refsim.Discrete()),
        network=right,
        provenance={"dtype": "float64", "label": "the trial"},
    )
    report = refsim.compare(refsim.run(right, drive, engine=refsim.Discrete()), trial)
    assert (
        "runs layers 0, 1 (snntorch_leaky) as if its comparison were '>=', not '>'"
        in report.sentence
    )
