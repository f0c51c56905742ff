"""What people write in Brian2's text, said in the words of a card.

``10*ms`` becomes a derived constant; ``tau : second`` declares a parameter; ``int(v > 1)`` is a
subexpression of its own; ``xi`` is made of the numbers that every engine draws alike. What a card
cannot say is refused with what to write in its place.
"""

import ast
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from ..errors import RefsimError, listed
from ..units import check_unit
from .naming import DRAWS, INPUT
from .odes import linear_parts
from .truth import ROW, WORD, free, parsed, tests_named

_DECLARED = re.compile(r"^\s*([A-Za-z_]\w*)\s*:\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*$")
_FLAGS = re.compile(r":.*\(([^():]*(?:constant|shared|linked|event-driven|refractory|boolean)[^():]*)\)\s*$")


_NOISE = "sqrt(-2*log(1 - {0}))*cos(6.283185307179586*{1})/sqrt(dt) : second**-0.5"


@dataclass
class Equations:
    """The text of equations in a card's words, and the units that were declared in it.

    Attributes
    ----------
    text : str
    declared : dict of str to str
        Parameter or input to its unit, from lines such as ``tau : second (constant)``.
    noisy : bool
        Whether ``xi`` was in it.
    """

    text: str
    declared: dict[str, str] = field(default_factory=dict)
    noisy: bool = False


def spelled(text: str, taken: Set[str], where: str, method: str = "") -> Equations:
    """Return equations in a card's words.

    Parameters
    ----------
    text : str
        Lines ``dv/dt = ... : unit``, ``name = ... : unit`` and ``name : unit``.
    taken : set of str
        Words of the card's other texts, and its names.
    method : str
        Of the ODE; empty where it is not chosen yet.

    Raises
    ------
    RefsimError
        For flags that a card cannot say, and for noise that the method cannot integrate.
    """
    found = Equations("")
    lines = []
    for line in (line.split("#")[0].rstrip() for line in text.splitlines()):
        declared = _DECLARED.match(line) if "=" not in line else None
        if declared:
            _check_flags(declared[3], {"constant", "shared"}, line, where)
            found.declared[declared[1]] = check_unit(declared[2].strip(), f"{where}, {declared[1]}")
        elif line.strip():
            flags = _FLAGS.search(line)
            _check_flags(flags[1] if flags else "", {"unless refractory", "constant over dt"}, line, where)
            lines.append(line)
    found.text = "\n".join(lines)
    if re.search(r"\bconstant over dt\b", found.text):
        found.text = "\n".join(_held_over_dt(lines, where))
    if re.search(r"\bint\s*\(", found.text):
        found.text = tests_named(found.text, taken)
    if re.search(r"\bxi(_\w+)?\b", found.text):
        found.text, found.noisy = _noise_named(found.text, taken, where, method), True
    return found


def words_of(value: object) -> set[str]:
    """Return every word of a table and of the tables in it, its keys too."""
    if isinstance(value, Mapping):
        return {word for key, each in value.items() for word in (str(key), *words_of(each))}
    return set(WORD.findall(value)) if isinstance(value, str) else set()


def _check_flags(said: str | None, known: Set[str], line: str, where: str) -> None:
    flags = {flag.strip() for flag in (said or "").split(",")} - {""}
    if unknown := flags - known:
        told = f"{listed(unknown)} of {line.strip()!r} is not known here"
        raise RefsimError(f"{where}: the flag {told}; known is {' or '.join(sorted(known))}.")


