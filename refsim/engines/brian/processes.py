"""Run a compiled program: samples split over worker processes that share the weights, results in order, nobody lost silently."""

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import numpy as np

from ...drive import Drive
from ...errors import RefsimError
from ...progress import advance
from .objects import Structure, group_name
from .outcome import Outcome
from .run_files import BYTES_A_SAMPLE, read_outcome, write_constants, write_input
from .standalone import ENDLESS, compiled


def run_compiled(structure: Structure, drive: Drive, refine: int, analog_impulse: bool, workers: int) -> list[tuple[Drive, Outcome]]:
    """Run all samples; return the parts in order, each with its drive.

    Parameters
    ----------
    workers : int
        Processes at once. The result does not depend on it: a sample never knows of another.

    Raises
    ------
    RefsimError
        Where a process died twice on the same part.
    """
    program = compiled(structure)
    parts = _parts(structure, drive, workers)
    steps = max(-(-part.n_samples // structure.batch) for part in parts) * drive.n_steps * refine
    if steps >= ENDLESS:
        raise RefsimError(f"this run takes {steps:,} steps of {structure.batch} samples each; at most {int(ENDLESS):,} are run at once. Give it in parts.")
    with tempfile.TemporaryDirectory(prefix="refsim-") as folder:
        shared = Path(folder) / "shared"
        shared.mkdir()
        (shared / "static_arrays").symlink_to(program / "static_arrays")
        write_constants(shared, structure, refine)

        def run_part(index: int) -> Outcome:
            run = Path(folder) / f"part{index}"
            (run / "results").mkdir(parents=True)
            for entry in shared.iterdir():
                (run / entry.name).symlink_to(entry)
            chunks = write_input(run, structure, parts[index], refine, analog_impulse)
            _finish(program / "main", run, parts[index].n_samples)
            names = json.loads((program / "manifest.json").read_text("utf-8"))["results"]
            return read_outcome(run, names, structure, parts[index], chunks, refine)

        if len(parts) == 1:
            return [(parts[0], run_part(0))]
        with ThreadPoolExecutor(len(parts)) as pool:
            waiting = [pool.submit(copy_context().run, run_part, index) for index in range(len(parts))]
            return [(part, done.result()) for part, done in zip(parts, waiting, strict=True)]


def _parts(structure: Structure, drive: Drive, workers: int) -> list[Drive]:
    """Split the samples into as many parts as there are workers, at the bounds of chunks."""
    chunks = -(-drive.n_samples // structure.batch)
    bounds = np.linspace(0, chunks, min(workers, chunks) + 1).astype(int) * structure.batch
    ends = np.minimum(bounds, drive.n_samples)
    if len(ends) == 2:
        return [drive]
    return [drive.take(np.arange(first, last)) for first, last in itertools.pairwise(ends)]


def _finish(program: Path, run: Path, n_samples: int) -> None:
    """Run one part to its end; a process that is killed is started once more, and then its death is reported."""
    code = _execute(program, run, n_samples)
    if code < 0:
        code = _execute(program, run, 0)
    said = (run / "said").read_text("utf-8", errors="replace").strip()
    if code or "rror" in said:  # Brian2 prints "Error opening static array" and goes on
        how = f"was ended by signal {-code} twice" if code < 0 else f"stopped with code {code}"
        raise RefsimError(f"the compiled network {how}: {said[-300:] or 'it said nothing'}. Fewer samples at a time need less memory.")


def _execute(program: Path, run: Path, n_samples: int) -> int:
    """Start the program, tell how many samples are done by the file of nearest approaches it writes, return its exit code."""
    grown, passed = run / f"{group_name(0)}_gap.bin", 0
    with open(run / "said", "wb") as said:
        process = subprocess.Popen([os.fspath(program)], cwd=run, stdout=said, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                done = min(grown.stat().st_size // BYTES_A_SAMPLE if grown.is_file() else 0, n_samples)
                advance(done - passed)
                passed = done
        finally:
            process.kill()
    advance(n_samples - passed)
    return process.wait()
