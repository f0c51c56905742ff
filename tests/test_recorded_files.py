"""Recorded spikes on the command line.

Their layers, axes and delays, what explains them, and what is planted in them.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_network
from nir_files import affine, chain, neurons, write
from recordings import SHAPE, held, run_of_two_layers, saved
from rogues_recorded import RECORDINGS, dropped, late

import refsim
from refsim import Discrete, Drive
from refsim.__main__ import main
from refsim.cases.against_recorded import code_claims
from refsim.judge.recorded import as_recording, read_layers


@pytest.fixture
def here(rng, tmp_path, monkeypatch):
    """The run, with its network and input as files in the working folder."""
    monkeypatch.chdir(tmp_path)
    found = run_of_two_layers(rng)
    saved(found.network, found.drive)
    return found


@pytest.mark.parametrize("rogue", RECORDINGS)
def test_a_rogue_recording_fails_where_it_was_planted_and_says_how(rogue, here, capsys):
    make, says = RECORDINGS[rogue]
    right = here.spikes[1].dense()
    np.save("s.npy", right)
    assert held(capsys, "s.npy")[0] == 0
    np.save("s.npy", make(right))
    code, text = held(capsys, "s.npy", "--report", "out")
    assert code == 1
    assert says in text
    differs = right != make(right)
    sample, neuron, step = map(
        int, re.search(r"layer 1, sample (\d+), neuron (\d+), step (\d+)", text).groups()
    )
    assert differs[sample, step, neuron]
    assert not differs[:, :step].any()
    assert f"{right.sum():,}" in text
    assert (
        f"{make(right).sum():,} spikes in layer 1; layer 0 was not recorded, and runs freely"
        in text
    )
    told = json.loads(Path("out/report.json").read_text("utf-8"))
    row = next(each for each in told["claims"] if each["run"].startswith("recorded"))
    assert row["status"] == told["verdict"] == "fail"
    assert row["first_divergence"]["layer"] == 1
    assert row["value"] == (right != make(right)).sum()
    assert [run["spikes_per_layer"][1] for run in told["runs"]][-1] == make(right).sum()
    assert told["data"]["expected"]["layers"] == {"1": int(make(right).sum())}
    page = Path("out/report.html").read_text("utf-8")
    assert "a dot one of recorded s.npy" in page
    assert "shown is the declared step that follows its spikes" in page


def test_the_spikes_of_another_layer_are_known(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = small_network(rng, "lif", "srif", sizes=(12, 6, 6))
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    saved(network, drive)
    np.save("s.npy", refsim.run(network, drive, engine=Discrete()).spikes[0].dense())
    code, text = held(capsys, "s.npy")
    assert code == 1
    assert "layer 0 in place of layer 1, whose spikes they are" in text


def test_layers_of_a_file_are_named_or_numbered(here, capsys):
    hidden, output = (train.dense() for train in here.spikes)
    for arrays in (
        {"0": hidden, "1": output},
        {"layer 0": hidden},
        {"layer_1": output},
        {"x": output, "0": hidden},
        {"-1": output},
    ):
        np.savez("s.npz", **arrays)
        assert held(capsys, "s.npz")[0] == 0, arrays.keys()
    np.savez("s.npz", hidden, output)
    assert held(capsys, "s.npz")[0] == 0
    np.savez("s.npz", output)
    code, text = held(capsys, "s.npz")
    assert code == 2
    assert (
        "'arr_0' is no layer of this network; its layers are 0, 1. Name each array by its layer"
        in text
    )
    np.savez("s.npz", **{"0": dropped(hidden), "1": output})
    code, text = held(capsys, "s.npz")
    assert code == 1
    assert "first at layer 0" in text
    assert "of layer 0 1 of " in text
    np.savez("s.npz", **{"0": hidden})
    code, text = held(capsys, "s.npz")
    assert "changed decisions: the last layer was not recorded" in text


def test_a_file_of_tensors_holds_layers_too(here, capsys):
    hidden, output = (torch.tensor(train.dense()) for train in here.spikes)
    torch.save({"0": hidden, "1": output.to(torch.bfloat16)}, "s.pt")
    assert held(capsys, "s.pt")[0] == 0
    torch.save(output, "s.pt")
    code, text = held(capsys, "s.pt")
    assert code == 2
    assert (
        "Recorded spikes are tensors by layer, torch.save({'0': spikes}, path), or an .npy of "
        "the last one"
    ) in text


@pytest.mark.parametrize("axes", ["step, sample, neuron", "sample, neuron, step"])
def test_an_order_of_axes_that_alone_fits_is_taken_and_told(axes, here, capsys):
    order = [("sample", "step", "neuron").index(name) for name in axes.split(", ")]
    np.save("s.npy", here.spikes[1].dense().transpose(order))
    code, text = held(capsys, "s.npy")
    assert code == 0
    assert f"layer 1: read as {axes}, which is what fits" in text


def test_of_two_orders_that_fit_the_reader_is_told_which_was_taken_and_how_to_say_the_other(
    rng, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    network = small_network(rng, "lif", "srif")
    drive = Drive.raster(rng.random((20, 20, 12)) < 0.4, "1 ms")
    saved(network, drive)
    np.save(
        "s.npy", refsim.run(network, drive, engine=Discrete()).spikes[1].dense().transpose(1, 0, 2)
    )
    code, text = held(capsys, "s.npy")
    assert code == 1
    assert "read as sample, step, neuron; it fits step, sample, neuron too" in text
    assert (
        "fired with its axes taken as step, sample, neuron (--expected-axes 'step, sample, neuron')"
        in text
    )
    code, text = held(capsys, "s.npy", "--expected-axes", "step, sample, neuron")
    assert code == 0
    assert "assumed" not in text


def test_an_output_that_comes_late_can_be_declared(here, capsys):
    np.save("s.npy", late(here.spikes[1].dense()))
    assert held(capsys, "s.npy")[0] == 1
    assert held(capsys, "s.npy", "--expected-delay", "1")[0] == 0
    code, text = held(capsys, "s.npy", "--expected-delay", "2")
    assert code == 1
    assert "fired with an output 1 step earlier (--expected-delay 1)" in text
    wrong = late(here.spikes[1].dense())
    wrong[2, 0, 4] = True  # before the first can come
    np.save("s.npy", wrong)
    code, text = held(capsys, "s.npy", "--expected-delay", "1")
    assert code == 1
    assert "fail spikes before the first can come 1 <= 0" in text
    hidden = late(here.spikes[0].dense())
    np.savez("s.npz", **{"0": hidden, "1": here.spikes[1].dense()})
    assert held(capsys, "s.npz", "--expected-delay", "0=1")[0] == 0
    assert held(capsys, "s.npz")[0] == 1


def test_what_was_recorded_late_leaves_its_last_steps_open(here):
    """The last step was never seen: it runs freely, on the trial's own spikes."""
    given = late(dropped(here.spikes[1].dense()))
    raw = read_layers({1: given}, here.network, here.drive, None, "")
    trial = as_recording(
        raw.sooner({1: np.array([1])}), here.network, here.drive, "float32", "recorded", here
    )
    found = trial.spikes[1].dense()
    assert np.array_equal(found[:, :-1], dropped(here.spikes[1].dense())[:, :-1])
    assert found[:, -1].any()


