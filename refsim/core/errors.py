"""The one error a user of refsim meets: what was given, what is needed, where, and what to do."""

import unicodedata

# Control, surrogate, unassigned and private characters, and separators of lines.
_HIDDEN = ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")
# They turn the direction of what follows.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NAME, _NAMES = 100, 150  # characters of a name, and names of a list, that are shown
# Characters of a message; the beginning and the end are kept, which say what it is and what to do.
_LONGEST = 2000


class RefsimError(ValueError):
    """Input that refsim cannot use. The message is a whole sentence for the person who gave it."""


class CrashError(RefsimError):
    """Somebody's code raised while it was checked.

    That is what the check has found, and no wrong usage of refsim.
    """

    @property
    def found(self) -> str:
        """What it raised, the same wherever the same code raises it."""
        return repr(self.__cause__) if self.__cause__ is not None else str(self)


def is_hidden(letter: str) -> bool:
    """Whether a character is one that no reader sees, but that a terminal, a compiler or a page
    acts on; a line's end and a tab are not.
    """
    return letter not in "\n\t" and (letter in _TURNING or unicodedata.category(letter) in _HIDDEN)


def visible(text: str) -> str:
    r"""Return a text with hidden characters written out, such as ``\x1b``, so that a terminal shows
    them and does nothing.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode() if is_hidden(letter) else letter for letter in text
    )


def one_line(text: str, most: int = _LONGEST) -> str:
    """Return a text, perhaps of a file, on one line.

    Hidden characters written out, and its middle left out where it is longer than `most`.
    """
    line = visible(" ".join(text.split()))
    if len(line) <= most:
        return line
    end = most // 4
    return f"{line[: most - end - 3]} … {line[len(line) - end :]}"


class RefsimWarning(UserWarning):
    """What refsim can use, but what may not be meant. The message is a whole sentence."""


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: object) -> str:
    """Write names as a readable, sorted list: ``a, b, c``.

    Names of a file may be long and many, and are cut.
    """
    rows = sorted(one_line(str(name), _NAME) for name in names)  # type: ignore[attr-defined]
    more = [f"and {len(rows) - _NAMES:,} more"] if len(rows) > _NAMES else []
    return ", ".join(rows[:_NAMES] + more) or "none"


def option(name: str, value: object, typed: str = "") -> str:
    """Write an option as a call takes it and as one types it.

    ``dt='1 ms' (on the command line --dt '1 ms')``.

    Parameters
    ----------
    name : str
        In Python.
    value : object
        An example.
    typed : str
        How it is typed, where that is not ``--name`` and the value, of a tuple its entries with
        commas.
    """
    words = ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)
    flag = name.replace("_", "-")
    return f"{name}={value!r} (on the command line {typed or f'--{flag} {words}'})"


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the first line of what an error of somebody else's code says, or its kind where it
    says nothing.
    """
    return visible((str(error).strip().splitlines() or [type(error).__name__])[0][:most])


def crash(what: str, error: BaseException, how: str = "", cure: str = "") -> CrashError:
    """Return the error that says in words what somebody's code raised; raise it ``from error``.

    Parameters
    ----------
    what : str
        Whose code: ``"check_step: the step"``.
    how : str
        How it was called, where that helps: ``"when it was called with ..."``.
    cure : str
        What may help.
    """
    words = f"{what} raised {type(error).__name__}{f' {how}' if how else ''}: {first_line(error)}"
    return CrashError(f"{words} ({cure})." if cure else words)
