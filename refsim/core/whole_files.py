"""Write files whole: whoever opens one finds the old content or the new, never a part.

That holds even where the writer is killed, or the machine loses power.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give the name of a file to write, which replaces the wanted file when all is written.

    What is no ordinary file, such as /dev/stdout, is written directly, and so is a file in a folder
    that takes no new ones. A link stays a link, and the file that it leads to is replaced.

    Parameters
    ----------
    path : path
        The wanted file. The name that is given has the same ending.

    Raises
    ------
    OSError
        Where it cannot be written; then the old content is still there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        yield Path(path)  # a folder is refused by whoever opens it
        return
    target = Path(os.path.realpath(path))
    if not os.access(target.parent, os.W_OK) and target.exists():
        yield target
        return
    # The new file lies in the same folder, because a file is replaced at once only within a disk.
    handle, name = tempfile.mkstemp(
        suffix=target.suffix, prefix=f".{target.stem[:40]}-", dir=target.parent
    )
    os.close(handle)
    new = Path(name)
    try:
        new.chmod(_mode_of(target))
        yield new
        _to_disk(new)
        _replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


_replace = os.replace  # the last step; its own name lets a test stop just before it


def _mode_of(target: Path) -> int:
    """Return the rights of the file that is replaced, or those that a new file gets."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    # The mask can only be read by setting it.
    return 0o666 & ~umask()


def umask() -> int:
    """Return the bits that the user's new files lack; the system tells only by setting them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _to_disk(path: Path) -> None:
    """Write the content to the disk before the name, so that a loss of power leaves it whole."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
