"""Full disks, many processes at once, and kills.

One sentence or the right result, and nobody left behind.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from apart import CODE, at_work, in_namespace, is_program, left, programs, python, wait_for
from conftest import small_network

from refsim import Brian2, Drive, RefsimError

# --- a full disk ---


@pytest.mark.parametrize(("where", "size"), [("tmp", "200k"), ("tmp", "450k"), ("cache", "60k")])
def test_a_full_disk_while_compiling_is_one_sentence(where, size, place):
    (place / "cache").mkdir(mode=0o700)
    seen = f"trap 'ls -A {place}/{where} >{place}/left' EXIT"
    script = f'mount -t tmpfs -o size={size},mode=700 tmpfs {place}/{where}; {seen}; "$@"; exit $?'
    done = python(before=in_namespace(script))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("the disk is full: ")
    assert [
        name
        for name in (place / "left").read_text().split()
        if not name.endswith((".lock", ".use", ".log", "refsim-cache.txt"))
    ] == []
    assert not programs(place)
    assert python().returncode == 0  # elsewhere it runs


def test_a_full_disk_while_running_loses_no_spike_silently(place):
    whole = python()
    # sizes at which the input, the results of the first or of the last kind no longer fit; each is
    # an error or right
    outcomes = []
    for size in (16, 40, 100, 160, 220, 1000):
        done = python(
            before=in_namespace(f"mount -t tmpfs -o size={size}k,mode=700 tmpfs {place}/tmp")
        )
        outcomes.append(done.returncode)
        if done.returncode:
            assert done.stderr.startswith("the disk is full: "), done.stderr
            assert done.stderr.count("\n") == 1
        else:
            assert done.stdout == whole.stdout
    assert outcomes[0] == 2
    assert outcomes[-1] == 0


# --- many at once, and kills ---


def count_makes(place, monkeypatch):
    """Put a `make` in front that notes each call."""
    real = subprocess.run(
        ["sh", "-c", "command -v make"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (place / "bin").mkdir()
    (place / "bin" / "make").write_text(
        f'#!/bin/sh\n[ -n "$MAKELEVEL" ] || echo made >>{place}/makes\nexec {real} "$@"\n'
    )
    (place / "bin" / "make").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
    # As if a make had started us, `make -n`: ours is not told.
    for name, value in (("MAKELEVEL", "1"), ("MAKEFLAGS", "n")):
        monkeypatch.setenv(name, value)
    return place / "makes"


def test_twenty_concurrent_first_runs_compile_once_and_agree(place, monkeypatch):
    makes = count_makes(place, monkeypatch)
    forks = f"""
import os, sys, refsim.engines.brian.compile, brian2
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
    wait_for(lambda: not at_work(place / "tmp"), 20)
    assert not programs(place)
    done = python()
    assert int(done.stdout) > 0
    assert len(programs(place)) == 1
    assert not left(place)
    assert not list((place / "cache").glob("tmp*"))


@pytest.mark.parametrize("victim", ["parent", "program"])
def test_killed_while_running_then_a_clean_second_run(victim, place):
    python()  # compiles
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "300000" if victim == "program" else "90000000"],
        stdout=subprocess.PIPE,
        text=True,
    )
    if victim == "parent":
        wait_for(lambda: at_work(place / "tmp"))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    else:
        running = wait_for(lambda: [pid for pid in at_work(place / "tmp") if is_program(pid)])
        os.kill(running[0], signal.SIGKILL)
        assert process.communicate()[0] == "0\n"  # run again, and nobody fires without input
    wait_for(lambda: not at_work(place / "tmp"), 20)
    assert int(python().stdout) > 0
    assert not left(place)


def test_a_run_that_is_given_up_ends_its_programs(place, rng, monkeypatch):
    """One portion fails: the others are not waited for."""
    network, long = (
        small_network(rng, "srif", sizes=(5, 1)),
        Drive.current(np.zeros((300, 5)), "1 ms", n_steps=30_000_000),
    )
    from refsim.engines.brian.run import Job

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
    assert time.monotonic() - start < 120
    assert not at_work(place / "tmp")
    assert not left(place)


INTERRUPTED = """
import os, signal, sys, threading
if sys.argv[1] == "first":
    import brian2
import numpy as np, refsim
net = refsim.Network.dense([(np.full((2, 5), 0.375), None, refsim.load("srif"))], "1 ms")
engine = refsim.Brian2(target="numpy", connections=sys.argv[2])
before = signal.getsignal(signal.SIGINT)
def run(n_steps):
    drive = refsim.Drive.current(np.ones((1, 5)), "1 ms", n_steps=n_steps)
    return len(engine.run(net, drive).spikes[0])
print(run(10) == 20, signal.getsignal(signal.SIGINT) == before)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    print("returned", run(1_000_000))
except KeyboardInterrupt:
    import brian2
    print("stopped", run(10) == 20, brian2.Network._globally_running)
"""


@pytest.mark.parametrize("connections", ["product", "synapses"])
@pytest.mark.parametrize("who", ["first", "last"])
def test_ctrl_c_ends_a_run_in_numpy_and_is_no_result(who, connections):
    """Brian2 would stop the run and return, half of the spikes missing.

    Whether the user or refsim has imported it.
    """
    script = (
        f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{INTERRUPTED}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, who, connections],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stdout.splitlines() == ["True True", "stopped True False"], done.stderr
