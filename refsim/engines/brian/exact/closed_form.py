"""The solution of a card's ODE between two steps, and the text that lets Brian2 fire between steps.

First which networks have exact spike times, and why others have none. Then how a neuron moves
while nothing happens, forward and backward, in closed form: Brian2 reads it from the card's ODE.
Last the text: when the threshold was crossed, and what that changes at the end of the step.

A neuron goes to the end of a step without its arrivals. They are then added as they stand at the
end, each from its own time on, since the solution of the ODE is linear. Whether the membrane had
crossed before they came, or crosses after, is read from both solutions, run backward; so an
arrival and a crossing may share a step. Newton's method finds the time since the crossing,
``sub_delta``. The reset acts there and not at the end of the step, and what the spike adds to
other neurons is added from there on.
"""

import ast
import functools
import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from ....cards.language import comparisons, names_in, parse_expression, parse_statements
from ....cards.names import INPUT, STEP
from ....cards.ode import renamed
from ....core.errors import RefsimError, listed
from ....networks.network import Layer, Network
from ..network import checked_group, explained
from ..session import session
from ..text import brian_text, condition, fine_variables

WHERE = "spike_times='exact'"
Expression = Any  # of SymPy, which has no types: a scalar or a matrix


def check_exact(network: Network) -> None:
    """Refuse a network that has no exact spike times, with the reason.

    Raises
    ------
    RefsimError
        For a card, a recurrence or a delay that is not solved.
    """
    for index, layer in enumerate(network.layers):
        if reason := _unfit(layer):
            raise RefsimError(
                f"{layer.name}: {reason.format(card=repr(layer.model.name))} {WHERE} runs cards "
                "as 'lif_exp' and 'cuba_lif' are."
            )
        for source in layer.sources:
            if source.layer >= index:
                raise RefsimError(
                    f"{layer.name}: {WHERE} takes layers that hear of those before them, but "
                    f"this one hears of layer {source.layer}."
                )
            if source.delayed:
                raise RefsimError(
                    f"{layer.name}: {WHERE} knows no delays: the time since a crossing is kept "
                    "until the next, and not until an arrival some steps later. Leave the delay "
                    "out."
                )


def _unfit(layer: Layer) -> str:
    """Return why a layer's card has no exact spike times, or an empty text where it has them."""
    model, continuous = layer.model, layer.model.continuous
    if continuous is None:
        return (
            "card {card} is a map in discrete time and has no ODE, so that nothing happens "
            "between its steps."
        )
    if model.draws or "stochastic" in model.traits:
        return (
            "card {card} fires by chance, and a spike time drawn anew in each step is no "
            "function of the weights."
        )
    if not continuous.threshold:
        return "card {card} is a readout without a threshold, which has no spikes."
    if continuous.refractory:
        return (
            "card {card} has a refractory period, which would end between two steps; that is "
            "not solved here."
        )
    if len(model.inputs) != 1:
        return (
            "card {card} parts its input by the sign of the weight, and its conductances are "
            "not linear."
        )
    if model.input_kind == "pulse":
        return (
            "card {card} takes a spike as a current that lasts a step, so that it depends on "
            "the step; a spike must be a jump, [input] kind = 'impulse'."
        )
    # What the threshold compares must be moved by the reset, and must not jump with an arrival.
    reads = _names_in_threshold(layer)
    if set(model.inputs.values()) & reads:
        return (
            "card {card} compares the very state that an arrival makes jump, so that it fires "
            "at arrivals, at times that no weight moves a little."
        )
    changed = (
        {statement.target for statement in parse_statements(continuous.reset, layer.name)}
        if continuous.reset
        else set()
    )
    if not changed & reads:
        return (
            "card {card} has no reset of what its threshold compares, and would fire in every "
            "step from then on."
        )
    return ""


def _names_in_threshold(layer: Layer) -> set[str]:
    """Return the names that a layer's threshold reads."""
    assert layer.model.continuous is not None
    return set(names_in(parse_expression(layer.model.continuous.threshold, "threshold")))


_ELAPSED = "elapsed_"  # no name of a card ends so


