"""What a comparison costs, side by side with an earlier refsim.

One that passes, one that fails, and the replay in it.

    python -m benchmarks.judging [--earlier COMMIT] [--rounds N] [--json FILE] [--plot FILE]

Two processes wait for their turns, one that imports this tree and one that imports the earlier
commit from a work tree made for it, and each round asks both for the same: so that what disturbs
one disturbs the other. A comparison is timed from two recordings in memory to the verdict and the
sentence that says why. Beside it stand a run of the engine on trial and one of the reference, which
is what a validation takes besides.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import machine, plots
from .measuring import ONE_CORE

ROOT = Path(__file__).parents[1]
# The last that followed the reference alone, and judged no further than where two runs part.
EARLIER = "27ecdac"
# Asked: times the earlier comparison; runs of the engine on trial beyond it.
PASSING, FAILING = 1.3, 1.0
CASES: dict[str, dict[str, Any]] = {
    "dense": {"card": "lif_decay", "sizes": (784, 256, 10), "samples": 256, "steps": 100},
    "adaptive": {"card": "adlif", "sizes": (64, 128, 10), "samples": 64, "steps": 100, "gain": 6.0},
    "long": {"card": "lif", "sizes": (32, 64, 10), "samples": 16, "steps": 1000},
    "small": {"card": "lif", "sizes": (20, 30, 10), "samples": 256, "steps": 50},
}


def prepare(case: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return what can be timed, by name.

    Only what the earlier refsim has too is used, but for the replay.
    """
    import itertools
    from dataclasses import replace

    import numpy as np

    import refsim

    rng, model = np.random.default_rng(0), refsim.load(case["card"])
    weights = [
        case.get("gain", 1.0) * rng.normal(2.0 / n_pre, 3.0 / n_pre**0.5, (n_post, n_pre))
        for n_pre, n_post in itertools.pairwise(case["sizes"])
    ]
    right = refsim.Network.dense(
        [(weight, np.full(len(weight), 0.1), model) for weight in weights], dt="1 ms"
    )
    # One row of the first layer has the other sign: all that hears of it parts too, as a fault of
    # one's own would have it.
    other = weights[0].copy()
    other[0] *= -1
    wrong = replace(right, layers=(replace(right.layers[0], weight=other), *right.layers[1:]))
    drive = refsim.Drive.bernoulli(
        rng.uniform(0.02, 0.3, (case["samples"], case["sizes"][0])), case["steps"], "1 ms", 0
    )
    reference_engine, engine = refsim.Brian2(target="cpp"), refsim.Torch(dtype="float32")
    reference, good = reference_engine.run(right, drive), engine.run(right, drive)
    bad = replace(engine.run(wrong, drive), network=right)

    def compared(trial: Any, wanted: str) -> Callable[[], Any]:
        def run() -> Any:
            report = refsim.compare(reference, trial)
            if report.verdict != wanted or not report.sentence:
                raise SystemExit(
                    f"a comparison that should {wanted} says {report.verdict}, so that its time "
                    "means nothing."
                )
            return report

        return run

    jobs = {
        "passing": compared(good, "pass"),
        "failing": compared(bad, "fail"),
        "run on trial": lambda: engine.run(right, drive),
        "run of reference": lambda: reference_engine.run(right, drive),
    }
    with contextlib.suppress(ImportError):  # the earlier refsim has none
        from refsim.judge.replay import replay

        jobs["replay"] = lambda: replay(bad, np.arange(case["samples"]), ("float64", "float32"))
    return jobs


def serve(name: str) -> None:
    """Prepare one case and time what is asked for, a name a line."""
    from .measuring import timed

    answers = os.fdopen(int(os.environ["REFSIM_ANSWERS"]), "w", buffering=1)
    jobs = prepare(CASES[name])
    answers.write(json.dumps(sorted(jobs)) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(timed(jobs[line.strip()])) + "\n")


