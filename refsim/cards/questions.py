"""Answers about a model's texts, for other uses than running it: what it reads, where it fires."""

import re
from collections.abc import Mapping

from ..core.errors import RefsimError
from ..core.units import to_si
from .language import (
    SCALAR_FUNCTIONS,
    Comparison,
    Number,
    comparisons,
    evaluate,
    parse_expression,
)
from .names import INPUT
from .neuron import NeuronModel
from .parts import Continuous


def neuron(model: object, who: str) -> None:
    """Refuse what is not a neuron, such as its name.

    Parameters
    ----------
    who : str
        The function that needs one; it opens the error message.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(
            f'{who}: needs a neuron, such as refsim.load("lif"), but {model!r} was given.'
        )


def written_parameters(
    model: NeuronModel, given: Mapping[str, object], where: str
) -> dict[str, float]:
    """Return, in SI, the values of parameters that a person wrote in a file, each with its unit.

    Raises
    ------
    RefsimError
        For a name that the card does not have, or a number without its unit.
    """
    named = f"{where}card '{model.name}': parameter"
    return {
        name: to_si(value, model.parameter(name).unit, f"{named} {name}", written=True)
        for name, value in given.items()
    }


def ode_part(model: NeuronModel) -> Continuous:
    """Return the continuous part of a card.

    Raises
    ------
    RefsimError
        Where the card has none.
    """
    if model.continuous is None:
        raise RefsimError(
            f"card '{model.name}': has no [continuous] part, so there is no ODE to run; trace "
            "and sweep run its declared step (--grid)."
        )
    return model.continuous


def split_input(model: NeuronModel, current: Number) -> dict[str, Number]:
    """Return the value of each input for a current, a number or an array.

    Of inputs split by sign, the one of the current's sign gets its size, and the other gets 0.
    """
    signs = {"excitatory": 1, "inhibitory": -1}
    return {
        name: current
        if name == INPUT
        else abs(current) * (signs[name.removeprefix(f"{INPUT}_")] * current > 0)
        for name in model.inputs
    }


def tests_of(text: str) -> tuple[Comparison, ...]:
    """Return (left, symbol, right) of each comparison in a threshold, the membrane's first."""
    return comparisons(parse_expression(text, "threshold")) if text else ()


def equation_lines(model: NeuronModel) -> list[tuple[str, str, str]]:
    """Return the card's equations as (left, right, unit and flag), in the order of the card."""
    return [(row.left, row.right, row.behind) for row in ode_part(model).rows]


def used_names(model: NeuronModel) -> frozenset[str]:
    """Return every name that some text of the card reads, or at which a state starts."""
    texts = [derived.text for derived in model.derived.values()]
    if part := model.continuous:
        texts += [part.equations, part.threshold, part.reset, part.refractory]
    texts += [text for kernel in model.kernels.values() for text in (kernel.text, kernel.cut)]
    words = set(re.findall(r"[A-Za-z_]\w*", " ".join(texts)))
    starts = {state.at for state in model.state.values()}
    return model.discrete.names | words | starts


def fires_at_start(model: NeuronModel) -> bool:
    """Return whether the threshold of the ODE holds at the start, without input.

    False where that cannot be computed.
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
