"""Planted faults in the reading of NIR.

Each is found, and a misread convention is found by its name.
"""

import dataclasses

import numpy as np
import pytest
import torch
from nir_files import DT, affine, chain, neurons, random_graph, write
from oracle_nir import simulate
from test_nir import compared

import refsim
from refsim.files.nir import read as nir
from refsim.files.nir import wiring as nir_maps
from refsim.files.nir import wiring as nir_wiring
from refsim.judge.causes import explaining_traits

# What is misread -> how the file is meant, and the trait that says so: the card's own, and the one
# that the trial runs.
MISREAD = {
    "a reset by subtraction as one to v_reset": (
        "CubaLIF",
        {"reset": "by subtraction"},
        ("reset", "set", "subtract"),
    ),
    "many spikes as one": ("IF", {"spikes": "many"}, ("spikes", "one", "many")),
    "at the threshold as above it": ("LIF", {"comparison": ">="}, ("comparison", ">", ">=")),
    "the new current as the old one": (
        "CubaLIF",
        {"integration": "euler, current first"},
        ("synapse", "use, decay, jump", "decay, jump, use"),
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_misread_convention_is_named(name, tmp_path):
    kind, meant, (trait, declared, found) = MISREAD[name]
    rng = np.random.default_rng(5)
    node = neurons(rng, kind, (3,))
    if kind == "IF":
        node["r"] = np.full(3, 1.0 / DT)
    # Membranes that come to lie on the threshold: tau = 2 steps, and all else dyadic.
    if kind == "LIF":
        node |= {
            "tau": np.full(3, 2 * DT),
            "r": np.full(3, 2.0),
            "v_leak": np.zeros(3),
            "v_threshold": np.full(3, 1.0),
            "v_reset": np.zeros(3),
        }
    nodes, edges = chain(affine(rng, 4, 3, bias=False), node)
    nodes["0"]["weight"] = np.round(rng.normal(1, 1, (3, 4)))
    path, said = (
        write(tmp_path / "net.nir", nodes, edges),
        {"dt": DT, "reset": "to v_reset", "integration": "euler"},
    )
    if kind == "IF":
        # A membrane that is set to v_reset fires alike, however many spikes it sent.
        said["reset"] = "by subtraction"
    read, trial = refsim.bridge.load(path, **said), refsim.bridge.load(path, **said | meant)
    drive = refsim.Drive.current(np.round(4 * rng.random((4, 100, 4))) / 4, DT)
    run = dataclasses.replace(refsim.run(trial, drive, engine=refsim.Discrete()), network=read)
    named = [(each.trait, each.declared, each.found) for each in explaining_traits(run)]
    assert (trait, declared, found) in named
    assert {each[0] for each in named} == {trait}  # of the orders of a current, two fire alike


def swapped_times(card):
    attributes = card.attributes | {"tau_syn": "tau_mem", "tau_mem": "tau_syn"}
    return dataclasses.replace(card, attributes=attributes)


def no_reset_potential(card):
    return dataclasses.replace(
        card, attributes={key: value for key, value in card.attributes.items() if key != "v_reset"}
    )


def cards_changed(change):
    def plant(patch):
        cards = {
            key: change(card) if key[0] == "nir" else card
            for key, card in nir.framework_layers().items()
        }
        patch.setattr(nir, "framework_layers", lambda: cards)

    return plant


def no_delays(patch):
    patch.setattr(nir_wiring.Delays, "split", lambda _self, signals: dict(signals))


def loops_without_delay_of_their_own(patch):
    real = nir.order_layers
    patch.setattr(
        nir,
        "order_layers",
        lambda graph: dataclasses.replace(
            real(graph), back=frozenset((a, b) for a, b in real(graph).back if a == b)
        ),
    )


def no_bias(patch):
    real = nir_maps.mapped
    patch.setattr(nir_wiring, "mapped", lambda node, x, made, _bias: real(node, x, made, False))


def one_source_only(patch):
    real = nir_wiring._Bench._summed
    patch.setattr(
        nir_wiring._Bench,
        "_summed",
        lambda self, name, made: real(
            self, name, {each: made[each] for each in self.graph.before(name)[:1] if each in made}
        ),
    )


ROGUES = {
    "time constants swapped": cards_changed(swapped_times),
    "v_reset ignored": cards_changed(no_reset_potential),
    "delays lost": no_delays,
    "a loop that is heard at once": loops_without_delay_of_their_own,
    "biases lost": no_bias,
    "one of two edges lost": one_source_only,
}


def graph(rng):
    nodes, edges = random_graph(np.random.default_rng(4), "CubaLIF", "euler")
    nodes["late"]["delay"] = np.arange(1, 1 + len(nodes["b"]["r"])) * DT
    nodes |= {"back": affine(rng, len(nodes["b"]["r"]), len(nodes["a"]["r"]), bias=False)}
    return nodes, list(dict.fromkeys([*edges, ("b", "back"), ("back", "a")]))


@pytest.mark.parametrize("name", [None, *ROGUES])
def test_each_fault_is_seen_by_the_oracle(name, tmp_path, rng, monkeypatch):
    nodes, edges = graph(rng)
    if name:
        ROGUES[name](monkeypatch)
    try:
        wrong, _ = compared(
            tmp_path / "net.nir",
            nodes,
            edges,
            rng.normal(0.5, 1, (2, 60, 4)),
            reset="to v_reset",
            integration="euler",
        )
    except refsim.RefsimError:
        wrong = -1  # a network that cannot be is seen too
    assert (wrong == 0) == (name is None)


def test_a_pool_that_averages_is_seen(tmp_path, rng, monkeypatch):
    pool = {
        "type": "SumPool2d",
        "kernel_size": np.array([2, 2]),
        "stride": np.array([2, 2]),
        "padding": np.array([0, 0]),
    }
    nodes, edges = chain(pool, neurons(rng, "LIF", (1, 2, 2)), shape=(1, 4, 4), shown=(1, 2, 2))
    x = rng.normal(0.5, 1, (2, 40, 1, 4, 4))
    assert (
        compared(tmp_path / "net.nir", nodes, edges, x, reset="to zero", integration="euler")[0]
        == 0
    )
    monkeypatch.setattr(
        nir_maps.F,
        "avg_pool2d",
        lambda x, *_args, **_options: torch.nn.functional.interpolate(
            x, scale_factor=0.5, mode="area"
        ),
    )
    assert (
        compared(tmp_path / "net.nir", nodes, edges, x, reset="to zero", integration="euler")[0] > 0
    )


def test_the_oracle_is_no_copy(rng):
    # an LIF under a constant input, by hand: v = r*x*(1 - exp(-t/tau))
    node = {"type": "LI", "tau": np.array([0.02]), "r": np.array([2.0]), "v_leak": np.array([0.0])}
    seen = simulate(
        *chain(node, shape=(1,), shown=(1,)), np.ones((1, 20, 1)), DT, integration="zero-order hold"
    )["0"]
    assert np.allclose(seen[0, :, 0], 2 * (1 - np.exp(-np.arange(1, 21) * DT / 0.02)), rtol=1e-12)
