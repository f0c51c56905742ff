"""Hold the refractory period of a card's step against that of its ODE: how long it lasts, and which states stand still in it."""

import ast
from collections.abc import Callable, Iterator
from typing import Any

from ..model import NeuronModel
from ..model.expressions import evaluate
from ..model.naming import STEP
from ..model.reading import equation_lines

Values = dict[str, Any]
Run = Callable[[Any, Values], Values]  # statements, values -> values after them

_MOST = 1000  # steps that are walked through; of a longer period only its beginning is seen
_WHOLE = 1e-9  # of a step: what rounding leaves of a period of whole steps
_STEPS = 3  # of a period in seconds, so that its end is seen


def period_of(model: NeuronModel) -> str:
    """Return the name of the constant that is the refractory period; empty where there is none, or it is a condition."""
    name = model.continuous.refractory if model.continuous else ""
    return name if name in model.constant_units else ""


def shortened(model: NeuronModel, values: Values) -> Values:
    """Return a point whose step is a third of the period, where that is given in seconds."""
    period = values[period_of(model)]
    return values | {STEP: period / _STEPS} if period > 0 else values


def held(model: NeuronModel) -> frozenset[str]:
    """Return the states that stand still in the refractory period of the ODE."""
    return frozenset(left[1:].removesuffix("/dt") for left, _right, unit in equation_lines(model) if "(unless refractory)" in unit)


def refractoriness(model: NeuronModel, after: Values, run: Run, functions: Any) -> Iterator[tuple[str, str]]:
    """Walk through the step's refractory period.

    Parameters
    ----------
    after : dict
        Every name with its value, after a spike.
    """
    tree = model.discrete.fire.tree if model.discrete.fire else None
    others = tree.values[1:] if isinstance(tree, ast.BoolOp) else []
    expected, still, count, values = max(0.0, float(after[period_of(model)] / after[STEP])), held(model) & set(model.stepped), 0, after
    while count <= min(expected, _MOST) + 1:
        moved = run(model.discrete.before_fire, values)
        left = {name for name in still if moved[name] != values[name]}
        blocked = not all(evaluate(test, moved, functions) for test in others)
        if not blocked and (left or not still):
            break
        if left:
            yield "refractory", f"{', '.join(sorted(left))}: differs, moves in the refractory period of the step and is held in that of the ODE"
            return
        values = run(model.discrete.reset, moved | {"z": 0 * moved[STEP]})
        count += 1
    if expected <= _MOST and abs(count - expected) >= 1 - _WHOLE:
        yield "refractory", f"refractory period: differs, {count} steps by the step and {expected:g} by the ODE"
