"""Check the two texts of a card: the declared step, and the ODE with its threshold and reset.

First the step (`check_discrete` and its parts), then the ODE (`check_continuous` and its parts).
"""

import ast
from collections.abc import Mapping, Set
from dataclasses import dataclass

from ..core.errors import RefsimError, listed
from ..core.tables import Table
from .keys import CONTINUOUS, STEP_OPTIONS, STEPS
from .language import Statement, bare, comparisons, names_in, parse_expression, parse_statements
from .names import DRAWS, OVER_STEPS, STEP
from .ode import GENERATED, Odes, equations_in, generated_step, written_equations
from .parts import Continuous, DeclaredStep, State

SOLUTIONS = {
    "exact": "the exact solution of the ODE for an input as [input] declares it",
    "euler": "forward Euler",
    "exponential_euler": "exponential Euler",
    "rk4": "Runge-Kutta of order 4",
    "kernel": "a sum over kernels, cut where the card says; the ODE is the one without the cut",
    "map": "a map of its own; no ODE is claimed to be solved by it",
}
FROM_CONTINUOUS = "from continuous"
METHODS = ("exact", "euler", "exponential_euler", "rk2", "rk4", "heun")


@dataclass(frozen=True)
class Names:
    """What a card declares, for the checks of its texts.

    Attributes
    ----------
    state : dict of str to State
    constants, kernels : set of str
    inputs : dict of str to str
        Input -> the state that it reaches.
    kind : str
        How input arrives, one of ``INPUT_KINDS``.
    """

    state: Mapping[str, State]
    constants: Set[str]
    inputs: Mapping[str, str]
    kernels: Set[str]
    kind: str

    def of(self, side: str) -> list[str]:
        """Return the states that the step ("discrete") or the ODE ("continuous") has."""
        return [name for name, state in self.state.items() if state.only in ("", side)]

    @property
    def fixed(self) -> set[str]:
        """The names that no statement may change."""
        return {*self.constants, *self.inputs, *self.kernels, STEP, *DRAWS}


def check_discrete(table: Table, names: Names, odes: Odes | None, card: str) -> DeclaredStep:
    """Check the declared step: its parts, their order, and that all of its names are known.

    Parameters
    ----------
    table : dict
        The table [discrete].
    odes : Odes or None
        The ODE of the card, from which the step may be made.
    card : str
        Opens the error messages: ``"card 'lif'"``.

    Raises
    ------
    RefsimError
        With the part that is wrong, and what to write.
    """
    where = f"{card}: [discrete]"
    solution, readout, payload = (
        table.get("solution"),
        table.get("readout", ""),
        table.get("payload", ""),
    )
    if not isinstance(solution, str) or solution not in SOLUTIONS:
        raise RefsimError(
            f"{where} solution must be one of {listed(SOLUTIONS)}, but is {solution!r}."
        )
    # What is not an option is a part of the step.
    parts = [key for key in table if key not in STEP_OPTIONS]
    if unknown := set(parts) - set(STEPS):
        raise RefsimError(
            f"{where}: {listed(unknown)} is not a known step; known are {', '.join(STEPS)}."
        )
    # A readout stands in place of fire, and excludes what spikes have.
    if readout and "fire" in parts:
        raise RefsimError(
            f"{where}: has both fire and readout; a neuron with a readout never fires."
        )
    if readout and payload:
        raise RefsimError(
            f"{where}: has both payload and readout; a neuron with a readout never fires, and "
            "has no spikes that carry something."
        )
    if readout and readout not in names.of("discrete"):
        raise RefsimError(
            f"{where} readout: must be a state, one of {listed(names.of('discrete'))}, but is "
            f"{readout!r}."
        )
    over_steps = _over_steps(table, names, odes, where)
    # The order of the keys is the order in which the parts run.
    needed = ["integrate"] if readout else ["integrate", "fire"]
    if [key for key in parts if key not in ("modulate", "reset")] != needed or parts != [
        key for key in STEPS if key in parts
    ]:
        raise RefsimError(
            f"{where} must have the steps integrate, fire, reset in this order (modulate before "
            "fire; no reset where nothing is reset; readout = state in place of fire), but has "
            f"{', '.join(parts) or 'none'}."
        )
    # Now the texts themselves.
    texts = {key: _statement_text(table[key], f"{where} {key}") for key in parts}
    parsed = {
        key: _parsed(text, key, str(solution), names, odes, where) for key, text in texts.items()
    }
    _check_step(parsed, names, where)
    if payload:
        _check_payload(payload, parsed, names, odes, where)
    streams = _streams(table.get("streams", []), parsed, names, where)
    fire = parsed["fire"][0] if "fire" in parsed else None
    return DeclaredStep(
        parsed["integrate"],
        parsed.get("modulate", ()),
        fire,
        parsed.get("reset", ()),
        str(solution),
        readout,
        payload,
        streams,
        over_steps,
    )


