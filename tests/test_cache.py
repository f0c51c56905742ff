"""The folder of compiled programs.

Its owner's alone, whole or made anew, and never taken from under a run.
"""

import json
import os
import subprocess
import sys

import pytest
from apart import in_namespace, left, programs, python
from conftest import mismatches, small_network

from refsim import Brian2, Drive, RefsimError
from refsim.__main__ import main
from refsim.engines.brian import cache, children
from refsim.engines.brian import cache as folder
from refsim.engines.brian import compile as standalone

CPP = Brian2(target="cpp")


# --- whose it is ---


def test_the_folder_is_its_owners_alone(tmp_path, monkeypatch, caplog):
    old = os.umask(0)
    try:
        monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "new"))
        assert folder.cache_folder().stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(old)
    (tmp_path / "new").chmod(0o755)
    assert folder.cache_folder().stat().st_mode & 0o777 == 0o700
    assert "could be read by other users (mode 755); it is now yours alone" in caplog.text


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_refused(mode, place, capsys):
    (place / "cache").mkdir()
    (place / "cache").chmod(mode)
    assert main(["cache", "list"]) == 2
    assert f"can be written by other users (mode {mode:o})" in capsys.readouterr().err


def test_a_folder_of_another_user_is_refused(place, monkeypatch):
    (place / "cache").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: (place / "cache").stat().st_uid + 1)
    with pytest.raises(RefsimError, match="belongs to another user"):
        folder.cache_folder()


def test_a_home_that_is_read_only_costs_nothing(place):
    home = place / "home"
    home.mkdir()
    behind = in_namespace(f"mount --bind {home} {home}; mount -o remount,ro,bind {home}")
    done = python(before=behind, HOME=str(home), REFSIM_CACHE="", XDG_CACHE_HOME="")
    assert done.returncode == 0, done.stderr
    (made,) = left(place)
    assert made.name == f"refsim-cache-{os.geteuid()}"
    assert made.stat().st_mode & 0o777 == 0o700
    assert len(list(made.glob("*/main"))) == 1
    # One that was asked for is not replaced silently.
    named = python(before=behind, REFSIM_CACHE=str(home / "own"))
    assert (named.returncode, named.stderr.count("\n")) == (2, 1)
    assert (
        "cannot be made (Read-only file system). Name a folder of your own in REFSIM_CACHE."
        in named.stderr
    )


