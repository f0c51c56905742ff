"""report.json and report.html appear together, whenever a run is killed.

Whoever opens the folder finds the old two or the new two. Two files cannot be replaced in one move,
but one link can. Both names are links through `.report`, which leads to a folder with both files. A
new pair is written whole beside it, and then `.report` is turned to it.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..core.whole_files import umask

_TURN = ".report"
_KEPT = ".report-"  # begins the name of a folder with a pair


def write_pair(folder: Path, texts: Mapping[str, str]) -> None:
    """Put files into a folder so that all of them are seen, or none.

    Parameters
    ----------
    folder : Path
        It is made where absent. Other files in it stay.
    texts : dict of str to str
        The content of each file, by its name.

    Raises
    ------
    OSError
        Where the folder cannot be written. It is then as it was before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _write(folder, texts)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to the folder meanwhile.

    Where a file system has no locks, none is kept away.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the pair, turn the link to it, and remove what is no longer seen."""
    # A folder in the place of a file cannot be replaced by a link.
    if stuck := [
        name
        for name in (*texts, _TURN)
        if (folder / name).is_dir() and not (folder / name).is_symlink()
    ]:
        raise OSError(errno.EISDIR, f"{stuck[0]} in it is a folder", str(folder))
    # The new pair lies whole beside the old one before anything changes.
    new = _filled(folder, texts)
    try:
        # The first time, plain files become links that show the same.
        if not all(_is_link(folder / name) for name in texts):
            _hang(folder, list(texts))
        _turn(folder, new)
    except NotImplementedError:
        _one_after_the_other(folder, new, list(texts))
    except BaseException:
        _drop(new, texts)
        raise
    # Only now may the old pair go.
    _sweep(folder, texts)


def _filled(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write all files into a new folder, down to the disk."""
    made = Path(tempfile.mkdtemp(prefix=_KEPT, dir=folder))
    try:
        # A temporary folder is private; a report is as readable as the user's other files.
        made.chmod(0o777 & ~umask())
        for name, text in texts.items():
            with open(made / name, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        _drop(made, texts)
        raise
    return made


def _is_link(path: Path) -> bool:
    """Return whether a name is a link through `.report`."""
    return path.is_symlink() and os.readlink(path) == f"{_TURN}/{path.name}"


def _hang(folder: Path, names: list[str]) -> None:
    """Make each name a link through `.report` without changing what is seen.

    The links lead to a copy of what is there.
    """
    old = Path(tempfile.mkdtemp(prefix=_KEPT, dir=folder))
    old.chmod(0o777 & ~umask())
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(folder / name, old / name)
    _turn(folder, old)
    for name in names:
        _link(f"{_TURN}/{name}", folder / name)


def _turn(folder: Path, target: Path) -> None:
    """Let `.report` lead to another folder; in this one move the pair changes."""
    _link(target.name, folder / _TURN)


def _link(target: str, path: Path) -> None:
    """Put a link in the place of whatever has the name."""
    # A link is made under another name and moved, for only a move replaces at once.
    aside = path.with_name(f"{_KEPT}{os.urandom(6).hex()}.link")
    try:
        os.symlink(target, aside)
    except (OSError, AttributeError) as error:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            raise NotImplementedError from error  # a file system that has no links
        raise
    try:
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _one_after_the_other(folder: Path, new: Path, names: list[str]) -> None:
    """Replace the files one by one, where a file system has no links.

    All but the first are removed before, so that no two files of different runs stand together.
    """
    first, *rest = names
    for name in rest:
        (folder / name).unlink(missing_ok=True)
    for name in (first, *rest):
        os.replace(new / name, folder / name)


def _sweep(folder: Path, names: Mapping[str, str]) -> None:
    """Remove the pairs that `.report` no longer leads to, and what killed runs left behind."""
    seen = os.readlink(folder / _TURN) if (folder / _TURN).is_symlink() else ""
    for path in folder.glob(f"{_KEPT}*"):
        if path.is_symlink() and path.suffix == ".link":
            path.unlink(missing_ok=True)
        elif path.is_dir() and path.name != seen:
            _drop(path, names)


def _drop(path: Path, names: Mapping[str, str]) -> None:
    """Remove a folder with a pair; a folder that holds anything else stays."""
    with contextlib.suppress(OSError):
        if {entry.name for entry in path.iterdir()} <= set(names):
            for name in names:
                (path / name).unlink(missing_ok=True)
            path.rmdir()
