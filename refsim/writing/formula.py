"""An expression of a card as a formula, in the order in which the card writes it."""

import ast
import math
from collections.abc import Callable

from ..model.expressions import comparisons
from .quantities import number
from .symbols import decimal, symbol

Name = Callable[[str], str]
_SUM, _PRODUCT, _POWER, _ATOM = range(4)  # how tightly a formula holds together
_NAMED = {"tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos", "log": r"\ln", "exp": r"\exp"}
_RELATION = {">": ">", ">=": r"\geq", "<": "<", "<=": r"\leq"}
# What a reader may not know, said beneath the equations where it is used: formula, words behind it.
NOTES = {
    "clip": (r"\operatorname{clip}\left(x, a, b\right) = \min\left(\max\left(x, a\right), b\right)", ""),
    "exprel": (r"\operatorname{exprel}\left(x\right) = \frac{\exp\left(x\right) - 1}{x}", ", and 1 at 0"),
    "round": (r"\operatorname{round}\left(x\right) = \left\lfloor x + \frac{1}{2} \right\rfloor", ""),
    "trunc": (r"\operatorname{trunc}\left(x\right)", " cuts towards zero"),
}


def formula(tree: ast.expr, name: Name = symbol) -> str:
    """Return an expression as LaTeX.

    Parameters
    ----------
    tree : expression
        Checked, as the card's loader leaves it.
    name : function
        Gives the symbol of a name.
    """
    if tests := comparisons(tree):
        return r" \;\mathrm{and}\; ".join(rf"{formula(left, name)} {_RELATION[sign]} {formula(right, name)}" for left, sign, right in tests)
    return _write(tree, name)[0]


def terms(tree: ast.expr, name: Name = symbol) -> list[str]:
    """Return the terms of a sum, each with its sign but for a leading plus, so that a long one can be broken."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        right = _bracketed(tree.right, name, _PRODUCT)
        return [*terms(tree.left, name), f"{'+' if isinstance(tree.op, ast.Add) else '-'} {right}"]
    return [formula(tree, name)]


def _write(tree: ast.expr, name: Name) -> tuple[str, int]:
    """Return a formula and how tightly it holds together."""
    if isinstance(tree, ast.Constant):
        return _number(float(tree.value)), _ATOM  # type: ignore[arg-type]
    if isinstance(tree, ast.Name):
        return name(tree.id), _ATOM
    if isinstance(tree, ast.UnaryOp):
        sign = "-" if isinstance(tree.op, ast.USub) else ""
        return sign + _bracketed(tree.operand, name, _PRODUCT), _SUM
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        return _call(tree.func.id, tree.args, name)
    assert isinstance(tree, ast.BinOp)
    return _operation(tree, name)


def _operation(tree: ast.BinOp, name: Name) -> tuple[str, int]:
    if isinstance(tree.op, ast.Add | ast.Sub):
        return " ".join(terms(tree, name)), _SUM
    if (bare := _without_sign(tree)) is not None:
        return f"-{_bracketed(bare, name, _PRODUCT)}", _SUM
    if isinstance(tree.op, ast.Div):
        return rf"\frac{{{formula(tree.left, name)}}}{{{formula(tree.right, name)}}}", _PRODUCT
    if isinstance(tree.op, ast.Pow):
        return f"{_bracketed(tree.left, name, _ATOM)}^{{{formula(tree.right, name)}}}", _POWER
    left, right = _bracketed(tree.left, name, _PRODUCT), _bracketed(tree.right, name, _PRODUCT)
    between = r" \cdot " if right[0].isdigit() else r"\,"
    return f"{left}{between}{right}", _PRODUCT


def _without_sign(tree: ast.expr) -> ast.expr | None:
    """Return a product or quotient without the minus of its first factor, None where it has none: the sign stands before all of it."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return tree.operand
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult | ast.Div):
        bare = _without_sign(tree.left)
        return None if bare is None else ast.BinOp(bare, tree.op, tree.right)
    return None


def _bracketed(tree: ast.expr, name: Name, least: int) -> str:
    text, holds = _write(tree, name)
    return text if holds >= least else rf"\left({text}\right)"


def _call(function: str, arguments: list[ast.expr], name: Name) -> tuple[str, int]:
    first = formula(arguments[0], name)
    if function == "sqrt":
        return rf"\sqrt{{{first}}}", _ATOM
    if function == "abs":
        return rf"\left\vert {first} \right\vert", _ATOM
    if function == "floor":
        return rf"\left\lfloor {first} \right\rfloor", _ATOM
    if function == "shr":
        return rf"\operatorname{{trunc}}\left(\frac{{{first}}}{{2^{{{formula(arguments[1], name)}}}}}\right)", _PRODUCT
    written = _NAMED.get(function, rf"\operatorname{{{function}}}")
    return rf"{written}\left({', '.join(formula(argument, name) for argument in arguments)}\right)", _PRODUCT


def _number(value: float) -> str:
    for factor, text in ((2 * math.pi, r"2 \pi"), (math.pi, r"\pi"), (math.e, r"\mathrm{e}")):
        if value == factor:
            return text
    return decimal(f"{value:.0e}".replace("e+0", "e").replace("e+", "e") if abs(value) >= 1e6 and value == float(f"{value:.0e}") else number(value))


def functions_in(*trees: ast.expr) -> set[str]:
    """Return the functions that expressions call; shr is written as trunc."""
    calls = {node.func.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return calls | ({"trunc"} if "shr" in calls else set())
