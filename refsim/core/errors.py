"""The errors that a user of refsim meets, and the words that messages are made of.

A message says what was given, what is needed, where, and what to do. It may hold text of a file, so
that hidden characters are written out and long text is cut.
"""

import unicodedata
from collections.abc import Iterable

# Control, surrogate, unassigned and private characters, and separators of lines.
_HIDDEN = ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")
# Characters that turn the direction of the text behind them.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NAME, _NAMES = 100, 150  # how many characters of a name, and names of a list, are shown
# Characters of a message. Of a longer one the beginning and the end are kept, which say what it is
# and what to do.
_LONGEST = 2000


class RefsimError(ValueError):
    """Input that refsim cannot use. The message is a whole sentence for the person who gave it."""


class RefsimWarning(UserWarning):
    """Input that refsim can use, but that may not be meant. The message is a whole sentence."""


class CrashError(RefsimError):
    """An error that somebody's code raised while refsim checked it.

    It is what the check has found, not a wrong use of refsim.
    """

    @property
    def found(self) -> str:
        """What the code raised, in the same words wherever the same code raises it."""
        return repr(self.__cause__) if self.__cause__ is not None else str(self)


def is_hidden(letter: str) -> bool:
    """Return whether a reader cannot see a character that a terminal, compiler or page acts on.

    The end of a line and a tab are not hidden.
    """
    return letter not in "\n\t" and (letter in _TURNING or unicodedata.category(letter) in _HIDDEN)


def visible(text: str) -> str:
    r"""Return a text with hidden characters written out, such as ``\x1b``, so that none acts."""
    # Most texts hold nothing to write out, and one look tells.
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode() if is_hidden(letter) else letter for letter in text
    )


def one_line(text: str, most: int = _LONGEST) -> str:
    """Return a text on one line, with hidden characters written out.

    Its middle is left out where it is longer than `most` characters.
    """
    line = visible(" ".join(text.split()))
    if len(line) <= most:
        return line
    end = most // 4
    return f"{line[: most - end - 3]} … {line[len(line) - end :]}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[object]) -> str:
    """Write names as a readable, sorted list: ``a, b, c``.

    Names may come from a file, so that long ones and long lists are cut.
    """
    rows = sorted(one_line(str(name), _NAME) for name in names)
    more = [f"and {len(rows) - _NAMES:,} more"] if len(rows) > _NAMES else []
    return ", ".join(rows[:_NAMES] + more) or "none"


def option(name: str, value: object, typed: str = "") -> str:
    """Write an option as Python takes it and as one types it in a terminal.

    The result reads ``dt='1 ms' (on the command line --dt '1 ms')``.

    Parameters
    ----------
    name : str
        Its name in Python.
    value : object
        An example.
    typed : str
        How it is typed, where that is not ``--name value``. The values of a tuple are joined by
        commas.
    """
    words = ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)
    flag = name.replace("_", "-")
    return f"{name}={value!r} (on the command line {typed or f'--{flag} {words}'})"


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the first line of what a foreign error says, or its class where it says nothing."""
    return visible((str(error).strip().splitlines() or [type(error).__name__])[0][:most])


def crash(what: str, error: BaseException, how: str = "", cure: str = "") -> CrashError:
    """Return the error that tells what somebody's code raised; raise it ``from error``.

    Parameters
    ----------
    what : str
        Whose code it is: ``"check_step: the step"``.
    how : str
        How it was called, where that helps: ``"when it was called with ..."``.
    cure : str
        What may help.
    """
    words = f"{what} raised {type(error).__name__}{f' {how}' if how else ''}: {first_line(error)}"
    return CrashError(f"{words} ({cure})." if cure else words)
