"""Text for a terminal of eighty columns: an entry with its words beside it, and a table."""

import re
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 80


def entry(head: str, text: str, hang: int | None = None, width: int = WIDTH) -> list[str]:
    """Return the lines of an entry: its head, and its text beside that, wrapped.

    Parameters
    ----------
    head : str
        Begins the first line, padded by whoever calls.
    hang : int, optional
        The column at which all other lines begin; by default where the head ends.
    width : int
        Columns of the terminal.
    """
    indent = " " * (len(head) if hang is None else hang)
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=indent)


def table(
    columns: Sequence[str], head: Sequence[str], rows: Iterable[Sequence[object]]
) -> list[str]:
    """Return the lines of a table: its head, then its rows.

    Parameters
    ----------
    columns : list of str
        The format of each column's cells, such as ``"<14"`` or ``">12.6g"``.
    head : list of str
    rows : iterable of lists
        Cells, one for each column.
    """
    # A heading is text, so of a number's format it takes the alignment and width alone.
    widths = [re.sub(r"([<>]\d+).*", r"\1", column) for column in columns]
    return [_row(widths, head), *(_row(columns, row) for row in rows)]


def _row(columns: Sequence[str], cells: Sequence[object]) -> str:
    return " ".join(format(cell, column) for cell, column in zip(cells, columns, strict=True))
