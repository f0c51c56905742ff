"""The one error a user of refsim meets: what was given, what is needed, where, and what to do."""


class RefsimError(ValueError):
    """Input that refsim cannot use. The message is a whole sentence for the person who gave it."""


class RefsimWarning(UserWarning):
    """What refsim can use, but what may not be meant. The message is a whole sentence."""


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: object) -> str:
    """Write names as a readable, sorted list: ``a, b, c``."""
    return ", ".join(sorted(str(name) for name in names)) or "none"  # type: ignore[attr-defined]


def option(name: str, value: object, typed: str = "") -> str:
    """Write an option as a call takes it and as one types it: ``dt='1 ms' (on the command line --dt '1 ms')``.

    Parameters
    ----------
    name : str
        In Python.
    value : object
        An example.
    typed : str
        How it is typed, where that is not ``--name`` and the value, of a tuple its entries with commas.
    """
    words = ",".join(map(str, value)) if isinstance(value, tuple) else repr(value)
    flag = name.replace("_", "-")
    return f"{name}={value!r} (on the command line {typed or f'--{flag} {words}'})"


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the first line of what an error of somebody else's code says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
