"""Versions: what Brian2 owns stays with Brian2, each Python has its pins, and a difference between
two Pythons is named.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import small_network

import refsim
from benchmarks import across_versions
from refsim import Brian2, Discrete, Drive
from refsim.engines.brian import numpy_run as runtime
from refsim.engines.brian import session, synapses

ROOT = Path(__file__).resolve().parents[1]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
BOTH = ("before_reset", "after_reset")
ENGINES = [Brian2(target="numpy"), Brian2(target="numpy", connections="synapses")]
PINNED = ("torch", "brian2", "numpy", "scipy", "matplotlib", "sympy")


def window(monitor):
    """Return what a monitor recorded as Brian2 hands it out.

    A view of its memory, in some releases of freed memory.
    """
    return {key: np.asarray(getattr(monitor, f"{key}_")).T for key in monitor.record_variables}


def spoil(monkeypatch, take):
    """Overwrite each monitor's memory once it was read.

    What freed memory does now and then, always.
    """

    def taken(monitor):
        found = take(monitor)
        for key in monitor.record_variables:
            monitor.variables[key].get_value()[...] = np.nan
        return found

    for module in (runtime, synapses):
        monkeypatch.setattr(module, "recorded_traces", taken)


@pytest.mark.parametrize("engine", ENGINES, ids=["product", "synapses"])
def test_membranes_are_not_in_brian2s_memory(engine, rng, monkeypatch):
    network = small_network(rng, "srif")
    drive = Drive.current(rng.random((3, 40, 12)), "1 ms")
    declared = Discrete().run(network, drive, BOTH)

    def equal():
        found = engine.run(network, drive, BOTH)
        return all(
            np.array_equal(a[name], b[name])
            for a, b in zip(found.traces, declared.traces, strict=True)
            for name in BOTH
        )

    spoil(monkeypatch, session.recorded_traces)
    assert equal()
    spoil(monkeypatch, window)
    assert not equal()


def test_run_after_run_records_the_same_membranes(rng):
    network = small_network(rng, "srif")
    drive = Drive.current(rng.random((3, 40, 12)), "1 ms")
    runs = [Brian2(target="numpy").run(network, drive, BOTH) for _ in range(3)]
    for run in runs[1:]:
        assert all(
            np.array_equal(a[name], b[name])
            for a, b in zip(run.traces, runs[0].traces, strict=True)
            for name in BOTH
        )


# --- pins ---


def pins(minor):
    """Return the version of each package that constraints.txt pins for Python 3.x."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        row = re.fullmatch(r'([a-z0-9-]+)==([\w.]+)(?:; python_version (==|>=) "3\.(\d+)")?', line)
        assert row or not line or line.startswith("#"), line
        if row and (
            row[4] is None or (int(row[4]) == minor if row[3] == "==" else minor >= int(row[4]))
        ):
            assert row[1] not in found, f"{row[1]} is pinned twice for Python 3.{minor}"
            found[row[1]] = row[2]
    return found


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_every_python_has_one_set(minor):
    assert set(PINNED) <= set(pins(minor))


def test_brian2_is_the_release_of_its_python():
    assert [pins(minor)["brian2"].rpartition(".")[0] for minor in (11, 12, 13)] == [
        "2.9",
        "2.10",
        "2.11",
    ]


# --- what is held between the Pythons ---

TABLE = {
    "spikes": {"srif, NumPy, layer 0": "3 spikes, abc"},
    "reports": {
        "digits": {
            "verdict": "pass",
            "runs": [{"versions": {"numpy": "2.3.5"}, "python": "3.11.7", "n": 3}],
        }
    },
}


def altered(*path, to):
    table = json.loads(json.dumps(TABLE))
    here = table
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = to
    return table


@pytest.mark.parametrize(
    ("path", "to", "named"),
    [
        (("spikes", "srif, NumPy, layer 0"), "4 spikes, abd", "srif, NumPy, layer 0"),
        (("reports", "digits", "verdict"), "fail", "digits/verdict"),
        (("reports", "digits", "runs", 0, "n"), 3.0, "runs/0/n"),
        (("reports", "digits", "runs", 0, "more"), None, "runs/0/more"),
        (("reports", "digits", "runs"), [], "runs/0/n"),
        (("reports", "digits", "runs", 0, "versions", "numpy"), "2.5.5", None),
        (("reports", "digits", "runs", 0, "python"), "3.13.0", None),
    ],
)
def test_a_difference_is_named_and_another_version_is_none(path, to, named, tmp_path, capsys):
    files = [tmp_path / "python-3.11.json", tmp_path / "python-3.13.json"]
    for file, table in zip(files, (TABLE, altered(*path, to=to)), strict=True):
        file.write_text(json.dumps(table))
    assert across_versions.main(["compare", *map(str, files)]) == (1 if named else 0)
    said = capsys.readouterr().out
    assert named in said if named else "equal" in said


def test_one_file_is_nothing_to_compare(tmp_path):
    file = tmp_path / "python-3.11.json"
    file.write_text(json.dumps(TABLE))
    assert across_versions.main(["compare", str(file)]) == 2


def test_cards_are_run_in_every_engine_and_their_spikes_told_apart():
    found = across_versions.spikes(
        [refsim.load("srif"), refsim.load("lif", tau=3.0)], compiled=False
    )
    assert {name.split(", ")[1] for name in found} == {"Discrete", "NumPy", "PyTorch"}
    assert len(set(found.values())) == 4  # two cards, two layers; the same in every engine
    assert not any(told.startswith("0 ") for told in found.values())


def test_the_failing_report_fails():
    assert across_versions.failing().verdict == "fail"


@pytest.fixture
def make(tmp_path):
    """Return what `make -n` would do in a folder that has a .venv of the Python of this session."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (
        "setup.cfg",
        "pyproject.toml",
        "constraints.txt",
        f".venv/bin/python{VERSION}",
        ".venv/bin/python",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    told = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "VENV")
    }

    def run(*arguments):
        return subprocess.run(
            ["make", "-n", *arguments],
            cwd=tmp_path,
            env=told,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return run


def test_a_python_that_is_named_has_an_environment_of_its_own(make, tmp_path):
    assert "1 .venv/bin/python -m pytest" in make("test")
    assert "1 .venv/bin/python -m pytest" in make("test", f"PYTHON={sys.executable}")
    (tmp_path / f".venv/bin/python{VERSION}").rename(tmp_path / ".venv/bin/python3.99")
    assert f"1 .venv-{VERSION}/bin/python -m pytest" in make("test", f"PYTHON={sys.executable}")
    # And so is made by no other Python.
    assert "1 .venv-python9/bin/python -m pytest" in make("test", "PYTHON=python9")
