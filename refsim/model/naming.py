"""What a card and its variables may be called: a name means one thing, to engines, compilers and people."""

import keyword
from collections.abc import Mapping
from typing import Any

from ..errors import RefsimError, listed
from .expressions import FUNCTIONS
from .neuron import DRAWS, INPUT, STEP

_OF_ENGINES = {INPUT, STEP, "t", "dt", "i", "j", "N", "z", "xi", "lastspike", "not_refractory", "pi", "e", "inf", "gap", "seen", "jump", "truth", "whole_below"}
RESERVED = {*_OF_ENGINES, *DRAWS}
# A variable that has the name of a function, or a parameter that Python cannot take as a keyword.
TAKEN = {*FUNCTIONS, "int", "self"}
_PROSE = ("title", "family", "references", "framework", "variant", "refuse")


def check_names(card: str, *shelves: Mapping[str, object]) -> None:
    """Refuse a name that is no identifier, is one of the engines' own or a function, or is used twice.

    Raises
    ------
    RefsimError
        With the name.
    """
    seen: set[str] = set()
    for name in (name for entries in shelves for name in entries):
        if not name.isidentifier() or name[0] == "_" or name[-1] == "_" or not name.isascii():
            raise RefsimError(f"{card}: '{name}' cannot name a variable; use letters, digits and '_', and begin and end with a letter or digit.")
        if name in RESERVED:
            raise RefsimError(f"{card}: '{name}' has a meaning of its own and cannot be a state or parameter; reserved are {listed(RESERVED)}.")
        if name in TAKEN or keyword.iskeyword(name):
            what = "a function" if name in FUNCTIONS or name == "int" else "a word of Python's"
            raise RefsimError(f"{card}: '{name}' is {what} and cannot be a state or parameter; give it another name, such as '{name}_0'.")
        if name in seen:
            raise RefsimError(f"{card}: '{name}' is declared twice, among [state], [parameters] and [derived].")
        seen.add(name)


def same_neuron(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two cards' tables say the same neuron, in whatever words; of a framework's layer in whatever convention."""
    if "convention" in a and "convention" in b:
        a, b = {**a, "convention": {}}, {**b, "convention": {}}
    return bool(_meant(a) == _meant(b))


def _meant(value: Any, top: bool = True) -> Any:
    """Return a table without what is there for people, and for the readers of modules."""
    if not isinstance(value, Mapping):
        return value
    return {key: _meant(entry, False) for key, entry in value.items() if key != "meaning" and not (top and key in _PROSE)}
