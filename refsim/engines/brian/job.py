"""Run one portion of the samples with the compiled program; the same on this machine and on a worker far away."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ...drive import Drive
from ...errors import RefsimError
from ...progress import advance
from .cache import held
from .children import Scratch, child, exit_code, wait
from .folder import CURE, disk_full, explained_disk
from .objects import Structure, group_name
from .outcome import Portion
from .run_files import BYTES_A_SAMPLE, read_portion, write_constants, write_input
from .standalone import ENDLESS, compiled

_DISK_FULL = 4  # exit code of record.cpp; on a full disk it cannot even say why
_NOT_STARTED = (126, 127)  # exit codes of a shell that cannot start a program
_ONE = threading.Lock()  # Brian2 writes one program at a time in a process


@dataclass
class _Ready:
    """What a process holds while it runs portions: the program, which nobody may remove, and the weights in a file."""

    program: Path
    lock: TextIO
    scratch: Scratch


class Job:
    """What all portions of a run share. Processes on one machine share the weights' pages; a worker gets them once.

    Parameters
    ----------
    structure : Structure
    refine : int
    analog_impulse : bool
    record : tuple of str
    """

    def __init__(self, structure: Structure, refine: int, analog_impulse: bool, record: tuple[str, ...]) -> None:
        self.structure, self.refine, self.analog_impulse, self.record = structure, refine, analog_impulse, record
        self._ready: _Ready | None = None

    def __getstate__(self) -> tuple[Any, ...]:
        """Leave out what belongs to this process."""
        return (self.structure, self.refine, self.analog_impulse, self.record)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Begin anew in another process."""
        self.__init__(*state)  # type: ignore[misc]

    def prepare(self) -> Path:
        """Find or compile the program, hold it, and write the weights where it reads them; return the folder of the program."""
        with _ONE:
            if self._ready is None:
                program, lock = held(lambda: compiled(self.structure))
                scratch = Scratch()
                write_constants(scratch.path, self.structure, self.refine)
                self._ready = _Ready(program, lock, scratch)
            elif not (self._ready.program / "main").is_file():  # removed by hand in the middle of the run
                self._ready.lock.close()
                self._ready.program, self._ready.lock = held(lambda: compiled(self.structure))
            return self._ready.program

    def close(self) -> None:
        """Let go of the program and remove the files."""
        if self._ready is not None:
            self._ready.scratch.close()
            self._ready.lock.close()
            self._ready = None

    def run(self, drive: Drive, stop: threading.Event | None = None) -> Portion:
        """Run a portion; a process that is killed is started once more, and then its death is reported.

        Parameters
        ----------
        stop : threading.Event, optional
            Set by whoever no longer wants the result.

        Raises
        ------
        RefsimError
            Where the process died twice, or the disk is full.
        """
        steps = -(-drive.n_samples // self.structure.batch) * drive.n_steps * self.refine
        if steps >= ENDLESS:
            raise RefsimError(f"this run takes {steps:,} steps of {self.structure.batch} samples each; at most {int(ENDLESS):,} are run at once.")
        with explained_disk():
            program = self.prepare()
            assert self._ready is not None
            shared = self._ready.scratch.path
            run = Path(tempfile.mkdtemp(prefix="portion-", dir=shared))
            try:
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
    code = _execute(program, run, n_samples, stop)
    if code < 0 and not stop.is_set():
        code = _execute(program, run, 0, stop)
    said = (run / "said").read_text("utf-8", errors="replace").strip()
    if code in (_DISK_FULL, -signal.SIGXFSZ) or "the disk is full" in said:
        raise disk_full()
    if code in _NOT_STARTED:
        raise RefsimError(f"the compiled network {program} may not be run or is not there ({said[-100:] or code}): its disk may forbid it (noexec). {CURE}")
    if code or "rror" in said:  # Brian2 prints "Error opening static array" and goes on
        how = f"was ended by signal {-code} twice" if code < 0 else f"stopped with code {code}"
        raise RefsimError(f"the compiled network {how}: {said[-300:] or 'it said nothing'}. Fewer samples at a time need less memory.")


def _execute(program: Path, run: Path, n_samples: int, stop: threading.Event) -> int:
    """Start the program, tell how many samples are done by the file of nearest approaches it writes, return its exit code."""
    grown, passed = run / f"{group_name(0)}_gap.bin", 0
    with open(run / "said", "wb") as said, child([os.fspath(program)], cwd=run, stdout=said, stderr=subprocess.STDOUT) as process:
        while process.poll() is None and not stop.is_set():
            wait(process, 0.2)
            done = min(grown.stat().st_size // BYTES_A_SAMPLE if grown.is_file() else 0, n_samples)
            advance(done - passed)
            passed = done
        if stop.is_set():
            return -signal.SIGKILL
        advance(n_samples - passed)
        return exit_code(process)
