"""Print for a reader who may leave: `refsim validate | head` must not change the exit code.

`say` prints results, `complain` prints what went wrong, and `crashed` tells of a fault of refsim's.
"""

import contextlib
import os
import sys
import tempfile
import traceback

from ..core.errors import RefsimError, first_line, one_line, visible

CRASHED = 70  # for a fault of the program, as in sysexits.h; no verdict has this code
EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}  # 2: wrong usage or invalid input


def say(text: str) -> None:
    """Print a text with hidden characters written out, because it may come from any file.

    Where nobody reads it any more, nothing is printed from then on.

    Raises
    ------
    RefsimError
        Where it cannot be written for another reason, such as a full disk.
    """
    try:
        print(visible(text), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise RefsimError(f"the output cannot be written ({error.strerror}).") from None


def complain(text: str) -> None:
    """Print what went wrong, on one line of the error stream.

    Where nobody reads that, nothing is printed.
    """
    with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
        print(f"refsim: {one_line(text)}", file=sys.stderr, flush=True)


def crashed(error: BaseException) -> int:
    """Tell of an unexpected error in one sentence, and return the exit code.

    For a fault of refsim's own the sentence asks for a report, and the code is one that no verdict
    has; for an error in the user's code it is 2. The traceback goes to a file, or, where
    REFSIM_DEBUG is set, to the reader.
    """
    if sentence := _of_users_code(error):
        complain(sentence)
        return 2
    trace = "".join(traceback.format_exception(error))
    if os.environ.get("REFSIM_DEBUG"):
        where = ""
        print(visible(trace), file=sys.stderr)
    else:
        where = _saved(trace)
    complain(
        f"this is a fault of refsim's own, and no verdict ({type(error).__name__}: "
        f"{first_line(error)}). Please report it with the command, "
        f"its files{where or ' and what REFSIM_DEBUG=1 refsim ... prints'}."
    )
    return CRASHED


def _of_users_code(error: BaseException) -> str:
    """Return a sentence where the error is one of code that the user named; else empty."""
    # Code of the user is run only where this module was imported.
    importing = sys.modules.get("refsim.modules.importing")
    where = importing.failed_in(error) if importing else ""
    return (
        (
            f"your own code fails while it runs, at {where} ({type(error).__name__}: "
            f"{first_line(error)})."
        )
        if where
        else ""
    )


def _saved(trace: str) -> str:
    """Write a traceback to a temporary file, and return words that say where.

    They are empty where it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix="refsim-crash-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError:
        return ""
    return f" and the traceback, which is in {name}"
