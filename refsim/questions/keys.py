"""What each key of a case must be: text, a number, a table; so that a slip is a sentence that names the key."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ..errors import RefsimError

_Kind = tuple[str, Callable[[Any], bool]]  # in words, and whether a value is one


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_TEXT: _Kind = ("text", lambda value: isinstance(value, str))
_TABLE: _Kind = ("a table", lambda value: isinstance(value, Mapping))
_LIST: _Kind = ("a list", lambda value: isinstance(value, list))
_TEXTS: _Kind = ("a list of texts", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value))
_COUNT: _Kind = ("a whole number from 1", lambda value: _whole(value, 1))
_SEED: _Kind = ("a whole number from 0", lambda value: _whole(value, 0))
_NUMBER: _Kind = ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool))

CASE: Mapping[str, _Kind] = {
    "title": _TEXT, "kind": _TEXT, "network": _TEXT, "loss": _TEXT, "dtype": _TEXT, "neuron": _TEXT, "times": _TEXT, "data": _TABLE, "options": _TABLE,
    "parameters": _TABLE, "trials": _TEXTS, "neurons": _TEXTS, "fine": _LIST, "inputs": _LIST,
}  # fmt: skip
DATA: Mapping[str, _Kind] = {"source": _TEXT, "labels": _TEXT, "encoder": _TEXT, "steps": _COUNT, "samples": _COUNT, "scale": _NUMBER, "seed": _SEED}
CLAIM: Mapping[str, _Kind] = {"question": _TEXT, "measure": _TEXT, "unit": _TEXT, "because": _TEXT, "sense": _TEXT}


def check_keys(table: Mapping[str, Any], kinds: Mapping[str, _Kind], where: str) -> None:
    """Refuse what is not of its kind; keys without one are left to those who read them."""
    for key, (words, fits) in kinds.items():
        if key in table and not fits(table[key]):
            raise RefsimError(f"{where}: {key} must be {words}, but is {table[key]!r}.")


def check_numbers(table: Mapping[str, Any], where: str) -> None:
    """Refuse what is no number."""
    check_keys(table, dict.fromkeys(table, _NUMBER), where)
