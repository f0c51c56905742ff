"""The loss along a weight: its slopes are those of the curves, the files hold what was drawn, and
the commands print both.
"""

import importlib

import numpy as np
import pytest
import torch

import refsim
from refsim.__main__ import main
from refsim.experiments import landscape, module_landscape
from refsim.gradients.bias import bias_table, case_network, five_cases


def test_the_exact_slope_is_that_of_the_curve():
    found = landscape(*case_network(5, 1), "W1[0,1]", np.array([-1e-3, 0.0, 1e-3]))
    curve = found.curves["expected loss"]
    # a central difference of order two leaves some 1e-6 of the curve's third derivative, which is
    # of order 1
    assert abs((curve[2] - curve[0]) / 2e-3 - found.slopes["exact"]) <= 1e-6
    assert abs(found.slopes["finite difference, exact loss"] - found.slopes["exact"]) <= 1e-6
    assert abs(found.slopes["surrogate"] - found.slopes["exact"]) > 1e-3
    assert found.height == pytest.approx(curve[1], abs=1e-12)


def test_a_wrong_slope_leaves_the_curve(monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("refsim.experiments.landscape"),
        "slope_along",
        lambda gradient, way: 1.01,
    )
    found = landscape(*case_network(5, 1), "W1[0,1]", np.array([-1e-3, 0.0, 1e-3]))
    curve = found.curves["expected loss"]
    assert abs((curve[2] - curve[0]) / 2e-3 - found.slopes["exact"]) > 1e-6


def test_a_module_keeps_its_weights():
    module = torch.nn.Linear(2, 1, bias=False).double()
    before = module.weight.detach().clone()
    found = module_landscape(
        module,
        lambda m: m(torch.tensor([[1.0, 2.0]], dtype=torch.float64)).pow(2).sum(),
        "weight[0,1]",
        "-1:1:5",
    )
    assert torch.equal(before, module.weight.detach())
    output = float(before @ torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert found.slopes["surrogate"] == pytest.approx(4 * output, abs=1e-12)
    assert found.curves["loss"] == pytest.approx((output + 2 * found.offsets) ** 2, abs=1e-12)


def test_the_loss_of_hard_spikes_is_a_staircase_and_autograd_gives_the_surrogate():
    from refsim.pytorch import SRIF

    module = torch.nn.Sequential(
        torch.nn.Linear(2, 1, bias=False), SRIF(surrogate="triangle")
    ).double()
    x = torch.tensor([1.0, 0.0], dtype=torch.float64)
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.3, 0.1]], dtype=torch.float64))

    def loss(net):
        refsim.reset(net)
        return net(x).sum()

    found = module_landscape(module, loss, "0.weight[0,0]", "-0.5:0.5:11", step=0.3)
    # v_th is 0.5.
    assert found.curves["loss"] == pytest.approx((found.offsets + 0.3 >= 0.5 - 1e-9) * 1.0)
    # The triangle of width 1.
    assert found.slopes["surrogate"] == pytest.approx(1 - abs(0.3 - 0.5), abs=1e-12)
    assert found.slopes["finite difference, step 0.3"] == pytest.approx(1 / 0.6)


def test_the_commands(tmp_path, capsys):
    files = [str(tmp_path / f"l.{ending}") for ending in ("png", "csv", "npz")]
    assert (
        main(
            [
                "gradient",
                "landscape",
                "--case",
                "3",
                "--over",
                "-1:1:11",
                *(word for file in files for word in ("--out", file)),
            ]
        )
        == 0
    )
    assert "slope" in capsys.readouterr().out
    assert np.loadtxt(files[1], delimiter=",", skiprows=1).shape == (11, 6)
    assert np.load(files[2])["expected loss"].shape == (11,)
    drawn = []
    for width in ("0.5", "2"):
        assert (
            main(
                [
                    "gradient",
                    "landscape",
                    "--over",
                    "-1:1:3",
                    "--surrogate",
                    f"triangle,width={width}",
                ]
            )
            == 0
        )
        drawn.append(capsys.readouterr().out)
    assert drawn[0] != drawn[1]
    assert main(["gradient", "bias", "--networks", "1"]) == 0
    assert "PASS. One layer, no reset, linear loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["landscape", "--case", "9"], "--case must be 1 to 5"),
        (["landscape", "--along", "W1"], "one weight is written NAME"),
        (["landscape", "--along", "W7[0,0]"], "the network has no W7"),
        (["landscape", "--out", "x.doc"], "the name must end in"),
        (
            ["landscape", "--surrogate", "triangle,2"],
            "such as sigmoid,slope=4, but 'triangle,2' was given",
        ),
        (["landscape", "--surrogate", "triangle,slope=2"], "slope is not one of its parameters"),
        (
            ["landscape", "--surrogate", "triangle,width=1e308"],
            "must be a positive number, from 1e-100 to 1e+100",
        ),
        (["bias", "--networks", "0"], "must be at least 1"),
    ],
    ids=["case", "weight", "name", "file", "form", "parameter", "overflow", "none"],
)
def test_what_is_wrong_is_one_sentence(words, says, capsys):
    assert main(["gradient", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_shows_the_table(request):
    assert bias_table(five_cases()) in (
        request.config.rootpath / "docs" / "gradients.md"
    ).read_text("utf-8")
