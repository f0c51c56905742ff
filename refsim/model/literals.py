"""Units in the texts of a card: each quantity, such as ``10*ms``, becomes a derived constant."""

import ast
import math
import re
import sys
from collections.abc import Mapping, Set
from typing import Any

from ..errors import RefsimError
from ..units import NONE, Unit, base_unit, factor, to_si, unit_named
from .truth import ROW, STATEMENT, WORD, parsed, tests_first

_CONSTANTS = {"pi": 3.141592653589793, "e": 2.718281828459045}  # of Brian2's own
_CURES = {
    "lastspike": "a card has no time of the last spike; give it a state that counts from there, "
    "'dsince/dt = 1 : second' with the reset 'since = 0*second', and write since for t - lastspike",
    "t": "a card has no time of its own, for samples are run one after the other; give it a state that "
    "counts, 'delapsed/dt = 1 : second', which starts at 0, and write elapsed for t",
    "t_in_timesteps": "a card does not count its steps; give it a state that does",
    "i": "neurons are told apart by their parameters: Network.dense([(weight, bias, model, {name: values})])",
    "N": "a card is one neuron, whatever their number",
    "not_refractory": "write (unless refractory) behind the equation that is held",
    "rand": "write uniform, a number in [0, 1) that every engine draws alike",
    "randn": "write xi, which is noise of variance 1 a second, or make it of uniform and uniform_2",
}


def without_units(table: dict[str, Any], card: str) -> dict[str, Any]:
    """Return a card's table whose texts hold names and plain numbers, each quantity as a derived constant.

    Raises
    ------
    RefsimError
        For a word of Brian2's that a card cannot say, with what to write in its place.
    """
    own = _names(table)
    if not all(isinstance(table.get(key, {}), dict) for key in ("derived", "parameters", "state", "kernel")):
        return table  # the reader says what is wrong with it
    literals = _Literals(own, card)
    changed = {key: _texts(table[key], literals, f"{card}: [{key}]") for key in _PARTS if isinstance(table.get(key), dict)}
    if not literals.changed:
        return table
    derived = changed.get("derived", {})
    return {**table, **changed, "derived": {**literals.made, **derived}}


_PARTS = ("derived", "kernel", "continuous", "discrete")
_EXPRESSIONS = ("text", "cut", "threshold", "refractory")
_STATEMENTS = ("reset", "integrate", "modulate", "fire")


def _names(table: Mapping[str, Any]) -> set[str]:
    """Return every name that the card gives a meaning: declared, or set by a statement."""
    own = {name for key in ("state", "parameters", "derived", "kernel") if isinstance(table.get(key), dict) for name in table[key]}
    parts = [table[key] for key in ("continuous", "discrete") if isinstance(table.get(key), dict)]
    texts = [text for part in parts for text in part.values() if isinstance(text, str)]
    return own | {match[1] for text in texts for match in re.finditer(r"(?:^|[\n;])\s*(\w+)\s*[-+*/]?=(?!=)", text)}


def _texts(part: dict[str, Any], literals: "_Literals", where: str) -> dict[str, Any]:
    """Return a part of a card with its texts rewritten, entries of tables in it too."""
    made: dict[str, Any] = {}
    for key, value in part.items():
        if isinstance(value, dict):
            made[key] = _texts(value, literals, f"{where} {key}")
        elif not isinstance(value, str):
            made[key] = value
        elif key == "equations":
            made[key] = "\n".join(literals.row(line, f"{where} {key}") for line in value.splitlines())
        elif key == "refractory" and base_unit(value) == "second" and not set(WORD.findall(value)) & literals.own:
            made[key] = literals.named(value, to_si(value, "second", f"{where} {key}"), "second")
        elif key in _STATEMENTS:
            made[key] = literals.statements(value, f"{where} {key}")
        else:
            made[key] = literals.expression(value, f"{where} {key}") if key in _EXPRESSIONS else value
    return made


