"""Turn the text of a card into Brian2's.

First grid mode, one operation a statement, so that no optimiser can change their order; then the
units of a card, then fine mode, and last how Brian2 writes what the card language writes otherwise.
"""

import ast
import copy
import re
from collections.abc import Sequence

import numpy as np

from ...cards.language import (
    Comparison,
    Statement,
    comparisons,
    names_in,
    number_of,
    parse_expression,
    parse_statements,
)
from ...cards.names import DRAWS, INPUT, STEP
from ...cards.neuron import NeuronModel
from ...cards.ode import state_of
from ...cards.questions import equation_lines

_SYMBOL = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
FAR = 1e30  # larger than any distance to threshold, and finite, since infinity times zero is NaN


class ThreeAddress:
    """Write expressions as statements of one operation each.

    Brian2 rewrites ``v - v/2 + I`` before it compiles, and the last bit changes. What is already a
    single operation it cannot rewrite, and each intermediate result is rounded to the dtype of the
    run, as in PyTorch.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.lines: list[str] = []

    def statement(self, statement: Statement) -> None:
        """Add ``target = expression``; of comparisons, 1 or 0."""
        tests = comparisons(statement.tree)
        self.lines.append(
            f"{statement.target} = {self.truth(tests) if tests else self.value(statement.tree)}"
        )

    def truth(self, tests: Sequence[Comparison]) -> str:
        """Return an expression in the run's dtype, 1 where all comparisons hold and 0 elsewhere."""
        sides = [
            f"{self.value(left)} {symbol} {self.value(right)}" for left, symbol, right in tests
        ]
        return f"truth({' and '.join(f'({side})' for side in sides)})"

    def value(self, node: ast.expr) -> str:
        """Return the name or number of an expression's value, after the operations that make it."""
        if isinstance(node, ast.Constant):
            return repr(float(self.dtype.type(node.value)))
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
                # An exponent of units must be a plain number.
                return repr(-float(self.dtype.type(node.operand.value)))
            operand = self.value(node.operand)
            return self.keep(f"-{operand}") if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            arguments = [self.value(argument) for argument in node.args]
            return self.call(node.func.id, arguments)
        assert isinstance(node, ast.BinOp)
        return self.keep(
            f"{self.value(node.left)} {_SYMBOL[type(node.op)]} {self.value(node.right)}"
        )

    def call(self, name: str, arguments: list[str]) -> str:
        """Add a call; a function that Brian2 does not have is made of those that it has."""
        if name == "round":
            return self.call("floor", [self.keep(f"{arguments[0]} + 0.5")])
        if name == "shr":
            return self.call(
                "trunc", [self.keep(f"{arguments[0]} / {self.keep(f'2.0 ** {arguments[1]}')}")]
            )
        if name == "trunc":
            size = self.call("floor", [self.keep(f"abs({arguments[0]})")])
            return self.keep(f"{self.keep(f'sign({arguments[0]})')} * {size}")
        return self.keep(f"{'whole_below' if name == 'floor' else name}({', '.join(arguments)})")

    def keep(self, operation: str) -> str:
        """Add one operation and return the name of its result."""
        name = f"result_{len(self.lines)}_"
        self.lines.append(f"{name} = {operation}")
        return name


def grid_update(model: NeuronModel, dtype: str, *, gap: bool, seen: bool) -> str:
    """Return the declared step as Brian2 statements, from integration to reset, for every neuron.

    Parameters
    ----------
    model : NeuronModel
    dtype : {"float32", "float64"}
        To which every number of the card is rounded.
    gap, seen : bool
        Whether the nearest approach, and what the threshold saw, are kept.
    """
    # Random numbers and kernels come first, as calls of functions.
    code = ThreeAddress(dtype)
    code.lines += [f"{name} = {name}_call(i, t_in_timesteps)" for name in model.draws]
    code.lines += [
        f"{name} = {name}_call(i, t_in_timesteps, {kernel.of})"
        for name, kernel in model.kernels.items()
    ]
    for statement in model.discrete.before_fire:
        code.statement(statement)
    # Both sides of the threshold get a name, since they are read more than once.
    if model.discrete.readout:
        code.lines += watch(model.discrete.readout, None, gap=False, seen=seen)
    else:
        left, symbol, right = model.discrete.tests[0]
        a, b = code.value(left), code.value(right)
        code.lines += watch(a, b, gap=gap, seen=seen)
        code.lines.append(
            f"z = {code.truth([comparison_of_results(a, symbol, b), *model.discrete.tests[1:]])}"
        )
    for statement in model.discrete.reset:
        code.statement(statement)
    return "\n".join(code.lines)


def comparison_of_results(left: str, symbol: str, right: str) -> Comparison:
    """Return the comparison of two results by their names."""
    return comparisons(ast.parse(f"{left} {symbol} {right}", mode="eval").body)[0]


def watch(seen_text: str, threshold_text: str | None, *, gap: bool, seen: bool) -> list[str]:
    """Return statements that keep what the threshold saw, and the nearest approach so far."""
    lines = [f"seen = {seen_text}"] if seen else []
    if gap:
        lines += [
            f"distance_ = abs({seen_text} - ({threshold_text}))",
            "nearer_ = int(distance_ < gap)",
            "farther_ = 1 - nearer_",
            "kept_ = gap*farther_",
            "found_ = distance_*nearer_",
            "gap = kept_ + found_",
        ]
    return lines


def grid_variables(model: NeuronModel, per_neuron: frozenset[str], *, gap: bool, seen: bool) -> str:
    """Return the Brian2 equations that declare a layer's variables in grid mode, plain SI numbers.

    The units of the step are checked once by `unit_equations`; inside the run a number has no
    unit, as in PyTorch.
    """
    names = (
        [*model.inputs, *model.stepped, *model.draws, *model.kernels]
        + ["gap"] * gap
        + ["seen"] * seen
    )
    return "\n".join(
        [
            *_constants(model, per_neuron, units=False),
            *(f"{name} : 1" for name in names),
            "z : integer",
        ]
    )


