"""refsim inspect and import: what is printed, in 80 columns, and that a file comes back as it was
read.
"""

import numpy as np
import pytest
import torch
from conftest import real_data
from netfiles import dense, neuron, weights, write_net

import refsim
from refsim import RefsimError
from refsim.__main__ import main
from refsim.files.formats import READERS, otherwise, read_file
from refsim.files.reading import Asked

OXFORD = """\
network.net: lava-dl .net, 2 layers, 200-256-200

dt          1 ms
input       200 numbers a step
layer 0     dense 200 -> 256, weights -178 to 192 in steps of 2
            hears the input
            cuba_loihi: Loihi's current-based leaky integrate-and-fire, in
            integers
            i_decay = 4096; v_decay = 415; v_th = 384; bias = 0; w_exp = 0
layer 1     dense 256 -> 200, weights -98 to 124 in steps of 2
            hears layer 0, 1 step late
            cuba_loihi: Loihi's current-based leaky integrate-and-fire, in
            integers
            i_decay = 4096; v_decay = 409; v_th = 384; bias = 0; w_exp = 0
output      the framework gives it 1 step after it is fired
assumed     comparison '>': fires above its threshold, as lava-dl does since the
            middle of 2022
assumed     latency 'one step': what a block fires leaves it a step later
            (delay_shift, which is on unless it was switched off)
assumed     dt 1 ms: no step has a duration, and these neurons do not need one
left aside  nothing
"""
DESCRIBED = """\
net.pt: tensors with a description, 2 layers, 32-32-3

dt          2 ms
input       32 numbers a step
layer 0     2x4x4 conv2d 4x4x4 avg_pool2d 4x2x2; bias
            hears the input
            snntorch_leaky: snnTorch Leaky: the reset belongs to the next step
            beta = 0.9; v_th = 1; gain = 1; v_rest = 0; v_reset = 0
            convention synapse 'none', leak 'factor', input 'whole', bias
            'none', threshold 'fixed', comparison '>', spikes 'one', reset
            'set', moment 'next step, after the update', floor 'none', start 'at
            rest', latency 'none'
"""


