"""The small language of a card: arithmetic, comparisons and a fixed table of functions.

Its texts are parsed and checked (`parse_expression`, `parse_statements`), looked into (`names_in`,
`comparisons`), and evaluated by walking their trees (`evaluate`, `execute`). They are never
executed as Python.
"""

import ast
import functools
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.errors import RefsimError, listed

# Whatever has arithmetic: floats, arrays of NumPy or torch, numbers that carry an error bound.
Number = Any

# Function -> number of arguments. Nothing else can be called from a card, and each engine says how
# it computes them. trunc cuts towards zero; round goes to the nearest, and halves up; shr(x, n)
# shifts the size of a number by n bits. On integers up to 2^53 all three are exact. exprel(x) is
# (exp(x) - 1)/x, and 1 at 0: the rates of Hodgkin-Huxley channels are 1/exprel, which is defined
# where x/(exp(x) - 1) is 0/0.
FUNCTIONS = {
    "exp": 1,
    "log": 1,
    "sqrt": 1,
    "abs": 1,
    "tanh": 1,
    "sin": 1,
    "cos": 1,
    "floor": 1,
    "clip": 3,
    "sign": 1,
    "trunc": 1,
    "round": 1,
    "shr": 2,
    "exprel": 1,
}

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<="}
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
# Functions of Brian2 that a card expresses otherwise, and how.
_CURES = {
    "int": (
        "A comparison that is 1 or 0 gets a name of its own, 'above = int(v > 1) : 1' in the "
        "equations or 'above = v > 1' in a step; trunc(x) cuts a number"
    ),
    "rand": "uniform is a number in [0, 1) that every engine draws alike",
    "randn": (
        "xi in the equations is noise; a normal number is sqrt(-2*log(1 - "
        "uniform))*cos(2*pi*uniform_2)"
    ),
    "ceil": "-floor(-x) is the whole number above",
    "timestep": "A period is counted in steps, as in equations/lif_refractory.toml",
}
_LONGEST = 2000  # characters; a card is read by people
# An expression goes into scripts and compilers. It is therefore made of these characters alone, and
# has no quote, no line break and no comment.
_PLAIN = re.compile(r"[A-Za-z0-9_ \t.+*/()<>=,-]*")


@dataclass(frozen=True)
class Statement:
    """One assignment ``target = expression`` of a card's text, with the expression as a tree."""

    target: str
    text: str
    tree: ast.expr

    @cached_property
    def names(self) -> frozenset[str]:
        """The names that the expression reads."""
        return names_in(self.tree)


def parse_expression(text: str, where: str) -> ast.expr:
    """Parse one expression and refuse all that is not arithmetic, a comparison or a known function.

    Parameters
    ----------
    text : str
        For example ``"keep*v + I/tau"``.
    where : str
        Opens the error message, for example ``"card 'lif': [discrete] integrate"``.

    Raises
    ------
    RefsimError
        With what was found and what is allowed.
    """
    text = bare(text)
    if len(text) > _LONGEST:
        raise RefsimError(
            f"{where}: the text has {len(text)} characters; {_LONGEST} are allowed. Split it "
            "into statements."
        )
    # Python's own parser reads it; a text that it cannot read is refused.
    try:
        tree = ast.parse(text, mode="eval").body
        ast.unparse(tree)  # finds nesting too deep for any later walk
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it nests too deeply"
        raise RefsimError(f"{where}: {text!r} is not an expression ({reason}).") from None
    if is_test(tree):  # a comparison is 1 or 0 already, without the int() that Brian2 needs
        assert isinstance(tree, ast.Call)
        tree = tree.args[0]
    # Then everything that the language does not have is refused.
    _check(tree, text, where)
    _check_arithmetic(tree, text, where)
    _check_characters(text, where)
    _check_numbers(tree, text, where)
    return tree


def bare(text: str, joined: str = " ") -> str:
    """Return a text on one line, without its comments, which may hold anything."""
    lines = (line.split("#")[0].strip(" \t\r").strip(";") for line in text.split("\n"))
    return joined.join(line for line in lines if line)


def _check_characters(text: str, where: str) -> None:
    """Refuse characters that Python would ignore or take for others, such as a form feed."""
    if odd := _PLAIN.sub("", text):
        raise RefsimError(
            f"{where}: {text!r} holds {odd[0]!r}; a text is made of ASCII letters, digits, "
            "blanks and . + - * / ( ) < > = , alone."
        )


