"""The ODE text of a card taken apart, and the step that a numerical method makes of it.

An equation is typed once, in the card: `read_odes` parses it, `generated_step` makes the statements
of a step, and `linear_parts` finds the coefficients that exponential Euler needs.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..core.errors import RefsimError, listed
from ..core.units import check_unit
from .language import Number, Statement, evaluate, names_in, parse_expression
from .names import STEP

_SLOPE = re.compile(r"^d(\w+)/dt$", re.ASCII)
_FLAG = re.compile(r"\(\s*unless\s+refractory\s*\)$")


class Equation(NamedTuple):
    """One line of the text: ``left = right : unit``, perhaps with ``(unless refractory)``."""

    left: str
    right: str
    unit: str
    unless_refractory: bool

    @property
    def behind(self) -> str:
        """What stands behind the colon: the unit, and the flag where there is one."""
        return f"{self.unit} (unless refractory)" if self.unless_refractory else self.unit


@dataclass(frozen=True)
class Odes:
    """The equations as trees.

    Attributes
    ----------
    slopes : dict of str to tree
        By state.
    subexpressions : dict of str to tree
        By name, each after those that it reads itself.
    unless_refractory : bool
        Whether some state rests while the neuron is refractory.
    """

    slopes: Mapping[str, ast.expr]
    subexpressions: Mapping[str, ast.expr]
    unless_refractory: bool = False

    def reads(self, state: str) -> set[str]:
        """Return every name that the slope of a state reads, directly or through subexpressions."""
        seen = set(names_in(self.slopes[state]))
        for name, tree in reversed(list(self.subexpressions.items())):
            seen |= names_in(tree) if name in seen else set()
        return seen

    def at(
        self, values: Mapping[str, Number], functions: Mapping[str, Callable[..., Number]]
    ) -> list[Number]:
        """Return the slopes at given values of states, constants and inputs."""
        scope = dict(values)
        for name, tree in self.subexpressions.items():
            scope[name] = evaluate(tree, scope, functions)
        return [evaluate(tree, scope, functions) for tree in self.slopes.values()]


def read_odes(text: str, where: str) -> Odes:
    """Take apart lines ``dv/dt = ... : unit`` and ``name = ... : unit``.

    Raises
    ------
    RefsimError
        For a line that is neither, an unknown unit, or subexpressions that need each other.
    """
    return odes_of(equations_in(text, where), where)


def odes_of(rows: Iterable[Equation], where: str) -> Odes:
    """Parse equations; for the errors see `read_odes`."""
    slopes: dict[str, ast.expr] = {}
    waiting: dict[str, ast.expr] = {}
    rows = tuple(rows)
    for row in rows:
        check_unit(row.unit, f"{where}, {row.left}")
        tree = parse_expression(row.right, f"{where}, {row.left}")
        state = state_of(row.left)
        name = state or row.left
        if name in slopes or name in waiting:
            raise RefsimError(f"{where}: {row.left!r} is written twice.")
        (slopes if state else waiting)[name] = tree
    # A subexpression follows those that it reads; of several that could follow, the text decides.
    ordered: dict[str, ast.expr] = {}
    while waiting:
        ready = [name for name, tree in waiting.items() if not names_in(tree) & set(waiting)]
        if not ready:
            raise RefsimError(f"{where}: {listed(waiting)} need each other in a circle.")
        ordered |= {name: waiting.pop(name) for name in ready}
    return Odes(slopes, ordered, any(row.unless_refractory for row in rows))


def equations_in(text: str, where: str) -> tuple[Equation, ...]:
    """Return each equation of a text, without comments, in the order of the text."""
    lines = (line.split("#")[0].strip(" \t\r") for line in text.split("\n"))
    return tuple(_equation(line, where) for line in lines if line)


def written_equations(rows: Iterable[Equation]) -> str:
    """Return the text of equations, one a line.

    No comment and no other character of the card's text goes on to an engine.
    """
    return "\n".join(f"{row.left} = {row.right} : {row.behind}" for row in rows)


def _equation(line: str, where: str) -> Equation:
    """Split a line at its first ``=`` and its last ``:``."""
    left, equals, rest = line.partition("=")
    right, colon, behind = (part.strip() for part in rest.rpartition(":"))
    if not equals or not colon:
        raise RefsimError(
            f"{where}: {line.strip()!r} is not an equation; needs 'dv/dt = ... : unit'."
        )
    left = left.strip()
    if not _SLOPE.match(left) and not (left.isidentifier() and left.isascii()):
        raise RefsimError(f"{where}: {left!r} must be a name or dv/dt.")
    # The one flag that an equation may have is taken off the unit.
    unit = _FLAG.sub("", behind).strip()
    return Equation(left, right, unit, _FLAG.search(behind) is not None)


def state_of(left: str) -> str:
    """Return the state of a left-hand side ``dv/dt``; empty for a subexpression."""
    found = _SLOPE.match(left)
    return found[1] if found else ""


def generated_step(
    odes: Odes, method: str, inputs: Mapping[str, str], *, kind: str, where: str
) -> tuple[Statement, ...]:
    """Return the statements of one step of a method, for an ODE without refractoriness.

    Every slope is taken at the old states. An impulse is a jump before or after the step, so that
    the ODE runs without it.

    Parameters
    ----------
    method : {"euler", "exponential_euler", "rk4"}
    inputs : mapping of str to str
        Input -> the state it reaches.
    kind : {"pulse", "impulse", "early_impulse"}

    Notes
    -----
    Names of intermediate results end in ``_``, as no name of a card does, and none is the beginning
    of another.
    """
    odes = _in_steps(odes)
    # Impulses are taken out of the equations, and come back as jumps.
    slopes = {
        name: _without(tree, set(inputs), where) if kind != "pulse" else tree
        for name, tree in odes.slopes.items()
    }
    # A state that only impulses change needs no slope.
    still = {
        name
        for name in inputs.values()
        if isinstance(tree := slopes[name], ast.Constant) and not tree.value
    }
    moving = {name: tree for name, tree in slopes.items() if name not in still}
    lines = _METHODS[method](Odes(moving, odes.subexpressions), where)
    jumps = [f"{state} = {state} + {name}" for name, state in inputs.items()]
    lines = [
        *(jumps if kind == "early_impulse" else []),
        *lines,
        *(jumps if kind == "impulse" else []),
    ]
    return tuple(_statement(line, where) for line in lines)


def _in_steps(odes: Odes) -> Odes:
    """Return equations in which dt, the duration of a sub-step, is replaced by that of the step."""
    changed = {"dt": STEP}
    slopes, named = (
        {
            name: ast.parse(renamed(tree, changed), mode="eval").body
            if "dt" in names_in(tree)
            else tree
            for name, tree in trees.items()
        }
        for trees in (odes.slopes, odes.subexpressions)
    )
    return Odes(slopes, named, odes.unless_refractory)


def _statement(line: str, where: str) -> Statement:
    target, _, text = line.partition(" = ")
    return Statement(target, text, parse_expression(text, where))


def _euler(odes: Odes, where: str) -> list[str]:
    """Take all slopes at the old states, then move each state along its slope."""
    lines = [f"{name} = {ast.unparse(tree)}" for name, tree in odes.subexpressions.items()]
    lines += [f"{name}_slope_ = {ast.unparse(tree)}" for name, tree in odes.slopes.items()]
    return lines + [f"{name} = {name} + {STEP}*{name}_slope_" for name in odes.slopes]


def _exponential_euler(odes: Odes, where: str) -> list[str]:
    """Solve each ``dy/dt = A + B*y`` exactly, with A and B as they are at the start of the step."""
    lines = [f"{name} = {ast.unparse(tree)}" for name, tree in odes.subexpressions.items()]
    last = []
    for name, tree in odes.slopes.items():
        constant, factor = linear_parts(tree, name, odes.subexpressions, where)
        # Without B the state moves on a line, and without A it decays to zero.
        if factor is None:
            last.append(f"{name} = {name} + {STEP}*({_text(constant)})")
            continue
        if constant is None:
            last.append(f"{name} = {name}*exp(({_text(factor)})*{STEP})")
            continue
        lines += [
            f"{name}_rate_ = {_text(factor)}",
            f"{name}_ratio_ = ({_text(constant)})/{name}_rate_",
            f"{name}_kept_ = exp({name}_rate_*{STEP})",
        ]
        last.append(f"{name} = ({name} + {name}_ratio_)*{name}_kept_ - {name}_ratio_")
    return lines + last


def _rk4(odes: Odes, where: str) -> list[str]:
    """Take the slope four times: at the start, twice in the middle, and at the end of the step."""
    lines: list[str] = []
    for stage, share in (("k1", None), ("k2", 0.5), ("k3", 0.5), ("k4", 1.0)):
        before = f"k{int(stage[1]) - 1}"
        # From the second stage on, the states stand where the last slope leads in this share.
        now = {} if share is None else {name: f"{name}_{stage}_at_" for name in odes.slopes}
        lines += [f"{new} = {name} + {share}*{name}_{before}_" for name, new in now.items()]
        now |= {name: f"{name}_{stage}_at_" for name in odes.subexpressions}
        lines += [
            f"{now[name]} = {renamed(tree, now)}" for name, tree in odes.subexpressions.items()
        ]
        lines += [
            f"{name}_{stage}_ = {STEP}*({renamed(tree, now)})" for name, tree in odes.slopes.items()
        ]
    return lines + [
        f"{name} = {name} + ({name}_k1_ + 2*{name}_k2_ + 2*{name}_k3_ + {name}_k4_)/6"
        for name in odes.slopes
    ]


_METHODS: dict[str, Callable[[Odes, str], list[str]]] = {
    "euler": _euler,
    "exponential_euler": _exponential_euler,
    "rk4": _rk4,
}
GENERATED = tuple(_METHODS)


def renamed(tree: ast.expr, names: Mapping[str, str]) -> str:
    """Return the text of an expression in which some names are replaced by others."""
    changed = copy.deepcopy(tree)
    for node in ast.walk(changed):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(changed)


def _without(tree: ast.expr, inputs: set[str], where: str) -> ast.expr:
    """Return a sum without its terms ``I/step``, which are impulses."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        # The last term is looked at first, and the rest of the sum after it.
        if names_in(tree.right) <= {*inputs, STEP} and names_in(tree.right) & inputs:
            return _without(tree.left, inputs, where)
        tree = ast.BinOp(_without(tree.left, inputs, where), tree.op, tree.right)
    elif names_in(tree) <= {*inputs, STEP} and names_in(tree) & inputs:
        return ast.Constant(0.0)
    if names_in(tree) & inputs:
        raise RefsimError(
            f"{where}: an impulse is a term of its own at the end of a sum, '... + I/step', but "
            f"the equation is {ast.unparse(tree)!r}."
        )
    return tree


