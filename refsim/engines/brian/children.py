"""Programs that do not outlive this process, and folders that do not either.

Where this process is killed, a program ends at once, and the next run removes the folder.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from ...core.errors import RefsimError

# The shell leads a group of its own and waits for the program. A watcher beside it waits for the
# end of its input, which comes when this process ends in whatever way, and then ends the whole
# group. No other means works on every system and for grandchildren.
_GUARD = """exec 3<&0
(read -r _ <&3; kill -9 -$$) & watcher=$!
"$@" </dev/null 3<&-
code=$?
kill $watcher; wait $watcher 2>/dev/null
exit $code"""
_PREFIX = "refsim-run-"
_ALIVE, _SAYS = "alive", "The files of a run of refsim, which removes them.\n"


@contextlib.contextmanager
def child(words: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a program that ends with the block, and with this process even where that is killed.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments.
    **options
        For `subprocess.Popen`.

    Yields
    ------
    subprocess.Popen
        `exit_code` reads its exit code.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "sh", *words],
        stdin=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for a child's end, at most so long; Linux tells of it at once."""
    if not hasattr(os, "pidfd_open"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return
    end = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll(1000 * seconds)
    finally:
        os.close(end)


def exit_code(process: "subprocess.Popen[bytes]") -> int:
    """Return a child's exit code, negative where a signal ended it."""
    code = process.wait()
    # A shell adds 128 to the number of a signal.
    return 128 - code if code > 128 else code


class Scratch:
    """A folder for the files of a run, removed with this object.

    Where this process is killed, the next run removes it.

    Attributes
    ----------
    path : Path
    """

    def __init__(self) -> None:
        try:
            remove_left_over()
            new = Path(tempfile.mkdtemp(prefix="refsim-new-"))
        except FileNotFoundError as error:
            raise RefsimError(
                f"there is no folder for temporary files ({error.strerror}); name one with some "
                "room in TMPDIR."
            ) from None
        # The lock shows that the owner is alive; the system drops it with the process.
        lock = open(new / _ALIVE, "w")  # noqa: SIM115 - open as long as we live
        lock.write(_SAYS)
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Renamed only now, so that the folder is locked before others look for its name.
        self.path = new.with_name(new.name.replace("refsim-new-", _PREFIX))
        new.rename(self.path)
        self._finalizer = weakref.finalize(self, _remove, self.path, lock)

    def close(self) -> None:
        """Remove the folder now."""
        self._finalizer()

    def __enter__(self) -> Path:
        """Return the folder."""
        return self.path

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.close()


def _remove(path: Path, lock: TextIO) -> None:
    _clear(path)
    lock.close()


def _clear(path: Path) -> None:
    """Remove the folder of a run, its mark last, so that what a kill leaves is still known."""
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != _ALIVE:
                entry.unlink(missing_ok=True)
        (path / _ALIVE).unlink(missing_ok=True)
        path.rmdir()


def remove_left_over() -> None:
    """Remove the folders of runs whose process was killed, and no folder of anybody else."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if left.is_symlink() or left.lstat().st_uid != os.geteuid():
                continue
            # The lock can be taken only where its owner has ended.
            with open(left / _ALIVE) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock.read() == _SAYS:
                    _clear(left)
