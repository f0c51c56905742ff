"""Runs in processes apart, which tests kill, starve of disk, or start many of."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A small network on a short or a very long input without spikes; prints its spikes, or one sentence
# and exit code 2.
CODE = """
import sys, numpy as np, refsim
net = refsim.Network.dense([(np.full((2, 5), 0.375), None, refsim.load("srif"))], "1 ms")
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 30
if steps < 1000:
    drive = refsim.Drive.bernoulli(np.full((300, 5), 0.5), steps, "1 ms", 0)
else:
    drive = refsim.Drive.current(np.zeros((2, 5)), "1 ms", n_steps=steps)
try:
    print(sum(refsim.Brian2(target="cpp").run(net, drive).spikes[0].code.tolist()))
except refsim.RefsimError as error:
    sys.exit(print(error, file=sys.stderr) or 2)
"""


def python(*arguments, before=(), **environment):
    words = [*before, sys.executable, "-c", CODE, *arguments]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def in_namespace(script):
    """Return the words that run a command behind mounts of its own, or skip where that is not
    allowed.
    """
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


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
    return found
