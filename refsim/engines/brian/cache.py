"""The cache of compiled programs: one folder, which is its owner's alone since its content is run.

First where the folder is and whose it is, then errors of a full disk. Then the programs: complete
or made anew, locked while they are made or run, and removed when they grow too many.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ...core.errors import RefsimError

CURE = "Name a folder of your own in REFSIM_CACHE."
_MARK = "refsim-cache.txt"
_SAYS = (
    "Networks that refsim has compiled, in folders called refsim-... `refsim cache clear` "
    "removes them, and nothing else.\n"
)
_INSIDE = "refsim-cache"  # a folder of refsim's own, in one that holds something else


def cache_folder() -> Path:
    """Return the folder of compiled programs, made where absent.

    REFSIM_CACHE names it; otherwise it is `refsim` in the user's cache folder. Where that cannot
    be written (a home that is read-only) it is a folder of the user beside the temporary files.

    Raises
    ------
    RefsimError
        Where the folder cannot be written, belongs to somebody else, or could have been written by
        others.
    """
    named = os.environ.get("REFSIM_CACHE")
    if named:
        return _own_part(_whole_path(named))
    usual = _usual_folder()
    try:
        if usual is not None:
            return _own_part(usual)
    except _Unwritable:
        # A home may be read-only. A folder that others could have filled is another error, which
        # is raised.
        pass
    beside = Path(tempfile.gettempdir()) / f"refsim-cache-{os.geteuid()}"
    if beside.is_symlink():
        raise RefsimError(
            f"the folder for compiled networks, {beside}, is a link that anybody may have made. "
            f"{CURE}"
        )
    return private_folder(beside)


def _own_part(path: Path) -> Path:
    """Return a folder, or where it holds files of others, a folder of refsim's in it.

    Those files are neither touched nor removed.
    """
    if not _has_strangers(path):
        return private_folder(path)
    _check_alone(path, path.stat())
    inside = path / _INSIDE
    if inside.is_symlink():
        raise RefsimError(f"the folder for compiled networks, {inside}, is a link. {CURE}")
    return private_folder(inside)


def _has_strangers(path: Path) -> bool:
    """Return whether a folder has files in it but not refsim's mark.

    The mark is the first file that refsim writes.
    """
    try:
        return any(path.iterdir()) and not (path / _MARK).is_file()
    except OSError:
        return False


def mark(path: Path) -> None:
    """Leave refsim's mark in a folder, before anything else."""
    if not (path / _MARK).is_file():
        # Where it cannot be written nothing else can, and that is reported.
        with contextlib.suppress(OSError):
            (path / _MARK).write_text(_SAYS, "utf-8")


def unmark(path: Path) -> None:
    """Take the mark away where nothing else is left."""
    with contextlib.suppress(OSError):
        if [entry.name for entry in path.iterdir()] == [_MARK]:
            (path / _MARK).unlink()


def _whole_path(named: str) -> Path:
    """Return a folder's path from the root on, since a program is started in another folder."""
    try:
        # There may have been no shell that turned ~ into the home.
        return Path(named).expanduser().absolute()
    except RuntimeError:
        raise RefsimError(
            f"REFSIM_CACHE: there is no home {named.split('/')[0]} for {named!r}; write the "
            "whole path."
        ) from None


class _Unwritable(RefsimError):
    """A folder cannot be made or written, and another one may take its place."""


def _usual_folder() -> Path | None:
    """Return the place among the user's caches; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refsim"
    except RuntimeError:
        return None


def private_folder(path: Path) -> Path:
    """Return a folder that only its owner can enter, made where absent.

    Raises
    ------
    RefsimError
        Where it cannot be made or written, or others could have written to it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = path.stat()
    except FileExistsError:
        what = "a link to nothing" if path.is_symlink() else "not a folder"
        raise _Unwritable(f"the folder for compiled networks, {path}, is {what}. {CURE}") from None
    except OSError as error:
        raise _Unwritable(
            f"the folder for compiled networks, {path}, cannot be made ({error.strerror}). {CURE}"
        ) from None
    # It must be ours before anything else is done with it.
    mode = _check_alone(path, facts)
    if not os.access(path, os.W_OK | os.X_OK):
        raise _Unwritable(f"the folder for compiled networks, {path}, cannot be written. {CURE}")
    if mode & 0o077:
        with contextlib.suppress(OSError):
            path.chmod(0o700)
            logging.getLogger("refsim").warning(
                "refsim: %s could be read by other users (mode %o); it is now yours alone (mode "
                "700).",
                path,
                mode,
            )
    return path


