"""Check a card's declared step against what Brian2's own state updaters make of its ODE.

Both are computed with sixty digits at drawn states, inputs and parameters of many sizes. Two formulas that agree there
to twelve digits of what a step changes are the same formula; a lost factor, sign or term is a difference that one sees.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..claims import Claim, Verdict
from ..engines.brian.functions import number_functions
from ..engines.brian.objects import check_units, checked_group, fine_options
from ..engines.brian.session import session
from ..engines.brian.text import fine_variables
from ..errors import RefsimError
from ..model import NeuronModel
from ..model.equations import SOLUTIONS
from ..model.expressions import Statement, comparisons, evaluate, execute, names_in, parse_expression, parse_statements
from ..model.naming import STEP
from ..model.odes import read_odes
from ..model.reading import neuron
from ..model.truth import tests_first
from .linear import coupled, solve_linear
from .refractory import held, period_of, refractoriness, shortened

CLAIM = Claim("step", "declared step is the exact solution", 0, "terms that differ",
              "the card names the method by which its step solves its ODE, and gives both one threshold and reset; anything else gives other spikes")  # fmt: skip
_POINTS, _DIGITS = 24, 60
_AGREE = 1e-12  # of what the step changes: Brian2 writes fractions such as 1/6 with fifteen digits
BY_NUMBERS = "by numbers"  # in place of Brian2's formula, where it finds none
_RUNAWAY = 1e9  # an exponential of an exponential of this has more digits than a computer
_CLAIMED = ("exact", "euler", "exponential_euler", "rk4")

Values = dict[str, Any]


def check_declared_step(model: NeuronModel) -> Verdict:
    """Hold integration, threshold and reset of the step against the ODE; pass where all agree.

    A card that says ``solution = "kernel"`` or ``"map"`` claims no method; its units alone are checked.

    Raises
    ------
    RefsimError
        Where units do not fit, or Brian2 cannot solve the ODE as the card says.
    """
    neuron(model, "check_declared_step")
    with session("numpy", "float64", 1e-3) as brian2:
        check_units(brian2, model)
        code = _updater_code(model, brian2) if model.continuous else ""
    if model.discrete.solution not in _CLAIMED:
        return Verdict(CLAIM, None, "skipped", run=model.name, detail=f"the card says {SOLUTIONS[model.discrete.solution]}")
    differing: dict[str, str] = {}
    try:
        for name, said in _refractory(model, code):
            differing.setdefault(name, said)
        for values in _drawn(model):
            try:
                for name, said in (*_integration(model, code, values), *_threshold(model, values), *_reset(model, values)):
                    differing.setdefault(name, said)
            except OverflowError:
                differing.setdefault("size", f"an exponential of the ODE runs away where that of the step does not, from {_written(values, model)}")
    except ZeroDivisionError:
        given = ", ".join(f"{name} = {parameter.value:g}" for name, parameter in model.parameters.items())
        raise RefsimError(f"card '{model.name}': its step or its ODE divides by zero, with {given}.") from None
    return Verdict(CLAIM, float(len(differing)), "fail" if differing else "pass", run=model.name, detail="; ".join(differing.values()))


def _updater_code(model: NeuronModel, brian2: Any) -> str:
    """Ask Brian2 for the update of one step, as text; it checks the units of the ODE, threshold and reset on the way."""
    from brian2.stateupdaters.base import UnsupportedEquationsException
    from brian2.stateupdaters.exact import independent, linear
    from brian2.stateupdaters.explicit import euler, rk4
    from brian2.stateupdaters.exponential_euler import exponential_euler

    known = {"exact": (linear, independent), "euler": (euler,), "exponential_euler": (exponential_euler,), "rk4": (rk4,)}
    equations = fine_variables(model, frozenset(), gap=False, seen=False)
    options = fine_options(model) | {"namespace": number_functions(brian2, "float64")}
    group = checked_group(brian2, model.name, 1, equations, name="declared_step*", **options)
    brian2.Network(group)
    for updater in known.get(model.discrete.solution, ()):
        if updater is independent and coupled(model):
            return BY_NUMBERS  # Brian2 would take the other states for constants
        try:
            return (
                str(updater(group.equations, group.variables)).replace("int(not_refractory)", "1").replace("whole_below(", "floor(")
            )  # of a neuron that is free
        except UnsupportedEquationsException:
            continue
    if model.discrete.solution in _CLAIMED:
        assert model.continuous is not None
        raise RefsimError(
            f"card '{model.name}': Brian2 finds no {model.discrete.solution} solution of {model.continuous.equations!r}; "
            f'the card may not say solution = "{model.discrete.solution}".'
        )
    return ""


def _drawn(model: NeuronModel) -> Iterator[Values]:
    """Yield values of all names: parameters near the card's, states and inputs of many sizes, in sixty digits."""
    import mpmath

    rng = np.random.default_rng(1)
    with mpmath.workdps(_DIGITS):
        for point in range(_POINTS):
            values: Values = {STEP: mpmath.mpf(10.0 ** rng.uniform(-5, -2))}
            for name, parameter in model.parameters.items():
                near = parameter.value * (1 + 0.1 * rng.uniform(-1, 1)) if parameter.value else 0.1 * rng.uniform(-1, 1)
                inside = parameter.minimum <= near <= parameter.maximum and parameter.above < near < parameter.below
                values[name] = mpmath.mpf(near if inside and point else parameter.value)
            for name, state in model.state.items():
                size = abs(state.start) if state.start and state.unit != "1" else 10.0 ** rng.uniform(-9, 3)
                values[name] = mpmath.mpf(state.start if state.only == "discrete" else state.start + size * rng.uniform(-0.9, 0.9))
            for name in model.inputs:
                values[name] = mpmath.mpf(rng.uniform(-1, 1) * 10.0 ** rng.uniform(-9, 3))
            values |= {name: mpmath.mpf(rng.uniform()) for name in model.draws}
            yield _calmed(model, values)