def _check_numbers(tree: ast.expr, text: str, where: str) -> None:
    """Refuse a part that is made of numbers alone and has no finite value, such as 1/0.

    Each engine would make something else of it.
    """
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.BinOp | ast.Call | ast.UnaryOp)
            and not names_in(node)
            and number_of(node) is None
        ):
            raise RefsimError(f"{where}: {ast.unparse(node)!r} in {text!r} is no finite number.")


def number_of(tree: ast.expr) -> float | None:
    """Return the value of an expression of numbers alone; None where it is not a finite number."""
    try:
        value = float(evaluate(tree, {}, SCALAR_FUNCTIONS))
    except (ArithmeticError, ValueError, TypeError):
        # A root of a negative number is complex, which is a TypeError here.
        return None
    return value if math.isfinite(value) else None


def parse_statements(text: str, where: str) -> tuple[Statement, ...]:
    """Parse assignments, one a line or separated by ``;``. ``v -= x`` is read as ``v = v - x``.

    Raises
    ------
    RefsimError
        As `parse_expression`, and for a text without statements.
    """
    statements = []
    for line in text.split("\n"):
        rows = (row.strip() for row in line.split("#")[0].split(";"))
        statements += [_parse_statement(row, where) for row in rows if row]
    if not statements:
        raise RefsimError(f"{where}: is empty; needs a statement such as 'v = v + I'.")
    return tuple(statements)


def _parse_statement(line: str, where: str) -> Statement:
    """Parse one assignment."""
    head, equals, tail = line.partition("=")
    symbol = ""
    # An operator before the equals sign makes v -= x of v = v - x.
    if head and head[-1] in "+-*/":
        head, symbol = head[:-1], head[-1]
    target = head.strip()
    if not equals or not target.isidentifier() or tail.startswith("="):
        raise RefsimError(f"{where}: {line!r} is not a statement; needs 'name = expression'.")
    expression = f"{target} {symbol} ({tail.strip()})" if symbol else tail.strip()
    tree = parse_expression(expression, where)
    return Statement(
        target,
        ast.unparse(tree) if expression.startswith("int(") and comparisons(tree) else expression,
        tree,
    )


def is_test(tree: ast.AST) -> bool:
    """Return whether an expression is ``int()`` of a comparison, Brian2's way to write 1 or 0."""
    if (
        not isinstance(tree, ast.Call)
        or not isinstance(tree.func, ast.Name)
        or tree.func.id != "int"
    ):
        return False
    return (
        len(tree.args) == 1
        and not tree.keywords
        and isinstance(tree.args[0], ast.Compare | ast.BoolOp)
    )


def _check(node: ast.expr, text: str, where: str) -> None:
    """Refuse every kind of node that is not named here, in the whole tree."""
    if isinstance(node, ast.Constant):
        if (
            isinstance(node.value, bool)
            or not isinstance(node.value, int | float)
            or number_of(node) is None
        ):
            raise RefsimError(
                f"{where}: {_cut(repr(node.value))} in {_cut(repr(text))} is not a plain finite "
                "number."
            )
    # Which names are known is checked later, against the card.
    elif isinstance(node, ast.Name):
        pass
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC):
        _check(node.left, text, where)
        _check(node.right, text, where)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, text, where)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        _check(node.left, text, where)
        _check(node.comparators[0], text, where)
    elif (
        isinstance(node, ast.BoolOp)
        and isinstance(node.op, ast.And)
        and all(isinstance(part, ast.Compare) for part in node.values)
    ):
        for part in node.values:
            _check(part, text, where)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        _check_call(node, text, where)
    else:
        raise RefsimError(
            f"{where}: {ast.unparse(node)!r} in {text!r} is not allowed; allowed are numbers, "
            "names, + - * / **, "
            f"comparisons (> >= < <=, joined by 'and') and the functions {listed(FUNCTIONS)}."
        )


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _check_arithmetic(node: ast.expr, text: str, where: str) -> None:
    """Refuse a comparison inside arithmetic; it must be a statement of its own."""
    if any(
        isinstance(part, ast.Compare | ast.BoolOp) for part in ast.walk(node)
    ) and not comparisons(node):
        raise RefsimError(
            f"{where}: a comparison in {text!r} stands inside arithmetic; make it a statement of "
            "its own, 'free = count < 1', which is 1 or 0."
        )


