"""The check of a card's declared step against what Brian2's own state updaters make of its ODE.

Both are computed with sixty digits at drawn states, inputs and parameters of many sizes. Two
formulas that agree there to twelve digits of what a step changes are the same formula; a lost
factor, sign or term shows as a difference.

The file holds, in this order: the exact solution of a linear ODE by numbers, for coupled states
whose formula Brian2 does not find; the walk through the refractory period, which compares how long
it lasts and which states stand still in it; and `check_declared_step`, which compares integration,
threshold and reset.
"""

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ..cards.equations import SOLUTIONS
from ..cards.language import (
    Statement,
    comparisons,
    evaluate,
    execute,
    names_in,
    parse_expression,
    parse_statements,
)
from ..cards.names import STEP
from ..cards.neuron import NeuronModel
from ..cards.ode import Odes, state_of
from ..cards.questions import neuron, ode_part
from ..cards.spelling import tests_first
from ..core.claims import Claim, Verdict
from ..core.errors import RefsimError
from ..engines.brian.functions import number_functions
from ..engines.brian.network import check_units, checked_group, fine_options
from ..engines.brian.session import session
from ..engines.brian.text import fine_variables

Number = Any  # of mpmath, which has no types
Values = dict[str, Number]
Functions = Mapping[str, Callable[..., Number]]


def coupled(model: NeuronModel) -> bool:
    """Return whether the slope of any state depends on another state."""
    odes = _odes(model)
    return any(
        names_in(tree) & (set(odes.slopes) - {name}) for name, tree in odes.slopes.items()
    ) or bool(odes.subexpressions)


def solve_linear(model: NeuronModel, values: Mapping[str, Number], functions: Functions) -> Values:
    """Return all values one step later, by the matrix exponential of the ODE in mpmath's precision.

    Raises
    ------
    RefsimError
        Where the ODE is not linear in its states, and so has no such solution.
    """
    import mpmath

    odes, step = _odes(model), values[STEP]
    names = list(odes.slopes)
    # The slopes at 0 are the constant part of a linear ODE.
    still = odes.at({**values, **dict.fromkeys(names, 0 * step)}, functions)
    # The slopes at a unit state, less the constant part, are a column of the matrix.
    columns = [
        odes.at({**values, **dict.fromkeys(names, 0 * step), name: step / step}, functions)
        for name in names
    ]
    # A row and column more carry the constant part through the exponential.
    matrix = mpmath.matrix(len(names) + 1)
    for row in range(len(names)):
        for column in range(len(names)):
            matrix[row, column] = (columns[column][row] - still[row]) * step
        matrix[row, len(names)] = still[row] * step
    # A formula for linear ODEs would silently be wrong for others.
    _check_linear(model, odes, matrix, values, functions)
    # The values one step later are the exponential of the matrix times the values now.
    after = mpmath.expm(matrix, method="pade") * _vector(names, values)
    return {**values, **{name: after[row] for row, name in enumerate(names)}}


def _odes(model: NeuronModel) -> Odes:
    assert model.continuous is not None
    return model.continuous.odes


def _vector(names: list[str], values: Mapping[str, Number]) -> Number:
    import mpmath

    return mpmath.matrix([*(values[name] for name in names), 1])


def _check_linear(
    model: NeuronModel,
    odes: Odes,
    matrix: Number,
    values: Mapping[str, Number],
    functions: Functions,
) -> None:
    found = matrix * _vector(list(odes.slopes), values)
    # At the given values the matrix must give the slopes that the text gives.
    for row, slope in enumerate(odes.at(values, functions)):
        expected = slope * values[STEP]
        if abs(found[row] - expected) > 1e-30 * (abs(found[row]) + abs(expected)):
            raise RefsimError(
                f"card '{model.name}': its ODE is not linear in its states, so that no step is "
                "its exact solution; name another solution."
            )


Run = Callable[[Iterable[Statement], Values], Values]  # statements, values -> values after them

_MOST = 1000  # steps that are walked through; of a longer period only its beginning is seen
_WHOLE = 1e-9  # of a step: what rounding leaves of a period of whole steps
_STEPS = 3  # of a period in seconds, so that its end is seen


