"""Check a card's declared step against the exact solution of its ODE, found by Brian2's own symbolic state updaters."""

import ast
import operator
from typing import Any

from ..claims import Claim, Verdict
from ..engines.brian.objects import checked_group
from ..engines.brian.session import session
from ..errors import RefsimError
from ..model import NeuronModel
from ..model.expressions import Statement, comparison, parse_expression, parse_statements
from ..model.neuron import INPUT, STEP

CLAIM = Claim("step", "declared step is the exact solution", 0, "terms that differ",
              "the card says solution = exact, with its ODE's threshold and reset; anything else gives other spikes")  # fmt: skip


_OPERATE: dict[type, Any] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}


def check_declared_step(model: NeuronModel) -> Verdict:
    """Compare integration, threshold and reset symbolically; pass where every difference simplifies to zero.

    A card that says ``solution = "euler"`` is held against forward Euler instead, written out from its ODE.

    Raises
    ------
    RefsimError
        Where Brian2 cannot solve the ODE, so that a card may not call its step exact.
    """
    import sympy

    symbols = {name: sympy.Symbol(name, real=True) for name in (*model.state, *model.parameters, *model.derived, INPUT, STEP)}
    for name in (STEP, *(name for name, derived in model.derived.items() if derived.unit == "second")):
        symbols[name] = sympy.Symbol(name, positive=True)
    exact = _solution(model, symbols)
    declared = _declared(model, symbols)
    scope = _derived(model, symbols)
    differing = []
    for name in model.state:
        difference = sympy.simplify((declared[name] - exact[name]).subs(scope))
        if difference != 0:
            differing.append(f"{name}: differs by {difference}")
    differing += _threshold_and_reset(model, symbols)
    status = "fail" if differing else "pass"
    return Verdict(CLAIM, float(len(differing)), status, run=model.name, detail="; ".join(differing))


def _threshold_and_reset(model: NeuronModel, symbols: dict[str, Any]) -> list[str]:
    """Return where the step's threshold or reset is another than the ODE's."""
    import sympy

    known = symbols | {statement.target: sympy.Symbol(statement.target, real=True) for statement in model.discrete.modulate}
    differing = []
    step = comparison(model.discrete.fire.tree)
    ode = comparison(parse_expression(model.continuous.threshold, "threshold"))
    assert step is not None
    assert ode is not None
    gap = [_tree(sides[0], known) - _tree(sides[2], known) for sides in (step, ode)]
    if step[1] != ode[1] or sympy.simplify(gap[0] - gap[1]) != 0:
        differing.append(f"threshold: differs, {model.discrete.fire.text} in the step and {model.continuous.threshold} in the ODE")
    by_ode = _after(parse_statements(model.continuous.reset, "reset"), known)
    for fired, expected in ((1, by_ode), (0, dict(known))):
        by_step = _after(model.discrete.reset, known | {"z": sympy.Integer(fired)})
        for name in model.state:
            difference = sympy.simplify(by_step[name] - expected[name])
            if difference != 0:
                differing.append(f"{name}: differs by {difference} {'after a spike' if fired else 'where there is none'}")
    return differing


def _after(statements: tuple[Statement, ...], scope: dict[str, Any]) -> dict[str, Any]:
    """Return what each name holds after some statements."""
    scope = dict(scope)
    for statement in statements:
        scope[statement.target] = _tree(statement.tree, scope)
    return scope


def _solution(model: NeuronModel, symbols: dict[str, Any]) -> dict[str, Any]:
    """Return each state after one step, as [input] declares the input: held for the step, or a jump at its end."""
    text = _brian_solution(model) if model.discrete.solution == "exact" else _euler(model)
    scope = symbols | {"dt": symbols[STEP]}
    for line in text.splitlines():
        target, _, right = line.partition("=")
        if target.strip():
            scope[target.strip()] = _sympy(right.strip(), scope)
    after = {name: scope[name] for name in model.state}
    if model.input_kind == "impulse":
        after = {name: value.subs(symbols[INPUT], 0) for name, value in after.items()}
        after[model.input_target] += symbols[INPUT]
    return after


def _euler(model: NeuronModel) -> str:
    rows = [line.split(":")[0].partition("=") for line in model.continuous.equations.splitlines() if line.strip()]
    slopes = {left.strip()[1:].removesuffix("/dt"): right.strip() for left, _, right in rows}
    return "\n".join([f"_{name} = {name} + dt*({slope})" for name, slope in slopes.items()] + [f"{name} = _{name}" for name in slopes])


def _brian_solution(model: NeuronModel) -> str:
    """Ask Brian2's exact updaters for the solution, as abstract code."""
    equations = model.continuous.equations + f"\n{INPUT} : 1\n{STEP} : second\n"
    equations += "\n".join(f"{name} : {unit} (constant)" for name, unit in model.constant_units.items())
    with session("numpy", "float64", 1e-3) as brian2:
        from brian2.stateupdaters.base import UnsupportedEquationsException
        from brian2.stateupdaters.exact import independent, linear

        group = checked_group(brian2, model.name, 1, equations, method="euler", name="declared_step*")
        brian2.Network(group)
        for updater in (linear, independent):
            try:
                return str(updater(group.equations, group.variables))
            except UnsupportedEquationsException:
                continue
    raise RefsimError(f"card '{model.name}': Brian2 finds no exact solution of {model.continuous.equations!r}; the card may not say solution = \"exact\".")


def _declared(model: NeuronModel, symbols: dict[str, Any]) -> dict[str, Any]:
    scope = _after(model.discrete.integrate, symbols)
    return {name: scope[name] for name in model.state}


def _derived(model: NeuronModel, symbols: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return substitutions of derived constants, the last declared first."""
    return [(symbols[name], _sympy(derived.text, symbols)) for name, derived in reversed(list(model.derived.items()))]


def _sympy(text: str, scope: dict[str, Any]) -> Any:
    return _tree(parse_expression(text, "equation"), scope)


def _tree(tree: ast.expr, scope: dict[str, Any]) -> Any:
    """Turn a checked expression into SymPy; numbers become exact."""
    import sympy

    functions = {"abs": sympy.Abs, "clip": lambda x, low, high: sympy.Min(sympy.Max(x, low), high)} | {
        name: getattr(sympy, name) for name in ("exp", "log", "sqrt", "tanh", "sin", "cos", "floor")
    }

    def walk(node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return sympy.nsimplify(node.value)
        if isinstance(node, ast.Name):
            return scope[node.id]
        if isinstance(node, ast.UnaryOp):
            return -walk(node.operand) if isinstance(node.op, ast.USub) else walk(node.operand)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return functions[node.func.id](*(walk(argument) for argument in node.args))
        assert isinstance(node, ast.BinOp)
        return _OPERATE[type(node.op)](walk(node.left), walk(node.right))

    return walk(tree)