def _check_call(node: ast.Call, text: str, where: str) -> None:
    """Refuse an unknown function, or a wrong number of arguments."""
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    if name not in FUNCTIONS:
        cure = f" {_CURES[name]}." if name in _CURES else ""
        raise RefsimError(
            f"{where}: {name!r} in {text!r} is not a known function; known are "
            f"{listed(FUNCTIONS)}.{cure}"
        )
    if len(node.args) != FUNCTIONS[name]:
        raise RefsimError(
            f"{where}: {name} in {text!r} takes {FUNCTIONS[name]} arguments, but has "
            f"{len(node.args)}."
        )
    for argument in node.args:
        _check(argument, text, where)


def names_in(tree: ast.expr) -> frozenset[str]:
    """Return the names that an expression reads, without those of functions."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called
    )


Comparison = tuple[ast.expr, str, ast.expr]  # left, operator, right


def comparisons(tree: ast.expr) -> tuple[Comparison, ...]:
    """Return (left, operator, right) of each comparison that an expression joins by `and`.

    The result is empty where the expression is arithmetic.
    """
    parts = tree.values if isinstance(tree, ast.BoolOp) else [tree]
    return tuple(
        (part.left, _COMPARISONS[type(part.ops[0])], part.comparators[0])
        for part in parts
        if isinstance(part, ast.Compare)
    )


def evaluate(
    tree: ast.expr, values: Mapping[str, Number], functions: Mapping[str, Callable[..., Number]]
) -> Number:
    """Evaluate a checked expression, each operation in the order that the text gives it.

    Parameters
    ----------
    tree : ast.expr
        As `parse_expression` returns it.
    values : dict of str to number
        A number is anything with arithmetic: a float, an array, a number with an error bound.
    functions : dict of str to function
        How each of `FUNCTIONS` is computed.
    """
    if isinstance(tree, ast.Constant):
        return float(tree.value)  # type: ignore[arg-type]
    if isinstance(tree, ast.Name):
        return values[tree.id]
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        return functions[tree.func.id](
            *(evaluate(argument, values, functions) for argument in tree.args)
        )
    if isinstance(tree, ast.UnaryOp):
        operand = evaluate(tree.operand, values, functions)
        return -operand if isinstance(tree.op, ast.USub) else operand
    if isinstance(tree, ast.BoolOp):
        return functools.reduce(
            operator.and_, (evaluate(part, values, functions) for part in tree.values)
        )
    if isinstance(tree, ast.Compare):
        symbol, left, right = _COMPARISONS[type(tree.ops[0])], tree.left, tree.comparators[0]
    else:
        assert isinstance(tree, ast.BinOp)
        symbol, left, right = _OPERATORS[type(tree.op)], tree.left, tree.right
    return _APPLY[symbol](evaluate(left, values, functions), evaluate(right, values, functions))


def execute(
    statements: Iterable[Statement],
    values: dict[str, Number],
    functions: Mapping[str, Callable[..., Number]],
    truth: Callable[[Number], Number],
    followed: Mapping[str, Callable[[Number], Number]] | None = None,
    named: Callable[[str, Number], Number] | None = None,
) -> None:
    """Run statements one after the other, and put what they set into `values`.

    Parameters
    ----------
    truth : function
        Makes 1 and 0 of what a comparison gives.
    followed : dict of str to function, optional
        By target, a function that sees the computed value and returns what replaces it.
    named : function, optional
        Sees each target with its value, and returns the value that is kept.
    """
    for statement in statements:
        value = evaluate(statement.tree, values, functions)
        value = truth(value) if comparisons(statement.tree) else value
        value = value if named is None else named(statement.target, value)
        values[statement.target] = (
            followed[statement.target](value)
            if followed and statement.target in followed
            else value
        )


_APPLY: dict[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}

SCALAR_FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
    "sin": math.sin,
    "cos": math.cos,
    "floor": math.floor,
    "clip": lambda x, low, high: min(max(x, low), high),
    "sign": lambda x: float((x > 0) - (x < 0)),
    "trunc": math.trunc,
    "round": lambda x: math.floor(x + 0.5),
    "shr": lambda x, n: math.trunc(x / 2.0**n),
    "exprel": lambda x: math.expm1(x) / x if x else 1.0,
}
