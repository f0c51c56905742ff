"""refsim's own format: every network comes back bit for bit, and a damaged file ends in one sentence."""

import io
import zipfile

import numpy as np
import pytest
from conftest import small_network

import refsim
from refsim import RefsimError
from refsim.pytorch.bridge import load_network, save_network


def networks(rng):
    """Return networks with all that a network can hold."""
    recurrent = [refsim.Connection(rng.normal(size=(9, 12))), refsim.Connection(rng.normal(size=(9, 9)), source="self", delay=rng.integers(1, 4, (9, 9)))]
    leaky = refsim.load("snntorch_leaky", reset="set", moment="now", beta=0.7)
    twice = [(rng.normal(size=(5, 7)), None, refsim.load("snntorch_leaky", beta=0.7)), (rng.normal(size=(4, 5)), None, leaky)]
    return {
        "one_card_in_two_conventions": refsim.Network.dense(twice, "1 ms"),
        "chain": small_network(rng, "srif", "lif"),
        "conventions": refsim.Network.dense(
            [
                (rng.normal(size=(size, before)), None, refsim.load("snntorch_leaky", reset=reset))
                for before, size, reset in ((12, 9, "set"), (9, 5, "subtract"), (5, 4, "none"))
            ],
            "1 ms",
        ),
        "recurrent": refsim.Network.dense([(recurrent, rng.normal(size=9), leaky, {"beta": rng.random(9)})], "0.1 ms"),
    }


@pytest.mark.parametrize("name", ["chain", "conventions", "recurrent", "one_card_in_two_conventions"])
def test_a_network_comes_back_bit_for_bit(name, rng, tmp_path):
    network = networks(rng)[name]
    again = refsim.bridge.load(save_network(network, tmp_path / "net.refsim"))
    assert (again.dt, again.n_inputs, len(again.layers)) == (network.dt, network.n_inputs, len(network.layers))
    for ours, theirs in zip(network.layers, again.layers, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.bias, theirs.bias)
        assert (ours.model.discrete.texts, ours.model.parameters, ours.model.convention) == (
            theirs.model.discrete.texts,
            theirs.model.parameters,
            theirs.model.convention,
        )
        assert [source.layer for source in ours.sources] == [source.layer for source in theirs.sources]
        assert all(np.array_equal(a.delay, b.delay) for a, b in zip(ours.sources, theirs.sources, strict=True))
        assert ours.parameters.keys() == theirs.parameters.keys()
        assert all(np.array_equal(ours.parameters[key], theirs.parameters[key]) for key in ours.parameters)


def repacked(path, change):
    """Write the archive anew with some entries changed (None: left out)."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in {**entries, **change(entries)}.items():
            if data is not None:
                file.writestr(name, data)


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


HOSTILE = {
    "no_head": (lambda e: {"network.toml": None}, "lacks"),
    "no_toml": (lambda e: {"network.toml": b"= ="}, "is damaged, or no network that refsim wrote"),
    "later_version": (lambda e: {"network.toml": e["network.toml"].replace(b"version = 1", b"version = 9")}, "reads 'refsim network' up to version 1"),
    "no_layers": (lambda e: {"network.toml": b'format = "refsim network"\nversion = 1\ndt = 0.001\n'}, r"needs one \[\[layer\]\] or more"),
    "no_weight": (lambda e: {"0.weight.npy": None}, "lacks There is no item named '0.weight.npy'"),
    "pickled": (lambda e: {"0.weight.npy": saved(np.array([{"a": 1}], object))}, "'0.weight.npy' is damaged"),
    "cut_array": (lambda e: {"0.weight.npy": e["0.weight.npy"][:-8]}, "'0.weight.npy' is damaged"),
    "nan": (lambda e: {"0.bias.npy": saved(np.full(9, np.nan))}, "bias"),
    "other_shape": (lambda e: {"1.weight.npy": saved(np.zeros((5, 8)))}, r"weight must be \(n_post, 9\), a column an input, but has shape \(5, 8\)"),
    "delay": (lambda e: {"1.delay0.npy": saved(np.full(9, -1))}, "delays must be whole steps from 0 on"),
    "source": (lambda e: {"network.toml": e["network.toml"].replace(b"sources = [0]", b"sources = [7]")}, r"numbers of layers, -1 \(the input\) to 1"),
    "another_card": (lambda e: {"cards/srif.toml": e["cards/srif.toml"].replace(b"v >= v_th", b"v > v_th")}, "is not the card of that name"),
    "bomb": (lambda e: {"0.weight.npy": bytes(200_000_000)}, "no network of this size of file does"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence(name, rng, tmp_path):
    change, says = HOSTILE[name]
    path = save_network(networks(rng)["chain"], tmp_path / "net.refsim")
    repacked(path, change)
    with pytest.raises(RefsimError, match=says):
        load_network(path)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "net.refsim").write_bytes(b"hello" * 100)
    with pytest.raises(RefsimError, match="is damaged, or no network that refsim wrote"):
        load_network(tmp_path / "net.refsim")
    with pytest.raises(RefsimError, match="cannot be read"):
        load_network(tmp_path / "nowhere.refsim")