def _check_alone(path: Path, facts: os.stat_result) -> int:
    """Return the mode of a folder, and refuse one into which others could have put programs."""
    if facts.st_uid != os.geteuid():
        raise RefsimError(
            f"the folder for compiled networks, {path}, belongs to another user (number "
            f"{facts.st_uid}), whose programs would be run. {CURE}"
        )
    mode = stat.S_IMODE(facts.st_mode)
    if mode & 0o022:
        raise RefsimError(
            f"the folder for compiled networks, {path}, can be written by other users (mode "
            f"{mode:o}), who may have left programs in it. "
            f"Empty it and make it yours alone (chmod 700). {CURE}"
        )
    return mode


@contextlib.contextmanager
def explained_disk() -> Iterator[None]:
    """Turn a disk that is full, or a file that may not grow, into one sentence."""
    try:
        yield
    except OSError as error:
        # NumPy's tofile raises without an error number where it cannot write everything.
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
        ) and "requested and" not in str(error):
            raise
        raise disk_full() from None


def disk_full() -> RefsimError:
    """Return the error of a disk that has no room for a program or a run."""
    return RefsimError(
        f"the disk is full: {tempfile.gettempdir()} holds the files of a run while it lasts, "
        f"{cache_folder()} the compiled networks. "
        "Free some room there, or name other folders in TMPDIR and REFSIM_CACHE."
    )


_MANIFEST = "manifest.json"
_NAME = re.compile(r"refsim-[0-9a-f]{32}")  # of a program's folder
_LEFT = re.compile(rf"tmp-{_NAME.pattern}(-\d+)?")  # of one that is being made or removed
_LOCK = re.compile(rf"{_NAME.pattern}\.(lock|use)")
_LARGEST = 1 << 30  # bytes kept; a program has about 0.2 MB
_A_DAY = 86_400  # seconds
_AT_ONCE = fcntl.LOCK_EX | fcntl.LOCK_NB  # or not at all


@dataclass(frozen=True)
class Program:
    """A compiled program: folder, size in bytes, and last use in seconds since 1970."""

    folder: Path
    size: int
    used: float


def seal(folder: Path, **facts: object) -> None:
    """Write the manifest of a finished program: the checksum of each file, and other facts."""
    sums = {
        os.fspath(path.relative_to(folder)): digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / _MANIFEST).write_text(json.dumps({"files": sums, **facts}), "utf-8")


