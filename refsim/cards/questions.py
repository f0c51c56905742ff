"""Read a model's texts for other uses than running it.

Its equations, threshold, inputs, and the states of its ODE.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..core.errors import RefsimError
from ..core.units import to_si
from .language import (
    SCALAR_FUNCTIONS,
    Comparison,
    comparisons,
    evaluate,
    names_in,
    parse_expression,
)
from .names import INPUT
from .neuron import NeuronModel
from .parts import Continuous


def neuron(model: object, who: str) -> None:
    """Refuse what is no neuron, such as its name."""
    if not isinstance(model, NeuronModel):
        raise RefsimError(
            f'{who}: needs a neuron, such as refsim.load("lif"), but {model!r} was given.'
        )


def written_parameters(
    model: NeuronModel, given: Mapping[str, object], where: str
) -> dict[str, float]:
    """Return the values of parameters, in SI, that a person wrote in a file: each with its unit.

    Raises
    ------
    RefsimError
        For a name that the card does not have, or a number whose unit is left unsaid.
    """
    named = f"{where}card '{model.name}': parameter"
    return {
        name: to_si(value, model.parameter(name).unit, f"{named} {name}", written=True)
        for name, value in given.items()
    }


def ode_part(model: NeuronModel) -> Continuous:
    """Return the continuous part of a card, or say that it has none."""
    if model.continuous is None:
        raise RefsimError(
            f"card '{model.name}': has no [continuous] part, so there is no ODE to run; trace "
            "and sweep run its declared step (--grid)."
        )
    return model.continuous


def split_input(model: NeuronModel, current: Any) -> dict[str, Any]:
    """Return the value of each input for a current.

    Inputs split by sign get its size on their side.
    """
    signs = {"excitatory": 1, "inhibitory": -1}
    return {
        name: current
        if name == INPUT
        else abs(current) * (signs[name.removeprefix(f"{INPUT}_")] * current > 0)
        for name in model.inputs
    }


def tests_of(text: str) -> tuple[Comparison, ...]:
    """Return (left, symbol, right) of each comparison of a threshold's text.

    The first is the membrane's.
    """
    return comparisons(parse_expression(text, "threshold")) if text else ()


def equation_lines(model: NeuronModel) -> list[tuple[str, str, str]]:
    """Return the card's equations as (left, right, unit and flags), in the order of the card."""
    return [(row.left, row.right, row.behind) for row in ode_part(model).rows]


def used_names(model: NeuronModel) -> frozenset[str]:
    """Return every name that some text of the card reads, or that a state starts at."""
    texts = [derived.text for derived in model.derived.values()]
    if part := model.continuous:
        texts += [part.equations, part.threshold, part.reset, part.refractory]
    texts += [text for kernel in model.kernels.values() for text in (kernel.text, kernel.cut)]
    statements = [
        *model.discrete.before_fire,
        *model.discrete.reset,
        *([model.discrete.fire] if model.discrete.fire else []),
    ]
    words = set(re.findall(r"[A-Za-z_]\w*", " ".join(texts)))
    return frozenset(
        words
        | {state.at for state in model.state.values()}
        | {name for statement in statements for name in names_in(statement.tree)}
    )


def fires_at_start(model: NeuronModel) -> bool:
    """Return whether the threshold of the ODE holds at the start, without input.

    False where that cannot be told.
    """
    part = model.continuous
    if part is None or not part.threshold:
        return False
    values = {
        **model.constants(step=1e-3),
        **{name: state.start for name, state in model.state.items()},
        **dict.fromkeys(model.inputs, 0.0),
        "dt": 1e-3,
    }
    try:
        return bool(
            evaluate(parse_expression(part.threshold, "threshold"), values, SCALAR_FUNCTIONS)
        )
    except (KeyError, ArithmeticError, ValueError):
        return False
