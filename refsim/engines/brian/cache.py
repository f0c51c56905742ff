"""The folder of compiled programs: where it is, what lies in it, and how it is kept small and whole."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import RefsimError

_LARGEST = 1 << 30  # bytes kept; a program has about 0.2 MB


@dataclass(frozen=True)
class Program:
    """A compiled program: its folder, size in bytes and when it was last used (seconds since 1970)."""

    folder: Path
    size: int
    used: float


def cache_folder() -> Path:
    """Return the folder of compiled programs: REFSIM_CACHE, else the user's cache folder. It is its owner's alone."""
    named = os.environ.get("REFSIM_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refsim"
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RefsimError(f"the folder for compiled networks, {base}, cannot be made ({error.strerror}); name another in REFSIM_CACHE.") from None
    if not os.access(base, os.W_OK | os.X_OK):
        raise RefsimError(f"the folder for compiled networks, {base}, cannot be written; name another in REFSIM_CACHE.")
    return base


def is_whole(folder: Path) -> bool:
    """Return whether a compiled program is there and undamaged; one that is not is made anew."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        return bool(manifest["sha256"] == digest(folder / "main"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def digest(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def alone(key: str) -> Iterator[None]:
    """Hold a lock, so that of several processes one compiles and the others wait. The system drops it with its holder."""
    with open(cache_folder() / f"{key}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def touch(folder: Path) -> None:
    """Note that a program is used now."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def programs() -> list[Program]:
    """Return the programs, the least recently used first."""
    found = []
    for manifest in cache_folder().glob("*/manifest.json"):
        with contextlib.suppress(OSError):  # another process may be removing it
            size = sum(path.stat().st_size for path in manifest.parent.rglob("*") if path.is_file())
            found.append(Program(manifest.parent, size, manifest.parent.stat().st_mtime))
    return sorted(found, key=lambda program: program.used)


def keep_small(largest: int = _LARGEST) -> None:
    """Remove the least recently used programs above a size, and what a killed process left behind a day ago."""
    there = programs()
    total = sum(program.size for program in there)
    for program in there:
        if total <= largest:
            break
        shutil.rmtree(program.folder, ignore_errors=True)
        total -= program.size
    for left in cache_folder().glob("tmp*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 86_400:
                shutil.rmtree(left, ignore_errors=True)


def clear() -> int:
    """Remove all programs; return how many there were."""
    there = programs()
    for entry in cache_folder().iterdir():
        if entry.is_dir() and ((entry / "manifest.json").exists() or entry.name.startswith("tmp")):
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.suffix == ".lock":
            entry.unlink(missing_ok=True)
    return len(there)