class _Literals(ast.NodeTransformer):
    """Put a derived constant for each quantity in an expression, and a number for what has no dimension."""

    def __init__(self, own: Set[str], card: str) -> None:
        self.own, self.card, self.changed = own, card, False
        self.made: dict[str, dict[str, str]] = {}

    def row(self, line: str, where: str) -> str:
        """Rewrite a line of equations."""
        row = ROW.match(line.split("#")[0].rstrip())
        if row is None:
            return line
        right = self.expression(row["right"], f"{where}, {row['left'].strip()}")
        same = right == row["right"]
        return line if same else f"{row['left'].rstrip()} = {right} : {row['unit'].strip()}"

    def statements(self, text: str, where: str) -> str:
        """Rewrite statements; in a step a comparison turned into a number gets one of its own before."""
        said = "\n".join(part for line in text.split("\n") for part in line.split("#")[0].split(";"))
        before = tests_first(said) if not where.endswith(("fire", "[continuous] reset")) else said
        after = "\n".join(self._statement(line, where) for line in before.split("\n"))
        self.changed |= after != said
        return text if after == said else after

    def _statement(self, line: str, where: str) -> str:
        match = STATEMENT.match(line)
        right = self.expression(match[2], where) if match else ""
        return line if match is None or right == match[2] else f"{match[1]} {right}"

    def expression(self, text: str, where: str) -> str:
        """Rewrite an expression; one without a quantity stays as it is, letter by letter."""
        tree = parsed(text)
        if tree is None:
            return text
        self.refuse(tree, where)
        before = ast.unparse(tree)
        after = ast.unparse(self.visit(tree))
        if after == before:
            return text
        self.changed = True
        return after

    def refuse(self, tree: ast.expr, where: str) -> None:
        """Refuse words that a card cannot say."""
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(self.own)
        for name, cure in _CURES.items():
            if name in read:
                raise RefsimError(f"{where}: {name} in {ast.unparse(tree)!r} is not read: {cure}.")
        for name in sorted(read):
            if len(name) == 1 and (unit := unit_named(name)):
                raise RefsimError(f"{where}: {name} in {ast.unparse(tree)!r} is no name of the card; the unit is written {unit.base}, and a name is declared.")

    def visit(self, node: ast.AST) -> Any:
        """Fold the largest part that holds numbers and units alone."""
        if isinstance(node, ast.expr) and (found := self._quantity(node)) and _has_name(node):
            number, unit = found
            value = number * factor(unit)
            if unit.dimension == NONE.dimension:
                return ast.parse(repr(value), mode="eval").body
            return ast.Name(self.named(ast.unparse(node), value, unit.base), ast.Load())
        return super().visit(node)

    def named(self, text: str, value: float, unit: str) -> str:
        """Return the name of a derived constant of this value."""
        self.changed = True
        text = re.sub(r" ([*/]{1,2}) ", r"\1", text)
        entry = {"text": repr(value), "unit": unit, "meaning": f"{text}, as the equations write it"}
        for name in (f"{_slug(text)}{end}" for end in ("", *(f"_{count}" for count in range(1, 1000)))):
            if self.made.get(name) == entry or not (name in self.own or name in self.made):
                self.made[name] = entry
                return name
        raise AssertionError("a thousand constants of one text")

    def _quantity(self, node: ast.expr) -> tuple[float, Unit] | None:
        """Return number and unit of an expression of numbers and units, None of any other."""
        if isinstance(node, ast.Constant):
            number = node.value
            known = isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= sys.float_info.max
            return (float(number), NONE) if known else None  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if node.id in self.own:
                return None
            if node.id in _CONSTANTS:
                return _CONSTANTS[node.id], NONE
            unit = unit_named(node.id) if len(node.id) > 1 else None
            return (1.0, unit) if unit else None
        if isinstance(node, ast.UnaryOp):
            inner = self._quantity(node.operand)
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return (sign * inner[0], inner[1]) if inner and isinstance(node.op, ast.USub | ast.UAdd) else None
        return self._of_two(node) if isinstance(node, ast.BinOp) else None

    def _of_two(self, node: ast.BinOp) -> tuple[float, Unit] | None:
        left, right = self._quantity(node.left), self._quantity(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Mult):
            return left[0] * right[0], left[1].times(right[1])
        if isinstance(node.op, ast.Div) and right[0]:
            return left[0] / right[0], left[1].times(right[1], -1)
        if isinstance(node.op, ast.Pow) and right[1].dimension == NONE.dimension and abs(right[0]) < 10 and left[0] > 0:
            return _power(left[0], right[0]), left[1].to_the(right[0])
        return None


def _power(base: float, exponent: float) -> float:
    """Return a power, infinite where it is beyond the numbers; who takes it refuses that."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _has_name(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) for part in ast.walk(node))


def _slug(text: str) -> str:
    """Return a name for a quantity: ``q_minus_50_mV``, ``q_0p7_nS_per_mV``."""
    said = text.replace("**", "").replace("*", "_").replace("/", "_per_").replace(".", "p").replace("-", "minus_")
    return "q_" + re.sub(r"_+", "_", re.sub(r"\W+", "_", said)).strip("_")
