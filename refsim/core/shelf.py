"""Find the two data shelves, equations/ and validation/.

They are inside the installed package, and beside it in a checkout.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shelf(name: str) -> Path:
    """Return the folder of a shelf, ``"equations"`` or ``"validation"``."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