def test_no_home_and_a_link_among_the_temporary_files(place, monkeypatch):
    monkeypatch.delenv("REFSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "file" / "cache"))
    (place / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    assert folder.cache_folder().parent == place / "tmp"
    folder.cache_folder().rmdir()
    (place / "tmp" / f"refsim-cache-{os.geteuid()}").symlink_to(place)
    with pytest.raises(RefsimError, match="is a link that anybody may have made"):
        folder.cache_folder()


# --- what is not refsim's stays ---


def strangers(folder):
    """Put into a folder what looks like a cache and is none, and return what is there by name."""
    key = "0123456789abcdef" * 2
    for name in (
        "results/manifest.json",
        f"{key}/manifest.json",
        f"{key}/main",
        "tmp-thesis/chapter.tex",
        "tmp.txt",
        "poetry.lock",
        "how.use",
        "notes/a.lock",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return everything(folder)


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def run_one(rng):
    return CPP.run(
        small_network(rng, "srif", sizes=(5, 2)), Drive.bernoulli(rng.random((3, 5)), 9, "1 ms", 0)
    )


def test_a_folder_with_something_else_in_it_gets_a_folder_of_refsims_own(
    place, rng, capsys, monkeypatch
):
    (place / "cache").mkdir(mode=0o755)
    (place / "cache").chmod(0o755)
    mine = strangers(place / "cache")
    monkeypatch.setenv("REFSIM_CACHE_BYTES", "1")
    run_one(rng)
    assert len(list((place / "cache" / "refsim-cache").glob("*/main"))) == 1
    assert main(["cache", "clear"]) == 0
    assert "removed 1 compiled network" in capsys.readouterr().out
    assert {
        name: text for name, text in everything(place / "cache").items() if name != "refsim-cache"
    } == mine
    assert (place / "cache").stat().st_mode & 0o777 == 0o755


def test_what_somebody_puts_into_refsims_folder_stays(place, rng, capsys, monkeypatch):
    run_one(rng)
    (program,) = (place / "cache").glob("*/main")
    mine = strangers(place / "cache").keys() & {
        "results/manifest.json",
        "tmp-thesis/chapter.tex",
        "poetry.lock",
        "how.use",
        "tmp.txt",
    }
    program.with_name("notes.txt").write_text("mine too")
    old = 10**9
    for path in (place / "cache").rglob("*"):
        os.utime(path, (old, old))
    cache.keep_small(largest=0)
    assert main(["cache", "clear"]) == 0
    assert mine <= everything(place / "cache").keys()
    assert program.with_name("notes.txt").read_text() == "mine too"
    assert not program.exists()
    assert len(mine) == 5


@pytest.mark.parametrize("alive", [None, "mine"])
def test_a_folder_among_the_temporary_files_that_is_not_refsims_stays(alive, place, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    mine = place / "tmp" / "refsim-run-results"
    mine.mkdir()
    (mine / "figure.csv").write_text("1, 2")
    if alive:
        (mine / "alive").write_text(alive)
    children.remove_left_over()
    assert (mine / "figure.csv").read_text() == "1, 2"


def test_the_folder_of_a_run_that_was_killed_goes(place, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    code = (
        "import os; from refsim.engines.brian.children import Scratch; kept = Scratch(); "
        "(kept.path / 'a').mkdir(); print(kept.path, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(place / "tmp")}, check=False
    )
    assert (done.returncode, len(left(place))) == (9, 1)
    children.remove_left_over()
    assert not left(place)


# --- whole, small, and never taken from under a run ---


@pytest.mark.parametrize("named", ["beside us", "~/of ours"])
def test_a_path_that_is_not_whole_is_made_so(named, place, rng, monkeypatch):
    """A program is started in the folder of its run, from where a relative path leads nowhere."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setenv("REFSIM_CACHE", named)
    drive = Drive.bernoulli(rng.random((3, 5)), 9, "1 ms", 0)
    CPP.run(small_network(rng, "srif", sizes=(5, 2)), drive)
    whole = place / named.replace("~", "home")
    assert folder.cache_folder() == whole
    assert len(list(whole.glob("*/main"))) == 1


def test_what_is_no_folder_is_called_so(place, monkeypatch, capsys):
    (place / "file").touch()
    (place / "link").symlink_to(place / "nothing")
    for name, says in (
        ("file", "is not a folder"),
        ("link", "is a link to nothing"),
        ("~nobody-is-called-so/x", "there is no home"),
    ):
        monkeypatch.setenv("REFSIM_CACHE", name if name.startswith("~") else str(place / name))
        assert main(["cache", "list"]) == 2
        assert says in capsys.readouterr().err


def test_a_folder_from_which_nothing_may_be_run_is_named(place):
    """As on a disk that is mounted so; fewer samples would not help."""
    (place / "cache").mkdir(mode=0o700)
    done = python(before=in_namespace(f"mount -t tmpfs -o noexec,mode=700 tmpfs {place}/cache"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{place}/cache" in done.stderr
    assert "may not be run" in done.stderr
    assert "Name a folder of your own in REFSIM_CACHE" in done.stderr


def test_any_damaged_file_is_noticed(place, rng):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    first = CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")
    listed = json.loads(program.with_name("manifest.json").read_text())["files"]
    assert set(listed) == {
        str(path.relative_to(program.parent))
        for path in program.parent.rglob("*")
        if path.is_file()
    } - {"manifest.json"}
    for name in listed:
        path = program.parent / name
        path.write_bytes(path.read_bytes()[:-1] + b"\x55")
        assert not cache.is_whole(program.parent)
        assert mismatches(first, CPP.run(network, drive)) == [0]
        assert cache.is_whole(program.parent)


def test_the_arrays_that_a_program_reads_are_sealed_with_it(tmp_path):
    (tmp_path / "static_arrays").mkdir()
    for name in ("main", "static_arrays/indices"):
        (tmp_path / name).write_bytes(b"12345678")
    cache.seal(tmp_path, results=[])
    assert cache.is_whole(tmp_path)
    (tmp_path / "static_arrays/indices").write_bytes(b"1234567")
    assert not cache.is_whole(tmp_path)
    (tmp_path / "static_arrays/indices").unlink()
    assert not cache.is_whole(tmp_path)


def test_what_somebody_put_in_the_place_of_a_program_is_replaced(place, rng):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    first = CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")
    program.parent.rename(place / "away")
    program.parent.write_text("a file")
    assert mismatches(first, CPP.run(network, drive)) == [0]
    assert cache.is_whole(program.parent)


def test_clearing_away_follows_no_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    cache.clear_away(tmp_path / "link")
    cache.clear_away(tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_in_the_place_of_a_lock_is_named_and_cleared(place, rng, capsys):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")
    lock = place / "cache" / f"{program.parent.name}.use"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(
        RefsimError,
        match=r"\.use, cannot be opened \(Is a directory\); remove it, or name another folder",
    ):
        CPP.run(network, drive)
    assert main(["cache", "clear"]) == 0
    capsys.readouterr()
    assert not lock.exists()
    CPP.run(network, drive)


def test_the_limit_is_the_users(place, monkeypatch, rng):
    monkeypatch.setenv("REFSIM_CACHE_BYTES", "1")
    for sizes in ((12, 3), (12, 4)):
        CPP.run(
            small_network(rng, "srif", sizes=sizes),
            Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
        )
    # The first went when the second came; the second was in the making.
    assert len(programs(place)) == 1
    monkeypatch.setenv("REFSIM_CACHE_BYTES", "1 GB")
    with pytest.raises(RefsimError, match="REFSIM_CACHE_BYTES must be a whole number of bytes"):
        cache.keep_small()


def test_a_program_in_use_is_not_removed(place, rng, capsys):
    structure_made = []
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")

    def make():
        structure_made.append(1)
        return program.parent

    kept, lock = cache.locked_program(make)
    cache.keep_small(0)
    assert main(["cache", "clear"]) == 0
    assert "removed 0 compiled networks; 1 in use and kept" in capsys.readouterr().out
    assert cache.is_whole(kept)
    lock.close()
    cache.keep_small(0)
    assert not kept.exists()


def test_a_program_removed_before_it_is_held_is_made_again(place, rng, monkeypatch):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    first, taken = CPP.run(network, drive), []

    def evict(found):
        if not taken:
            taken.append(found)
            cache.keep_small(0)

    # The last thing that is done before the program is held.
    monkeypatch.setattr(standalone, "touch", evict)
    assert mismatches(first, CPP.run(network, drive)) == [0]
    assert len(taken) == 1
