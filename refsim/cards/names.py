"""What a card and its variables may be called.

A name means one thing, to engines, compilers and people.
"""

import keyword
import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import RefsimError, listed
from .keys import PROSE
from .language import FUNCTIONS

TRAITS = frozenset(
    {
        "linear",
        "hard_reset",
        "soft_reset",
        "no_reset",
        "closed_form",
        "rectified",
        "adaptive",
        "refractory",
        "stochastic",
        "readout",
        "resonant",
        "biophysical",
        "integer",
        "graded",
        "reconstruction",
    }
)
INPUT_KINDS = {
    "impulse": "a spike is a jump of its weight, after the decay and before the threshold",
    "early_impulse": (
        "a spike is a jump of its weight at the beginning of its step, which uses it already"
    ),
    "pulse": "a spike is a rectangular current of its weight that lasts one step",
}
# Names that every text may use: the input of this step, and (in [derived] and [continuous]) the
# step's duration.
INPUT, STEP = "I", "step"
# What a readout makes of the steps, and NumPy's word for it; "last" is the last of them.
OVER_STEPS = ("mean", "sum", "last", "max")
# Numbers in [0, 1), drawn for (sample, step, neuron)
DRAWS = ("uniform", "uniform_2", "uniform_3", "uniform_4")

_OF_ENGINES = {
    INPUT,
    STEP,
    "t",
    "dt",
    "i",
    "j",
    "N",
    "z",
    "xi",
    "lastspike",
    "not_refractory",
    "pi",
    "e",
    "inf",
    "gap",
    "seen",
    "jump",
    "truth",
    "whole_below",
}
RESERVED = {*_OF_ENGINES, *DRAWS}
# A variable that has the name of a function, or a parameter that Python cannot take as a keyword.
TAKEN = {*FUNCTIONS, "int", "self"}
# Names that the engines give by a rule: functions of a step, impulses, sums by sign, groups, and
# what fires between the steps.
_RULES = re.compile(r"sub_\w+|\w+_(call|pre|post)|(I|jump)_(excitatory|inhibitory)|L\d+")
# Words of C++, and of the headers that a compiled network includes: a variable of that name would
# not compile.
_CPP_WORDS = """
alignas alignof and_eq asm auto bitand bitor bool case catch char char16_t char32_t compl const const_cast
constexpr decltype default delete do double dynamic_cast enum explicit export extern false float friend goto
inline int long mutable namespace new noexcept not_eq nullptr operator or_eq private protected public register
reinterpret_cast short signed sizeof static static_assert static_cast struct switch template this thread_local
throw true typedef typeid typename union unsigned using virtual void volatile wchar_t xor xor_eq NULL EOF NAN
INFINITY HUGE_VAL BUFSIZ RAND_MAX errno stdin stdout stderr assert main std brian
"""
CPP = frozenset(_CPP_WORDS.split())


def check_names(card: str, *shelves: Mapping[str, object]) -> None:
    """Refuse a name that is no identifier, is one of the engines' own or a function, or is used
    twice.

    Raises
    ------
    RefsimError
        With the name.
    """
    seen: set[str] = set()
    for name in (name for entries in shelves for name in entries):
        check_name(card, name)
        if name in seen:
            raise RefsimError(
                f"{card}: '{name}' is declared twice, among [state], [parameters] and [derived]."
            )
        seen.add(name)


def check_name(card: str, name: str) -> None:
    """Refuse one name, of whatever a card names.

    A state, a constant, a helper of its step, a subexpression of its equations.
    """
    if not name.isidentifier() or name[0] == "_" or name[-1] == "_" or not name.isascii():
        raise RefsimError(
            f"{card}: {name[:80]!r} cannot name a variable; use letters, digits and '_', and "
            "begin and end with a letter or digit."
        )
    if name in RESERVED or _RULES.fullmatch(name):
        raise RefsimError(
            f"{card}: '{name}' has a meaning of its own and cannot be a state or parameter; "
            f"reserved are {listed(RESERVED)}, "
            "and names such as sub_..., ..._call, ..._pre, ..._post, jump_excitatory, L0."
        )
    if name in TAKEN or keyword.iskeyword(name) or name in CPP:
        what = (
            "a function"
            if name in FUNCTIONS or name == "int"
            else "a word of C++"
            if name in CPP and not keyword.iskeyword(name)
            else "a word of Python's"
        )
        raise RefsimError(
            f"{card}: '{name}' is {what} and cannot be a state or parameter; give it another "
            f"name, such as '{name}_0'."
        )


def same_neuron(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two cards' tables say the same neuron, in whatever words.

    Of a framework's layer in whatever convention.
    """
    if "convention" in a and "convention" in b:
        a, b = {**a, "convention": {}}, {**b, "convention": {}}
    return bool(_meant(a) == _meant(b))


def _meant(value: Any, top: bool = True) -> Any:
    """Return a table without what is there for people, and for the readers of modules."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _meant(entry, False)
        for key, entry in value.items()
        if key != "meaning" and not (top and key in PROSE)
    }
