"""The command line, as a user meets it."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import CASE
from torch import nn

from refsim.__main__ import main
from refsim.core.shelf import shelf
from refsim.engines.brian import cache
from refsim.engines.brian import compile as standalone
from refsim.engines.brian.cache import mark
from refsim.pytorch import SRIF

CASES = sorted(
    path
    for path in shelf("validation").rglob("*.toml")
    if "kind " in path.read_text() and path.stem != "digits"
)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A small network with its description and data, in the current folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(5, 8), SRIF(), nn.Linear(8, 3), SRIF())
    torch.save(module.state_dict(), "net.pt")
    (tmp_path / "net.toml").write_text(
        'dt = "1 ms"\nweights = "net.pt"\n[[layer]]\nlinear = 0\nneuron = '
        '"srif"\n[[layer]]\nlinear = 2\nneuron = "srif"\n'
    )
    rng = np.random.default_rng(0)
    np.savez("x.npz", x=rng.random((9, 5)), y=rng.integers(0, 3, 9))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["models"],
        ["show", "srif"],
        ["show", "srif", "--latex"],
        ["show", "srif", "--brian2"],
    ],
)
def test_light_commands_load_neither_brian2_nor_torch(arguments):
    code = (
        f"import sys; from refsim.__main__ import main\ntry: main({arguments!r})\nexcept "
        f"SystemExit: pass\nprint(sorted({{'torch', 'brian2', 'matplotlib', 'scipy'}} & "
        "set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_import_loads_neither_brian2_nor_torch():
    code = "import sys, refsim; print({'torch', 'brian2', 'numpy'} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )


def test_every_public_name_is_there():
    import refsim

    assert set(refsim.__all__) - {"__version__"} == set(refsim._HOME)
    for name in refsim.__all__:
        assert getattr(refsim, name) is not None
    with pytest.raises(AttributeError):
        refsim.nothing  # noqa: B018


def test_the_cache_is_listed_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "own"))
    (tmp_path / "own").mkdir(mode=0o700)
    mark(tmp_path / "own")
    a, b = (f"refsim-{letter * 32}" for letter in "ab")
    for name, age in ((a, 100), (b, 50)):
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}" + " " * 998)
        os.utime(folder, (time.time() - age, time.time() - age))
    assert main(["cache", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "own")
    assert main(["cache", "list"]) == 0
    assert "2 compiled networks, 0.0 MB" in capsys.readouterr().out
    cache.keep_small(largest=1500)
    # The least recently used goes first.
    assert [program.folder.name for program in cache.programs()] == [b]
    assert main(["cache", "clear"]) == 0
    assert "removed 1 compiled network\n" in capsys.readouterr().out
    assert not list((tmp_path / "own").iterdir())


def test_models_keeps_a_line_a_neuron_on_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    names = {path.stem for path in shelf("equations").glob("*.toml")}
    assert {line.split()[0] for line in lines if line.startswith("  ")} == names  # one line each
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["models"]) == 0
    assert "..." not in capsys.readouterr().out


def test_models_and_show(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in ("if", "lif", "lif_decay", "srif", "srif_mpr"))
    assert main(["show", "srif"]) == 0
    assert "z = v >= v_th" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "engine", "spikes"),
    [("srif", "brian2", 3), ("if", "brian2", 4), ("srif", "torch", 3), ("if", "discrete", 4)],
)
def test_run_shows_the_papers_example(model, engine, spikes, capsys):
    assert (
        main(
            ["run", model, "--values", "1.5,1.2,1.5,0.9,1.4", "--times", "v_th", "--engine", engine]
        )
        == 0
    )
    assert f"{spikes} spikes in 5 steps" in capsys.readouterr().out


def test_run_writes_what_it_shows(tmp_path, capsys):
    names = [str(tmp_path / name) for name in ("run.csv", "run.npz", "run.png")]
    assert (
        main(
            [
                "run",
                "lif",
                "--constant",
                "0.7",
                "--steps",
                "60",
                "--set",
                "tau=5",
                "--fine",
                "4",
                *(part for name in names for part in ("--out", name)),
            ]
        )
        == 0
    )
    table = np.genfromtxt(names[0], delimiter=",", names=True)
    with np.load(names[1]) as saved:
        assert all(np.array_equal(table[key], saved[key]) for key in saved)
    assert len(table) == 240
    assert (tmp_path / "run.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "200 more; --out FILE.csv" in capsys.readouterr().out


@pytest.mark.parametrize("drive", [["--noise", "0.3,0.2"], ["--bernoulli", "0.4,0.3"]])
def test_drawn_input_is_seeded(drive, capsys):
    for seed in ("1", "1", "2"):
        assert main(["run", "srif", *drive, "--seed", seed, "--steps", "12"]) == 0
    rows = capsys.readouterr().out.split("srif, ")
    assert rows[1] == rows[2] != rows[3]


def test_validate_from_weights_description_and_data(trained, capsys):
    assert (
        main(
            [
                "validate",
                "net.pt",
                "--data",
                "x.npz",
                "--steps",
                "12",
                "--fine",
                "2",
                "--report",
                "out",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert out.startswith(
        "PASS. The same network: PyTorch float64 and PyTorch float32 fire exactly"
    )
    assert max(map(len, out.splitlines())) <= 80
    assert {path.name for path in (trained / "out").iterdir() if path.name[0] != "."} == {
        "report.html",
        "report.json",
    }
    assert (
        main(
            [
                "validate",
                "net.toml",
                "--data",
                "x.npz",
                "--steps",
                "12",
                "--encoder",
                "bernoulli",
                "--engine",
                "discrete",
                "brian2",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert [run["label"] for run in found["runs"]] == [
        "Brian2 grid float64",
        "Discrete float64",
        "Brian2 grid float32",
    ]


def test_exit_codes_of_a_case(trained, capsys):
    for spikes, code in ((1, 0), (0, 1)):
        (trained / "case.toml").write_text(CASE % spikes)
        assert main(["validate", "case.toml"]) == code
    (trained / "case.toml").write_text((CASE % 1).replace("limit = 0\n", ""))
    assert main(["validate", "case.toml"]) == 3  # nothing was judged
    assert "nothing was run that could pass or fail" in capsys.readouterr().out


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_case_on_the_shelf_passes(path, capsys):
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out.startswith("PASS. It holds: ")


WRONG = {
    "no data": (["net.pt"], "no data is given"),
    "no file": (["none.pt", "--data", "x.npz"], "there is no such file"),
    "no description": (["other.pt", "--data", "x.npz"], "there is no description other.toml"),
    "data of another width": (
        ["net.pt", "--data", "digits", "--steps", "3"],
        "the drive has 64 inputs, but the network takes 5",
    ),
    "no steps": (["net.pt", "--data", "x.npz"], "--steps T"),
    "zero steps": (
        ["net.pt", "--data", "x.npz", "--steps", "0"],
        "n_steps must be a whole number of 1 or more",
    ),
    "unknown encoder": (
        ["net.pt", "--data", "x.npz", "--steps", "3", "--encoder", "rate"],
        "--encoder must be one of",
    ),
    "too many samples": (
        ["net.pt", "--data", "x.npz", "--steps", "3", "--samples", "99"],
        "has 9 samples; 99 were asked for",
    ),
    "no device": (
        ["net.pt", "--data", "x.npz", "--steps", "3", "--device", "cuda:7"],
        "device 'cuda:7' cannot be used here",
    ),
    "no refinement": (
        ["net.pt", "--data", "x.npz", "--steps", "3", "--fine", "0"],
        "refine must be a whole number from 1",
    ),
    "missing labels": (
        ["net.pt", "--data", "x.npz", "--labels", "y.npy", "--steps", "3"],
        "there is no such file",
    ),
    "bad scale": (
        ["net.pt", "--data", "x.npz", "--scale", "0", "--steps", "3"],
        "--scale must be a number above 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_one_sentence_and_exit_code_2(name, trained, capsys):
    (trained / "other.pt").write_bytes((trained / "net.pt").read_bytes())
    arguments, says = WRONG[name]
    assert main(["validate", *arguments]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["srif"], "say what the neuron gets"),
        (["srif", "--values", "a,b"], "needs a number, such as '0.5', but 'a' was given"),
        (["srif", "--values", ","], "needs numbers parted by commas"),
        (["srif", "--values", "1,2", "--steps", "3"], "--values gives 2 steps, but --steps is 3"),
        (["srif", "--constant", "1", "--set", "v_th"], "needs NAME=VALUE"),
        (["srif", "--constant", "1", "--times", "tau"], "has no parameter 'tau'"),
        (["srif", "--constant", "1", "--out", "x.pdf"], "must end in .csv, .npz or .png"),
        (["srif", "--constant", "1", "--out", "no/x.csv"], "cannot be written"),
        (
            ["srif", "--constant", "1", "--fine", "2", "--engine", "torch"],
            "only --engine brian2 does",
        ),
        (["nope", "--constant", "1"], "no card is named 'nope'"),
    ],
)
def test_run_explains_wrong_usage(arguments, says, capsys):
    assert main(["run", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_demo(tmp_path, capsys, monkeypatch):
    """`make demo`: the second run compiles nothing."""
    assert main(["validate", "--report", str(tmp_path)]) == 0
    monkeypatch.setattr(standalone, "_compile", lambda *_: pytest.fail("compiled again"))
    assert main(["validate", "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out[out.index("{") :])
    code = [row for row in found["claims"] if row["question"] == "code"]
    assert [
        (row["run"], row["value"], row["status"])
        for row in code
        if row["measure"] == "mismatched spikes"
    ] == [
        ("PyTorch float64", 0, "pass"),
        ("PyTorch float32", 0, "pass"),
        ("Discrete float64", 0, "pass"),
    ]
    assert all(row["margin"] == 2.0**-17 for row in code if row["measure"] == "mismatched spikes")
    assert next(row["value"] for row in found["claims"] if row["measure"] == "accuracy") >= 0.96
    assert len([row for row in found["claims"] if row["measure"] == "displacement of spikes"]) == 3


def test_the_reader_of_a_pipe_may_leave_without_changing_the_verdict(trained):
    (trained / "case.toml").write_text(CASE % 0)
    command = f"{sys.executable} -m refsim validate case.toml | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--samples", "0"], "0 were asked for"),
        (
            ["--engine", "brian2", "--dtype", "float64"],
            "--engine brian2 goes on trial in float32, not in float64",
        ),
        (["--encoder", "bernoulli", "--seed", "-1"], "seed must be a whole number of 0 or more"),
        (["--device", "meta"], "device 'meta' cannot be used here"),
        (["--labels", "y.npy"], "labels reach from 0 to 7, but the network has 3 outputs"),
    ],
)
def test_no_option_is_silently_ignored(arguments, says, trained, capsys):
    np.save("y.npy", np.array([0, 1, 2, 7, 0, 1, 2, 0, 1]))
    assert main(["validate", "net.pt", "--data", "x.npz", "--steps", "5", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_no_memory_is_one_sentence(error, monkeypatch, capsys):
    """A limit on addresses (ulimit -v, a batch system) is often met by a thread's stack first."""

    def fail(*_):
        raise error

    monkeypatch.setattr("refsim.commands.models.execute", fail)
    assert main(["models"]) == 2
    assert capsys.readouterr().err == (
        "refsim: this run needs more memory than there is; give fewer samples, steps or values.\n"
    )
