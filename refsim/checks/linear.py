"""The exact solution of a linear ODE by numbers, for those whose formula Brian2 does not find: coupled, with turning states."""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import RefsimError
from ..model import NeuronModel
from ..model.expressions import names_in
from ..model.naming import STEP
from ..model.odes import Odes, read_odes

Values = dict[str, Any]


def coupled(model: NeuronModel) -> bool:
    """Return whether the slope of any state depends on another state."""
    odes = _odes(model)
    return any(names_in(tree) & (set(odes.slopes) - {name}) for name, tree in odes.slopes.items()) or bool(odes.subexpressions)


def solve_linear(model: NeuronModel, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Values:
    """Return all values one step later, by the exponential of the matrix of the ODE, in mpmath's precision.

    Raises
    ------
    RefsimError
        Where the ODE is not linear in its states, and so has no such solution.
    """
    import mpmath

    odes, step = _odes(model), values[STEP]
    names = list(odes.slopes)
    still = odes.at({**values, **dict.fromkeys(names, 0 * step)}, functions)
    columns = [odes.at({**values, **dict.fromkeys(names, 0 * step), name: step / step}, functions) for name in names]
    matrix = mpmath.matrix(len(names) + 1)
    for row in range(len(names)):
        for column in range(len(names)):
            matrix[row, column] = (columns[column][row] - still[row]) * step
        matrix[row, len(names)] = still[row] * step
    _check_linear(model, odes, matrix, values, functions)
    after = mpmath.expm(matrix, method="pade") * _vector(names, values)
    return {**values, **{name: after[row] for row, name in enumerate(names)}}


def _odes(model: NeuronModel) -> Odes:
    assert model.continuous is not None
    return read_odes(model.continuous.equations, f"card '{model.name}': [continuous] equations")


def _vector(names: list[str], values: Mapping[str, Any]) -> Any:
    import mpmath

    return mpmath.matrix([*(values[name] for name in names), 1])


def _check_linear(model: NeuronModel, odes: Odes, matrix: Any, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
    found = matrix * _vector(list(odes.slopes), values)
    for row, slope in enumerate(odes.at(values, functions)):
        expected = slope * values[STEP]
        if abs(found[row] - expected) > 1e-30 * (abs(found[row]) + abs(expected)):
            raise RefsimError(f"card '{model.name}': its ODE is not linear in its states, so that no step is its exact solution; name another solution.")
