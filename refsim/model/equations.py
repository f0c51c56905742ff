"""Check the two equation texts of a card: the ordered discrete step, and the ODE with its threshold and reset."""

import re
from collections.abc import Mapping, Set
from typing import Any

from ..errors import RefsimError, listed
from ..units import check_unit
from .expressions import Statement, comparison, names_in, parse_expression, parse_statements
from .neuron import INPUT, STEP, Continuous, Discrete, State

_STEPS = ("integrate", "modulate", "fire", "reset")
SOLUTIONS = {
    "exact": "the exact solution of the ODE for an input as [input] declares it",
    "euler": "forward Euler",
    "exponential_euler": "exponential Euler",
}
_METHODS = ("exact", "euler", "exponential_euler", "rk2", "rk4", "heun")
_ODE = re.compile(r"^d(\w+)/dt$")


def check_discrete(table: dict[str, Any], state: Mapping[str, State], constants: Set[str], card: str) -> Discrete:
    """Check the declared step: its parts, their order, and that each name is known where it is used."""
    where = f"{card}: [discrete]"
    solution = table.get("solution")
    if solution not in SOLUTIONS:
        raise RefsimError(f"{where} solution must be one of {listed(SOLUTIONS)}, but is {solution!r}.")
    parts = [key for key in table if key != "solution"]
    if unknown := set(parts) - set(_STEPS):
        raise RefsimError(f"{where}: {listed(unknown)} is not a known step; known are {', '.join(_STEPS)}.")
    if [key for key in parts if key != "modulate"] != ["integrate", "fire", "reset"] or parts != [key for key in _STEPS if key in parts]:
        raise RefsimError(f"{where} must have the steps integrate, fire, reset in this order (modulate before fire), but has {', '.join(parts) or 'none'}.")
    texts = {key: _statement_text(table[key], f"{where} {key}") for key in parts}
    parsed = {key: parse_statements(text, f"{where} {key}") for key, text in texts.items()}
    _check_step(parsed, state, constants, where)
    return Discrete(parsed["integrate"], parsed.get("modulate", ()), parsed["fire"][0], parsed["reset"], solution)


def _statement_text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise RefsimError(f"{where}: must be text such as 'v = v + I', but is {value!r}.")
    return value


def _check_step(parsed: Mapping[str, tuple[Statement, ...]], state: Mapping[str, State], constants: Set[str], where: str) -> None:
    known = {*state, *constants, INPUT}
    integrated: set[str] = set()
    for part, statements in parsed.items():
        if part == "fire" and (len(statements) != 1 or statements[0].target != "z" or comparison(statements[0].tree) is None):
            raise RefsimError(f"{where} fire: must be one comparison, such as 'z = v >= v_th', but is {_texts(statements)!r}.")
        for statement in statements:
            if unknown := statement.names - known:
                raise RefsimError(f"{where} {part}: {listed(unknown)} is not known here; known are {listed(known)}.")
            if statement.target in constants or statement.target in (INPUT, STEP):
                raise RefsimError(f"{where} {part}: {statement.target} = ... would change a constant; a step may change {listed(state)}.")
            if part in ("integrate", "reset") and statement.target not in state:
                raise RefsimError(f"{where} {part}: sets '{statement.target}', which is not a state; states are {listed(state)}.")
            if part == "modulate" and statement.target in state:
                raise RefsimError(f"{where} modulate: sets the state '{statement.target}'; it may only set what the threshold sees. Use another name.")
            if part == "integrate":
                integrated.add(statement.target)
            known.add(statement.target)
    if still := set(state) - integrated:
        raise RefsimError(f"{where} integrate: never sets the state {listed(still)}; each state needs a statement.")
    if INPUT not in {name for statement in parsed["integrate"] for name in statement.names}:
        raise RefsimError(f"{where} integrate: never uses the input {INPUT}; the neuron would be deaf.")


def _texts(statements: tuple[Statement, ...]) -> str:
    return "; ".join(f"{statement.target} = {statement.text}" for statement in statements)


def check_continuous(table: dict[str, Any], state: Mapping[str, State], constants: Set[str], discrete: Discrete, card: str) -> Continuous:
    """Check the ODE text. Its units are checked by Brian2, when it first compiles the card."""
    where = f"{card}: [continuous]"
    needed = ("equations", "threshold", "reset", "method")
    if surplus := set(table) - set(needed):
        raise RefsimError(f"{where}: {listed(surplus)} is not a known key; known are {', '.join(needed)}.")
    for key in needed:
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise RefsimError(f"{where} {key}: must be text, but is {table.get(key)!r}.")
    if table["method"] not in _METHODS:
        raise RefsimError(f"{where} method must be one of {', '.join(_METHODS)}, but is {table['method']!r}.")
    known = {*state, *constants, INPUT, STEP, *(statement.target for statement in discrete.modulate)}
    known |= _check_equations(table["equations"], state, known, where)
    threshold = parse_expression(table["threshold"], f"{where} threshold")
    if comparison(threshold) is None:
        raise RefsimError(f"{where} threshold: must be a comparison, such as 'v >= v_th', but is {table['threshold']!r}.")
    if unknown := names_in(threshold) - known:
        raise RefsimError(f"{where} threshold: {listed(unknown)} is not known here; known are {listed(known)}.")
    for statement in parse_statements(table["reset"], f"{where} reset"):
        if unknown := statement.names - known:
            raise RefsimError(f"{where} reset: {listed(unknown)} is not known here; known are {listed(known)}.")
        if statement.target not in state:
            raise RefsimError(f"{where} reset: sets '{statement.target}', which is not a state; states are {listed(state)}.")
    return Continuous(*(table[key].strip() for key in needed))


def _check_equations(text: str, state: Mapping[str, State], known: Set[str], where: str) -> set[str]:
    """Check each line ``dv/dt = ... : unit`` or ``name = ... : unit``; return the subexpressions' names."""
    rows = [_split(line, where) for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    subexpressions = {left for left, _, _ in rows if not _ODE.match(left)}
    if clash := subexpressions & set(known):
        raise RefsimError(f"{where} equations: {listed(clash)} is declared already; a subexpression needs a name of its own.")
    solved = []
    for left, right, unit in rows:
        check_unit(unit, f"{where} equations, {left}")
        if unknown := names_in(parse_expression(right, f"{where} equations, {left}")) - known - subexpressions:
            raise RefsimError(f"{where} equations, {left}: {listed(unknown)} is not known here; known are {listed(known | subexpressions)}.")
        if ode := _ODE.match(left):
            solved.append(ode[1])
    if not any(INPUT in names_in(parse_expression(right, where)) for _, right, _ in rows):
        raise RefsimError(
            f"{where} equations: never use the input {INPUT}; write {INPUT}, or {INPUT}/{STEP} where [input] kind is impulse: a current of the same charge, spread over the step."
        )
    if sorted(solved) != sorted(state):
        raise RefsimError(f"{where} equations: need one 'd.../dt' for each of the states {listed(state)}, but have {listed(solved)}.")
    return subexpressions


def _split(line: str, where: str) -> tuple[str, str, str]:
    left, equals, rest = line.partition("=")
    right, colon, unit = rest.rpartition(":")
    if not equals or not colon:
        raise RefsimError(f"{where} equations: {line.strip()!r} is not an equation; needs 'dv/dt = ... : unit'.")
    unit = unit.split("(unless refractory)")[0].strip()
    left = left.strip()
    if not _ODE.match(left) and not left.isidentifier():
        raise RefsimError(f"{where} equations: {left!r} must be a name or dv/dt.")
    return left, right.strip(), unit