def inspected(capsys, *arguments):
    assert main(["inspect", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_net_file(capsys):
    assert inspected(capsys, real_data("oxford/network.net")) == OXFORD


@pytest.fixture
def described(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    conv, linear = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Linear(16, 3, bias=False)
    state = {f"c.{name}": value for name, value in conv.state_dict().items()} | {
        "l.weight": 4 * linear.weight.detach(),
        "r": torch.eye(3),
        "b": torch.tensor([0.1, 0.2, 0.3]),
        "step": torch.tensor(7.0),
    }
    torch.save(state, "net.pt")
    (tmp_path / "net.toml").write_text(
        'dt = "2 ms"\ninput_shape = [2, 4, 4]\nignore = ["step"]\n'
        '[[layer]]\nmaps = [{ conv2d = "c", padding = 1 }, { avg_pool2d = 2 }]\nneuron = '
        '"snntorch_leaky"\nconvention = { reset = "set" }\n'
        '[[layer]]\nlinear = "l"\nneuron = "snntorch_leaky"\ntensors = { beta = "b" }\ndelay = '
        '2\nrecurrent = { linear = { weight = "r" }, delay = 3 }\n'
    )
    return tmp_path


def test_tensors_with_a_description(described, capsys):
    text = inspected(capsys, "net.pt")
    assert text.startswith(DESCRIBED.replace("32-32-3", "32-16-3"))
    assert (
        "layer 1     linear 16 -> 3, and from itself\n            hears layer 0, 2 steps late "
        "and itself, 3 steps late\n"
    ) in text
    assert "beta = 0.1 to 0.3, one a neuron" in text
    assert text.endswith("assumed     nothing\nleft aside  step\n")
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_left_aside_of_a_net_file_is_named(rng, tmp_path, capsys):
    import h5py

    path = write_net(
        tmp_path / "net.net", dense(weights(rng, 3, 4), neuron("CUBA"), note=np.ones(3))
    )
    with h5py.File(path, "a") as file:
        file["simulation/tSample"] = 1450
        file["simulation/Ts"] = 0.5
    text = inspected(capsys, path)
    assert "left aside  layer/0/note\nleft aside  simulation/tSample\n" in text
    assert "dt          0.5 ms\n" in text
    assert "assumed     dt" not in text


def test_an_imported_network_is_the_file_as_it_was_read(described, capsys):
    assert main(["import", "net.pt", "-o", "net.refsim"]) == 0
    assert capsys.readouterr().out.endswith("wrote net.refsim\n")
    before, after = read_file("net.pt"), read_file("net.refsim")
    for a, b in zip(before.network.layers, after.network.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.bias, b.bias)
    assert (after.maps, after.aside, after.format) == (
        before.maps,
        before.aside,
        "tensors with a description, imported",
    )
    rng = np.random.default_rng(0)
    np.savez("x.npz", x=rng.random((5, 32)) * 3)
    assert (
        main(["validate", "net.refsim", "--data", "x.npz", "--encoder", "current", "--steps", "20"])
        == 0
    )
    assert "PASS. The same network" in capsys.readouterr().out


def test_how_late_an_output_is_survives_an_import(rng, tmp_path):
    path = write_net(
        tmp_path / "net.net",
        dense(weights(rng, 3, 4), neuron("CUBA"), delay=np.array([0.0, 2.5, 1.0])),
    )
    assert (
        main(
            [
                "import",
                str(path),
                "-o",
                str(tmp_path / "net.refsim"),
                "--convention",
                "comparison='>='",
            ]
        )
        == 0
    )
    again = read_file(tmp_path / "net.refsim")
    assert again.output_delay.tolist() == [1, 3, 2]
    assert again.assumed[0].startswith("comparison '>=', as was asked")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "net.pt", "-o", "net.pt"], "the name must end in .refsim"),
        (["import", "net.pt", "-o", "nowhere/net.refsim"], "cannot be written"),
        (["inspect", "nowhere.net"], "there is no such file"),
        (["inspect", "."], "is a folder"),
        (["inspect", "net.pt", "--convention", "reset"], "needs NAME=VALUE"),
        (["inspect", "net.pt", "--dt", "1 ms"], "says dt already"),
        (["inspect", "net.pt", "--describe", "none.toml"], "cannot be read"),
        (["inspect", "net.refsim", "--dt", "1 ms"], "says all itself"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, says, described, capsys):
    refsim.bridge.save_network(read_file("net.pt").network, "net.refsim")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(RefsimError, match=says):
        raise RefsimError(error)


def test_every_format_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    text = capsys.readouterr().out
    assert [suffix for suffix in READERS if suffix not in text and suffix != ".toml"] == []


# --- recorded spikes ---


@pytest.fixture
def recorded(rng, tmp_path, monkeypatch):
    """A network, its input and what it fires, dense (2, 40, 5), one step late."""
    monkeypatch.chdir(tmp_path)
    path = write_net(
        tmp_path / "net.net",
        dense(weights(rng, 5, 8, size=20), neuron("CUBA", iDecay=4096, vDecay=0, vThMant=32)),
    )
    x = (rng.random((2, 40, 8)) < 0.3).astype(float)
    np.save("x.npy", x)
    spikes = (
        refsim.Discrete()
        .run(refsim.bridge.load(path), refsim.Drive.current(x, "1 ms"))
        .spikes[0]
        .dense()
    )
    return np.concatenate([np.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)


def held_against(capsys):
    code = main(["validate", "net.net", "--data", "x.npy", "--expected", "spikes.npy"])
    done = capsys.readouterr()
    return code, " ".join((done.out + done.err).split())


def test_dense_spikes(recorded, capsys):
    np.save("spikes.npy", recorded)
    assert held_against(capsys)[0] == 0
    np.save(
        "spikes.npy", np.concatenate([np.zeros_like(recorded[:, :1]), recorded[:, :-1]], axis=1)
    )
    code, text = held_against(capsys)
    assert code == 1
    assert "fired with an output 1 step later" in text
    np.save("spikes.npy", recorded[:, :, ::-1])
    code, text = held_against(capsys)
    assert code == 1
    assert "no single convention that was tried explains it" in text


def test_rows_are_for_one_sample(recorded, capsys):
    np.save("x.npy", np.load("x.npy")[:1])
    step, neuron_ = np.nonzero(recorded[0])
    np.save("spikes.npy", np.stack([step, neuron_], axis=1))
    assert held_against(capsys)[0] == 0
    np.save("spikes.npy", np.stack([neuron_, 0 * step, step + 0.3], axis=1))
    assert held_against(capsys)[0] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda spikes: spikes[:, :39], "has shape"),
        (lambda spikes: 2.0 * spikes, "must hold 0 and 1"),
        (lambda spikes: np.array([[0.0, 1.0]]), "are for one sample"),
        (lambda spikes: np.full(spikes.shape, np.nan), "NaN or infinite"),
    ],
)
def test_recorded_spikes_that_do_not_fit(change, says, recorded, capsys):
    np.save("spikes.npy", change(recorded))
    code, text = held_against(capsys)
    assert code == 2
    assert says in text


def test_silence_proves_nothing(recorded, capsys):
    np.save("x.npy", 0 * np.load("x.npy"))
    np.save("spikes.npy", 0 * recorded)
    assert held_against(capsys)[0] == 3


def test_each_other_reading_is_one_convention_away(recorded):
    readings = otherwise("net.net", read_file("net.net"), Asked())
    assert set(readings) == {"comparison='>='", "latency='none'"}
    assert (
        readings["comparison='>='"]().network.layers[0].model.parameters["v_th"].value
        == 64 * 32 - 1
    )
    assert readings["latency='none'"]().output_delay.tolist() == [0]
