"""The first verdict of a network that was never seen, and the second: where the seconds go.

    python -m benchmarks.coldstart [--json FILE] [--plot FILE]

Each verdict is a process of its own with an empty folder of compiled programs at the first. Within
it the clock is read around what stays the same whatever refsim does inside: imports, Brian2's own
run and build, and every program that is started. The demo (`refsim validate`) is run twice more,
and timed from the command to the line with its verdict.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import machine, plots

ROOT = Path(__file__).parents[1]
COMPILERS = {"make", "g++", "gcc", "c++", "clang++", "ccache", "cc1plus", "ld"}


def inside() -> dict[str, float]:
    """Give one verdict and return the seconds of its parts; run in a process of its own."""
    parts: dict[str, float] = {}

    def add(name: str, since: float) -> None:
        parts[name] = parts.get(name, 0.0) + time.perf_counter() - since

    # What is timed now: only the outermost counts, so that no second is told twice.
    within: list[str] = []
    begin = time.perf_counter()
    import numpy as np
    import torch  # noqa: F401

    import refsim

    add("import refsim and torch", begin)
    began = time.perf_counter()
    import brian2
    from brian2.devices.cpp_standalone.device import CPPStandaloneDevice

    add("import brian2", began)

    def clocked(home: Any, name: str, part: str) -> None:
        inner = getattr(home, name)

        def outer(*arguments: Any, **named: Any) -> Any:
            since = time.perf_counter()
            within.append(part)
            try:
                return inner(*arguments, **named)
            finally:
                within.pop()
                if not within:
                    add(part, since)

        setattr(home, name, outer)

    class Started(subprocess.Popen):  # type: ignore[type-arg]
        """A program whose time is told to what it is for."""

        def __init__(self, words: Any, *arguments: Any, **named: Any) -> None:
            names = {
                Path(str(word)).name
                for word in (words.split() if isinstance(words, str) else words)
            }
            self.part, self.since = (
                ("compiler" if names & COMPILERS else "compiled program"),
                time.perf_counter(),
            )
            super().__init__(words, *arguments, **named)

        def __setattr__(self, name: str, value: Any) -> None:
            if (
                name == "returncode"
                and value is not None
                and getattr(self, "returncode", None) is None
                and not within
            ):
                add(self.part, self.since)
            super().__setattr__(name, value)

    clocked(brian2.Network, "run", "Brian2 writes C++")
    clocked(CPPStandaloneDevice, "build", "Brian2 writes C++")
    subprocess.Popen = Started  # type: ignore[misc]
    rng = np.random.default_rng(0)
    srif = refsim.load("srif")
    layers = [
        (rng.normal(0, 0.3, (30, 20)), np.zeros(30), srif),
        (rng.normal(0, 0.3, (5, 30)), np.zeros(5), srif),
    ]
    net = refsim.Network.dense(layers, dt="1 ms")
    drive = refsim.Drive.bernoulli(rng.random((256, 20)), n_steps=100, dt="1 ms", seed=0)
    reference = refsim.run(net, drive, engine=refsim.Brian2(target="cpp"))
    since = time.perf_counter()
    trial = refsim.run(net, drive, engine=refsim.Torch(device="cpu", dtype="float64"))
    add("PyTorch", since)
    since = time.perf_counter()
    told = refsim.compare(reference, trial).verdict
    add("compare", since)
    if told != "pass":
        raise SystemExit(f"the verdict is {told}, so that its time means nothing.")
    parts["all else"] = time.perf_counter() - begin - sum(parts.values())
    return parts


def verdict(name: str, cache: Path) -> dict[str, Any]:
    """Give one verdict in a fresh process; the time counts from its start to its end."""
    since = time.perf_counter()
    words = [sys.executable, "-m", "benchmarks.coldstart", "--inside"]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | {"REFSIM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} could not be had: {done.stderr.strip()[-300:]}")
    return {
        "verdict": name,
        "wall_s": round(time.perf_counter() - since, 2),
        "parts": {k: round(v, 3) for k, v in json.loads(done.stdout).items()},
    }


def demo(name: str, cache: Path, work: Path) -> dict[str, Any]:
    """Run the demo; the time counts from the command to the first line that is a verdict."""
    since, first = time.perf_counter(), None
    words = [sys.executable, "-m", "refsim", "validate", "--report", str(work / "report")]
    with subprocess.Popen(
        words,
        cwd=ROOT,
        env=os.environ | {"REFSIM_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if first is None and line.startswith(("PASS", "FAIL", "INCONCLUSIVE")):
                first = time.perf_counter() - since
    if first is None:
        raise SystemExit("the demo told no verdict.")
    return {"verdict": name, "wall_s": round(first, 2), "parts": {"demo": round(first, 3)}}


def main(words: list[str] | None = None) -> int:
    """Measure, print, write JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.inside:
        print(json.dumps(inside()))
        return 0
    with tempfile.TemporaryDirectory(prefix="refsim-cold-") as folder:
        cache = Path(folder) / "cache"
        rows = [verdict("first", cache), verdict("second", cache)]
        rows += [
            demo("demo, first", cache, Path(folder)),
            demo("demo, second", cache, Path(folder)),
        ]
    for row in rows:
        print(
            f"{row['verdict']:<13} {row['wall_s']:>6.2f} s  "
            + ", ".join(f"{part} {seconds:.2f}" for part, seconds in row["parts"].items())
        )
    result = {
        "benchmark": "coldstart",
        "machine": machine.facts("brian2", "torch", "numpy"),
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.plot:
        plots.coldstart(result, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
