"""Print for a reader who may leave: `refsim validate | head` must not change the exit code."""

import contextlib
import os
import sys
import tempfile
import traceback

from ..core.errors import RefsimError, first_line, one_line, visible

CRASHED = 70  # as sysexits.h calls a fault of the program's own; no verdict has it
EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}  # 2: wrong usage or invalid input


def say(text: str) -> None:
    """Print a text, of whatever file, so that it only stands there.

    Where nobody reads it any more, print nothing from then on.
    """
    try:
        print(visible(text), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise RefsimError(f"the output cannot be written ({error.strerror}).") from None


def complain(text: str) -> None:
    """Print what went wrong, on one line of the other stream.

    Where nobody reads that, print nothing.
    """
    with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
        print(f"refsim: {one_line(text)}", file=sys.stderr, flush=True)


def crashed(error: BaseException) -> int:
    """Tell of a fault of refsim's own in one sentence that asks for a report.

    Return its exit code, which no verdict has. Of the user's code: 2.

    The traceback goes to a file, or, where REFSIM_DEBUG is set, to the reader.
    """
    if said := _of_users_code(error):
        complain(said)
        return 2
    told = "".join(traceback.format_exception(error))
    if os.environ.get("REFSIM_DEBUG"):
        where = ""
        print(visible(told), file=sys.stderr)
    else:
        where = _kept(told)
    complain(
        f"this is a fault of refsim's own, and no verdict ({type(error).__name__}: "
        f"{first_line(error)}). Please report it with the command, "
        f"its files{where or ' and what REFSIM_DEBUG=1 refsim ... prints'}."
    )
    return CRASHED


def _of_users_code(error: BaseException) -> str:
    """Return a sentence where the error came about in code that the user named.

    Empty where it did not.
    """
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


def _kept(told: str) -> str:
    """Write a traceback among the temporary files.

    Return words that say where, none where it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix="refsim-crash-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(told)
    except OSError:
        return ""
    return f" and the traceback, which is in {name}"
