"""The folder of compiled programs: its owner's alone, whole or made anew, safe with many processes, kills and full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import mismatches, small_network

from refsim import Brian2, Drive, RefsimError
from refsim.__main__ import main
from refsim.engines.brian import cache, folder, standalone

CPP = Brian2(target="cpp")
# A small network on a short or a very long input without spikes; prints its spikes, or one sentence and exit code 2.
CODE = """
import sys, numpy as np, refsim
net = refsim.Network.dense([(np.full((2, 5), 0.375), None, refsim.load("srif"))], "1 ms")
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 30
drive = refsim.Drive.bernoulli(np.full((300, 5), 0.5), steps, "1 ms", 0) if steps < 1000 else refsim.Drive.current(np.zeros((2, 5)), "1 ms", n_steps=steps)
try:
    print(sum(refsim.Brian2(target="cpp").run(net, drive).spikes[0].code.tolist()))
except refsim.RefsimError as error:
    sys.exit(print(error, file=sys.stderr) or 2)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache and a folder for temporary files of one's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path


def python(*arguments, before=(), **environment):
    words = [*before, sys.executable, "-c", CODE, *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def in_namespace(script):
    """Return the words that run a command behind mounts of its own, or skip where that is not allowed."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounts of one's own (unshare -m) are not allowed here")
    return ("unshare", "-m", "sh", "-ec", f'{script}; exec "$@"', "sh")


def programs(place):
    return sorted(path.parent.name for path in (place / "cache").glob("*/main"))


def at_work(folder):
    """Return the processes whose current folder lies in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(entry).startswith(str(folder)):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def is_program(pid):
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "main"
    except OSError:
        return False


def left(place):
    """Return what refsim left among the temporary files; Brian2 leaves a log where it is killed."""
    return list((place / "tmp").glob("refsim*"))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return found


# --- whose it is -----------------------------------------------------------------------------------------------------


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
    named = python(before=behind, REFSIM_CACHE=str(home / "own"))  # one that was asked for is not replaced silently
    assert (named.returncode, named.stderr.count("\n")) == (2, 1)
    assert "cannot be made (Read-only file system). Name a folder of your own in REFSIM_CACHE." in named.stderr


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


# --- whole, small, and never taken from under a run --------------------------------------------------------------------


def test_any_damaged_file_is_noticed(place, rng):
    network, drive = small_network(rng, "srif", sizes=(12, 3)), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0)
    first = CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")
    listed = json.loads(program.with_name("manifest.json").read_text())["files"]
    assert set(listed) == {str(path.relative_to(program.parent)) for path in program.parent.rglob("*") if path.is_file()} - {"manifest.json"}
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


def test_the_limit_is_the_users(place, monkeypatch, rng):
    monkeypatch.setenv("REFSIM_CACHE_BYTES", "1")
    for sizes in ((12, 3), (12, 4)):
        CPP.run(small_network(rng, "srif", sizes=sizes), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0))
    assert len(programs(place)) == 1  # the first went when the second came; the second was in the making
    monkeypatch.setenv("REFSIM_CACHE_BYTES", "1 GB")
    with pytest.raises(RefsimError, match="REFSIM_CACHE_BYTES must be a whole number of bytes"):
        cache.keep_small()


def test_a_program_in_use_is_not_removed(place, rng, capsys):
    structure_made = []
    network, drive = small_network(rng, "srif", sizes=(12, 3)), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0)
    CPP.run(network, drive)
    (program,) = (place / "cache").glob("*/main")

    def make():
        structure_made.append(1)
        return program.parent

    kept, lock = cache.held(make)
    cache.keep_small(0)
    assert main(["cache", "clear"]) == 0
    assert "removed 0 compiled networks; 1 in use and kept" in capsys.readouterr().out
    assert cache.is_whole(kept)
    lock.close()
    cache.keep_small(0)
    assert not kept.exists()


def test_a_program_removed_before_it_is_held_is_made_again(place, rng, monkeypatch):
    network, drive = small_network(rng, "srif", sizes=(12, 3)), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0)
    first, taken = CPP.run(network, drive), []

    def evict(found):
        if not taken:
            taken.append(found)
            cache.keep_small(0)

    monkeypatch.setattr(standalone, "touch", evict)  # the last thing that is done before the program is held
    assert mismatches(first, CPP.run(network, drive)) == [0]
    assert len(taken) == 1