def test_a_description_says_that_its_output_is_late(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": torch.tensor(rng.normal(0.15, 0.5, (5, 12)))}, "net.pt")
    text = 'dt = "1 ms"\nweights = "net.pt"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n'
    Path("net.toml").write_text(text, "utf-8")
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    np.savez("x.npz", x=np.stack(list(drive.frames()), axis=1))
    np.save(
        "s.npy",
        late(refsim.run(refsim.bridge.load("net.pt"), drive, engine=Discrete()).spikes[0].dense()),
    )
    arguments = ["validate", "net.pt", "--data", "x.npz", "--expected", "s.npy"]
    assert main(arguments) == 1
    Path("net.toml").write_text("output_delay = 1\n" + text, "utf-8")
    assert main(arguments) == 0
    Path("net.toml").write_text("output_delay = -1\n" + text, "utf-8")
    assert main(arguments) == 2
    assert "output_delay must be whole steps from 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--expected-axes", "a, b"], "axes must be sample, step and neuron"),
        (["--expected-dtype", "int8"], "dtype must be one of"),
        (
            ["--expected-delay", "x"],
            (
                "--expected-delay: needs whole steps from 0 on, N for the last layer or LAYER=N, "
                "but "
                "is 'x'"
            ),
        ),
        (["--expected-delay", "7=1"], "'7' is no layer"),
        (["--plan"], "leave --expected out"),
    ],
)
def test_wrong_options_of_a_recording_are_told_before_the_run(options, says, here, capsys):
    np.save("s.npy", here.spikes[1].dense())
    code, text = held(capsys, "s.npy", *options)
    assert code == 2
    assert says in text


def test_options_of_a_recording_need_one(here, capsys):
    assert main(["validate", "net.refsim", "--data", "x.npz", "--expected-delay", "1"]) == 2
    assert "--expected-delay is of recorded spikes, and none are given" in capsys.readouterr().err


def test_a_case_that_claims_nothing_about_code_holds_the_recording_against_the_usual():
    assert [claim.measure for claim in code_claims([])] == [
        "mismatched spikes",
        "changed decisions",
        "mismatched events",
    ]


# --- a reading that a file cannot have ---


def test_a_reading_that_the_file_cannot_have_is_left_out(rng, tmp_path, monkeypatch, capsys):
    """A LIF of NIR that resets by subtraction has no exact spike times.

    That reading explains nothing, and is no error.
    """
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "net.nir",
        *chain(
            affine(rng, 4, 6),
            neurons(rng, "LIF", (6,)),
            affine(rng, 6, 3),
            neurons(rng, "LIF", (3,)),
            shown=(3,),
        ),
    )
    x = rng.normal(0.0, 2.0, (6, 1, 4)) + rng.normal(1.0, 1.0, (6, 40, 4))
    np.savez("x.npz", x=x)
    options = {"integration": "euler", "reset": "by subtraction"}
    network = refsim.bridge.load("net.nir", dt="1 ms", **{**options, "reset": "to zero"})
    np.save(
        "s.npy", refsim.run(network, Drive.current(x, "1 ms"), engine=Discrete()).spikes[-1].dense()
    )
    said = [word for name, value in options.items() for word in ("--convention", f"{name}={value}")]
    code = main(
        [
            "validate",
            "net.nir",
            "--dt",
            "1 ms",
            *said,
            "--data",
            "x.npz",
            "--dtype",
            "float32",
            "--expected",
            "s.npy",
        ]
    )
    text = " ".join(capsys.readouterr().out.split())
    assert code == 1
    assert "the recorded spikes are fired with reset='to zero'" in text
