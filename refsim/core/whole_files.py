"""Files that are written whole.

Whoever opens one finds the old content or the new, whenever its writer is killed.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the place of another when all is written.

    What is no plain file, such as /dev/stdout, is written as it is, and so is a file in a folder
    that takes no new ones. A link stays a link: what it leads to is replaced.

    Parameters
    ----------
    path : path
        Of the file that is wanted. The name that is given ends as this one does.

    Raises
    ------
    OSError
        Where it cannot be written; then what was there is as it was.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)  # a folder is refused by whoever opens it
        return
    target = Path(os.path.realpath(path))
    if not os.access(target.parent, os.W_OK) and target.exists():
        yield target
        return
    handle, name = tempfile.mkstemp(
        suffix=target.suffix, prefix=f".{target.stem[:40]}-", dir=target.parent
    )
    os.close(handle)
    made = Path(name)
    try:
        made.chmod(_mode_of(target))
        yield made
        _to_disk(made)
        _replace(made, target)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


_replace = os.replace  # the last step, by a name of its own


def _mode_of(target: Path) -> int:
    """Return the rights of the file that is replaced, or those that a new file gets."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _to_disk(path: Path) -> None:
    """Let the content reach the disk before the name does, so that a machine that loses power keeps
    one of the two.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
