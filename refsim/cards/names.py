"""What a card and its variables may be called, and the words that have a meaning of their own.

A name means one thing, to engines, compilers and people.
"""

import keyword
import re
from collections.abc import Mapping

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
# Names that every text may use: the input of this step, and the duration of the step.
INPUT, STEP = "I", "step"
# What a readout may make of the steps, in NumPy's words; "last" is its value in the last step.
OVER_STEPS = ("mean", "sum", "last", "max")
# Random numbers in [0, 1), drawn for each (sample, step, neuron).
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
# A variable may not have the name of a function, or one that Python cannot take as a keyword.
TAKEN = {*FUNCTIONS, "int", "self"}
# Names that the engines give by a rule: functions of a step, impulses, sums by sign, groups, and
# the parts of a network that fires between the steps.
_RULES = re.compile(r"sub_\w+|\w+_(call|pre|post)|(I|jump)_(excitatory|inhibitory)|L\d+")
# Words of C++ and of the headers that a compiled network includes. A variable of such a name would
# not compile.
_CPP_WORDS = """
alignas alignof and_eq asm auto bitand bitor bool case catch char char16_t char32_t compl const
const_cast constexpr decltype default delete do double dynamic_cast enum explicit export extern
false float friend goto inline int long mutable namespace new noexcept not_eq nullptr operator or_eq
private protected public register reinterpret_cast short signed sizeof static static_assert
static_cast struct switch template this thread_local throw true typedef typeid typename union
unsigned using virtual void volatile wchar_t xor xor_eq NULL EOF NAN INFINITY HUGE_VAL BUFSIZ
RAND_MAX errno stdin stdout stderr assert main std brian
"""
CPP = frozenset(_CPP_WORDS.split())


def check_names(card: str, *shelves: Mapping[str, object]) -> None:
    """Refuse names that may not be given, and names that are given twice.

    Parameters
    ----------
    card : str
        Opens the error messages.
    *shelves : dict
        The tables of a card that declare names.

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
    """Refuse a name that is no identifier, or that has a meaning to engines, Python or C++.

    The name may be of a state, a constant, a helper of the step, or a subexpression.
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


def same_neuron(a: Mapping[str, object], b: Mapping[str, object]) -> bool:
    """Return whether the tables of two cards declare the same neuron, in whatever words.

    Layers of a framework may differ in their convention.
    """
    if "convention" in a and "convention" in b:
        a, b = {**a, "convention": {}}, {**b, "convention": {}}
    return bool(_meant(a) == _meant(b))


def _meant(value: object, top: bool = True) -> object:
    """Return a table without the keys that are there for people and for the readers of modules."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _meant(entry, False)
        for key, entry in value.items()
        if key != "meaning" and not (top and key in PROSE)
    }
