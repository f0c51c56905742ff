"""What a reader should know of a neuron as it stands, though nothing in it is wrong."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import RefsimWarning
from .expressions import SCALAR_FUNCTIONS, evaluate, execute, names_in
from .neuron import NeuronModel

_SAME = 1e-9  # of the threshold: rounding of the rectifier's few operations, and no more


def notes(model: NeuronModel, values: Mapping[str, Iterable[float]] | None = None) -> list[str]:
    """Return sentences about a neuron, of which most have none.

    Parameters
    ----------
    values : dict of str to (n,), optional
        Values of parameters, one a neuron, in place of the card's.
    """
    if "rectified" not in model.traits or not model.discrete.tests:
        return []
    rows = {name: np.asarray(row, float) for name, row in (values or {}).items()}
    each = np.unique(np.stack(list(rows.values()), axis=1), axis=0) if rows else [()]
    told = (_rectified(model, dict(zip(rows, map(float, row), strict=True))) for row in each)
    return list(dict.fromkeys(filter(None, told)))[:1]


def _rectified(model: NeuronModel, values: Mapping[str, float]) -> str:
    """Say that the threshold is seen as another; where it is seen as itself, a rising rectifier changes no spike."""
    left, _, right = model.discrete.tests[0]
    made = model.discrete.modulate
    scope = {name: state.start for name, state in model.stepped.items()}
    scope |= model.constants(step=1e-3, values=values)
    known = {*scope, *(statement.target for statement in made)}
    if any(names_in(tree) - known for tree in (left, right, *(each.tree for each in made))):
        return ""  # seen through more than the membrane: no question of a fixed point
    threshold = float(evaluate(right, scope, SCALAR_FUNCTIONS))
    scope[model.membrane] = threshold
    execute(made, scope, SCALAR_FUNCTIONS, float)
    seen = float(evaluate(left, scope, SCALAR_FUNCTIONS))
    if abs(seen - threshold) <= _SAME * max(1.0, abs(threshold)):
        return ""
    return (
        f"card '{model.name}': the rectifier changes spikes at a threshold of {threshold:g}, which is none of its fixed points: "
        f"a membrane of {threshold:g} is seen as {seen:.4g}. Without it this is another neuron."
    )


def warn(model: NeuronModel, values: Mapping[str, Iterable[float]] | None = None, *, stacklevel: int = 3) -> None:
    """Warn of what `notes` says, in the line of the caller's caller."""
    for note in notes(model, values):
        warnings.warn(note, RefsimWarning, stacklevel=stacklevel)