def _calmed(model: NeuronModel, values: Values) -> Values:
    """Return the point with its derived constants, its step and input made smaller until no exponential of the step runs away."""
    while True:
        for name, derived in model.derived.items():
            values[name] = evaluate(parse_expression(derived.text, name), values, _functions())
        values["dt"] = values[STEP]
        try:
            _ran(model.discrete.before_fire, values)
            return values
        except OverflowError:
            values |= {name: values[name] / 10 for name in (STEP, *model.inputs)}
            values |= {name: state.start + (values[name] - state.start) / 10 for name, state in model.state.items()}


def _functions() -> dict[str, Callable[..., Any]]:
    import mpmath

    def bounded(function: Callable[..., Any]) -> Callable[..., Any]:
        def apply(x: Any) -> Any:
            if abs(x) > _RUNAWAY:
                raise OverflowError
            return function(x)

        return apply

    steep = {"exp": bounded(mpmath.exp), "exprel": bounded(lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1))}
    return {name: getattr(mpmath, name) for name in ("log", "sqrt", "tanh", "sin", "cos", "floor", "sign")} | {
        "abs": abs, "clip": lambda x, low, high: min(max(x, low), high),
        "trunc": lambda x: mpmath.sign(x) * mpmath.floor(abs(x)), "round": lambda x: mpmath.floor(x + 0.5),
        "shr": lambda x, n: mpmath.sign(x) * mpmath.floor(abs(x) / mpmath.mpf(2) ** n),
        **steep,
    }  # fmt: skip


def _ran(statements: Any, values: Values) -> Values:
    """Return all values after some statements; the given ones stay as they are."""
    after = dict(values)
    execute(statements, after, _functions(), lambda condition: type(values[STEP])(1 if condition else 0))
    return after