@dataclass(frozen=True, eq=False)
class Solution:
    """The exact solution of a linear ODE, as SymPy expressions.

    They are over the states and constants of its card.

    Attributes
    ----------
    names : tuple of str
        The states.
    after : tuple
        Each state a time ``elapsed`` later, also for negative times.
    response : tuple of tuple
        ``response[k][j]`` is what a jump of 1 in state j has become in state k a time ``elapsed``
        later.
    height : expression
        What the threshold compares: above 0 on the side that fires.
    rise : expression
        The derivative of the height by time.
    """

    names: tuple[str, ...]
    after: tuple[Expression, ...]
    response: tuple[tuple[Expression, ...], ...]
    height: Expression
    rise: Expression

    def states(self, elapsed: str, names: dict[str, str]) -> dict[str, str]:
        """Return the text of each state a time later.

        Parameters
        ----------
        elapsed : str
            Text of the time, such as ``"-delta"``.
        names : dict of str to str
            The names that the states have now.
        """
        return {
            name: _text(expression, {_ELAPSED: f"({elapsed})", **names})
            for name, expression in zip(self.names, self.after, strict=True)
        }

    def jump(
        self, source: str, elapsed: str, *, of: str, names: dict[str, str] | None = None
    ) -> dict[str, str]:
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
        return {
            name: f"{of}*({_text(share, {_ELAPSED: f'({elapsed})', **(names or {})})})"
            for name, share in shares.items()
            if share != 0
        }

    def height_at(self, states: dict[str, str]) -> str:
        """Return the text of the height where the states have other names."""
        return _text(self.height, states)

    def rise_at(self, states: dict[str, str]) -> str:
        """Return the text of the height's slope where the states have other names."""
        return _text(self.rise, states)

    @property
    def constants(self) -> frozenset[str]:
        """The names that the solution reads besides the states and the time."""
        read = {
            symbol.name
            for part in (*self.after, self.height, self.rise)
            for symbol in part.free_symbols
        }
        return frozenset(read - {*self.names, _ELAPSED})


def solution_of(layer: Layer) -> Solution:
    """Return the solution of a layer's ODE.

    Raises
    ------
    RefsimError
        Where the ODE is not linear, has no solution that Brian2 can write down, or one that divides
        by zero.
    """
    model, continuous = layer.model, layer.model.continuous
    assert continuous is not None
    equations = fine_variables(model, frozenset(), gap=False, seen=False)
    return _solved(
        model.name,
        equations,
        continuous.threshold,
        frozenset(model.constant_units),
        bool(layer.bias.any()),
    )


@functools.lru_cache(64)
def _solved(
    card: str, equations: str, threshold: str, constants: frozenset[str], biased: bool
) -> Solution:
    """Let Brian2 read the linear system, and solve it with SymPy.

    It is read on the NumPy target, since a device that writes C++ has no values.
    """
    from sympy import Matrix, Symbol, cancel, factor_terms, signsimp

    with session("numpy", "float64", 1e-3) as brian2:
        from brian2.parsing.sympytools import str_to_sympy
        from brian2.stateupdaters.base import UnsupportedEquationsException
        from brian2.stateupdaters.exact import get_linear_system

        # The system as matrix*states + still, and the side of the threshold that fires.
        group = checked_group(brian2, card, 1, equations, name="read*")
        try:
            names, matrix, still = get_linear_system(group.equations, group.variables)
        except UnsupportedEquationsException:
            raise RefsimError(
                f"the ODE of card '{card}' is not linear in its states, and between two steps it "
                "has no solution in closed form. "
                "spike_times='exact' needs one, as card 'lif_exp' has; run this card with "
                "mode='fine' and smaller and smaller steps."
            ) from None
        ((left, symbol, right),) = comparisons(parse_expression(threshold, "threshold"))
        larger, smaller = (left, right) if symbol.startswith(">") else (right, left)
        height = str_to_sympy(ast.unparse(larger), group.variables) - str_to_sympy(
            ast.unparse(smaller), group.variables
        )
    # States that act on each other in a circle would need a solution that turns.
    if _has_cycle(matrix):
        raise RefsimError(
            f"in the ODE of card '{card}' states act on each other in a circle, so that it may "
            "turn, and no solution is written down for it here. "
            "spike_times='exact' takes states of which each acts on later ones alone, as a "
            "synapse on its membrane."
        )
    if not biased:
        still = still.subs({read: 0 for read in still.free_symbols if read.name == INPUT})
    # The response to a jump, and from it each state a time later.
    elapsed = Symbol(_ELAPSED, real=True)
    states = Matrix([Symbol(name, real=True) for name in names])
    with explained(card):
        response = (
            (matrix * elapsed).exp().applyfunc(lambda entry: factor_terms(cancel(signsimp(entry))))
        )
        rest = -matrix.LUsolve(still) if any(still) else still
        after = response * (states - rest) + rest
    if below := {read.name for read in height.free_symbols} - {*names, *constants}:
        raise RefsimError(
            f"the threshold of card '{card}' reads {listed(below)}; spike_times='exact' takes "
            "one of states and constants."
        )
    # The height moves with the states, by their slopes.
    slopes = matrix * states + still
    rise = sum(
        (height.diff(state) * slope for state, slope in zip(states, slopes, strict=True)),
        start=0 * elapsed,
    )
    rows = tuple(tuple(response.row(k)) for k in range(len(names)))
    return Solution(tuple(names), tuple(after), rows, height, rise)


