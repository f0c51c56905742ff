"""The house: imports go one way, shelves are data, the map is current, the README's blocks run."""

import ast
import graphlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refsim
import refsim.checks

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "refsim").rglob("*.py"))
sys.path.insert(0, str(ROOT / "docs"))
import house  # noqa: E402 - the script that draws the map, which lies beside the map

# What stands above all rooms: the public names, the command, the plugin. Below them: the version.
ROOF, BASEMENT = {"", "__main__", "pytest_plugin"}, {"_version"}
# Two public names that are modules: the reader of any trained network, and a room's own package.
BESIDE = {"bridge": "modules"}
STOREY = {room: level for level, storey in enumerate(house.STOREYS) for room in storey}


def storey_of(module):
    room = module.split(".")[0]
    if module in ROOF:
        return len(house.STOREYS)
    return -1 if module in BASEMENT else STOREY[BESIDE.get(room, room)]


def upward(graph):
    """Imports that lead up the house, or across it to another room on the same storey."""
    for module, targets in graph.items():
        for target in targets:
            same_room = module.split(".")[0] == target.split(".")[0]
            beside = BESIDE.get(module) == target.split(".")[0]
            if not (same_room or beside) and storey_of(target) >= storey_of(module):
                yield module, target


def test_imports_go_one_way():
    assert not list(upward(house.imports()))


def test_no_module_imports_itself_in_a_circle():
    """Not at its top, nor inside a function, nor for its types alone; packages hand names on."""
    packages = {name for name, path in house.modules().items() if path.name == "__init__.py"}
    graph = {name: targets for name, targets in house.imports().items() if name not in packages}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(graph)


def test_any_module_can_be_the_first_that_is_imported():
    """A worker far away starts at one of them, and a package runs before what lies in it."""
    order = graphlib.TopologicalSorter(house.run_at_import())
    assert len(list(order.static_order())) >= len(house.modules())


def test_a_module_that_its_package_needs_before_it_is_ready_is_seen():
    """As the cluster was, when it lay beside the package of Brian2, whose engine imports it."""
    graph = house.run_at_import()
    graph["engines.cluster"] = {"engines.brian", "engines.brian.run"}
    graph["engines.brian.engine"] = graph["engines.brian.engine"] | {"engines.cluster"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("module", "target"), [("core.units", "report.text"), ("cards.ode", "judge")]
)
def test_an_import_that_leads_up_is_seen(module, target):
    graph = house.imports()
    graph[module] = graph[module] | {target}
    assert list(upward(graph)) == [(module, target)]


def test_a_circle_of_lazy_imports_is_seen():
    graph = house.imports()
    below = next(iter(graph["judge.replay"] - {"judge"}))
    graph[below] = graph[below] | {"judge.replay"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph).prepare()


def test_refsim_imports_itself_by_relative_names():
    """The graph above is read from relative imports, so that no other may hide from it."""
    absolute = re.compile(r"^\s*(?:from refsim[. ]|import refsim\b)", re.M)
    for path in SOURCES:
        code = ast.parse(path.read_text("utf-8"))
        lines = [ast.unparse(node) for node in ast.walk(code) if isinstance(node, ast.stmt)]
        found = [line for line in lines if absolute.match(line) and "\n" not in line]
        assert not found, path


def test_the_map_of_the_house_is_current():
    drawn = (ROOT / "docs" / "house.svg").read_text("utf-8")
    assert drawn == house.picture(), "python docs/house.py draws it anew"
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert page.endswith(house.listing()), "python docs/house.py writes it anew"
    told = re.findall(r"^### `refsim/(\w+)/`", page, re.M)
    assert sorted(told) == sorted(STOREY), "a paragraph a room in docs/architecture.md"


@pytest.mark.parametrize(
    "words",
    [
        "import refsim",
        "import refsim.__main__ as m; m.main(['--help'])",
        "import refsim.__main__ as m; m.main(['models'])",
        "import refsim.__main__ as m; m.main(['show', 'lif'])",
    ],
)
def test_what_a_reader_asks_first_loads_neither_torch_nor_brian2(words, tmp_path):
    code = (
        "import sys\n"
        f"try:\n    {words}\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(sorted({'torch', 'brian2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_only_the_session_touches_the_state_of_brian2():
    for path in SOURCES:
        text = path.read_text("utf-8")
        if "export" in path.parts:  # a script of Brian2 sets its own preferences when it is run
            assert not re.search(r"^\s*(import|from) brian2\b", text, re.M), path
        elif path.name != "session.py":
            state = r"prefs|defaultclock\.dt =|set_device|reset_device"
            assert not re.search(state, text), path


def test_the_shelves_hold_data_only():
    for shelf in ("equations", "validation"):
        files = [path for path in (ROOT / shelf).rglob("*") if path.is_file()]
        assert files
        assert {path.suffix for path in files} <= {".toml", ".pt", ".md"}


def test_nothing_is_named_torch_or_utils():
    banned = ("torch", "utils", "helpers", "misc")
    assert not [path for path in (ROOT / "refsim").rglob("*") if path.stem in banned]


def test_every_package_is_shipped():
    config = (ROOT / "setup.cfg").read_text("utf-8")
    listed = re.search(r"^packages =\n((?:    \S+\n)+)", config, re.M).group(1).split()
    folders = {path.parent for path in SOURCES if path.name == "__init__.py"}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(listed) == packages | {"refsim.equations", "refsim.validation"}
    kinds = {path.suffix for path in (ROOT / "refsim").rglob("*") if path.is_file()}
    assert kinds - {".py", ".pyc"} == {".cpp", ".html"}  # both are package_data in setup.cfg


def test_the_examples_of_the_readme_run(tmp_path):
    """All blocks in one process, each with the names of the first, as a reader would try them."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) == 6
    run = (
        "import contextlib, io, json, sys\n"
        "answers, first = [], {}\n"
        "for index, block in enumerate(json.load(sys.stdin)):\n"
        "    names = dict(first, __name__='block')\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        exec(compile(block, f'README block {index}', 'exec'), names)\n"
        "    first = first or names\n"
        "    answers.append(said.getvalue())\n"
        "print(json.dumps(answers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        input=json.dumps(blocks),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [answer.splitlines() for answer in json.loads(done.stdout.splitlines()[-1])]
    checked = dict(line.split() for line in answers[3][-10:])
    wanted = dict.fromkeys(set(refsim.checks.STEP_CHECKS), "pass")
    assert checked == wanted | {"comparison": "fail", "trains": "skipped"}
    assert answers[5][-1] == "fail ['reset']"
    for index in (0, 1, 2, 4):
        assert re.search(r"\bpass\b", answers[index][-1]), answers[index]


def test_ci_runs_what_the_readme_names():
    readme = (ROOT / "README.md").read_text("utf-8")
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    called = set(re.findall(r"^make (\w+)", script, re.M))
    assert called == {"test", "lint"}
    assert all(f"make {target}" in readme for target in called)
