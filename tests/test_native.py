"""refsim's own format: every network comes back bit for bit, and a damaged file ends in one
sentence.
"""

import contextlib
import io
import zipfile

import numpy as np
import pytest
from conftest import small_network

import refsim
from refsim import RefsimError
from refsim.files.formats import read_file
from refsim.files.refsim_file import load_network, save_network


def networks(rng):
    """Return networks with all that a network can hold."""
    recurrent = [
        refsim.Connection(rng.normal(size=(9, 12))),
        refsim.Connection(rng.normal(size=(9, 9)), source="self", delay=rng.integers(1, 4, (9, 9))),
    ]
    leaky = refsim.load("snntorch_leaky", reset="set", moment="now", beta=0.7)
    twice = [
        (rng.normal(size=(5, 7)), None, refsim.load("snntorch_leaky", beta=0.7)),
        (rng.normal(size=(4, 5)), None, leaky),
    ]
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
        "recurrent": refsim.Network.dense(
            [(recurrent, rng.normal(size=9), leaky, {"beta": rng.random(9)})], "0.1 ms"
        ),
    }


@pytest.mark.parametrize(
    "name", ["chain", "conventions", "recurrent", "one_card_in_two_conventions"]
)
def test_a_network_comes_back_bit_for_bit(name, rng, tmp_path):
    network = networks(rng)[name]
    again = refsim.bridge.load(save_network(network, tmp_path / "net.refsim"))
    assert (again.dt, again.n_inputs, len(again.layers)) == (
        network.dt,
        network.n_inputs,
        len(network.layers),
    )
    for ours, theirs in zip(network.layers, again.layers, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.bias, theirs.bias)
        assert (ours.model.discrete.texts, ours.model.parameters, ours.model.convention) == (
            theirs.model.discrete.texts,
            theirs.model.parameters,
            theirs.model.convention,
        )
        assert [source.layer for source in ours.sources] == [
            source.layer for source in theirs.sources
        ]
        assert all(
            np.array_equal(a.delay, b.delay)
            for a, b in zip(ours.sources, theirs.sources, strict=True)
        )
        assert ours.parameters.keys() == theirs.parameters.keys()
        assert all(
            np.array_equal(ours.parameters[key], theirs.parameters[key]) for key in ours.parameters
        )


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
    "no_toml": (lambda e: {"network.toml": b"= ="}, "network.toml: is not TOML"),
    "later_version": (
        lambda e: {"network.toml": e["network.toml"].replace(b"version = 1", b"version = 9")},
        "reads 'refsim network' up to version 1",
    ),
    "no_layers": (
        lambda e: {"network.toml": b'format = "refsim network"\nversion = 1\ndt = 0.001\n'},
        r"needs one \[\[layer\]\] or more",
    ),
    "no_weight": (lambda e: {"0.weight.npy": None}, "lacks There is no item named '0.weight.npy'"),
    "pickled": (
        lambda e: {"0.weight.npy": saved(np.array([{"a": 1}], object))},
        "'0.weight.npy' is damaged",
    ),
    "cut_array": (lambda e: {"0.weight.npy": e["0.weight.npy"][:-8]}, "'0.weight.npy' is damaged"),
    "nan": (lambda e: {"0.bias.npy": saved(np.full(9, np.nan))}, "bias"),
    "other_shape": (
        lambda e: {"1.weight.npy": saved(np.zeros((5, 8)))},
        r"weight must be \(n_post, 9\), a column an input, but has shape \(5, 8\)",
    ),
    "delay": (
        lambda e: {"1.delay0.npy": saved(np.full(9, -1))},
        "delays must be whole steps from 0 on",
    ),
    "source": (
        lambda e: {"network.toml": e["network.toml"].replace(b"sources = [0]", b"sources = [7]")},
        r"numbers of layers, -1 \(the input\) to 1",
    ),
    "far_delay": (lambda e: {"1.delay0.npy": saved(np.full(9, 2**62))}, "on, to 65,536 at most"),
    "surplus_array": (
        lambda e: {"5.weight.npy": saved(np.zeros(3))},
        "holds 5.weight.npy, which no layer of network.toml accounts for",
    ),
    "surplus_key": (
        lambda e: {
            "network.toml": e["network.toml"].replace(b"[[layer]]", b"[[layer]]\nleak = 3", 1)
        },
        "says leak, which version 1 does not know",
    ),
    "surplus_head": (
        lambda e: {"network.toml": b"leak = 3\n" + e["network.toml"]},
        "says leak, which version 1 does not know",
    ),
    "no_rows": (
        lambda e: {
            "network.toml": b'format = "refsim network"\nversion = 1\ndt = 0.001\nlayer = [1]\n'
        },
        r"must be a \[\[layer\]\]",
    ),
    "no_list": (
        lambda e: {"network.toml": e["network.toml"].replace(b"sources = [0]", b"sources = 3")},
        "sources of network.toml is int, where a list is needed",
    ),
    "no_table": (
        lambda e: {
            "network.toml": e["network.toml"].replace(b"per_neuron = {", b"per_neuron = [] # {", 1)
        },
        "per_neuron of network.toml is list",
    ),
    "no_name": (
        lambda e: {
            "network.toml": e["network.toml"].replace(
                b"per_neuron = {", b"per_neuron = { v_th = 3 } # {", 1
            )
        },
        "must name an array for each parameter",
    ),
    "absurd_shape": (
        lambda e: {
            "0.weight.npy": saved(np.zeros(3)).replace(
                b"(3,), }" + b" " * 12, b"(30000000000000,), }"[:20].ljust(19)
            )
        },
        "damaged",
    ),
    "bomb": (
        lambda e: {"0.weight.npy": bytes(200_000_000)},
        "no network of this size of file does",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence(name, rng, tmp_path):
    change, says = HOSTILE[name]
    path = save_network(networks(rng)["chain"], tmp_path / "net.refsim")
    repacked(path, change)
    with pytest.raises(RefsimError, match=says):
        load_network(path)


def test_every_byte_of_an_archive_may_be_wrong(rng, tmp_path):
    path = save_network(networks(rng)["chain"], tmp_path / "net.refsim")
    whole = path.read_bytes()
    for place in range(20, len(whole), max(1, len(whole) // 250)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(RefsimError):  # and no other error
            load_network(path)


def test_two_entries_of_one_name(rng, tmp_path):
    path = save_network(networks(rng)["chain"], tmp_path / "net.refsim")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("0.bias.npy", saved(np.ones(9)))
    with pytest.raises(RefsimError, match="holds two entries of one name"):
        load_network(path)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "net.refsim").write_bytes(b"hello" * 100)
    with pytest.raises(RefsimError, match="is damaged, or no network that refsim wrote"):
        load_network(tmp_path / "net.refsim")
    with pytest.raises(RefsimError, match="cannot be read"):
        load_network(tmp_path / "nowhere.refsim")


def edited(path, *changes):
    """Change the text of the card in a file, as a later release may change the card that it was
    made of.
    """

    def change(entries):
        text = entries["cards/srif.toml"]
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return {"cards/srif.toml": text}

    repacked(path, change)
    return path


def test_the_text_in_the_file_rules_where_the_card_has_changed_since(rng, tmp_path):
    network = networks(rng)["chain"]
    path = edited(save_network(network, tmp_path / "net.refsim"), (b"v >= v_th", b"v > v_th"))
    again = refsim.bridge.load(path)
    model = again.layers[0].model
    assert (model.name, dict(model.discrete.texts)["z"]) == ("srif_as_saved", "v > v_th")
    knife = refsim.Drive.current(np.zeros((1, 4, network.n_inputs)), "1 ms")
    models = (
        refsim.load("srif", v_th=1.0, spike_value=1.0),
        model.with_parameters(v_th=1.0, spike_value=1.0),
    )
    at_threshold = [
        refsim.Network.dense([(np.zeros((1, network.n_inputs)), np.ones(1), each)], "1 ms")
        for each in models
    ]
    spikes = [
        refsim.run(each, knife, engine=refsim.Discrete()).spikes[0].dense().ravel().tolist()
        for each in at_threshold
    ]
    # It is the file's comparison that is run.
    assert spikes == [[True] * 4, [False, True, True, True]]
    with pytest.raises(RefsimError, match="there is no PyTorch step for this card 'srif_as_saved'"):
        refsim.run(again, knife, engine=refsim.Torch())
    assert "srif_as_saved" in read_file(path).assumed[-1]
    twice = refsim.bridge.load(save_network(again, tmp_path / "twice.refsim"))
    assert twice.layers[0].model.discrete.texts == model.discrete.texts


def test_other_words_for_the_same_neuron_change_nothing(rng, tmp_path):
    path = save_network(networks(rng)["chain"], tmp_path / "net.refsim")
    again = refsim.bridge.load(edited(path, (b"Soft-reset", b"Soft reset, of an older release:")))
    assert again.layers[0].model.name == "srif"
    assert again.layers[0].model.title.startswith("Soft reset, of an older release:")
    assert read_file(path).assumed == ()