def _over_steps(table: Table, names: Names, odes: Odes | None, where: str) -> str:
    """Return what a readout makes of the steps; empty where its output is the membrane itself."""
    said = table.get("over_steps", "")
    if not said:
        return ""
    if said not in OVER_STEPS:
        raise RefsimError(
            f"{where} over_steps must be one of {listed(OVER_STEPS)}, what the readout makes of "
            f"the steps, but is {said!r}."
        )
    if not table.get("readout"):
        raise RefsimError(
            f"{where} over_steps: is of a neuron with a readout, which never fires; this one has "
            "none."
        )
    if odes is not None:
        raise RefsimError(
            f"{where} over_steps: steps are counted in discrete time alone; leave [continuous] out."
        )
    if names.kind != "impulse" or len(names.inputs) != 1 or names.kernels:
        raise RefsimError(
            f"{where} over_steps: what arrives is taken once a step; it needs one input of "
            '[input] kind = "impulse", and no [kernel].'
        )
    return str(said)


def _streams(
    given: object, parsed: Mapping[str, tuple[Statement, ...]], names: Names, where: str
) -> tuple[str, ...]:
    """Check the event streams: states that the step itself makes 0 or 1 in every engine."""
    states = names.of("discrete")
    if (
        not isinstance(given, list)
        or not all(isinstance(name, str) and name in states for name in given)
        or len(set(given)) < len(given)
    ):
        raise RefsimError(
            f'{where} streams: must be a list of states, such as streams = ["{states[-1]}"], '
            f"each one of {listed(states)}, but is {given!r}."
        )
    for name in given:
        trees = [
            statement.tree
            for statements in parsed.values()
            for statement in statements
            if statement.target == name
        ]
        if names.state[name].start or not all(comparisons(tree) for tree in trees):
            raise RefsimError(
                f"{where} streams: {name} must be 0 or 1 in every step; let it start at 0, and "
                f"set it by a comparison, such as '{name} = x < y'."
            )
    return tuple(given)


def _check_payload(
    payload: object,
    parsed: Mapping[str, tuple[Statement, ...]],
    names: Names,
    odes: Odes | None,
    where: str,
) -> None:
    """Check what spikes carry: a state that the step itself makes 0 where there is no spike.

    Then no engine has to do it.
    """
    if not isinstance(payload, str) or payload not in names.of("discrete"):
        raise RefsimError(
            f"{where} payload: must be a state, one of {listed(names.of('discrete'))}, but is "
            f"{payload!r}."
        )
    if odes is not None:
        raise RefsimError(
            f"{where} payload: an ODE has no spikes that carry something; leave [continuous] "
            "out, and run the card in grid mode."
        )
    trees = [row.tree for row in parsed.get("reset", ()) if row.target == payload]
    if names.state[payload].start or not trees or not _has_factor_z(trees[-1]):
        raise RefsimError(
            f"{where} payload: must be 0 where there is no spike; let it start at 0, and write "
            f"'{payload} = z*...' in reset."
        )