def _has_cycle(matrix: Expression) -> bool:
    """Return whether any state of a linear system acts on itself through others."""
    rows = range(matrix.rows)
    acting = {row: {k for k in rows if k != row and matrix[row, k] != 0} for row in rows}
    try:
        TopologicalSorter(acting).prepare()
    except CycleError:
        return True
    return False


def check_finite(solution: Solution, layer: Layer, step: float, dt: float) -> None:
    """Refuse parameters at which the written solution divides by zero.

    Parameters
    ----------
    step : float
        Of the network, in seconds, on which constants may depend.
    dt : float
        Of the run.
    """
    from sympy import lambdify

    known = {
        **layer.constants(step),
        **dict.fromkeys(layer.model.inputs, 0.0),
        STEP: step,
        _ELAPSED: dt,
    }
    entries = [entry for row in solution.response for entry in row]
    names = sorted({read.name for entry in entries for read in entry.free_symbols})
    with np.errstate(all="ignore"):
        values = [
            np.asarray(value)
            for value in lambdify(names, entries, "numpy")(
                *(np.asarray(known[name]) for name in names)
            )
        ]
    if not all(np.isfinite(value).all() for value in values):
        raise RefsimError(
            f"{layer.name}: with these parameters the solution that Brian2 writes down for card "
            f"'{layer.model.name}' divides by zero, as where two time constants "
            "are one. Move one of them by a ten-thousandth."
        )


def _text(expression: Expression, names: dict[str, str]) -> str:
    """Return an expression's text as Brian2 writes it, with names replaced."""
    from brian2.parsing.sympytools import sympy_to_str

    written: str = sympy_to_str(expression)
    return re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), written)


# Newton's method doubles its digits in each round. The first guess, the beginning of the step, is
# off by a step, a hundredth of a time constant, so that four rounds find all digits; two more cost
# little.
ROUNDS = 6
DELTA, SLOPE, NEAR, EARLY = "sub_delta", "sub_slope", "sub_near", "sub_early"
_COUNT, _WHEN = "sub_count", "sub_when"
# How much steeper a falling slope may have been within the step than at its end: a step over the
# time constant, which is a twentieth at most.
_STEEPER = 1.05


def exact_variables(layer: Layer, solution: Solution) -> str:
    """Return the declarations of the variables that the texts of this file use."""
    units = layer.model.state
    membrane = units[layer.model.membrane_in(fine=True)].unit
    lines = [
        f"{DELTA} : second",
        f"{SLOPE} : {membrane}/second",
        f"{NEAR} : boolean",
        f"{EARLY} : boolean",
        f"{_COUNT} : 1",
        f"{_WHEN} : second",
    ]
    return "\n".join(lines + [f"{_kept(name)} : {units[name].unit}" for name in solution.names])


def before_arrivals(solution: Solution) -> str:
    """Return the statements that keep the states at the end of a step without arrivals.

    They also forget the arrivals of the step before.
    """
    return "\n".join(
        [
            f"{_COUNT} = 0",
            f"{_WHEN} = 0*second",
            *(f"{_kept(name)} = {name}" for name in solution.names),
        ]
    )


def arrival(solution: Solution, target: str, delta: str) -> str:
    """Return what a spike does to the neuron that it reaches, as Brian2 writes a synapse.

    Parameters
    ----------
    target : str
        The state to which the weight ``sub_weight`` is added.
    delta : str
        The variable that holds the time since the spike.
    """
    ours = {name: f"{name}_post" for name in (*solution.names, *solution.constants)}
    shares = solution.jump(target, delta, of="sub_weight", names=ours)
    return "\n".join(
        [
            *(f"{name}_post += {share}" for name, share in shares.items()),
            f"{_COUNT}_post += 1",
            f"{_WHEN}_post += {delta}",
        ]
    )