def is_whole(folder: Path) -> bool:
    """Return whether a program is there with all its files undamaged."""
    try:
        files = json.loads((folder / _MANIFEST).read_text("utf-8"))["files"]
        return "main" in files and all(
            digest(folder / name) == known for name, known in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def digest(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _locked(name: str, how: int) -> TextIO:
    """Return an open file with a lock, which ends when the file is closed or the process ends.

    A process that makes a program locks ``KEY.lock``, and all that run it lock ``KEY.use``, so that
    a repair need not wait for them.
    """
    path = cache_folder() / name
    mark(path.parent)
    while True:
        try:
            file = open(path, "w")  # noqa: SIM115 - it stays open as long as the lock lasts
        except OSError as error:
            raise RefsimError(
                f"the lock of a compiled network, {path}, cannot be opened ({error.strerror}); "
                "remove it, or name another folder in REFSIM_CACHE."
            ) from None
        try:
            fcntl.flock(file, how)
            if os.path.exists(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except BaseException:
            file.close()
            raise
        # The file was removed while we waited, and the next process would not see our lock.
        file.close()


@contextlib.contextmanager
def compile_lock(key: str) -> Iterator[None]:
    """Lock a program's key, so that of several processes one compiles and the others wait."""
    with _locked(f"{key}.lock", fcntl.LOCK_EX):
        yield


def locked_program(make: Callable[[], Path]) -> tuple[Path, TextIO]:
    """Return a program's folder, and an open file whose lock keeps others from removing it.

    Parameters
    ----------
    make : function () -> folder
        Finds or compiles the program; called again where it was removed before it was locked.
    """
    while True:
        folder = make()
        lock = _locked(f"{folder.name}.use", fcntl.LOCK_SH)
        if is_whole(folder):
            return folder, lock
        lock.close()


def clear_away(path: Path) -> None:
    """Remove a folder, or a file or link in its place, if it can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def touch(folder: Path) -> None:
    """Note that a program is used now."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def programs() -> list[Program]:
    """Return the programs, the least recently used first, and no other files beside them."""
    found = []
    for folder in _named(_NAME):
        # Another process may be removing it now.
        with contextlib.suppress(OSError):
            if (folder / _MANIFEST).is_file() and not folder.is_symlink():
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                found.append(Program(folder, size, folder.stat().st_mtime))
    return sorted(found, key=lambda program: program.used)


def _named(pattern: re.Pattern[str]) -> list[Path]:
    """Return what in the folder has a name that refsim gives."""
    return [path for path in sorted(cache_folder().iterdir()) if pattern.fullmatch(path.name)]


def largest_size() -> int:
    """Return the bytes kept: REFSIM_CACHE_BYTES, else 1 GiB."""
    given = os.environ.get("REFSIM_CACHE_BYTES", "")
    if given and not given.isdecimal():
        raise RefsimError(
            "REFSIM_CACHE_BYTES must be a whole number of bytes, such as 1000000000, but is "
            f"{given!r}."
        )
    return int(given) if given else _LARGEST


def keep_small(largest: int | None = None) -> None:
    """Remove the least recently used programs above a size, and what kills left a day ago.

    A program that is being made or run stays.

    Parameters
    ----------
    largest : int, optional
        Bytes that are kept, by default those of `largest_size`.
    """
    limit, there = largest_size() if largest is None else largest, programs()
    total = sum(program.size for program in there)
    for program in there:
        if total <= limit:
            break
        if _remove(program.folder):
            total -= program.size
    for left in _named(_LEFT):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)


def clear() -> tuple[int, int]:
    """Remove all programs, and nothing that refsim did not make.

    Returns
    -------
    removed, kept : int
        Programs that are gone, and programs that stay because they are in use.
    """
    gone = [_remove(program.folder) for program in programs()]
    for left in _named(_LEFT):
        shutil.rmtree(left, ignore_errors=True)
    for lock in _named(_LOCK):
        if lock.is_dir():
            clear_away(lock)  # no lock of ours
        with contextlib.suppress(OSError, RefsimError), _locked(lock.name, _AT_ONCE):
            lock.unlink()
    unmark(cache_folder())
    return sum(gone), len(gone) - sum(gone)


def _remove(folder: Path) -> bool:
    """Remove a program unless it is in use, in one move, so that nobody finds half of it."""
    try:
        with _locked(f"{folder.name}.lock", _AT_ONCE), _locked(f"{folder.name}.use", _AT_ONCE):
            if strangers := _strangers(folder):
                _remove_but(folder, strangers)
                return True
            away = folder.with_name(f"tmp-{folder.name}-{os.getpid()}")
            folder.rename(away)
            shutil.rmtree(away, ignore_errors=True)
            return True
    except (OSError, RefsimError):  # in use, or another process was faster
        return not folder.exists()


def _strangers(folder: Path) -> set[Path]:
    """Return the files of others in a program's folder, those that its manifest does not name.

    Without a manifest that can be read there are none.
    """
    try:
        files = json.loads((folder / _MANIFEST).read_text("utf-8"))["files"]
        ours = {folder / _MANIFEST, *(folder / str(name) for name in files)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()} - ours


def _remove_but(folder: Path, strangers: set[Path]) -> None:
    """Remove a program's files, the manifest first, and leave those of others where they are."""
    for path in (folder / _MANIFEST, *folder.rglob("*")):
        if path not in strangers and (path.is_symlink() or not path.is_dir()):
            with contextlib.suppress(OSError):
                path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):  # folders that are empty now
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