def period_of(model: NeuronModel) -> str:
    """Return the name of the constant that is the refractory period.

    It is empty where there is no such period, or where the period is a condition.
    """
    name = model.continuous.refractory if model.continuous else ""
    return name if name in model.constant_units else ""


def with_shorter_step(model: NeuronModel, values: Values) -> Values:
    """Return a point whose step is a third of the period, where that is given in seconds."""
    period = values[period_of(model)]
    return values | {STEP: period / _STEPS} if period > 0 else values


def states_still(model: NeuronModel) -> frozenset[str]:
    """Return the states that stand still in the refractory period of the ODE."""
    return frozenset(state_of(row.left) for row in ode_part(model).rows if row.unless_refractory)


def refractoriness(
    model: NeuronModel, after: Values, run: Run, functions: Functions
) -> Iterator[tuple[str, str]]:
    """Walk through the step's refractory period.

    Parameters
    ----------
    after : dict
        Every name with its value, after a spike.
    """
    # All tests but the membrane's are what keeps a neuron from firing.
    tree = model.discrete.fire.tree if model.discrete.fire else None
    others = tree.values[1:] if isinstance(tree, ast.BoolOp) else []
    # The ODE's period in steps, and what must not move in it.
    expected, still, count, values = (
        max(0.0, float(after[period_of(model)] / after[STEP])),
        states_still(model) & set(model.stepped),
        0,
        after,
    )
    # One step too many is walked, to see a period that is too long.
    while count <= min(expected, _MOST) + 1:
        moved = run(model.discrete.before_fire, values)
        left = {name for name in still if moved[name] != values[name]}
        # The period ends when the neuron may fire again and its states move.
        blocked = not all(evaluate(test, moved, functions) for test in others)
        if not blocked and (left or not still):
            break
        # A state that moves while the neuron cannot fire contradicts the ODE.
        if left:
            yield (
                "refractory",
                (
                    f"{', '.join(sorted(left))}: differs, moves in the refractory period of the "
                    "step and is held in that of the ODE"
                ),
            )
            return
        # Without a spike (z = 0) the reset only counts.
        values = run(model.discrete.reset, moved | {"z": 0 * moved[STEP]})
        count += 1
    # A fraction of a step is rounding of the period to whole steps.
    if expected <= _MOST and abs(count - expected) >= 1 - _WHOLE:
        yield (
            "refractory",
            f"refractory period: differs, {count} steps by the step and {expected:g} by the ODE",
        )


CLAIM = Claim(
    "step",
    "declared step is the exact solution",
    0,
    "terms that differ",
    (
        "the card names the method by which its step solves its ODE, and gives both one threshold "
        "and reset; anything else gives other spikes"
    ),
)
_POINTS, _DIGITS = 24, 60
_AGREE = 1e-12  # of what the step changes: Brian2 writes fractions such as 1/6 with fifteen digits
BY_NUMBERS = "by numbers"  # in place of Brian2's formula, where it finds none
_RUNAWAY = 1e9  # an exponential of an exponential of this has more digits than a computer
_CLAIMED = ("exact", "euler", "exponential_euler", "rk4")


