"""Measure inside the process that works: CPU seconds of it and its children, wall seconds, memory.

Needs NumPy alone.

Every engine is a process of its own that reads the case, prepares, and then runs when it is told
to, so that engines which cannot live in one environment take turns in one run. Told by lines on
standard input, it answers with lines of JSON.
"""

import contextlib
import importlib.metadata
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case

ONE_CORE = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    )
}


def cpu_seconds() -> float:
    """Return CPU seconds of this process and its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(row.ru_utime + row.ru_stime for row in usage)


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """Return CPU and wall seconds of one run; its outcome is let go outside the timing."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    outcome = run()
    spent = {"cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall}
    del outcome
    return spent


def _resident(process: int) -> int:
    """Return the bytes that a process and its children hold.

    Those that have just ended hold none.
    """
    total = 0
    with contextlib.suppress(OSError):
        total = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(_resident(int(child)) for child in (task / "children").read_text().split())
    return total


@contextlib.contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Watch memory, in bytes, of this process and its children every 2 ms.

    It takes time, so in a run of its own.
    """
    most, done = [_resident(os.getpid())], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most[0] = max(most[0], _resident(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def fastest(runs: dict[str, Callable[[], Any]]) -> Callable[[], Any]:
    """Return the way to run that takes the least CPU time at its second go.

    Those that cannot run are passed over.
    """
    spent, said = {}, []
    for name, run in runs.items():
        try:
            run()
            spent[name] = min(timed(run)["cpu_s"] for _ in range(2))
            said.append(f"{name} {spent[name]:.2f} s")
        except Exception as error:
            said.append(f"{name} cannot run ({type(error).__name__})")
    best = min(spent, key=spent.__getitem__)
    chosen = runs[best]
    chosen.about = f"{best}, the fastest of {', '.join(said)}"  # type: ignore[attr-defined]
    return chosen


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of installed packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def serve(
    prepare: Callable[[Case, str], Callable[[], Any]],
    dense: Callable[[Any, Case], list[Any]],
    *packages: str,
) -> None:
    """Be an engine: read the case and dtype of the command line, prepare, warm up, and obey.

    Parameters
    ----------
    prepare : function (case, dtype) -> run
        Imports, builds; ``run()`` is what is timed, from ``case.dense`` to the spikes of all
        layers.
    dense : function (outcome of run, case) -> list of (n_samples, n_steps, n_neurons) bool
    packages : str
        Whose versions are told.
    """
    # Not standard output: frameworks print there.
    answers = os.fdopen(int(os.environ["REFSIM_ANSWERS"]), "w", buffering=1)
    case, start = Case.read(Path(sys.argv[1])), time.perf_counter()
    try:
        run = prepare(case, sys.argv[2])
        run()
    except Exception as error:
        answers.write(
            json.dumps({"cannot": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            + "\n"
        )
        return
    answers.write(
        json.dumps(
            {
                "ready_s": time.perf_counter() - start,
                "versions": versions(*packages),
                "about": getattr(run, "about", ""),
            }
        )
        + "\n"
    )
    for line in sys.stdin:
        answers.write(json.dumps(_obey(line.split(), run, dense, case)) + "\n")


def _obey(
    words: list[str], run: Callable[[], Any], dense: Callable[[Any, Case], list[Any]], case: Case
) -> dict[str, Any]:
    if words[0] == "time":
        return timed(run)
    if words[0] == "memory":
        with peak_memory() as most:
            run()
        return {"peak_mb": most[0] / 2**20}
    spikes = dense(run(), case)
    np.savez(words[1], *[np.packbits(layer) for layer in spikes])
    return {"shapes": [layer.shape for layer in spikes]}