def unit_equations(model: NeuronModel) -> str:
    """Return the declaration of a layer's variables with the units of its card."""
    lines = (
        _constants(model, frozenset(), units=True)
        + [f"{name} : {model.input_unit}" for name in model.inputs]
        + ["z : 1"]
    )
    lines += [f"{name} : 1" for name in model.draws] + [
        f"{name} : {unit_of_kernel(model, name)}" for name in model.kernels
    ]
    return "\n".join(lines + [f"{name} : {state.unit}" for name, state in model.stepped.items()])


def fine_variables(model: NeuronModel, per_neuron: frozenset[str], *, gap: bool, seen: bool) -> str:
    """Return the Brian2 equations of fine mode: the ODE, its input, what the threshold reads."""
    # A threshold that compares a random number has the unit of a number.
    assert model.continuous is not None
    drawn = (
        comparisons(parse_expression(model.continuous.threshold, "threshold"))[0][0]
        if model.continuous.threshold
        else None
    )
    unit = (
        "1"
        if drawn is not None and names_in(drawn) <= set(DRAWS)
        else model.state[model.membrane_in(fine=True)].unit
    )
    lines = _constants(model, per_neuron, units=True) + [
        f"{name} : {model.input_unit}" for name in model.inputs
    ]
    lines += (
        [f"gap : {unit}"] * gap
        + [f"seen : {unit}"] * seen
        + [f"{name} : 1" for name in model.draws]
    )
    lines += [
        *_equations(model),
        *(f"{jump_of(name)} : {model.input_unit}" for name in model.inputs),
    ]
    lines += [
        f"{statement.target} = {_number(statement.tree)} : 1"
        for statement in model.discrete.modulate
    ]
    return "\n".join(lines)


def _equations(model: NeuronModel) -> list[str]:
    """Return the lines of the ODE, its slopes and its subexpressions.

    A slope is solved as a formula, in which 2**(-1) is a half; a subexpression is computed as it
    stands.
    """
    return [
        f"{left} = {_number(parse_expression(right, left), solved=bool(state_of(left)))} : {unit}"
        for left, right, unit in equation_lines(model)
    ]


def _number(tree: ast.expr, *, solved: bool = False) -> str:
    """Return an expression as Brian2 computes it, a comparison as 1 or 0, by Brian2's int."""
    text = brian_text(tree, solved=solved)
    return f"int({text})" if comparisons(tree) else text


def condition(text: str) -> str:
    """Return a comparison, or another expression, of a card's ODE as Brian2 computes it.

    An empty text stays empty.
    """
    return brian_text(parse_expression(text, "condition")) if text else ""


def statements(text: str) -> str:
    """Return the statements of a card's ODE as Brian2 computes them."""
    return (
        "\n".join(
            f"{each.target} = {brian_text(each.tree)}" for each in parse_statements(text, "reset")
        )
        if text
        else ""
    )


def brian_text(tree: ast.expr, *, solved: bool = False) -> str:
    """Return an expression that Brian2 computes in floating-point numbers, as other engines do.

    Brian2's own floor is an integer of 32 bits, which a larger number overflows without an error,
    and its ``2**(-1)`` of whole numbers is 0.

    Parameters
    ----------
    solved : bool
        Whether the expression is solved as a formula before it is computed, so that its powers
        stay as they are.
    """
    text = ast.unparse(_Spelled(solved).visit(copy.deepcopy(tree)))
    # Without spaces around products, as people write it, since Brian2 shows it in its errors.
    return re.sub(r" (\*\*|\*|/) ", r"\1", text)


class _Spelled(ast.NodeTransformer):
    def __init__(self, solved: bool) -> None:
        self.solved = solved

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Compute a power of numbers here, and give every other power a floating-point base."""
        self.generic_visit(node)
        if self.solved or not isinstance(node.op, ast.Pow):
            return node
        if not names_in(node) and (value := number_of(node)) is not None:
            return ast.Constant(value)
        if isinstance(node.left, ast.Constant):
            node.left = ast.Constant(float(node.left.value))  # type: ignore[arg-type]
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Put the text that Brian2 has for a function in its place."""
        self.generic_visit(node)
        assert isinstance(node.func, ast.Name)
        if not (text := _SPELLED.get(node.func.id)):
            return node
        return ast.parse(
            text.format(*(f"({ast.unparse(argument)})" for argument in node.args)), mode="eval"
        ).body


_SPELLED = {
    "floor": "whole_below({0})",
    "round": "whole_below({0} + 0.5)",
    "trunc": "sign({0})*whole_below(abs({0}))",
    "shr": "sign({0})*whole_below(abs({0})/2.0**{1})",
}


def jump_of(name: str) -> str:
    """Return the name of the variable of an impulse.

    It is ``jump`` for the input ``I``, and ``jump_excitatory`` for ``I_excitatory``.
    """
    return "jump" + name.removeprefix(INPUT)


def unit_of_kernel(model: NeuronModel, name: str) -> str:
    """Return the unit of a kernel: that of its input, or 1 of a kernel over spikes."""
    return "1" if model.kernels[name].of == "z" else model.input_unit


def _constants(model: NeuronModel, per_neuron: frozenset[str], *, units: bool) -> list[str]:
    entries = {**model.constant_units, STEP: "second"}
    return [
        f"{name} : {unit if units else 1} (constant{'' if name in per_neuron else ', shared'})"
        for name, unit in entries.items()
    ]
