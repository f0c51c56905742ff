"""Tables that a person wrote in TOML: read whole, with a sentence that names the key of a slip.

In the order of the file: reading a file or a text, which keys a table has (`Keys`), and of which
kind the value of each key of a case is.
"""

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from .errors import RefsimError, listed

# A table as tomllib returns it. Its values are checked where they are read.
Table = dict[str, Any]

_MARK = "\ufeff"  # some editors put it in front of UTF-8; it is no part of the text


def read_toml(
    path: Path, where: str, largest: int | None = None, hint: str = ""
) -> tuple[Table, str]:
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
            # Reading one may never end.
            raise RefsimError(f"{where}: is no file, but a pipe or a device.{hint}")
        if largest is not None and path.stat().st_size > largest:
            raise RefsimError(
                f"{where}: is larger than {largest} bytes; this is no {where.split()[0]}."
            )
        data = path.read_bytes()
    except RefsimError:
        raise
    except OSError as error:
        raise RefsimError(f"{where}: cannot be read ({error.strerror}).{hint}") from None
    except ValueError:
        raise RefsimError(
            f"{where!r}: cannot be read (its name holds a zero byte).{hint}"
        ) from None
    try:
        text = data.decode("utf-8").removeprefix(_MARK)
    except UnicodeDecodeError as error:
        hint = "; save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise RefsimError(f"{where}: is not TOML ({error}){hint}.") from None
    text = text.replace("\r\n", "\n")
    return parse_toml(text, where), text


def parse_toml(text: str, where: str) -> Table:
    """Return the table that a text holds.

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
        raise RefsimError(
            f"{where}: is not TOML that can be read; it holds a whole number of thousands of "
            "digits."
        ) from None


@dataclass(frozen=True)
class Keys:
    """The keys that a table knows and those that it must have, as its messages list them."""

    known: tuple[str, ...]
    needed: tuple[str, ...]

    def check(
        self, table: Mapping[str, object], where: str, *, joined: str = ", ", hint: str = ""
    ) -> None:
        """Refuse a table that has an unknown key, or lacks a needed one.

        Parameters
        ----------
        where : str
            Opens the error message.
        joined : str
            Joins the needed keys in the message.
        hint : str
            Follows the needed keys in the message.
        """
        if surplus := set(table) - set(self.known):
            raise RefsimError(
                f"{where}: {listed(surplus)} is not a known key; known are {', '.join(self.known)}."
            )
        if missing := [key for key in self.needed if key not in table]:
            raise RefsimError(
                f"{where}: {listed(missing)} is missing; needed are "
                f"{joined.join(self.needed)}{hint}."
            )


_Kind = tuple[str, Callable[[object], bool]]  # in words, and whether a value is of that kind


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_TEXT: _Kind = ("text", lambda value: isinstance(value, str))
_TABLE: _Kind = ("a table", lambda value: isinstance(value, Mapping))
_LIST: _Kind = ("a list", lambda value: isinstance(value, list))
_TEXTS: _Kind = (
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
)
_COUNT: _Kind = ("a whole number from 1", lambda value: _whole(value, 1))
_SEED: _Kind = ("a whole number from 0", lambda value: _whole(value, 0))
_NUMBER: _Kind = ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool))

CASE: Mapping[str, _Kind] = {
    "title": _TEXT,
    "kind": _TEXT,
    "network": _TEXT,
    "loss": _TEXT,
    "dtype": _TEXT,
    "neuron": _TEXT,
    "times": _TEXT,
    "data": _TABLE,
    "options": _TABLE,
    "parameters": _TABLE,
    "trials": _TEXTS,
    "neurons": _TEXTS,
    "fine": _LIST,
    "inputs": _LIST,
}
DATA: Mapping[str, _Kind] = {
    "source": _TEXT,
    "labels": _TEXT,
    "encoder": _TEXT,
    "steps": _COUNT,
    "samples": _COUNT,
    "scale": _NUMBER,
    "seed": _SEED,
}
CLAIM: Mapping[str, _Kind] = {
    "question": _TEXT,
    "measure": _TEXT,
    "unit": _TEXT,
    "because": _TEXT,
    "sense": _TEXT,
}


def check_kinds(table: Mapping[str, object], kinds: Mapping[str, _Kind], where: str) -> None:
    """Refuse values that are not of the kind of their key.

    Keys without a kind are left to those who read them.
    """
    for key, (words, fits) in kinds.items():
        if key in table and not fits(table[key]):
            raise RefsimError(f"{where}: {key} must be {words}, but is {table[key]!r}.")


def check_numbers(table: Mapping[str, object], where: str) -> None:
    """Refuse a table whose values are not all numbers."""
    check_kinds(table, dict.fromkeys(table, _NUMBER), where)
