"""The folder of compiled programs: where it is and whose it is. What lies in it is run, so it is its owner's alone."""

import contextlib
import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...errors import RefsimError

CURE = "Name a folder of your own in REFSIM_CACHE."
_MARK = "refsim-cache.txt"
_SAYS = "Networks that refsim has compiled, in folders called refsim-... `refsim cache clear` removes them, and nothing else.\n"
_INSIDE = "refsim-cache"  # a folder of refsim's own, in one that holds something else


def cache_folder() -> Path:
    """Return the folder of compiled programs, made where absent.

    REFSIM_CACHE names it; else it is `refsim` in the user's cache folder, and where that cannot be written (a home that
    is read-only) a folder of the user's own beside the temporary files.

    Raises
    ------
    RefsimError
        Where the folder cannot be written, belongs to somebody else, or could have been written by others.
    """
    named = os.environ.get("REFSIM_CACHE")
    if named:
        return _own_part(_whole_path(named))
    usual = _usual_folder()
    try:
        if usual is not None:
            return _own_part(usual)
    except _Unwritable:
        pass  # a home that is read-only; a folder that others could have filled is an error and goes on
    beside = Path(tempfile.gettempdir()) / f"refsim-cache-{os.geteuid()}"
    if beside.is_symlink():
        raise RefsimError(f"the folder for compiled networks, {beside}, is a link that anybody may have made. {CURE}")
    return private_folder(beside)


def _own_part(path: Path) -> Path:
    """Return a folder, or, where it holds what is not refsim's, a folder of refsim's in it: what lies beside is neither touched nor removed."""
    if not _has_strangers(path):
        return private_folder(path)
    _check_alone(path, path.stat())
    inside = path / _INSIDE
    if inside.is_symlink():
        raise RefsimError(f"the folder for compiled networks, {inside}, is a link. {CURE}")
    return private_folder(inside)


def _has_strangers(path: Path) -> bool:
    """Return whether a folder is there that has something in it, but not refsim's mark, which is the first thing that refsim writes."""
    try:
        return any(path.iterdir()) and not (path / _MARK).is_file()
    except OSError:
        return False


def mark(path: Path) -> None:
    """Leave refsim's mark in a folder, before anything else."""
    if not (path / _MARK).is_file():
        with contextlib.suppress(OSError):  # who cannot write it can write nothing else either, and hears of that
            (path / _MARK).write_text(_SAYS, "utf-8")


def unmark(path: Path) -> None:
    """Take the mark away where nothing else is left."""
    with contextlib.suppress(OSError):
        if [entry.name for entry in path.iterdir()] == [_MARK]:
            (path / _MARK).unlink()


def _whole_path(named: str) -> Path:
    """Return a folder's path from the root on: a program is started in the folder of its run, not in ours."""
    try:
        return Path(named).expanduser().absolute()  # where no shell has turned ~ into the home
    except RuntimeError:
        raise RefsimError(f"REFSIM_CACHE: there is no home {named.split('/')[0]} for {named!r}; write the whole path.") from None


class _Unwritable(RefsimError):
    """A folder that cannot be made or written, where another one will do."""


def _usual_folder() -> Path | None:
    """Return the place among the user's caches; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refsim"
    except RuntimeError:
        return None


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, or take the one that is there if nobody else could have written to it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = path.stat()
    except FileExistsError:
        what = "a link to nothing" if path.is_symlink() else "not a folder"
        raise _Unwritable(f"the folder for compiled networks, {path}, is {what}. {CURE}") from None
    except OSError as error:
        raise _Unwritable(f"the folder for compiled networks, {path}, cannot be made ({error.strerror}). {CURE}") from None
    mode = _check_alone(path, facts)
    if not os.access(path, os.W_OK | os.X_OK):
        raise _Unwritable(f"the folder for compiled networks, {path}, cannot be written. {CURE}")
    if mode & 0o077:
        with contextlib.suppress(OSError):
            path.chmod(0o700)
            logging.getLogger("refsim").warning("refsim: %s could be read by other users (mode %o); it is now yours alone (mode 700).", path, mode)
    return path


def _check_alone(path: Path, facts: os.stat_result) -> int:
    """Refuse a folder of somebody else, or one into which others could have put programs; return its mode."""
    if facts.st_uid != os.geteuid():
        raise RefsimError(f"the folder for compiled networks, {path}, belongs to another user (number {facts.st_uid}), whose programs would be run. {CURE}")
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o022:
        raise RefsimError(
            f"the folder for compiled networks, {path}, can be written by other users (mode {mode:o}), who may have left programs in it. "
            f"Empty it and make it yours alone (chmod 700). {CURE}"
        )
    return mode


@contextlib.contextmanager
def explained_disk() -> Iterator[None]:
    """Turn a disk that is full, or a file that may not grow, into one sentence."""
    try:
        yield
    except OSError as error:
        # NumPy's tofile, where it cannot write all, says so without a number
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and "requested and" not in str(error):
            raise
        raise disk_full() from None


def disk_full() -> RefsimError:
    """Return the error of a disk that has no room for a program or a run."""
    return RefsimError(
        f"the disk is full: {tempfile.gettempdir()} holds the files of a run while it lasts, {cache_folder()} the compiled networks. "
        "Free some room there, or name other folders in TMPDIR and REFSIM_CACHE."
    )
