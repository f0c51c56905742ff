"""Break an equation that is wider than a page between two of its terms."""

import re

from .system import Line

_WIDEST = 75  # signs that a reader sees, of some 90 that a column of 16 cm holds


def broken(line: Line) -> list[str]:
    """Return the rows of an aligned equation, ``left &= right``, continued after ``&``."""
    rows, row, seen = [], f"{line.left} &{line.sign}", width(line.left)
    for term in line.right:
        if seen + width(term) > _WIDEST and seen > width(line.left):
            rows.append(row)
            row, seen = r"&\quad", 0
        row, seen = f"{row} {term}", seen + width(term)
    return [*rows, row]


def width(text: str) -> int:
    """Return about how many signs a reader sees: a command is one, and of a fraction the wider part counts."""
    text = re.sub(r"\\(left|right|mathrm|operatorname|mathbf|mathcal|quad|,|;)(?![A-Za-z])", "", text)
    text = re.sub(r"\\[A-Za-z]+", "x", text)
    return len(re.sub(r"[{}\s_^]", "", text))
