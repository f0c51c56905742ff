"""Run one portion of the samples with the compiled program, here or on a worker far away.

First the files that a program reads at its start and those that it leaves, then the job, which
prepares the program and runs one portion after another.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from ...core.errors import RefsimError
from ...core.progress import advance
from ...core.spikes import SpikeTrains
from ...networks.drive import Drive
from ..arrivals import Array, layer_kernels
from ..discrete import parts_by_input
from .cache import CURE, disk_full, explained_disk, locked_program
from .children import Scratch, child, exit_code, wait
from .compile import ENDLESS, compiled
from .network import Structure, group_name, start_values
from .outcome import Portion, check_codes, code_type, shaped_traces, to_approach
from .product import product_of

BYTES_A_SAMPLE = 16  # of the file of nearest approaches: distance and neuron, as doubles


def write_constants(run: Path, structure: Structure, refine: int) -> None:
    """Write what all samples share: weights, delays, constants and the length of a (sub-)step.

    Parameters
    ----------
    run : Path
        The folder to write to.
    structure : Structure
    refine : int
        Sub-steps a step.
    """
    dtype, network = structure.dtype, structure.network
    for index, layer in enumerate(network.layers):
        delay = np.concatenate([source.delay for source in layer.sources])
        for given, part in parts_by_input(layer).items():
            name = f"{group_name(index)}_{product_of(given)}"
            delay.tofile(run / f"{name}_delay.bin")
            with open(run / f"{name}.bin", "wb") as file:
                # Stored as (n_pre, n_post), so that a spike adds one row.
                np.ascontiguousarray(part.weight.T, dtype).tofile(file)
                part.bias.astype(dtype).tofile(file)
        for name, kernel in layer_kernels(layer, network.dt).items() if not structure.fine else ():
            with open(run / f"{group_name(index)}_{name}.bin", "wb") as file:
                np.int64(len(kernel)).tofile(file)
                np.array(kernel, dtype).tofile(file)
    # Constants and starts, in the order in which the program fills its variables.
    values = [np.atleast_1d(value) for row in start_values(structure) for _, value in row]
    np.concatenate(values).astype(dtype).tofile(run / "values.bin")
    np.float64(network.dt / refine).tofile(run / "dt.bin")


def write_input(
    run: Path, structure: Structure, drive: Drive, refine: int, analog_impulse: bool
) -> int:
    """Write the plan of a run and its input, and return the number of chunks.

    Parameters
    ----------
    run : Path
        The folder to write to.
    structure : Structure
    drive : Drive
        Of the samples of this portion.
    refine : int
        Sub-steps a step.
    analog_impulse : bool
        Whether analog input jumps at the end of a step.
    """
    chunks = -(-drive.n_samples // structure.batch)
    frames = 1 if drive.values is None else drive.values.shape[1]
    # The seed, then the numbers of the samples, from which the program draws.
    numbers = np.zeros(1 + chunks * structure.batch, np.int64)
    numbers[0], numbers[1 : 1 + drive.n_samples] = (
        np.uint64(drive.seed).astype(np.int64),
        drive.sample_numbers,
    )
    numbers.tofile(run / "samples.bin")
    plan = [
        chunks,
        drive.n_steps,
        refine,
        frames,
        analog_impulse,
        drive.n_samples,
        drive.bits is not None,
    ]
    np.array(plan, np.int64).tofile(run / "run.bin")
    with open(run / "input.bin", "wb") as file:
        if drive.values is not None:
            # In parts, because of the copy in another dtype.
            for first in range(0, drive.n_samples, structure.batch):
                drive.values[first : first + structure.batch].astype(structure.dtype).tofile(file)
        elif drive.bits is not None:
            drive.bits.tofile(file)
            # The program reads whole words, also at the last byte.
            np.zeros(1, np.int64).tofile(file)
        else:
            _write_events(file, drive.spikes)
    return chunks


def _write_events(file: BinaryIO, spikes: SpikeTrains | None) -> None:
    """Write where each sample begins, and then the step and the input of each event."""
    assert spikes is not None
    np.searchsorted(spikes.sample, np.arange(spikes.n_samples + 1)).astype(np.int64).tofile(file)
    spikes.step.astype(np.int32).tofile(file)
    spikes.neuron.astype(np.int32).tofile(file)


def read_portion(
    run: Path,
    names: list[dict[str, str]],
    structure: Structure,
    drive: Drive,
    refine: int,
    record: Sequence[str],
) -> Portion:
    """Return the spikes, traces and nearest approaches that a program has left.

    Raises
    ------
    OSError
        Where a file is too short, as a full disk leaves it.
    RefsimError
        Where spikes are not in order.
    """
    length, codes, traces, gaps = drive.n_steps * refine, [], [], []
    chunks = -(-drive.n_samples // structure.batch)
    for index, layer in enumerate(structure.network.layers):
        name, width = group_name(index), structure.batch * layer.n_post
        kind = code_type(drive.n_samples, length, layer.n_post)
        codes.append(
            check_codes(
                np.fromfile(run / f"{name}_spikes.bin", kind),
                drive.n_samples * length * layer.n_post,
            )
        )
        raw = {
            key: _whole(run / "results" / file, structure.dtype, chunks * length * width)
            for key, file in (names[index] if names else {}).items()
        }
        traces.append(
            shaped_traces(raw, structure, index, drive.n_samples, length, record if raw else ())
        )
        if structure.gap:
            gaps.append(
                _whole(run / f"{name}_gap.bin", "float64", 2 * chunks * structure.batch).reshape(
                    -1, 2
                )
            )
    return Portion(drive.n_samples, codes, tuple(traces), to_approach(gaps, drive.n_samples))


def _whole(path: Path, dtype: str, count: int) -> Array:
    _check_size(path, dtype, count)
    return np.fromfile(path, dtype)


def _check_size(path: Path, dtype: str, count: int) -> None:
    there, needed = path.stat().st_size if path.is_file() else 0, count * np.dtype(dtype).itemsize
    if there != needed:
        raise OSError(errno.ENOSPC, f"{path.name} has {there} of {needed} bytes")


_DISK_FULL = 4  # exit code of record.cpp, which on a full disk cannot write why
_NOT_STARTED = (126, 127)  # exit codes of a shell that cannot start a program
_ONE = threading.Lock()  # Brian2 writes one program at a time in a process


@dataclass
class _Ready:
    """What a process keeps while it runs portions: the locked program, and a file of weights."""

    program: Path
    lock: TextIO
    scratch: Scratch


class Job:
    """What all portions of a run share.

    Processes on one machine read the weights from the same pages of memory; a worker of a cluster
    gets them once.

    Parameters
    ----------
    structure : Structure
    refine : int
    analog_impulse : bool
    record : tuple of str
    """

    def __init__(
        self, structure: Structure, refine: int, analog_impulse: bool, record: tuple[str, ...]
    ) -> None:
        self.structure, self.refine, self.analog_impulse, self.record = (
            structure,
            refine,
            analog_impulse,
            record,
        )
        self._ready: _Ready | None = None

    def __getstate__(self) -> tuple[Structure, int, bool, tuple[str, ...]]:
        """Leave out what belongs to this process."""
        return (self.structure, self.refine, self.analog_impulse, self.record)

    def __setstate__(self, state: tuple[Structure, int, bool, tuple[str, ...]]) -> None:
        """Start without a program in another process."""
        self.__init__(*state)  # type: ignore[misc]

    def prepare(self) -> Path:
        """Return the folder of the program, compiled and locked, with its weights written."""
        with _ONE:
            if self._ready is None:
                program, lock = locked_program(lambda: compiled(self.structure))
                scratch = Scratch()
                write_constants(scratch.path, self.structure, self.refine)
                self._ready = _Ready(program, lock, scratch)
            elif not (self._ready.program / "main").is_file():
                # Somebody removed it by hand in the middle of the run.
                self._ready.lock.close()
                self._ready.program, self._ready.lock = locked_program(
                    lambda: compiled(self.structure)
                )
            return self._ready.program

    def close(self) -> None:
        """Unlock the program and remove the files."""
        if self._ready is not None:
            self._ready.scratch.close()
            self._ready.lock.close()
            self._ready = None

    def run(self, drive: Drive, stop: threading.Event | None = None) -> Portion:
        """Run a portion; a process that is killed is started once more before that is an error.

        Parameters
        ----------
        drive : Drive
            Of the samples of this portion.
        stop : threading.Event, optional
            Set where the result is no longer wanted.

        Raises
        ------
        RefsimError
            Where the process died twice, or the disk is full.
        """
        steps = -(-drive.n_samples // self.structure.batch) * drive.n_steps * self.refine
        if steps >= ENDLESS:
            raise RefsimError(
                f"this run takes {steps:,} steps of {self.structure.batch} samples each; at most "
                f"{int(ENDLESS):,} are run at once."
            )
        with explained_disk():
            program = self.prepare()
            assert self._ready is not None
            shared = self._ready.scratch.path
            run = Path(tempfile.mkdtemp(prefix="portion-", dir=shared))
            try:
                # The program finds its weights and tables by links, and its input beside them.
                (run / "results").mkdir()
                (run / "shared").symlink_to(shared)
                (run / "static_arrays").symlink_to(program / "static_arrays")
                write_input(run, self.structure, drive, self.refine, self.analog_impulse)
                _finish(program / "main", run, drive.n_samples, stop or threading.Event())
                names = json.loads((program / "manifest.json").read_text("utf-8"))["results"]
                return read_portion(run, names, self.structure, drive, self.refine, self.record)
            finally:
                shutil.rmtree(run, ignore_errors=True)


def _finish(program: Path, run: Path, n_samples: int, stop: threading.Event) -> None:
    """Run a program, a second time where it was killed, and raise what its end means."""
    code = _execute(program, run, n_samples, stop)
    if code < 0 and not stop.is_set():
        code = _execute(program, run, 0, stop)
    said = (run / "said").read_text("utf-8", errors="replace").strip()
    if code in (_DISK_FULL, -signal.SIGXFSZ) or "the disk is full" in said:
        raise disk_full()
    if code in _NOT_STARTED:
        raise RefsimError(
            f"the compiled network {program} may not be run or is not there "
            f"({said[-100:] or code}): its disk may forbid it (noexec). {CURE}"
        )
    # Brian2 prints "Error opening static array" and goes on.
    if code or "rror" in said:
        how = f"was ended by signal {-code} twice" if code < 0 else f"stopped with code {code}"
        raise RefsimError(
            f"the compiled network {how}: {said[-300:] or 'it said nothing'}. Fewer samples at a "
            "time need less memory."
        )


def _execute(program: Path, run: Path, n_samples: int, stop: threading.Event) -> int:
    """Run the program and return its exit code.

    The length of its file of nearest approaches shows how many samples are done.
    """
    grown, passed = run / f"{group_name(0)}_gap.bin", 0
    with (
        open(run / "said", "wb") as said,
        child([os.fspath(program)], cwd=run, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None and not stop.is_set():
            wait(process, 0.2)
            done = min(grown.stat().st_size // BYTES_A_SAMPLE if grown.is_file() else 0, n_samples)
            advance(done - passed)
            passed = done
        if stop.is_set():
            return -signal.SIGKILL
        advance(n_samples - passed)
        return exit_code(process)