def check_declared_step(model: NeuronModel) -> Verdict:
    """Compare the integration, threshold and reset of the step with the ODE; pass where all agree.

    A card that says ``solution = "kernel"`` or ``"map"`` claims no method; its units alone are
    checked.

    Raises
    ------
    RefsimError
        Where units do not fit, or Brian2 cannot solve the ODE as the card says.
    """
    neuron(model, "check_declared_step")
    # Units are checked before anything is computed.
    with session("numpy", "float64", 1e-3) as brian2:
        check_units(brian2, model)
        code = _updater_code(model, brian2) if model.continuous else ""
    # Without a claimed method there is no formula to compare with.
    if model.discrete.solution not in _CLAIMED:
        return Verdict(
            CLAIM,
            None,
            "skipped",
            run=model.name,
            detail=f"the card says {SOLUTIONS[model.discrete.solution]}",
        )
    differing: dict[str, str] = {}
    try:
        # The first difference of a name is reported, not each point's.
        for name, said in _refractory(model, code):
            differing.setdefault(name, said)
        # Every point is drawn anew; 24 of them make a chance agreement hopeless.
        for values in _drawn(model):
            try:
                for name, said in (
                    *_integration(model, code, values),
                    *_threshold(model, values),
                    *_reset(model, values),
                ):
                    differing.setdefault(name, said)
            except OverflowError:
                differing.setdefault(
                    "size",
                    (
                        "an exponential of the ODE runs away where that of the step does not, from "
                        f"{_written(values, model)}"
                    ),
                )
    except ZeroDivisionError:
        given = ", ".join(
            f"{name} = {parameter.value:g}" for name, parameter in model.parameters.items()
        )
        raise RefsimError(
            f"card '{model.name}': its step or its ODE divides by zero, with {given}."
        ) from None
    return Verdict(
        CLAIM,
        float(len(differing)),
        "fail" if differing else "pass",
        run=model.name,
        detail="; ".join(differing.values()),
    )


def _updater_code(model: NeuronModel, brian2: ModuleType) -> str:
    """Ask Brian2 for the update of one step, as text.

    It checks the units of the ODE, threshold and reset on the way.
    """
    from brian2.stateupdaters.base import UnsupportedEquationsException
    from brian2.stateupdaters.exact import independent, linear
    from brian2.stateupdaters.explicit import euler, rk4
    from brian2.stateupdaters.exponential_euler import exponential_euler

    known = {
        "exact": (linear, independent),
        "euler": (euler,),
        "exponential_euler": (exponential_euler,),
        "rk4": (rk4,),
    }
    # A group with the card's ODE; building it checks all units.
    equations = fine_variables(model, frozenset(), gap=False, seen=False)
    options = fine_options(model) | {"namespace": number_functions(brian2, "float64")}
    group = checked_group(brian2, model.name, 1, equations, name="declared_step*", **options)
    brian2.Network(group)
    # The first updater that can solve the ODE gives its formula.
    for updater in known.get(model.discrete.solution, ()):
        if updater is independent and coupled(model):
            return BY_NUMBERS  # Brian2 would take the other states for constants
        try:
            # A neuron that is free is compared; refractoriness is walked through apart.
            return (
                str(updater(group.equations, group.variables))
                .replace("int(not_refractory)", "1")
                .replace("whole_below(", "floor(")
            )  # of a neuron that is free
        except UnsupportedEquationsException:
            continue
    # The card claims a method by which Brian2 cannot solve its ODE.
    if model.discrete.solution in _CLAIMED:
        assert model.continuous is not None
        raise RefsimError(
            f"card '{model.name}': Brian2 finds no {model.discrete.solution} solution of "
            f"{model.continuous.equations!r}; "
            f'the card may not say solution = "{model.discrete.solution}".'
        )
    return ""


def _drawn(model: NeuronModel) -> Iterator[Values]:
    """Yield values of all names in sixty digits.

    Parameters are drawn near the card's, states and inputs of many sizes.
    """
    import mpmath

    rng = np.random.default_rng(1)
    with mpmath.workdps(_DIGITS):
        # The first point has the card's own parameters; others lie near them.
        for point in range(_POINTS):
            values: Values = {STEP: mpmath.mpf(10.0 ** rng.uniform(-5, -2))}
            for name, parameter in model.parameters.items():
                # A parameter of 0 is moved by a tenth, any other by a tenth of itself.
                near = (
                    parameter.value * (1 + 0.1 * rng.uniform(-1, 1))
                    if parameter.value
                    else 0.1 * rng.uniform(-1, 1)
                )
                # A parameter stays within the bounds of its card.
                inside = (
                    parameter.minimum <= near <= parameter.maximum
                    and parameter.above < near < parameter.below
                )
                values[name] = mpmath.mpf(near if inside and point else parameter.value)
            for name, state in model.state.items():
                # States of the step alone count or switch, so they stay at their start.
                size = (
                    abs(state.start)
                    if state.start and state.unit != "1"
                    else 10.0 ** rng.uniform(-9, 3)
                )
                values[name] = mpmath.mpf(
                    state.start
                    if state.only == "discrete"
                    else state.start + size * rng.uniform(-0.9, 0.9)
                )
            # Inputs range over twelve decades, of both signs.
            for name in model.inputs:
                values[name] = mpmath.mpf(rng.uniform(-1, 1) * 10.0 ** rng.uniform(-9, 3))
            values |= {name: mpmath.mpf(rng.uniform()) for name in model.draws}
            yield _calmed(model, values)


