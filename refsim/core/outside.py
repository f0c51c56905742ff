"""Import a package from outside the working folder.

Some take settings from a file there, and Brian2 runs such a file as code.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

_SAFE = "PYTHONSAFEPATH"
# Files that a package looks for where it happens to be imported.
_READ = ("brian_preferences", "matplotlibrc")


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Stay in an empty folder while packages are imported, where the working folder has a file that
    they would read.

    Elsewhere nothing is changed, since the working folder is one for all threads.
    """
    if not any(os.path.lexists(name) for name in _READ):
        yield
        return
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
    with tempfile.TemporaryDirectory(prefix="refsim-empty-") as empty:
        try:
            os.chdir(empty)
            yield
        finally:
            os.fchdir(here)
            os.close(here)


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes that are started meanwhile import nothing from the working folder, which
    `python -c` puts first.
    """
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before
