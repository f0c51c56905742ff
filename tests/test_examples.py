"""The example scripts do what they say, on real data."""

import importlib.util
from pathlib import Path

import pytest
from conftest import real_data

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
    assert rows["mismatched spikes", "PyTorch float32"]["status"] in ("pass", "inconclusive")  # rounding may tip a spike
    assert rows["accuracy", "Brian2 grid float64"]["value"] >= 0.93
    assert report.findings.reference.drive.n_samples == 2000


@pytest.mark.slow
def test_the_digits_network_can_be_trained_again(tmp_path, capsys):
    script("train_digits").main(tmp_path)
    assert float(capsys.readouterr().out.split("test accuracy ")[1].split("%")[0]) >= 96
    assert (tmp_path / "digits_srif.toml").read_text() == (ROOT / "validation" / "networks" / "digits_srif.toml").read_text()
