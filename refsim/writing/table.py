"""What a card declares as rows of a table: states at their start, parameters, and the constants made of them."""

from ..model import NeuronModel
from .quantities import scaled
from .symbols import decimal, symbol

Row = tuple[str, str, str, str]  # symbol and value as mathematics (no value where there is an equation), unit as a word, meaning as text


def sections(model: NeuronModel) -> list[tuple[str, list[Row]]]:
    """Return (heading, rows), without the empty ones."""
    states = [_row(name, each.start, each.unit, each.meaning + (f" ({each.only} part only)" if each.only else "")) for name, each in model.state.items()]
    parameters = [_row(name, each.value, each.unit, each.meaning) for name, each in model.parameters.items()]
    derived = [(symbol(name), "", scaled(1.0, each.unit)[1], each.meaning) for name, each in model.derived.items()]
    found = [("States, at the start", states), ("Parameters", parameters), ("Derived", derived)]
    return [(heading, rows) for heading, rows in found if rows]


def _row(name: str, value: float, unit: str, meaning: str) -> Row:
    digits, sign = scaled(value, unit)
    return symbol(name), decimal(digits), sign, meaning