def _calmed(model: NeuronModel, values: Values) -> Values:
    """Return a point with its derived constants, at which no exponential of the step runs away.

    Step, input and distance from the start are made ten times smaller until that holds.
    """
    while True:
        # Derived constants follow from the parameters of the point.
        for name, derived in model.derived.items():
            values[name] = evaluate(parse_expression(derived.text, name), values, _functions())
        values["dt"] = values[STEP]
        try:
            _ran(model.discrete.before_fire, values)
            return values
        except OverflowError:
            # Ten times nearer to rest, and again until nothing runs away.
            values |= {name: values[name] / 10 for name in (STEP, *model.inputs)}
            values |= {
                name: state.start + (values[name] - state.start) / 10
                for name, state in model.state.items()
            }


def _functions() -> Functions:
    import mpmath

    def bounded(function: Callable[[Number], Number]) -> Callable[[Number], Number]:
        def apply(x: Number) -> Number:
            if abs(x) > _RUNAWAY:
                raise OverflowError
            return function(x)

        return apply

    steep = {
        "exp": bounded(mpmath.exp),
        "exprel": bounded(lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1)),
    }
    return {
        name: getattr(mpmath, name)
        for name in ("log", "sqrt", "tanh", "sin", "cos", "floor", "sign")
    } | {
        "abs": abs,
        "clip": lambda x, low, high: min(max(x, low), high),
        "trunc": lambda x: mpmath.sign(x) * mpmath.floor(abs(x)),
        "round": lambda x: mpmath.floor(x + 0.5),
        "shr": lambda x, n: mpmath.sign(x) * mpmath.floor(abs(x) / mpmath.mpf(2) ** n),
        **steep,
    }


def _ran(statements: Iterable[Statement], values: Values) -> Values:
    """Return all values after some statements; the given ones stay as they are."""
    after = dict(values)
    execute(
        statements, after, _functions(), lambda condition: type(values[STEP])(1 if condition else 0)
    )
    return after


def _integration(model: NeuronModel, code: str, values: Values) -> Iterator[tuple[str, str]]:
    pulse, early = model.input_kind == "pulse", model.input_kind == "early_impulse"
    # A pulse enters the ODE itself; an impulse is added before or after the step.
    before = dict(values) if pulse else values | dict.fromkeys(model.inputs, 0 * values[STEP])
    for name, state in model.inputs.items():
        before[state] += values[name] if early else 0
    # One step by Brian2's formula, and the same by the card's statements.
    by_ode = _solved(model, code, before)
    for name, state in model.inputs.items():
        by_ode[state] += values[name] if not pulse and not early else 0
    by_step = _ran(model.discrete.integrate, values)
    # States that only one of the two has cannot be compared.
    for name in _both(model):
        if _differ(by_step[name], by_ode[name], values[name]):
            yield (
                name,
                (
                    f"{name}: differs, {_short(by_step[name])} by the step and "
                    f"{_short(by_ode[name])} by the ODE, from {_written(values, model)}"
                ),
            )


def _solved(model: NeuronModel, code: str, before: Values) -> Values:
    """Return all values one step later, by the formula that Brian2 found.

    Where the formula is 0/0, as for two equal time constants of which it takes the difference, the
    values come from the matrix exponential.
    """
    if code != BY_NUMBERS:
        try:
            return _ran(parse_statements(tests_first(code), "solution"), before)
        except ZeroDivisionError:
            if model.discrete.solution != "exact":
                raise
    return solve_linear(model, before, _functions())