# --- a full disk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("where", "size"), [("tmp", "200k"), ("tmp", "450k"), ("cache", "60k")])
def test_a_full_disk_while_compiling_is_one_sentence(where, size, place):
    (place / "cache").mkdir(mode=0o700)
    seen = f"trap 'ls -A {place}/{where} >{place}/left' EXIT"
    script = f'mount -t tmpfs -o size={size},mode=700 tmpfs {place}/{where}; {seen}; "$@"; exit $?'
    done = python(before=in_namespace(script))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("the disk is full: ")
    assert [name for name in (place / "left").read_text().split() if not name.endswith((".lock", ".use", ".log"))] == []
    assert not programs(place)
    assert python().returncode == 0  # elsewhere it runs


def test_a_full_disk_while_running_loses_no_spike_silently(place):
    whole = python()
    # sizes at which the input, the results of the first or of the last kind no longer fit; each is an error or right
    outcomes = []
    for size in (16, 40, 100, 160, 220, 1000):
        done = python(before=in_namespace(f"mount -t tmpfs -o size={size}k,mode=700 tmpfs {place}/tmp"))
        outcomes.append(done.returncode)
        if done.returncode:
            assert done.stderr.startswith("the disk is full: "), done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert done.stdout == whole.stdout
    assert outcomes[0] == 2
    assert outcomes[-1] == 0


# --- many at once, and kills -------------------------------------------------------------------------------------------


def count_makes(place, monkeypatch):
    """Put a `make` in front that notes each call."""
    real = subprocess.run(["sh", "-c", "command -v make"], capture_output=True, text=True, check=True).stdout.strip()
    (place / "bin").mkdir()
    (place / "bin" / "make").write_text(f'#!/bin/sh\n[ -n "$MAKELEVEL" ] || echo made >>{place}/makes\nexec {real} "$@"\n')
    (place / "bin" / "make").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    return place / "makes"


def test_twenty_concurrent_first_runs_compile_once_and_agree(place, monkeypatch):
    makes = count_makes(place, monkeypatch)
    forks = f"""
import os, sys, refsim.engines.brian.standalone, brian2
for index in range(20):
    if os.fork() == 0:
        sys.stdout = open("{place}/said%d" % index, "w")
        try:
            exec({CODE!r})
            sys.stdout.close()
        finally:
            os._exit(0)
ends = [os.wait()[1] for _ in range(20)]
"""
    subprocess.run([sys.executable, "-c", forks], check=True)
    said = [path.read_text() for path in place.glob("said*")]
    assert len(said) == 20
    assert len(set(said)) == 1
    assert int(said[0]) > 0
    assert makes.read_text().split() == ["made"]
    assert len(programs(place)) == 1
    assert not left(place)


def test_killed_while_compiling_leaves_nobody_at_work(place, monkeypatch):
    makes = count_makes(place, monkeypatch)
    process = subprocess.Popen([sys.executable, "-c", CODE])
    wait_for(makes.exists)
    wait_for(lambda: at_work(place / "tmp"))
    process.send_signal(signal.SIGKILL)  # the parent alone: make and compilers are not told
    process.wait()
    wait_for(lambda: not at_work(place / "tmp"), 5)
    assert not programs(place)
    done = python()
    assert int(done.stdout) > 0
    assert len(programs(place)) == 1
    assert not left(place)
    assert not list((place / "cache").glob("tmp*"))


@pytest.mark.parametrize("victim", ["parent", "program"])
def test_killed_while_running_then_a_clean_second_run(victim, place):
    python()  # compiles
    process = subprocess.Popen([sys.executable, "-c", CODE, "300000" if victim == "program" else "90000000"], stdout=subprocess.PIPE, text=True)
    if victim == "parent":
        wait_for(lambda: at_work(place / "tmp"))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    else:
        running = wait_for(lambda: [pid for pid in at_work(place / "tmp") if is_program(pid)])
        os.kill(running[0], signal.SIGKILL)
        assert process.communicate()[0] == "0\n"  # run again, and nobody fires without input
    wait_for(lambda: not at_work(place / "tmp"), 5)
    assert int(python().stdout) > 0
    assert not left(place)


def test_a_run_that_is_given_up_ends_its_programs(place, rng, monkeypatch):
    """One portion fails: the others are not waited for."""
    network, long = small_network(rng, "srif", sizes=(5, 1)), Drive.current(np.zeros((300, 5)), "1 ms", n_steps=30_000_000)
    from refsim.engines.brian.job import Job

    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    real, calls = Job.run, []

    def run(self, drive, stop=None):
        calls.append(1)
        if len(calls) == 2:
            wait_for(lambda: at_work(place / "tmp"))
            raise RefsimError("planted")
        return real(self, drive, stop)

    monkeypatch.setattr(Job, "run", run)
    start = time.monotonic()
    with pytest.raises(RefsimError, match="planted"):
        Brian2(target="cpp", workers=2).run(network, long)
    assert time.monotonic() - start < 60
    assert not at_work(place / "tmp")
    assert not left(place)
