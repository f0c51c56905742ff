"""Print for a reader who may leave: `refsim validate | head` must not change the exit code."""

import os
import sys

from ..errors import RefsimError

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 3}  # 2: wrong usage or invalid input


def say(text: str) -> None:
    """Print a text; where nobody reads it any more, print nothing from then on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise RefsimError(f"the output cannot be written ({error.strerror}).") from None
