"""Import packages where no file of the working folder can change what they do.

Some packages read settings from a file there, and Brian2 runs such a file as code.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

_SAFE = "PYTHONSAFEPATH"
# Files that a package reads from the folder in which it happens to be imported.
_READ = ("brian_preferences", "matplotlibrc")


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Import packages from an empty folder where the working folder has a file that they read.

    Elsewhere nothing is changed, because the working folder is the same for all threads.
    """
    if not any(os.path.lexists(name) for name in _READ):
        yield
        return
    # A handle finds the way back even where the folder is renamed meanwhile.
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
    """Let the Python processes that are started meanwhile import nothing from the working folder.

    Without this, `python -c` puts that folder first on the path of imports.
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
