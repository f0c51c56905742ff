"""`refsim validate package.file:factory`.

The user's own code, imported because it is named, and its module on trial.
"""

from pathlib import Path

import pytest

from refsim.__main__ import main

CODE = """
import torch
from torch import nn
from refsim.pytorch import SRIF

def make():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), SRIF(),
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 10), SRIF(),
    )
    net[1].weight.data *= 4
    net[6].weight.data *= 8
    return net

class Deaf(nn.Sequential):
    def forward(self, x):
        spikes = super().forward(x)
        # fires otherwise on some samples
        return spikes if self.training or float(x.sum()) < 900 else self[7](spikes * 0)

ready = make()
number = 3

def fails():
    raise ValueError("no such weights")
"""
DATA = [
    "--data",
    "digits",
    "--steps",
    "10",
    "--samples",
    "6",
    "--dt",
    "1 ms",
    "--input-shape",
    "64",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("nets").mkdir()
    Path("nets/mine.py").write_text(CODE)


@pytest.mark.parametrize("name", ["nets.mine:make", "nets/mine.py:make", "nets.mine:ready"])
def test_a_module_is_put_on_trial(name, capsys):
    assert main(["validate", name, *DATA, "--dtype", "float64"]) == 0
    out = capsys.readouterr().out
    assert "PyTorch float64 module fires exactly the" in " ".join(out.split())
    assert "network   64-256-10, srif, dt = 1 ms" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["nets.mine:fails", *DATA],
            "fails when it is called without arguments (ValueError: no such weights)",
        ),
        (["nets.mine:nothing", *DATA], "nets.mine has no 'nothing'; write package.module:factory"),
        (["nets.mine:number", *DATA], "gives int and no nn.Module"),
        (["nowhere:make", *DATA], "cannot be imported, no module named 'nowhere'"),
        (["nowhere.py:make", *DATA], "there is no file nowhere.py"),
        (["broken.py:make", *DATA], "its code fails when it is imported (SyntaxError"),
        (
            ["nets.mine:make", *DATA[:-1], "8,x"],
            "--input-shape: needs whole numbers above 0 with commas, such as 2,34,34, but is '8,x'",
        ),
        (["nets.mine:make", *DATA, "--layout", "sideways"], "held', but is 'sideways'"),
        (
            ["nets.mine:make", *DATA, "--convention", "comparison=>"],
            "says its neurons and conventions itself; leave --convention out",
        ),
        (
            ["nets.mine:make", *DATA, "--describe", "net.toml"],
            "says its neurons and conventions itself; leave --describe out",
        ),
        (["nets.mine:make", *DATA, "--device", "nowhere"], "device 'nowhere' cannot be used here"),
        (
            ["nets.mine:make", *DATA, "--engine", "discrete"],
            "is put on trial itself; leave --engine out",
        ),
        (["nets.mine:make", *DATA, "--dtype", "float32", "float64"], "is run in one dtype"),
        (
            ["nets.mine:make", *DATA[:-2]],
            "Give input_shape=(2, 34, 34) (on the command line --input-shape 2,34,34), and layout=",
        ),
        (["digits_srif.pt", *DATA], "--input-shape is of a module, package.file:factory"),
    ],
)
def test_what_cannot_be_put_on_trial_is_one_sentence(words, says, capsys):
    Path("broken.py").write_text("def make(:\n")
    assert main(["validate", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