Term = ast.expr | None  # None is zero


def linear_parts(
    tree: ast.expr, name: str, subexpressions: Mapping[str, ast.expr], where: str
) -> tuple[Term, Term]:
    """Return (A, B) of an expression that is A + B*name; None stands for zero.

    Subexpressions that read the name are written out.

    Raises
    ------
    RefsimError
        Where the expression is not linear in the name.
    """
    if (
        isinstance(tree, ast.Name)
        and tree.id in subexpressions
        and _depends(subexpressions[tree.id], name, subexpressions)
    ):
        return linear_parts(subexpressions[tree.id], name, subexpressions, where)
    # An expression without the name is all A; the name itself is B = 1.
    if not _depends(tree, name, subexpressions):
        return tree, None
    if isinstance(tree, ast.Name):
        return None, ast.Constant(1.0)
    # A sign holds for both parts; sums, products and quotients follow.
    if isinstance(tree, ast.UnaryOp):
        parts = linear_parts(tree.operand, name, subexpressions, where)
        return tuple(None if part is None else ast.UnaryOp(tree.op, part) for part in parts)  # type: ignore[return-value]
    if isinstance(tree, ast.BinOp):
        left, right = (
            linear_parts(tree.left, name, subexpressions, where),
            linear_parts(tree.right, name, subexpressions, where),
        )
        if isinstance(tree.op, ast.Add | ast.Sub):
            return _sum(left[0], tree.op, right[0]), _sum(left[1], tree.op, right[1])
        if isinstance(tree.op, ast.Mult) and left[1] is None:
            return _product(tree.left, right[0]), _product(tree.left, right[1])
        if isinstance(tree.op, ast.Mult) and right[1] is None:
            return _product(left[0], tree.right), _product(left[1], tree.right)
        if isinstance(tree.op, ast.Div) and right[1] is None:
            return tuple(
                None if part is None else ast.BinOp(part, ast.Div(), tree.right) for part in left
            )  # type: ignore[return-value]
    raise RefsimError(
        f"{where}: exponential Euler needs d{name}/dt to be linear in {name}, but "
        f"{ast.unparse(tree)!r} is not; use euler or rk4."
    )


def _depends(tree: ast.expr, name: str, subexpressions: Mapping[str, ast.expr]) -> bool:
    """Return whether an expression reads a name, directly or through subexpressions."""
    return any(
        other == name
        or (other in subexpressions and _depends(subexpressions[other], name, subexpressions))
        for other in names_in(tree)
    )


def _sum(left: Term, operation: ast.operator, right: Term) -> Term:
    if right is None:
        return left
    if left is None:
        return right if isinstance(operation, ast.Add) else ast.UnaryOp(ast.USub(), right)
    return ast.BinOp(left, operation, right)


def _product(left: Term, right: Term) -> Term:
    return None if left is None or right is None else ast.BinOp(left, ast.Mult(), right)


def _text(tree: Term) -> str:
    return "0.0" if tree is None else ast.unparse(tree)
