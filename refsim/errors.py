"""The one error a user of refsim meets: what was given, what is needed, where, and what to do."""


class RefsimError(ValueError):
    """Input that refsim cannot use. The message is a whole sentence for the person who gave it."""


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: object) -> str:
    """Write names as a readable, sorted list: ``a, b, c``."""
    return ", ".join(sorted(str(name) for name in names)) or "none"  # type: ignore[attr-defined]


def first_line(error: BaseException, most: int = 160) -> str:
    """Return the first line of what an error of somebody else's code says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