def _threshold(model: NeuronModel, values: Values) -> Iterator[tuple[str, str]]:
    assert model.continuous is not None
    if model.discrete.fire is None:
        return
    # The threshold sees the states after the step.
    after = _ran(model.discrete.integrate, values)
    # Subexpressions in the ODE's threshold are computed anew from these states.
    named = _read_by_threshold(model)
    helpers = {name: value for name, value in after.items() if name not in values}
    scope = _ran(model.discrete.modulate, after if named else values | helpers)
    anew = _ran(named, {**scope, "dt": scope[STEP]})
    # Compared is left less right of the membrane's test, and the symbol.
    step, ode = (
        model.discrete.tests[0],
        comparisons(parse_expression(model.continuous.threshold, "threshold"))[0],
    )
    sides = ((*step, scope), (*ode, anew))
    gaps = [
        evaluate(left, known, _functions()) - evaluate(right, known, _functions())
        for left, _, right, known in sides
    ]
    if step[1] != ode[1] or _differ(gaps[0], gaps[1], 0):
        yield (
            "threshold",
            (
                f"threshold: differs, {model.discrete.fire.text} in the step and "
                f"{model.continuous.threshold} in the ODE"
            ),
        )


def _read_by_threshold(model: NeuronModel) -> list[Statement]:
    """Return the subexpressions that the ODE's threshold reads, to be computed after the step."""
    assert model.continuous is not None
    odes = model.continuous.odes
    read = set(names_in(parse_expression(model.continuous.threshold, "threshold")))
    # Later subexpressions may read earlier ones, so the list is walked backwards.
    for name, tree in reversed(list(odes.subexpressions.items())):
        read |= names_in(tree) if name in read else set()
    return [Statement(name, "", tree) for name, tree in odes.subexpressions.items() if name in read]


def _reset(model: NeuronModel, values: Values) -> Iterator[tuple[str, str]]:
    assert model.continuous is not None
    # Helper names of the step that its reset reads.
    helpers = {
        name: value
        for name, value in _ran(model.discrete.before_fire, values).items()
        if name not in values
    }
    reset = model.continuous.reset
    # With a spike the ODE's reset is compared; without one nothing may change.
    for fired, expected in (
        (1, _ran(parse_statements(reset, "reset"), values) if reset else values),
        (0, values),
    ):
        found = _ran(model.discrete.reset, values | helpers | {"z": type(values[STEP])(fired)})
        for name in _both(model):
            if _differ(found[name], expected[name], values[name]):
                when = "after a spike" if fired else "where there is none"
                yield (
                    f"reset of {name}",
                    (
                        f"{name}: differs, {_short(found[name])} {when} by the step and "
                        f"{_short(expected[name])} by the ODE, from {_short(values[name])}"
                    ),
                )


def _refractory(model: NeuronModel, code: str) -> Iterator[tuple[str, str]]:
    """Yield what differs between a spike and the end of the refractory period.

    The card's own parameters are tried, and others near them where none is 0.
    """
    if not period_of(model):
        return
    # The card's own parameters, and one point near them.
    for point in itertools.islice(_drawn(model), 2):
        values = _calmed(model, with_shorter_step(model, point))
        # A spike starts the period.
        after = _ran(
            model.discrete.reset,
            _ran(model.discrete.before_fire, values) | {"z": values[STEP] / values[STEP]},
        )
        yield from refractoriness(model, after, _ran, _functions())
        # Without held states the membrane must integrate during the period too.
        if not states_still(model) and after[period_of(model)] >= after[STEP]:
            yield from _integration(model, code, after)


def _both(model: NeuronModel) -> list[str]:
    return [name for name in model.stepped if name in model.solved]


def _differ(found: Number, expected: Number, before: Number) -> bool:
    # The tolerance is of what the step changes; a tiny floor covers no change at all.
    return bool(abs(found - expected) > _AGREE * abs(expected - before) + 1e-40 * abs(expected))


def _short(value: Number) -> str:
    return f"{float(value):.6g}" if value.imag == 0 else "no real number"


def _written(values: Values, model: NeuronModel) -> str:
    return ", ".join(f"{name} = {_short(values[name])}" for name in (*_both(model), *model.inputs))
