"""Turn a card's text into Brian2's: one operation a statement, so that no optimiser can change their order."""

import ast

import numpy as np

from ...model import NeuronModel
from ...model.expressions import Statement, comparison

_SYMBOL = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
FAR = 1e30  # larger than any distance to threshold, and finite: infinity times zero would be NaN


class ThreeAddress:
    """Write expressions as statements of one operation each.

    Brian2 rewrites ``v - v/2 + I`` before it compiles, and the last bit changes. What is already a single operation
    it cannot rewrite, and each intermediate result is rounded to the dtype of the run, as in PyTorch.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.lines: list[str] = []

    def statement(self, statement: Statement) -> None:
        """Add ``target = expression``."""
        self.lines.append(f"{statement.target} = {self.value(statement.tree)}")

    def value(self, node: ast.expr) -> str:
        """Return a name or number that holds the expression's value."""
        if isinstance(node, ast.Constant):
            return repr(float(self.dtype.type(node.value)))
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.UnaryOp):
            operand = self.value(node.operand)
            return self.keep(f"-{operand}") if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return self.keep(f"{node.func.id}({', '.join(self.value(argument) for argument in node.args)})")
        assert isinstance(node, ast.BinOp)
        return self.keep(f"{self.value(node.left)} {_SYMBOL[type(node.op)]} {self.value(node.right)}")

    def keep(self, operation: str) -> str:
        """Add one operation and return the name of its result."""
        name = f"result_{len(self.lines)}_"
        self.lines.append(f"{name} = {operation}")
        return name


def grid_update(model: NeuronModel, dtype: str, *, gap: bool, seen: bool) -> str:
    """Return the declared step as Brian2 statements: integrate, modulate, fire, reset, for every neuron."""
    code = ThreeAddress(dtype)
    for statement in model.discrete.before_fire:
        code.statement(statement)
    sides = comparison(model.discrete.fire.tree)
    assert sides is not None
    left, operator, right = sides
    a, b = code.value(left), code.value(right)
    code.lines += watch(a, b, gap=gap, seen=seen)
    code.lines.append(f"z = int({a} {operator} {b})")
    for statement in model.discrete.reset:
        code.statement(statement)
    return "\n".join(code.lines)


def watch(seen_text: str, threshold_text: str, *, gap: bool, seen: bool) -> list[str]:
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


def variables(model: NeuronModel, per_neuron: frozenset[str], *, gap: bool, seen: bool, fine: bool) -> str:
    """Return the Brian2 equations that declare a layer's variables; in grid mode states are plain variables."""
    lines = [f"{name} : {unit} (constant{'' if name in per_neuron else ', shared'})" for name, unit in model.constant_units.items()]
    unit = model.state[model.membrane].unit
    lines += ["I : 1"] + [f"gap : {unit}"] * gap + [f"seen : {unit}"] * seen
    if fine:
        lines += [model.continuous.equations, "jump : 1", "step : second (constant, shared)"]
        lines += [f"{statement.target} = {statement.text} : 1" for statement in model.discrete.modulate]
    else:
        lines += [f"{name} : {state.unit}" for name, state in model.state.items()] + ["z : integer"]
    return "\n".join(lines)
