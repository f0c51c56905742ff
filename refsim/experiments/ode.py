"""The right-hand side of a card's ODE as functions of arrays, read from the card's own text."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..engines.discrete import FUNCTIONS
from ..errors import RefsimError
from ..model import NeuronModel
from ..model.expressions import evaluate, names_in, parse_expression
from ..model.naming import STEP
from ..model.reading import equation_lines, ode_part, split_input, tests_of


@dataclass(frozen=True, eq=False)
class Ode:
    """A card's equations, ready to be evaluated.

    Attributes
    ----------
    model : NeuronModel
    slopes : dict of str to expression
        The right-hand side of each state.
    named : dict of str to expression
        Subexpressions, and what [discrete] modulate gives a name.
    """

    model: NeuronModel
    slopes: Mapping[str, ast.expr]
    named: Mapping[str, ast.expr]

    @classmethod
    def of(cls, model: NeuronModel) -> "Ode":
        """Read the equations of a card."""
        slopes: dict[str, ast.expr] = {}
        named: dict[str, ast.expr] = {}
        for left, right, _unit in equation_lines(model):
            where = f"card '{model.name}': [continuous] equations, {left}"
            state = left[1:].removesuffix("/dt") if left.endswith("/dt") else ""
            (slopes if state else named)[state or left] = parse_expression(right, where)
        named |= {statement.target: statement.tree for statement in model.discrete.modulate}
        return cls(model, slopes, named)

    def scope(self, states: Mapping[str, Any], current: Any, step: float) -> dict[str, Any]:
        """Return every name of the card with its value: states, constants, input and subexpressions."""
        values: dict[str, Any] = {**self.model.constants(step), **states, **split_input(self.model, current), STEP: step}
        waiting = dict(self.named)
        while waiting:
            ready = [name for name, tree in waiting.items() if _known(tree, values)]
            if not ready:
                raise RefsimError(f"card '{self.model.name}': {', '.join(waiting)} cannot be computed from the states alone.")
            for name in ready:
                values[name] = evaluate(waiting.pop(name), values, FUNCTIONS)
        return values

    def slope(self, states: Mapping[str, Any], current: Any, step: float) -> dict[str, Any]:
        """Return d/dt of each state in SI units a second, of the shape of the states."""
        values = self.scope(states, current, step)
        return {name: evaluate(tree, values, FUNCTIONS) for name, tree in self.slopes.items()}

    def threshold(self, states: Mapping[str, Any], current: Any, step: float) -> Any:
        """Return what the membrane is compared with, which may move with the states."""
        sides = tests_of(ode_part(self.model).threshold)
        if not sides:
            raise RefsimError(f"card '{self.model.name}': has no threshold.")
        return evaluate(sides[0][2], self.scope(states, current, step), FUNCTIONS)


def _known(tree: ast.expr, values: Mapping[str, Any]) -> bool:
    return names_in(tree) <= set(values)
