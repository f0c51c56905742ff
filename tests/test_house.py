"""The house: imports go one way, files stay small, shelves are data, README examples run."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refsim
import refsim.checks

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "refsim").rglob("*.py"))

# Each room may import from itself and from rooms further up. `commands` and `__main__` are last.
ORDER = [
    ["errors", "_version"],
    ["outside", "shelf", "units", "progress", "arrays", "philox", "tables", "whole"],
    ["spikes", "spike_times", "connection"],
    ["model"],
    ["network"],
    ["drive"],
    ["data", "recording"],
    ["axes"],
    ["rasters"],
    ["engines"],
    ["pytorch"],
    ["distances", "gradients"],
    ["rounding"],
    ["claims", "style"],
    ["experiments", "writing"],
    ["checks"],
    ["questions"],
    ["report"],
    ["commands"],
    ["__main__", "pytest_plugin", "__init__"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def room_of(path):
    first = path.relative_to(ROOT / "refsim").parts[0]
    return first.removesuffix(".py")


def imported_rooms(path):
    """Rooms of refsim that a file imports, at its top or inside a function."""
    package = ["refsim", *path.relative_to(ROOT / "refsim").parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = [*base, *(node.module.split(".") if node.module else [])]
            if len(target) > 1:
                yield target[1]
            else:
                yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
            assert not any(name.split(".")[0] == "refsim" for name in names), (
                f"{path}: refsim imports itself by relative names"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    here = room_of(path)
    for target in imported_rooms(path):
        if here != "__init__" and target != here:
            assert RANK[target] < RANK[here], f"{here} may not import {target}"


@pytest.mark.parametrize(
    "path",
    [
        *SOURCES,
        *(ROOT / "tests").glob("*.py"),
        *(ROOT / "examples").glob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_are_small(path):
    assert len(path.read_text("utf-8").splitlines()) <= 500


def test_only_the_torch_room_imports_torch_and_only_the_session_touches_brian2():
    for path in SOURCES:
        text = path.read_text("utf-8")
        if "pytorch" not in path.parts:
            assert not re.search(r"^\s*(import|from) torch\b", text, re.M), path
        # A script of Brian2 sets its own preferences when its user runs it.
        if "writing" in path.parts:
            assert not re.search(r"^\s*(import|from) brian2\b", text, re.M), path
        elif path.name != "session.py":
            assert not re.search(r"prefs|defaultclock\.dt =|set_device|reset_device", text), path


def test_the_shelves_hold_data_only():
    for shelf in ("equations", "validation"):
        assert {path.suffix for path in (ROOT / shelf).rglob("*") if path.is_file()} <= {
            ".toml",
            ".pt",
            ".md",
        }


def test_every_card_is_run_by_a_test():
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("*.py"))
    assert not [
        path.stem for path in (ROOT / "equations").glob("*.toml") if f'"{path.stem}"' not in tests
    ]


def test_nothing_is_named_torch_or_utils():
    assert not [
        path
        for path in (ROOT / "refsim").rglob("*")
        if path.stem in ("torch", "utils", "helpers", "misc")
    ]


def test_every_module_says_what_it_is_for():
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path


def test_every_package_is_shipped():
    config = (ROOT / "setup.cfg").read_text("utf-8")
    packages = {
        "refsim." + ".".join(path.parent.relative_to(ROOT / "refsim").parts)
        for path in SOURCES
        if path.name == "__init__.py" and path.parent.name != "refsim"
    }
    assert all(f"    {package}\n" in config for package in packages)
    kinds = {
        path.suffix
        for path in (ROOT / "refsim").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert kinds == {".cpp", ".html"}  # both under package_data in setup.cfg


@pytest.mark.parametrize("index", range(6))
def test_the_examples_of_the_readme_run(index, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) == 6
    code = blocks[0] + (blocks[index] if index else "")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if index == 3:
        lines = dict(line.split() for line in done.stdout.splitlines()[-10:])
        assert lines == dict.fromkeys(set(refsim.checks.STEP_CHECKS), "pass") | {
            "comparison": "fail",
            "trains": "skipped",
        }
    elif index == 5:
        assert done.stdout.splitlines()[-1] == "fail ['reset']"
    else:
        assert "pass" in done.stdout.splitlines()[-1]


def test_ci_runs_what_the_readme_names():
    readme, script = (
        (ROOT / "README.md").read_text("utf-8"),
        (ROOT / ".ci" / "run").read_text("utf-8"),
    )
    assert "make test" in readme
    assert "make test" in script
    assert set(re.findall(r"^make (\w+)", script, re.M)) <= {"test", "lint"}