def after_arrivals(solution: Solution) -> str:
    """Return the statements that find a crossing before the arrivals, or one that was missed.

    The mean time of several arrivals is taken. Where a crossing lies among them the order is wrong,
    and `refsim.engines.brian.exact.run` finds that. A peak within the step, before or after the
    arrivals, is higher than the end by at most its slope there times the time since.
    """
    # The membrane at three points: the end, the end without arrivals, and the time of the arrivals.
    kept, ours = (
        {name: _kept(name) for name in solution.names},
        {name: name for name in solution.names},
    )
    at = {name: f"sub_at_{name}" for name in solution.names}
    lines = [f"{_WHEN} = {_WHEN}/clip({_COUNT}, 1, {_COUNT} + 1)"]
    lines += [f"{at[name]} = {text}" for name, text in solution.states(f"-{_WHEN}", kept).items()]
    for name, states in (("end", ours), ("kept", kept), ("at", at)):
        lines.append(f"sub_height_{name} = {solution.height_at(states)}")
    lines += [
        f"sub_rise_{name} = {solution.rise_at(states)}"
        for name, states in (("end", ours), ("kept", kept))
    ]
    lines.append("sub_none = 0*sub_height_end")
    lines.append(f"{EARLY} = {_COUNT} > 0 and sub_height_at >= sub_none")
    # A peak may have passed the threshold where the membrane falls, and is near enough to it.
    peaks = [
        f"sub_height_{name} - {_STEEPER}*{span}*sub_rise_{name} >= sub_none"
        for name, span in (("kept", "dt"), ("end", _WHEN))
    ]
    falls = ["sub_rise_kept < sub_none/second", f"{_COUNT} > 0 and sub_rise_end < sub_none/second"]
    turns = " or ".join(f"({fall} and {peak})" for fall, peak in zip(falls, peaks, strict=True))
    lines.append(f"{NEAR} = {NEAR} or (not {EARLY} and sub_height_end < sub_none and ({turns}))")
    return "\n".join(lines)


def threshold_text(layer: Layer) -> str:
    """Return the condition of a spike."""
    assert layer.model.continuous is not None
    return f"{EARLY} or ({condition(layer.model.continuous.threshold)})"


def crossing_text(layer: Layer, solution: Solution) -> str:
    """Return the statements that find the crossing, and carry out the reset there.

    What the reset changed is then taken to the end of the step.
    """
    # The solution that crossed: the one without arrivals where the crossing came before them.
    used = {name: f"sub_used_{name}" for name in solution.names}
    lines = [
        f"{used[name]} = int({EARLY})*{_kept(name)} + (1 - int({EARLY}))*{name}"
        for name in solution.names
    ]
    # Newton's method, from the beginning of the step; the last round gives the states alone.
    lines.append(f"{DELTA} = dt")
    for number in range(ROUNDS + 1):
        back = {name: f"sub_{name}_{number}" for name in solution.names}
        lines += [
            f"{back[name]} = {text}" for name, text in solution.states(f"-{DELTA}", used).items()
        ]
        if number < ROUNDS:
            lines.append(
                f"{DELTA} = {DELTA} + ({solution.height_at(back)})/({solution.rise_at(back)})"
            )
    lines.append(f"{SLOPE} = {solution.rise_at(back)}")
    return "\n".join([*lines, *_kicks(layer, solution, back), *reset_text(solution)])


def reset_text(solution: Solution) -> list[str]:
    """Return the statements that take what the reset changed to the end of the step."""
    return [
        f"{name} += {share}"
        for source in solution.names
        for name, share in solution.jump(source, DELTA, of=_kick(source)).items()
    ]


def _kicks(layer: Layer, solution: Solution, back: dict[str, str]) -> list[str]:
    """Return statements that carry out the reset on the states at the crossing.

    Each difference that it makes gets a name.
    """
    assert layer.model.continuous is not None
    now, lines = dict(back), []
    for number, statement in enumerate(
        parse_statements(layer.model.continuous.reset, f"{layer.name}: reset")
    ):
        new = f"sub_new_{statement.target}_{number}"
        lines.append(
            f"{new} = {renamed(ast.parse(brian_text(statement.tree), mode='eval').body, now)}"
        )
        now[statement.target] = new
    return lines + [f"{_kick(name)} = {now[name]} - {back[name]}" for name in solution.names]


def _kick(name: str) -> str:
    return f"sub_kick_{name}"


def _kept(name: str) -> str:
    return f"sub_kept_{name}"