def _has_factor_z(tree: ast.expr) -> bool:
    """Return whether an expression is a product in which the spike, z, is a factor."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        return _has_factor_z(tree.left) or _has_factor_z(tree.right)
    return isinstance(tree, ast.Name) and tree.id == "z"


def _statement_text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise RefsimError(f"{where}: must be text such as 'v = v + I', but is {value!r}.")
    return value


def _parsed(
    text: str, key: str, solution: str, names: Names, odes: Odes | None, where: str
) -> tuple[Statement, ...]:
    """Return the statements of one part, with those that [continuous] makes put in their place."""
    before, generated, after = (
        (part.strip(" \n;") for part in text.partition(FROM_CONTINUOUS))
        if key == "integrate"
        else (text, "", "")
    )
    if not generated:
        return _written_statements(text, f"{where} {key}")
    if solution not in GENERATED or odes is None or odes.unless_refractory:
        raise RefsimError(
            f'{where} integrate = "{FROM_CONTINUOUS}" needs a [continuous] part without '
            f"refractoriness, and a solution among {listed(GENERATED)}, but solution is "
            f"{solution!r}."
        )
    step = generated_step(
        odes,
        solution,
        names.inputs,
        kind=names.kind,
        where=f"{where.split(': ')[0]}: [continuous] equations",
    )
    # The card may write statements of its own before and after the generated step.
    around = [
        _written_statements(part, f"{where} {key}") if part else () for part in (before, after)
    ]
    return (*around[0], *step, *around[1])


def _written_statements(text: str, where: str) -> tuple[Statement, ...]:
    """Parse what the card itself writes; a name with a '_' at an end is one that refsim gives."""
    statements = parse_statements(text, where)
    for statement in statements:
        if (
            statement.target[0] == "_"
            or statement.target[-1] == "_"
            or not statement.target.isascii()
        ):
            raise RefsimError(
                f"{where}: sets {statement.target!r}; a name is of letters, digits and '_', and "
                "begins and ends with a letter or digit."
            )
    return statements


def _check_step(parsed: Mapping[str, tuple[Statement, ...]], names: Names, where: str) -> None:
    """Check that each name is known where it is read, and that each state and input is used."""
    states = names.of("discrete")
    if not states:
        raise RefsimError(
            f"{where}: has no state; at least one of [state] must be part of the step."
        )
    # A name is known from the statement on that sets it.
    known = {*states, *names.fixed}
    helpers: dict[str, str] = {}
    for part, statements in parsed.items():
        if part == "fire" and (
            len(statements) != 1
            or statements[0].target != "z"
            or not comparisons(statements[0].tree)
        ):
            raise RefsimError(
                f"{where} fire: must be one comparison, such as 'z = v >= v_th', or several "
                f"joined by 'and', but is {_texts(statements)!r}."
            )
        # Each statement reads known names, and sets what its part may set.
        for statement in statements:
            if unknown := statement.names - known:
                raise RefsimError(
                    f"{where} {part}: {listed(unknown)} is not known here; known are "
                    f"{listed(known - set(DRAWS))}."
                )
            if statement.target in names.fixed:
                raise RefsimError(
                    f"{where} {part}: {statement.target} = ... would change a constant; a step "
                    f"may change {listed(states)}."
                )
            if part == "modulate" and statement.target in states:
                raise RefsimError(
                    f"{where} modulate: sets the state '{statement.target}'; it may only set "
                    "what the threshold sees. Use another name."
                )
            if part != "fire" and statement.target == "z":
                raise RefsimError(f"{where} {part}: sets z, which is the spike; only fire sets it.")
            if statement.target not in states:
                helpers.setdefault(statement.target, part)
            known.add(statement.target)
    # What is set must be read, and what the card declares must be used.
    read = {
        name
        for statements in parsed.values()
        for statement in statements
        for name in statement.names
    }
    for helper, part in helpers.items():
        if helper not in read and helper != "z":
            raise RefsimError(
                f"{where} {part}: sets '{helper}', which is not a state and which nothing reads; "
                f"states are {listed(states)}."
            )
    if still := set(states) - {
        statement.target for statements in parsed.values() for statement in statements
    }:
        raise RefsimError(
            f"{where}: never sets the state {listed(still)}; each state needs a statement."
        )
    if (deaf := set(names.inputs) - read) and not names.kernels & read:
        raise RefsimError(
            f"{where} integrate: never uses the input {listed(deaf)}; the neuron would be deaf."
        )


def _texts(statements: tuple[Statement, ...]) -> str:
    return "; ".join(f"{statement.target} = {statement.text}" for statement in statements)


def check_continuous(
    table: Table, names: Names, odes: Odes, discrete: DeclaredStep, card: str
) -> Continuous:
    """Check the ODE text; Brian2 checks its units, when it first compiles the card.

    Parameters
    ----------
    odes : Odes
        The equations of the table, parsed.
    discrete : DeclaredStep
        The step of the card: it fires where the ODE has a threshold, and its helpers are known.
    """
    where = f"{card}: [continuous]"
    known = {
        *names.of("continuous"),
        *names.fixed,
        *odes.subexpressions,
        *(statement.target for statement in discrete.modulate),
    }
    # The equations come first, because the other texts read their subexpressions.
    _check_odes(odes, names, known | {"dt"}, where)
    threshold, refractory = (bare(table.get(key, "")) for key in ("threshold", "refractory"))
    reset = bare(table.get("reset", ""), "; ")
    if bool(threshold) != (discrete.fire is not None):
        raise RefsimError(
            f"{where}: threshold and [discrete] fire go together; a readout has neither."
        )
    if threshold:
        _check_condition(threshold, known | {"dt"}, f"{where} threshold", "such as 'v >= v_th'")
    if refractory and refractory not in names.constants:
        _check_condition(refractory, known, f"{where} refractory", "or a constant in seconds")
    # A reset sets states of the ODE alone.
    for statement in parse_statements(reset, f"{where} reset") if reset else ():
        if unknown := statement.names - known:
            raise RefsimError(
                f"{where} reset: {listed(unknown)} is not known here; known are "
                f"{listed(known - set(DRAWS))}."
            )
        if statement.target not in names.of("continuous"):
            raise RefsimError(
                f"{where} reset: sets '{statement.target}', which is not a state; states are "
                f"{listed(names.of('continuous'))}."
            )
    return Continuous(
        written_equations(equations_in(table["equations"], f"{where} equations")),
        threshold,
        reset,
        table["method"],
        refractory,
    )


def check_continuous_keys(table: Mapping[str, object], card: str) -> None:
    """Check that [continuous] has the keys that it needs, all of them text."""
    where = f"{card}: [continuous]"
    hint = "" if "method" in table else f", one of {', '.join(METHODS)}"
    CONTINUOUS.check(table, where, joined=" and ", hint=hint)
    for key, text in table.items():
        if not isinstance(text, str) or (key in CONTINUOUS.needed and not text.strip()):
            raise RefsimError(f"{where} {key}: must be text, but is {text!r}.")
    if table["method"] not in METHODS:
        raise RefsimError(
            f"{where} method must be one of {', '.join(METHODS)}, but is {table['method']!r}."
        )


def _check_condition(text: str, known: Set[str], where: str, example: str) -> None:
    tree = parse_expression(text, where)
    if not comparisons(tree):
        raise RefsimError(f"{where}: must be a comparison, {example}, but is {text!r}.")
    if unknown := names_in(tree) - known:
        raise RefsimError(
            f"{where}: {listed(unknown)} is not known here; known are {listed(known - set(DRAWS))}."
        )


def _check_odes(odes: Odes, names: Names, known: set[str], where: str) -> None:
    """Check that the equations read known names and all inputs, and solve every state."""
    declared = {*names.state, *names.fixed}
    if clash := set(odes.subexpressions) & declared:
        raise RefsimError(
            f"{where} equations: {listed(clash)} is declared already; a subexpression needs a "
            "name of its own."
        )
    rows = {**odes.subexpressions, **{f"d{name}/dt": tree for name, tree in odes.slopes.items()}}
    for left, tree in rows.items():
        if unknown := names_in(tree) - known:
            raise RefsimError(
                f"{where} equations, {left}: {listed(unknown)} is not known here; known are "
                f"{listed(known - set(DRAWS))}."
            )
    if unheard := set(names.inputs) - {name for tree in rows.values() for name in names_in(tree)}:
        unheard_of = listed(unheard)
        raise RefsimError(
            f"{where} equations: never use the input {unheard_of}; write {unheard_of}, or "
            f"{unheard_of}/{STEP} where [input] kind is an impulse: a current of the same "
            "charge, spread over the step."
        )
    if sorted(odes.slopes) != sorted(names.of("continuous")):
        raise RefsimError(
            f"{where} equations: need one 'd.../dt' for each of the states "
            f"{listed(names.of('continuous'))}, but have {listed(odes.slopes)}."
        )