def _held_over_dt(lines: list[str], where: str) -> list[str]:
    """Drop the flag of what does not change within a step, and so is the same with it or without."""
    named = {row["left"].strip(): row["right"] for line in lines if (row := ROW.match(line))}
    moving = {left[1:-3] for left in named if left.startswith("d") and left.endswith("/dt")}
    for _ in named:
        moving |= {left for left, right in named.items() if set(WORD.findall(right)) & moving}
    kept = []
    for line in lines:
        left = line.partition("=")[0].strip()
        if "constant over dt" in line and left in moving:
            raise RefsimError(
                f"{where}: {left} is constant over dt but reads a state, which only Euler takes as it is at "
                "the start of a step; leave the flag out and give method euler, which is the same."
            )
        kept.append(re.sub(r"\s*\(\s*constant over dt\s*\)", "", line))
    return kept


def _noise_named(text: str, taken: Set[str], where: str, method: str) -> str:
    """Make ``xi`` of two drawn numbers, one pair a name and sub-step, as Euler-Maruyama needs it."""
    if method not in ("", "euler"):
        raise RefsimError(f"{where}: xi is noise, which method euler integrates; method {method!r} does not.")
    used = {*taken, *WORD.findall(text)}
    names = sorted(set(re.findall(r"\bxi(?:_\w+)?\b", text)))
    draws = [name for name in DRAWS if name not in used]
    if len(draws) < 2 * len(names):
        raise RefsimError(f"{where}: {listed(names)} need {2 * len(names)} numbers a step, and {len(draws)} are left.")
    _check_additive(text, names, where)
    lines = []
    for index, name in enumerate(names):
        noise = free((f"noise{name[2:]}", *(f"noise_{count}" for count in range(1, 1000))), used)
        used.add(noise)
        lines.append(f"{noise} = {_NOISE.format(*draws[2 * index : 2 * index + 2])}")
        text = re.sub(rf"\b{name}\b", noise, text)
    return "\n".join([*lines, text])


def _check_additive(text: str, names: list[str], where: str) -> None:
    """Refuse noise that a state multiplies: Euler and Brian2 would take it in two senses, Ito's and Stratonovich's."""
    rows = [row for line in text.splitlines() if (row := ROW.match(line))]
    trees = {row["left"].strip(): parsed(row["right"]) for row in rows}
    named = {left: tree for left, tree in trees.items() if tree is not None}
    slopes = {left[1:-3]: tree for left, tree in named.items() if left.endswith("/dt")}
    others = {left: tree for left, tree in named.items() if not left.endswith("/dt")}
    for state, tree in slopes.items():
        for name in names:
            try:
                part = linear_parts(tree, name, others, where)[1]
            except RefsimError:
                raise RefsimError(f"{where}, d{state}/dt: {name} must be a term of a sum, such as sigma*{name}.") from None
            read = set(WORD.findall(ast.unparse(part))) if part is not None else set()
            for other, inner in reversed(list(others.items())):
                read |= set(WORD.findall(ast.unparse(inner))) if other in read else set()
            if moving := read & set(slopes):
                raise RefsimError(
                    f"{where}, d{state}/dt: {name} is multiplied by the state {listed(moving)}; "
                    "only noise of a constant size is read. Give it as input, Drive.noise, or make its size a parameter."
                )


def declared_units(found: Equations, table: Mapping[str, Any], card: str) -> None:
    """Hold the units that equations declare against those of the card's tables.

    Raises
    ------
    RefsimError
        For a name without a value, or of another unit.
    """
    parameters, given = table.get("parameters", {}), table.get("input", {})
    where = f"{card}: [continuous] equations"
    for name, unit in found.declared.items():
        if name == INPUT or name.startswith(f"{INPUT}_"):
            known = given.get("unit", "1") if isinstance(given, dict) else unit
        elif isinstance(parameters, dict) and isinstance(parameters.get(name), dict):
            known = parameters[name].get("unit")
        else:
            raise RefsimError(
                f"{where}: declare {name} : {unit}, but [parameters] has no value of it. A parameter needs one; what a "
                f"reset changes is a state: 'd{name}/dt = 0*{unit}/second : {unit}'."
            )
        if known != unit:
            raise RefsimError(f"{where}: declare {name} : {unit}, but its unit is {known!r}; say one of them.")
