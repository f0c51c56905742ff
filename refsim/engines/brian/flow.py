"""How a neuron moves while nothing happens, forward and backward, in closed form: read from the ODE of its card by Brian2."""

import ast
import functools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import RefsimError, listed
from ...model.expressions import comparisons, parse_expression
from ...model.naming import INPUT, STEP
from ...network import Layer
from .objects import checked_group, explained
from .session import session
from .text import fine_variables

_ELAPSED = "elapsed_"  # no name of a card ends so


@dataclass(frozen=True, eq=False)
class Flow:
    """The exact solution of a linear ODE, as SymPy expressions over the states and constants of its card.

    Attributes
    ----------
    names : tuple of str
        The states.
    after : tuple
        Each state a time ``elapsed`` later, also for negative times.
    response : tuple of tuple
        ``response[k][j]``: what a jump of 1 of state j is in state k a time ``elapsed`` later.
    height : expression
        What the threshold compares: above 0 on the side that fires.
    rise : expression
        The derivative of the height by time.
    """

    names: tuple[str, ...]
    after: tuple[Any, ...]
    response: tuple[tuple[Any, ...], ...]
    height: Any
    rise: Any

    def states(self, elapsed: str, names: dict[str, str]) -> dict[str, str]:
        """Return the text of each state a time later; `elapsed` is the text of a time, such as ``"-delta"``, `names` those of the states now."""
        return {name: _text(expression, {_ELAPSED: f"({elapsed})", **names}) for name, expression in zip(self.names, self.after, strict=True)}

    def jump(self, source: str, elapsed: str, *, of: str, names: dict[str, str] | None = None) -> dict[str, str]:
        """Return what a jump of a state has become a time later, by state, where it is not 0.

        Parameters
        ----------
        of : str
            Text of the jump's size.
        names : dict of str to str, optional
            Other names for the constants.
        """
        column = self.names.index(source)
        shares = {name: row[column] for name, row in zip(self.names, self.response, strict=True)}
        return {name: f"{of}*({_text(share, {_ELAPSED: f'({elapsed})', **(names or {})})})" for name, share in shares.items() if share != 0}

    def height_at(self, states: dict[str, str]) -> str:
        """Return the text of the height where the states have other names."""
        return _text(self.height, states)

    def rise_at(self, states: dict[str, str]) -> str:
        """Return the text of the height's slope where the states have other names."""
        return _text(self.rise, states)

    @property
    def constants(self) -> frozenset[str]:
        """The names that the solution reads besides the states and the time."""
        read = {symbol.name for part in (*self.after, self.height, self.rise) for symbol in part.free_symbols}
        return frozenset(read - {*self.names, _ELAPSED})


def solved(layer: Layer) -> Flow:
    """Return the flow of a layer.

    Raises
    ------
    RefsimError
        Where the ODE is not linear, has no solution that Brian2 can write down, or one that divides by zero.
    """
    model, continuous = layer.model, layer.model.continuous
    assert continuous is not None
    equations = fine_variables(model, frozenset(), gap=False, seen=False)
    return _solved(model.name, equations, continuous.threshold, frozenset(model.constant_units), bool(layer.bias.any()))


@functools.lru_cache(64)
def _solved(card: str, equations: str, threshold: str, constants: frozenset[str], biased: bool) -> Flow:
    """Let Brian2 read the linear system, on its NumPy target: a device that writes C++ has no values to look at."""
    from sympy import Matrix, Symbol, cancel, factor_terms, signsimp

    with session("numpy", "float64", 1e-3) as brian2:
        from brian2.parsing.sympytools import str_to_sympy
        from brian2.stateupdaters.base import UnsupportedEquationsException
        from brian2.stateupdaters.exact import get_linear_system

        group = checked_group(brian2, card, 1, equations, name="read*")
        try:
            names, matrix, still = get_linear_system(group.equations, group.variables)
        except UnsupportedEquationsException:
            raise RefsimError(
                f"the ODE of card '{card}' is not linear in its states, and between two steps it has no solution in closed form. "
                "spike_times='exact' needs one, as card 'lif_exp' has; run this card with mode='fine' and smaller and smaller steps."
            ) from None
        ((left, symbol, right),) = comparisons(parse_expression(threshold, "threshold"))
        larger, smaller = (left, right) if symbol.startswith(">") else (right, left)
        height = str_to_sympy(ast.unparse(larger), group.variables) - str_to_sympy(ast.unparse(smaller), group.variables)
    if _circle(matrix):
        raise RefsimError(
            f"in the ODE of card '{card}' states act on each other in a circle, so that it may turn, and no solution is written down for it here. "
            "spike_times='exact' takes states of which each acts on later ones alone, as a synapse on its membrane."
        )
    if not biased:
        still = still.subs({read: 0 for read in still.free_symbols if read.name == INPUT})
    elapsed = Symbol(_ELAPSED, real=True)
    states = Matrix([Symbol(name, real=True) for name in names])
    with explained(card):
        response = (matrix * elapsed).exp().applyfunc(lambda entry: factor_terms(cancel(signsimp(entry))))
        rest = -matrix.LUsolve(still) if any(still) else still
        after = response * (states - rest) + rest
    if below := {read.name for read in height.free_symbols} - {*names, *constants}:
        raise RefsimError(f"the threshold of card '{card}' reads {listed(below)}; spike_times='exact' takes one of states and constants.")
    slopes = matrix * states + still
    rise = sum((height.diff(state) * slope for state, slope in zip(states, slopes, strict=True)), start=0 * elapsed)
    rows = tuple(tuple(response.row(k)) for k in range(len(names)))
    return Flow(tuple(names), tuple(after), rows, height, rise)


def _circle(matrix: Any) -> bool:
    """Return whether any state of a linear system acts on itself through others."""
    left = set(range(matrix.rows))
    while free := {row for row in left if all(matrix[row, other] == 0 for other in left - {row})}:
        left -= free
    return bool(left)


def check_finite(flow: Flow, layer: Layer, step: float, dt: float) -> None:
    """Refuse parameters at which the written solution divides by zero.

    Parameters
    ----------
    step : float
        Of the network, in seconds, on which constants may depend.
    dt : float
        Of the run.
    """
    from sympy import lambdify

    known = {**layer.constants(step), **dict.fromkeys(layer.model.inputs, 0.0), STEP: step, _ELAPSED: dt}
    entries = [entry for row in flow.response for entry in row]
    names = sorted({read.name for entry in entries for read in entry.free_symbols})
    with np.errstate(all="ignore"):
        values = [np.asarray(value) for value in lambdify(names, entries, "numpy")(*(np.asarray(known[name]) for name in names))]
    if not all(np.isfinite(value).all() for value in values):
        raise RefsimError(
            f"{layer.name}: with these parameters the solution that Brian2 writes down for card '{layer.model.name}' divides by zero, as where two time constants "
            "are one. Move one of them by a ten-thousandth."
        )


def _text(expression: Any, names: dict[str, str]) -> str:
    """Return an expression's text, names replaced."""
    from brian2.parsing.sympytools import sympy_to_str

    written: str = sympy_to_str(expression)
    return re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), written)
