"""refsim gradcheck, cases of kind gradient, and the pytest plugin, as a user meets them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim import RefsimError
from refsim.__main__ import main
from refsim.pytorch import losses

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parents[1]
DIGITS = str(ROOT / "validation" / "networks" / "digits_srif.toml")
CODE = """
import torch
from torch import nn
from refsim.pytorch import LIFDecay

def make(detach=False):
    torch.manual_seed(1)
    first, last = (LIFDecay("arctangent", detach_reset=detach, dt="1 ms") for _ in range(2))
    net = nn.Sequential(nn.Linear(6, 8), first, nn.Linear(8, 3), last)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3)
    return net

def detached():
    return make(True)

def mine(values, target):
    return ((values.sum(-1) - target[:, None]) ** 2).mean()
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gradnet.py").write_text(CODE)
    monkeypatch.delitem(sys.modules, "gradnet", raising=False)


def test_a_module_and_a_loss_of_ones_own(code, capsys):
    assert (
        main(
            [
                "gradcheck",
                "gradnet.py:make",
                "--dt",
                "1 ms",
                "--loss",
                "gradnet.py:mine",
                "--surrogate",
                "arctangent",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "PASS." in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_detached_reset_is_found_and_named(code, capsys):
    assert (
        main(
            [
                "gradcheck",
                "gradnet.py:detached",
                "--dt",
                "1 ms",
                "--loss",
                "spike_rate",
                "--surrogate",
                "arctangent,slope=2",
            ]
        )
        == 1
    )
    assert "reset fails" in capsys.readouterr().out
    assert (
        main(
            [
                "gradcheck",
                "gradnet.py:detached",
                "--dt",
                "1 ms",
                "--loss",
                "spike_rate",
                "--surrogate",
                "arctangent",
                "--detach-reset",
                "--json",
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["unjudged"]) == ("pass", [])
    assert {verdict["measure"] for verdict in told["verdicts"]} == set(
        refsim.checks.GRADIENT_CHECKS
    )


def test_a_file_on_data_with_the_bias(capsys):
    given = ["--data", "digits", "--steps", "8", "--samples", "4", "--dtype", "float64", "--bias"]
    assert (
        main(
            ["gradcheck", DIGITS, "--loss", "spikemax,window=4", "--surrogate", "triangle", *given]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "reported and not judged" in printed
    assert main(["gradcheck", DIGITS, "--loss", "spike_time", "--surrogate", "triangle"]) == 0


def test_a_case_is_rerun(capsys):
    assert main(["validate", str(ROOT / "validation" / "gradient" / "digits_srif.toml")]) == 0
    assert "Is the gradient right?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '{ name = "rectangle", width = 1.0 }',
            "{ width = 1.0 }",
            "surrogate must be a name, or a table",
        ),
        (
            '{ name = "rectangle", width = 1.0 }',
            '{ name = "rectangle", seed = 3 }',
            "seed is not one of its parameters",
        ),
        ("detach_reset = false", 'detach_reset = "no"', "must be True or False"),
        ("detach_reset = false", "options = 4", "options must be a table"),
        ('question = "gradient"', 'question = "code"', "a claim asks code"),
        ('loss         = "spikemax"', 'loss = { name = "spikemax" }', "loss must be text"),
        ('kind         = "gradient"', 'kind = ["gradient"]', "kind must be one of"),
        ('kind         = "gradient"', "", "Is it a case? Then kind is missing"),
        ("width = 1.0", 'width = "1"', "surrogate rectangle: width must be a number"),
        ("width = 1.0", "width = true", "surrogate rectangle: width must be a number"),
        ("samples = 32", 'samples = "4"', "data: samples must be a whole number from 1"),
        ('source  = "digits"', "source = 4", "data: source must be text"),
        ('encoder = "current"', 'encoder = "loud"', "case.toml: --encoder must be one of"),
        ('unit     = "steps"', 'unit = "ms"', "truncated is measured in 'steps'"),
        ('measure  = "reset"', "measure = 4", "a claim: measure must be text"),
    ],
)
def test_a_case_that_cannot_be_is_said(old, new, words, tmp_path, capsys):
    case = tmp_path / "case.toml"
    text = (
        (ROOT / "validation" / "gradient" / "digits_srif.toml")
        .read_text("utf-8")
        .replace("../networks/digits_srif.toml", DIGITS)
    )
    assert old in text
    case.write_text(text.replace(old, new), "utf-8")
    assert main(["validate", str(case)]) == 2
    assert words in capsys.readouterr().err


def test_a_case_does_not_pass_over_what_another_check_found(tmp_path, capsys):
    """The rogue of a case: it claims that spikes agree, and that weights learn rightly, but nothing
    comes near threshold, so that no gradient is compared.
    """
    text = (ROOT / "validation" / "gradient" / "digits_srif.toml").read_text()
    claims = text.split("[[claim]]")
    chosen = [
        claim for claim in claims if 'measure  = "spikes"' in claim or 'measure  = "layer"' in claim
    ]
    for old, new in (
        ('"../networks/digits_srif.toml"', repr(DIGITS)),
        ("width = 1.0", "width = 1e-9"),
    ):
        claims[0] = claims[0].replace(old, new)
    path = tmp_path / "case.toml"
    path.write_text("[[claim]]".join([claims[0], *chosen]))
    assert main(["validate", str(path)]) == 3
    assert "inconclusive" in capsys.readouterr().out


def test_a_claim_that_does_not_apply_says_nothing(tmp_path, capsys):
    text = (
        (ROOT / "validation" / "gradient" / "digits_srif.toml")
        .read_text("utf-8")
        .replace("../networks/digits_srif.toml", DIGITS)
    )
    path = tmp_path / "case.toml"
    path.write_text(text.replace('measure  = "reset"', 'measure  = "recurrence"'), "utf-8")
    assert main(["validate", str(path)]) == 3
    assert "inconclusive recurrence" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--loss", "spikemin", "--surrogate", "arctangent"], "'spikemin' is not a declared loss"),
        (
            ["--loss", "spikemax,windows=3", "--surrogate", "arctangent"],
            "windows is not an option of spikemax",
        ),
        (
            ["--loss", "spikemax,window", "--surrogate", "arctangent"],
            "needs NAME or NAME,KEY=VALUE",
        ),
        (["--loss", "spikemax", "--surrogate", "arc"], "'arc' is not known"),
        (["--loss", "spikemax", "--surrogate", "arctangent,slope=steep"], "must be a number"),
        (
            [
                "--loss",
                "spikemax",
                "--surrogate",
                "triangle",
                "--surrogate",
                "triangle",
                "--surrogate",
                "triangle",
            ],
            "surrogate names 3 layers",
        ),
        (["--loss", "spikemax", "--surrogate", "triangle", "--skip", "all"], "all is not a check"),
        (["--loss", "spikemax", "--surrogate", "triangle", "--steps", "5"], "give --data FILE too"),
        (["--loss", "no.py:mine", "--surrogate", "triangle"], "there is no file no.py"),
        (
            [
                "--loss",
                "spikemax",
                "--surrogate",
                "triangle",
                "--dtype",
                "float64",
                "--device",
                "nowhere",
            ],
            "cannot be used here",
        ),
    ],
)
def test_what_cannot_be_is_said(given, words, capsys):
    assert main(["gradcheck", DIGITS, *given]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1


def test_inputs_and_modules_that_do_not_fit_are_refused():
    li = refsim.Network.dense([([[1.0, 2.0]], None, refsim.load("srif"))], "1 ms")
    for inputs, words in (
        (np.zeros((2, 3)), r"must be \(n_samples, n_steps, 2\)"),
        (np.full((1, 3, 2), np.nan), "NaN"),
    ):
        with pytest.raises(RefsimError, match=words):
            refsim.check_gradient(li, losses.spike_rate, inputs, surrogate="triangle")
    with pytest.raises(RefsimError, match=r"needs a torch\.nn\.Module or a refsim\.Network"):
        refsim.check_gradient("net", losses.spike_rate, surrogate="triangle")
    with pytest.raises(RefsimError, match="passes no gradient"):
        refsim.check_gradient(li, losses.spike_rate, surrogate=None)


def test_silence_is_inconclusive():
    far = refsim.Network.dense([([[1.0]], None, refsim.load("srif", v_th=100.0))], "1 ms")
    report = refsim.check_gradient(
        far, losses.spike_rate, np.zeros((1, 4, 1)), surrogate="rectangle"
    )
    assert report.status == "inconclusive"
    assert (
        refsim.check_gradient(
            far, losses.spike_rate, np.zeros((1, 4, 1)), surrogate="rectangle", skip={"used"}
        ).status
        == "inconclusive"
    )
    assert "bring membranes near threshold" in report.text().replace("\n" + " " * 44, " ")


def test_the_plugin_is_found_loads_nothing_heavy_and_judges(pytester):
    pytester.makepyfile(
        """
        import sys
        assert "torch" not in sys.modules and "brian2" not in sys.modules

        def test_right(refsim_check):
            import refsim
            from refsim.pytorch import losses
            found = refsim.check_loss(losses.spikemax, "spikemax")
            refsim_check(found)
            refsim_check(found[0])

        def test_wrong(refsim_check):
            import refsim
            from refsim.pytorch import losses
            doubled = lambda values, target: 2 * losses.spikemax(values, target)
            refsim_check(refsim.check_loss(doubled, "spikemax"))

        def test_reported(refsim_check):
            import refsim
            from refsim.gradients.bias import case_network
            refsim_check(refsim.surrogate_bias(*case_network(5, 0)))

        def test_nothing(refsim_check):
            refsim_check([])
        """
    )
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    ran.assert_outcomes(passed=2, failed=2)
    ran.stdout.fnmatch_lines(
        [
            "*refsim: fail*",
            "*needs what a check of refsim returns*",
            "*reported, not judged*",
            "*test_reported: surrogate_bias W1 = *",
        ]
    )


def test_importing_the_plugin_imports_neither_torch_nor_brian2():
    code = (
        "import sys, refsim.pytest_plugin; sys.exit(bool({'torch', 'brian2', 'scipy'} & "
        "set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
