"""The one error a user of refsim meets: what was given, what is needed, where, and what to do."""


class RefsimError(ValueError):
    """Input that refsim cannot use. The message is a whole sentence for the person who gave it."""


def listed(names: object) -> str:
    """Write names as a readable, sorted list: ``a, b, c``."""
    return ", ".join(sorted(str(name) for name in names)) or "none"  # type: ignore[attr-defined]