class Side:
    """A process with one refsim, this one or the earlier."""

    def __init__(self, tree: Path, case: str, cache: Path) -> None:
        reading, writing = os.pipe()
        # The earlier tree comes first, so that its refsim is imported; this file is found behind
        # it.
        paths = os.pathsep.join([str(tree), str(ROOT)])
        core = str(machine.core())
        told = {"PYTHONPATH": paths, "REFSIM_ANSWERS": str(writing), "REFSIM_CACHE": str(cache)}
        code = (
            f"import sys; sys.path.insert(0, {str(tree)!r}); import refsim; import runpy; "
            f"sys.argv = ['judging', '--serve', {case!r}]; "
            f"sys.path.insert(0, {str(ROOT)!r}); runpy.run_module('benchmarks.judging', "
            "run_name='__main__')"
        )
        words = ["taskset", "-c", core, sys.executable, "-c", code]
        self.process = subprocess.Popen(
            words,
            cwd=tree,
            env=os.environ | ONE_CORE | told,
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=[writing],
        )
        os.close(writing)
        self.answers = os.fdopen(reading)
        self.jobs = self._answer()

    def _answer(self) -> Any:
        line = self.answers.readline()
        if not line:
            raise SystemExit("a process ended before it had answered; what it said stands above.")
        return json.loads(line)

    def ask(self, job: str) -> float:
        """Return the CPU seconds of one go."""
        assert self.process.stdin
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        return float(self._answer()["cpu_s"])

    def end(self) -> None:
        """Let the process end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def work_tree(commit: str) -> Iterator[Path]:
    """Check out a commit beside this one for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="refsim-earlier-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["git", "worktree", "add", "--detach", "--quiet", str(tree), commit],
            cwd=ROOT,
            check=True,
        )
        try:
            yield tree
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True
            )


def measure(case: str, tree: Path, rounds: int) -> dict[str, Any]:
    """Time one case on both sides in turns.

    The best round of each counts, as others disturb a shared machine.
    """
    sides = {
        "now": Side(ROOT, case, tree.parent / "now"),
        "earlier": Side(tree, case, tree.parent / "earlier"),
    }
    spent: dict[str, dict[str, list[float]]] = {
        name: {job: [] for job in side.jobs} for name, side in sides.items()
    }
    try:
        for _ in range(rounds):
            for job in sides["now"].jobs:
                for name, side in sides.items():
                    if job in side.jobs:
                        spent[name][job].append(side.ask(job))
    finally:
        for side in sides.values():
            side.end()
    best = {name: {job: min(times) for job, times in jobs.items()} for name, jobs in spent.items()}
    now, earlier = best["now"], best["earlier"]
    return {
        "case": case,
        **CASES[case],
        "seconds": {
            name: {job: round(time, 4) for job, time in jobs.items()} for name, jobs in best.items()
        },
        "spread": {
            name: {job: round(max(times) / min(times) - 1, 2) for job, times in jobs.items()}
            for name, jobs in spent.items()
        },
        "passing_ratio": round(now["passing"] / earlier["passing"], 2),
        "failing_runs": round((now["failing"] - earlier["failing"]) / now["run on trial"], 2),
        "failing_over_passing_runs": round(
            (now["failing"] - now["passing"]) / now["run on trial"], 2
        ),
        "replay_runs": round(now["replay"] / now["run on trial"], 2),
    }


def main(words: list[str] | None = None) -> int:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--earlier", default=EARLIER)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--serve", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.serve:
        serve(options.serve)
        return 0
    result: dict[str, Any] = {
        "benchmark": "judging",
        "machine": machine.facts("brian2", "torch", "numpy"),
        "earlier": options.earlier,
        "asked": {"passing_ratio": PASSING, "failing_runs": FAILING},
        "rows": [],
    }
    with work_tree(options.earlier) as tree:
        for case in options.case or CASES:
            row = measure(case, tree, options.rounds)
            result["rows"].append(row)
            print(
                f"{case:<9} passing {row['passing_ratio']:.2f} times the earlier (asked "
                f"{PASSING}); "
                f"failing {row['failing_runs']:+.2f} runs (asked {FAILING}); {row['seconds']}",
                flush=True,
            )
            if options.json:  # after each, as the earlier refsim takes minutes
                options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
            if options.plot:
                plots.judging(result, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
