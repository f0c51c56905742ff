"""report.json and report.html are one.

A run that is killed at any instant leaves the old two or the new two.
"""

import json
import os
import sys

import numpy as np
import pytest
from conftest import small_network

import refsim
from refsim import Discrete, Drive, RefsimError
from refsim.report import pair
from refsim.report.pair import write_pair

NAMES = ("report.json", "report.html")
# What changes a folder; each is announced before it is done.
EVENTS = ("open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.chmod")


def texts(word):
    return {name: f"{word} {name}" for name in NAMES}


def seen(folder):
    """Return the first word of each file, None where there is none."""
    return tuple(
        (folder / name).read_text().split()[0] if (folder / name).exists() else None
        for name in NAMES
    )


def in_turn(folder, content):
    """The rogue: one file after the other, as it was done."""
    for name, text in content.items():
        (folder / name).write_text(text)


def killed_at(number, write, folder):
    """Write in a process of its own that ends, as by a kill, before its n-th change.

    Return whether it was done before.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = [number]

    def hook(event, _arguments):
        if event in EVENTS:
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)

    sys.addaudithook(hook)
    write(folder, texts("new"))
    os._exit(0)


def instants(write, make):
    """Return what is seen after a kill at each instant, and the number of instants."""
    found = set()
    for number in range(1, 200):
        folder = make(number)
        done = killed_at(number, write, folder)
        found.add(seen(folder))
        if done:
            return found, number
    raise AssertionError("it never ends")


def old_files(tmp_path):
    def make(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        in_turn(folder, texts("old"))
        return folder

    return make


def old_pair(tmp_path):
    def make(number):
        folder = tmp_path / str(number)
        write_pair(folder, texts("old"))
        return folder

    return make


def nothing(tmp_path):
    def make(number):
        (tmp_path / str(number)).mkdir()
        return tmp_path / str(number)

    return make


@pytest.mark.parametrize("make", [old_files, old_pair])
def test_a_kill_leaves_the_old_two_or_the_new_two(make, tmp_path):
    found, number = instants(write_pair, make(tmp_path))
    assert found == {("old", "old"), ("new", "new")}
    assert number > 8


def test_a_kill_of_the_first_report_leaves_both_or_none(tmp_path):
    assert instants(write_pair, nothing(tmp_path))[0] == {(None, None), ("new", "new")}


def test_files_written_in_turn_are_caught(tmp_path):
    assert ("new", "old") in instants(in_turn, old_files(tmp_path))[0]


def test_what_a_kill_left_is_swept_and_what_is_not_ours_stays(tmp_path):
    write_pair(tmp_path, texts("old"))
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / ".report-notes").mkdir()
    (tmp_path / ".report-notes" / "mine.txt").write_text("mine")
    for number in range(1, 12):
        killed_at(number, write_pair, tmp_path)
    write_pair(tmp_path, texts("new"))
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert seen(tmp_path) == ("new", "new")
    assert [name for name in kept if not name.startswith(".report-")] == [
        ".report",
        "mine.txt",
        "report.html",
        "report.json",
    ]
    assert len(kept) == 6
    assert (tmp_path / ".report-notes" / "mine.txt").read_text() == "mine"


def test_links_of_the_users_own_are_not_written_through(tmp_path):
    (tmp_path / "elsewhere.json").write_text("mine")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "report.json").symlink_to(tmp_path / "elsewhere.json")
    write_pair(tmp_path / "to", texts("new"))
    assert seen(tmp_path / "to") == ("new", "new")
    assert (tmp_path / "elsewhere.json").read_text() == "mine"


def test_a_file_system_without_links_never_shows_two_of_different_runs(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(pair.os, "symlink", none)
    found, _ = instants(write_pair, old_files(tmp_path))
    assert found == {("old", "old"), ("old", None), ("new", None), ("new", "new")}


def test_a_failure_changes_nothing(tmp_path):
    write_pair(tmp_path, texts("old"))
    with pytest.raises(UnicodeEncodeError):
        write_pair(tmp_path, {"report.json": "new", "report.html": "\udc80"})
    assert seen(tmp_path) == ("old", "old")
    assert len(list(tmp_path.glob(".report-*"))) == 1
    (tmp_path / "stuck" / "report.html").mkdir(parents=True)
    with pytest.raises(OSError, match=r"report\.html in it is a folder"):
        write_pair(tmp_path / "stuck", texts("new"))


@pytest.fixture
def compared(rng):
    network, drive = (
        small_network(rng, "lif", sizes=(5, 3)),
        Drive.current(rng.random((2, 9, 5)), "1 ms"),
    )
    return refsim.compare(Discrete().run(network, drive), Discrete().run(network, drive))


def test_both_carry_one_id_that_tells_reports_apart(compared, tmp_path, rng):
    compared.save(tmp_path)
    known = json.loads((tmp_path / "report.json").read_text())["id"]
    assert (
        f'<meta name="refsim-report" content="{known}">' in (tmp_path / "report.html").read_text()
    )
    network, drive = (
        small_network(rng, "lif", sizes=(5, 3)),
        Drive.current(rng.random((2, 9, 5)), "1 ms"),
    )
    other = refsim.compare(Discrete().run(network, drive), Discrete().run(network, drive))
    assert other.as_dict()["id"] != known
    assert compared.as_dict()["id"] == known


def test_what_is_no_number_is_saved_and_named(compared, tmp_path):
    claims = compared.findings.verdicts
    strange = refsim.core.claims.Verdict(
        claims[0].claim,
        float("nan"),
        "fail",
        facts={"membranes": np.array([1.0, -np.inf]), "far": np.float64("nan")},
    )
    object.__setattr__(compared.findings, "verdicts", (*claims, strange))
    compared.save(tmp_path)
    found = json.loads(
        (tmp_path / "report.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    row = f"claims[{len(claims)}]"
    assert found["not_finite"] == {
        f"{row}.value": "NaN",
        f"{row}.membranes[1]": "-infinity",
        f"{row}.far": "NaN",
    }
    assert found["claims"][-1]["membranes"] == [1.0, None]
    assert "nan" in (tmp_path / "report.html").read_text()


def test_a_folder_that_is_a_file_is_named(compared, tmp_path):
    (tmp_path / "report").write_text("")
    with pytest.raises(RefsimError, match="the report cannot be written to .*report"):
        compared.save(tmp_path / "report")
