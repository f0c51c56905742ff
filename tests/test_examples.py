"""The example scripts do what they say, on real data."""

import importlib.util
from pathlib import Path

import pytest
import torch
from conftest import mismatches, real_data

import refsim
from refsim.__main__ import main
from refsim.networks.data import encode, read_data

ROOT = Path(__file__).resolve().parents[1]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_network_trained_on_mnist_validates(tmp_path):
    images = real_data("mnist/t10k-images-idx3-ubyte.gz")
    report = script("train_mnist").main(images.parent, tmp_path)
    rows = {(row["measure"], row["run"]): row for row in report.as_dict()["claims"]}
    double = rows["mismatched spikes", "PyTorch float64"]
    assert (double["value"], double["status"]) == (0, "pass")
    # Rounding may tip a spike.
    assert rows["mismatched spikes", "PyTorch float32"]["status"] in ("pass", "inconclusive")
    assert rows["accuracy", "Brian2 grid float64"]["value"] >= 0.93
    assert report.findings.reference.drive.n_samples == 2000


@pytest.mark.slow
def test_the_digits_network_can_be_trained_again(tmp_path, capsys):
    script("train_digits").main(tmp_path)
    assert float(capsys.readouterr().out.split("test accuracy ")[1].split("%")[0]) >= 96
    assert (tmp_path / "digits_srif.toml").read_text() == (
        ROOT / "validation" / "networks" / "digits_srif.toml"
    ).read_text()


def spikemax(tmp_path, *more):
    """Run the example on N-MNIST; return what it measured."""
    example = script("train_spikemax_nmnist")
    return example.run(
        example.options_of(
            [str(real_data("nmnist/nmnist_small.npz")), "--out", str(tmp_path), *more]
        )
    )


def validated(tmp_path, name, capsys):
    """Run the command that the example prints; return its exit code and what it said."""
    capsys.readouterr()
    code = main(
        [
            "validate",
            str(tmp_path / f"{name}.refsim"),
            "--data",
            str(tmp_path / "nmnist_test.npz"),
            "--workers",
            "1",
        ]
    )
    return code, capsys.readouterr().out


@pytest.mark.parametrize("neuron", ["srm", "cuba", "alif"])
def test_the_spikemax_example_trains_measures_and_saves(tmp_path, capsys, neuron):
    losses = {
        "srm": ["spike-rate"],
        "cuba": ["spikemax-global"],
        "alif": ["spikemax-sliding", "spike-count-mse"],
    }[neuron]
    rows = spikemax(
        tmp_path,
        "--neuron",
        neuron,
        "--loss",
        *losses,
        "--epochs",
        "1",
        "--recordings",
        "60",
        "--hold-out",
        "10",
    )
    said = capsys.readouterr().out
    assert list(rows) == losses
    data = read_data(tmp_path / "nmnist_test.npz")
    assert data.n_samples == 10
    for name in losses:
        assert (
            f"refsim validate {tmp_path / name}.refsim --data {tmp_path / 'nmnist_test.npz'}"
            in said
        )
        network = refsim.bridge.load(tmp_path / f"{name}.refsim")
        # On the grid.
        assert all(
            (layer.weight * 32 == (layer.weight * 32).round()).all() for layer in network.layers
        )
        drive = encode(data, None, None, network.dt)
        runs = [
            refsim.run(network, drive, engine=engine)
            for engine in (refsim.Discrete(), refsim.Torch(dtype="float64"))
        ]
        assert mismatches(*runs) == [0, 0]
        hidden, output = (len(each.step) / 10 for each in runs[0].spikes)
        # Measured in float32, where rounding may tip a spike or two.
        assert abs(hidden - rows[name]["hidden"]) <= 0.2
        assert abs(output - rows[name]["output"]) <= 0.2


def test_the_step_of_a_decision():
    decided_at = script("train_spikemax_nmnist").decided_at
    # Class 1 is right: spikes of class 0, of class 1, and the step from which on the decision is
    # right.
    cases = {
        "at once": ([0, 0, 0, 0, 0], [1, 0, 0, 0, 0], 1),
        "none before a spike": ([0, 0, 0, 0, 0], [0, 0, 1, 0, 1], 3),
        "a tie is the first class's": ([1, 0, 0, 0, 0], [1, 0, 0, 1, 0], 4),
        "right, wrong, right": ([0, 1, 1, 0, 0], [1, 0, 0, 1, 1], 5),
        "wrong at the end": ([0, 0, 0, 1, 1], [1, 0, 0, 0, 0], 0),
        "silent": ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], 0),
    }
    output = torch.tensor([[zero, one] for zero, one, _ in cases.values()], dtype=torch.float32)
    assert decided_at(output, torch.ones(len(cases), dtype=torch.int64)).tolist() == [
        step for _, _, step in cases.values()
    ]
    silent = torch.zeros(1, 2, 5)
    # No spike is no decision for class 0.
    assert decided_at(silent, torch.zeros(1, dtype=torch.int64)).tolist() == [0]


@pytest.mark.slow
def test_spikemax_and_its_rivals_learn_nmnist_and_validate(tmp_path, capsys):
    rows = spikemax(tmp_path)
    assert max(row["accuracy"] for row in rows.values()) >= 0.9
    for name, row in rows.items():
        assert row["accuracy"] >= 0.8
        assert 1 <= row["median"] <= 60
        code, said = validated(tmp_path, name, capsys)
        assert code == 0, said
