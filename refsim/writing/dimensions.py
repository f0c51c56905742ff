"""The dimension of a derived constant: where a card's text and its unit disagree, a script has to compute with plain numbers."""

import ast
import copy
from collections.abc import Mapping

from ..units import Dimension, dimension

_NONE: Dimension = (0.0,) * 5
_KEEP = ("abs", "clip")  # of their first argument


def agrees(tree: ast.expr, unit: str, units: Mapping[str, str]) -> bool:
    """Whether an expression has the dimension of a unit, and no step on the way mixes dimensions."""
    return _dimension(tree, units) == tuple(map(float, dimension(unit)))


def in_numbers(tree: ast.expr, units: Mapping[str, str]) -> ast.expr:
    """Return an expression over plain SI numbers: each name divided by its unit."""
    return _Divided(units).visit(copy.deepcopy(tree))  # type: ignore[no-any-return]


def _dimension(tree: ast.expr, units: Mapping[str, str]) -> Dimension | None:
    if isinstance(tree, ast.Constant):
        return _NONE
    if isinstance(tree, ast.Name):
        return tuple(map(float, dimension(units[tree.id])))
    if isinstance(tree, ast.UnaryOp):
        return _dimension(tree.operand, units)
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        first = _dimension(tree.args[0], units)
        if tree.func.id == "sqrt" and first is not None:
            return tuple(power / 2 for power in first)
        same = all(_dimension(argument, units) == first for argument in tree.args)
        return first if same and (first == _NONE or tree.func.id in _KEEP) else None
    assert isinstance(tree, ast.BinOp)
    left, right = _dimension(tree.left, units), _dimension(tree.right, units)
    if left is None or right is None:
        return None
    if isinstance(tree.op, ast.Add | ast.Sub):
        return left if left == right else None
    if isinstance(tree.op, ast.Pow):
        power = tree.right.value if isinstance(tree.right, ast.Constant) else None
        return _NONE if left == right == _NONE else tuple(part * power for part in left) if isinstance(power, int | float) else None
    sign = 1 if isinstance(tree.op, ast.Mult) else -1
    return tuple(a + sign * b for a, b in zip(left, right, strict=True))


class _Divided(ast.NodeTransformer):
    def __init__(self, units: Mapping[str, str]) -> None:
        self.units = units

    def visit_Name(self, node: ast.Name) -> ast.expr:
        unit = self.units.get(node.id, "1")
        return node if unit == "1" else ast.BinOp(node, ast.Div(), ast.parse(unit, mode="eval").body)
