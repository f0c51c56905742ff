"""refsim.validate: what the command does, from Python; a module held against a declaration.

Who was declared, read and on trial.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim import RefsimError
from refsim.__main__ import main
from refsim.judge.readings import MEASURE, differences

DESCRIBED = """
dt = "1 ms"
weights = "net.pt"
ignore = ["1.graded_spikes_factor", "3.graded_spikes_factor", "1.mem", "3.mem"]
[[layer]]
linear = "0"
neuron = "snntorch_leaky"
parameters = { beta = 0.75 }
[[layer]]
linear = "2"
neuron = "snntorch_leaky"
parameters = { beta = 0.5 }
"""


def make(beta=0.75):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 8), Leaky(beta=beta), nn.Linear(8, 5), Leaky(beta=0.5))
    for linear in (module[0], module[2]):
        linear.weight.data *= 4
    return module


@pytest.fixture
def x(rng):
    return rng.random((4, 30, 4))


@pytest.fixture
def described(tmp_path):
    """Return the path of a description whose weights are those of `make`."""
    torch.save(make().state_dict(), tmp_path / "net.pt")
    path = tmp_path / "net.toml"
    path.write_text(DESCRIBED)
    return path


def test_a_file_says_that_no_code_but_refsims_ran(described, x):
    report = refsim.validate(described, x)
    assert report.verdict == "pass"
    assert [found.trial.provenance["trial"] for found in report.findings.comparisons] == [
        "refsim's steps"
    ] * 2
    parties = report.as_dict()["data"]["parties"]
    assert parties == {
        "declared": "net.toml",
        "read": None,
        "trial": "refsim's own steps: your own code did not run",
    }


def test_a_module_against_what_is_declared(described, x):
    report = refsim.validate(make(), x, against=described)
    assert report.verdict == "pass"
    assert report.findings.comparisons[0].trial.provenance["trial"] == "own code"
    assert report.as_dict()["data"]["parties"] == {
        "declared": "net.toml",
        "read": "Sequential, measured",
        "trial": "Sequential, its own code",
    }
    assert "differs" not in report.as_dict()["data"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m[0].weight.data.mul_(1 + 1e-5), "layer 0: weight from the input differs in"),
        (
            lambda m: m[2].bias.data[3].add_(0.5),
            "layer 1: bias differs in 1 of 5 numbers, most at (3)",
        ),
        (lambda m: m[1].beta.add_(1e-4), "layer 0: beta is declared 0.75, and read 0.7501"),
        (
            lambda m: setattr(m[3], "reset_mechanism", "zero"),
            "layer 1: declared with reset 'subtract', read as 'set'",
        ),
    ],
)
def test_what_a_module_has_otherwise_is_named(spoil, said, described, x):
    """Few of these change a spike on this input: a reading sees what spikes do not."""
    module = make()
    spoil(module)
    report = refsim.validate(module, x, against=described)
    assert any(said in line for line in report.as_dict()["data"]["differs"])
    assert said.split(" differs")[0] in " ".join(report.text().split())
    (verdict,) = [each for each in report.findings.verdicts if each.claim.measure == MEASURE]
    # Another convention is another neuron only where spikes say so.
    assert verdict.status == ("pass" if "reset" in said else "fail")
    assert report.verdict == "fail"


def test_wiring_and_sizes_are_compared_too(x):
    read = refsim.bridge.load(make(), dt="1 ms")
    looped = refsim.Network.dense(
        [
            (
                [
                    refsim.Connection(read.layers[0].weight),
                    refsim.Connection(np.eye(8), source="self", delay=2),
                ],
                read.layers[0].bias,
                read.layers[0].model,
            ),
            (read.layers[1].weight, read.layers[1].bias, read.layers[1].model),
        ],
        "1 ms",
    )
    assert [each.said for each in differences(looped, read)] == [
        "layer 0: a connection from layer 0, 2 steps late is declared, and was not read"
    ]
    assert [each.kind for each in differences(read, replace(read, layers=read.layers[:1]))] == [
        "layers"
    ]
    assert [each.kind for each in differences(replace(read, dt=2e-3), read)] == ["dt"]
    assert differences(read, read) == ()


class Doubles(nn.Sequential):
    """What no network says: a product in front of its neurons."""

    def forward(self, x):
        return super().forward(x * x.abs().clamp(min=1))


def test_a_module_that_cannot_be_read_can_still_be_run_against_a_declaration(described, x):
    module = Doubles(*make())
    report = refsim.validate(module, x, against=described)
    assert report.verdict == "pass"  # this input never reaches what is not linear
    assert (
        "not read: '1': what leads to it is not linear"
        in report.as_dict()["data"]["parties"]["read"]
    )
    assert refsim.validate(module, 3 * x, against=described).verdict == "fail"
    with pytest.raises(RefsimError, match="is not linear"):
        refsim.validate(module, x, dt="1 ms")


def test_what_may_be_given_and_what_is_told(described, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    drive = refsim.Drive.current(x, "1 ms")
    network = refsim.bridge.load(described)
    for what, data in (
        (described, tmp_path / "x.npy"),
        (str(described), drive),
        (network, torch.as_tensor(x)),
    ):
        report = refsim.validate(what, data, engine="discrete", labels=np.zeros(4, int))
        assert report.verdict == "pass"
        assert [found.trial.label for found in report.findings.comparisons] == ["Discrete float64"]
        assert any(
            verdict.claim.measure == "accuracy" and verdict.value is not None
            for verdict in report.findings.verdicts
        )
    assert (
        refsim.validate(
            network, x[:, 0], steps=5, encoder="bernoulli", engine=refsim.Torch(dtype="float32")
        ).findings.reference.drive.n_steps
        == 5
    )
    for words, says in (
        (
            {"what": described, "data": x, "against": network},
            "is what a live module is held against",
        ),
        ({"what": described}, "no data is given"),
        (
            {"what": 3, "data": x},
            "needs a refsim.Network, a torch.nn.Module, or the path of a file, but int was given",
        ),
        (
            {"what": make(), "data": x, "dt": "1 ms", "dtype": "float64"},
            "a module is run as it is; leave dtype out",
        ),
        ({"what": make(), "data": x, "dt": "1 ms", "engine": "discrete"}, "is put on trial itself"),
        (
            {"what": network, "data": x, "engine": "nest"},
            "engine: must be one of brian2, discrete, torch",
        ),
        (
            {"what": network, "data": drive, "steps": 3},
            "is a Drive, which is encoded already; leave steps out",
        ),
        ({"what": network, "data": np.ones(3)}, "needs shape"),
    ):
        with pytest.raises(RefsimError, match=says):
            refsim.validate(**words)


CODE = """
import torch
from test_validate import make
wrong = lambda: make(beta=0.7)
"""


def test_the_command_does_the_same(described, x, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text(CODE)
    np.savez("x.npz", x=x)
    assert main(["validate", "code.py:make", "--against", "net.toml", "--data", "x.npz"]) == 0
    assert "declared  net.toml\nread      code.py:make, measured\n" in capsys.readouterr().out
    assert (
        main(["validate", "code.py:wrong", "--against", "net.toml", "--data", "x.npz", "--json"])
        == 1
    )
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["differs"] == ["layer 0: beta is declared 0.75, and read 0.7"]
    # Of itself it is the right network.
    assert main(["validate", "code.py:wrong", "--data", "x.npz", "--dt", "1 ms"]) == 0
    capsys.readouterr()
    assert main(["validate", "net.toml", "--against", "net.toml", "--data", "x.npz"]) == 2
    assert "net.toml has no code of its own to put on trial" in capsys.readouterr().err


def test_a_tensor_that_says_otherwise_than_the_description_is_refused(described, x):
    right = described.read_text()
    described.write_text(right.replace("beta = 0.75", "beta = 0.7"))
    with pytest.raises(
        RefsimError,
        match=(
            r"its description says otherwise: 1.beta = 0.75, but layer 0 is declared with beta "
            r"= 0.7\. Correct"
        ),
    ):
        refsim.bridge.load(described)
    described.write_text(
        right.replace("beta = 0.75", "beta = 0.7").replace('"1.mem"', '"1.beta", "1.mem"')
    )
    report = refsim.validate(described, x)
    told = "1.beta = 0.75, but layer 0 is declared with beta = 0.7"
    assert told in report.as_dict()["data"]["ignored"]
    assert told in " ".join(report.text().split())
    assert report.verdict == "pass"
    assert f"Its file says otherwise, which was to be ignored: {told}" in report.sentence
    described.write_text(right.replace("beta = 0.75", "v_th = 2.0, beta = 0.75"))
    with pytest.raises(RefsimError, match="1.threshold = 1, but layer 0 is declared with v_th = 2"):
        refsim.bridge.load(described)