def _integration(model: NeuronModel, code: str, values: Values) -> Iterator[tuple[str, str]]:
    pulse, early = model.input_kind == "pulse", model.input_kind == "early_impulse"
    before = dict(values) if pulse else values | dict.fromkeys(model.inputs, 0 * values[STEP])
    for name, state in model.inputs.items():
        before[state] += values[name] if early else 0
    by_ode = _solved(model, code, before)
    for name, state in model.inputs.items():
        by_ode[state] += values[name] if not pulse and not early else 0
    by_step = _ran(model.discrete.integrate, values)
    for name in _both(model):
        if _differ(by_step[name], by_ode[name], values[name]):
            yield name, f"{name}: differs, {_short(by_step[name])} by the step and {_short(by_ode[name])} by the ODE, from {_written(values, model)}"


def _solved(model: NeuronModel, code: str, before: Values) -> Values:
    """Return all values one step later, by the formula; by numbers where it is 0/0, as for two equal time constants, of which it takes the difference."""
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
    after = _ran(model.discrete.integrate, values)
    named = _read_by_threshold(model)
    helpers = {name: value for name, value in after.items() if name not in values}
    scope = _ran(model.discrete.modulate, after if named else values | helpers)
    anew = _ran(named, {**scope, "dt": scope[STEP]})
    step, ode = model.discrete.tests[0], comparisons(parse_expression(model.continuous.threshold, "threshold"))[0]
    sides = ((*step, scope), (*ode, anew))
    gaps = [evaluate(left, known, _functions()) - evaluate(right, known, _functions()) for left, _, right, known in sides]
    if step[1] != ode[1] or _differ(gaps[0], gaps[1], 0):
        yield "threshold", f"threshold: differs, {model.discrete.fire.text} in the step and {model.continuous.threshold} in the ODE"


def _read_by_threshold(model: NeuronModel) -> list[Statement]:
    """Return the subexpressions that the ODE's threshold reads, which are those of the states after the step."""
    assert model.continuous is not None
    odes = read_odes(model.continuous.equations, f"card '{model.name}'")
    read = set(names_in(parse_expression(model.continuous.threshold, "threshold")))
    for name, tree in reversed(list(odes.subexpressions.items())):
        read |= names_in(tree) if name in read else set()
    return [Statement(name, "", tree) for name, tree in odes.subexpressions.items() if name in read]


def _reset(model: NeuronModel, values: Values) -> Iterator[tuple[str, str]]:
    assert model.continuous is not None
    helpers = {name: value for name, value in _ran(model.discrete.before_fire, values).items() if name not in values}
    reset = model.continuous.reset
    for fired, expected in ((1, _ran(parse_statements(reset, "reset"), values) if reset else values), (0, values)):
        found = _ran(model.discrete.reset, values | helpers | {"z": type(values[STEP])(fired)})
        for name in _both(model):
            if _differ(found[name], expected[name], values[name]):
                when = "after a spike" if fired else "where there is none"
                yield (
                    f"reset of {name}",
                    f"{name}: differs, {_short(found[name])} {when} by the step and {_short(expected[name])} by the ODE, from {_short(values[name])}",
                )


def _refractory(model: NeuronModel, code: str) -> Iterator[tuple[str, str]]:
    """Yield what differs between a spike and the end of the refractory period, at the card's own parameters and near them, where none is 0."""
    if not period_of(model):
        return
    for point in itertools.islice(_drawn(model), 2):
        values = _calmed(model, shortened(model, point))
        after = _ran(model.discrete.reset, _ran(model.discrete.before_fire, values) | {"z": values[STEP] / values[STEP]})
        yield from refractoriness(model, after, _ran, _functions())
        if not held(model) and after[period_of(model)] >= after[STEP]:
            yield from _integration(model, code, after)


def _both(model: NeuronModel) -> list[str]:
    return [name for name in model.stepped if name in model.solved]


def _differ(found: Any, expected: Any, before: Any) -> bool:
    return bool(abs(found - expected) > _AGREE * abs(expected - before) + 1e-40 * abs(expected))


def _short(value: Any) -> str:
    return f"{float(value):.6g}" if value.imag == 0 else "no real number"


def _written(values: Values, model: NeuronModel) -> str:
    return ", ".join(f"{name} = {_short(values[name])}" for name in (*_both(model), *model.inputs))
