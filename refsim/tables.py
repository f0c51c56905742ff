"""A TOML file that a person wrote: read whole as a table, or refused in one sentence."""

import stat
import tomllib
from pathlib import Path
from typing import Any

from .errors import RefsimError

_MARK = "\ufeff"  # some editors put it in front of UTF-8; it is no part of the text


def read_toml(path: Path, where: str, largest: int | None = None, hint: str = "") -> tuple[dict[str, Any], str]:
    """Return a file's table and its text.

    Parameters
    ----------
    path : Path
    where : str
        Opens the error messages: ``"card mine.toml"``.
    largest : int, optional
        Bytes that such a file may have.
    hint : str
        Ends the message of a file that cannot be read: what it should have been.

    Raises
    ------
    RefsimError
        Where the file cannot be read, is too large, or is not TOML in UTF-8.
    """
    try:
        if stat.S_ISFIFO(mode := path.stat().st_mode) or stat.S_ISCHR(mode):
            raise RefsimError(f"{where}: is no file, but a pipe or a device.{hint}")  # that may never end
        if largest is not None and path.stat().st_size > largest:
            raise RefsimError(f"{where}: is larger than {largest} bytes; this is no {where.split()[0]}.")
        data = path.read_bytes()
    except RefsimError:
        raise
    except OSError as error:
        raise RefsimError(f"{where}: cannot be read ({error.strerror}).{hint}") from None
    except ValueError:
        raise RefsimError(f"{where!r}: cannot be read (its name holds a zero byte).{hint}") from None
    try:
        text = data.decode("utf-8").removeprefix(_MARK)
    except UnicodeDecodeError as error:
        hint = "; save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise RefsimError(f"{where}: is not TOML ({error}){hint}.") from None
    text = text.replace("\r\n", "\n")
    return table_of(text, where), text


def table_of(text: str, where: str) -> dict[str, Any]:
    """Return the table of a text.

    Raises
    ------
    RefsimError
        Where the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RefsimError(f"{where}: is not TOML ({error}).") from None
    except ValueError:  # Python's own limit, which a text of digits reaches
        raise RefsimError(f"{where}: is not TOML that can be read; it holds a whole number of thousands of digits.") from None
