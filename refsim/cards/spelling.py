"""What people write in Brian2's text, rewritten in the words of a card.

First the equations (`in_card_words`): ``tau : second`` declares a parameter, ``int(v > 1)`` becomes
a subexpression of its own, ``xi`` is made of the numbers that every engine draws alike. Then the
units in all texts (`without_units`): ``10*ms`` becomes a derived constant. What a card cannot
express is refused, with what to write in its place.
"""

import ast
import math
import re
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import RefsimError, listed
from ..core.tables import Table
from ..core.units import NONE, Unit, base_unit, check_unit, factor, to_si, unit_named
from .keys import EXPRESSIONS, NAMED, STATEMENTS, TEXTS
from .language import is_test
from .names import DRAWS, INPUT
from .ode import linear_parts

_DECLARED = re.compile(r"^\s*([A-Za-z_]\w*)\s*:\s*([^()]+?)\s*(?:\(([^()]*)\))?\s*$")
_FLAGS = re.compile(
    r":.*\(([^():]*(?:constant|shared|linked|event-driven|refractory|boolean)[^():]*)\)\s*$"
)


# A normal number by the method of Box and Muller, as white noise over a sub-step.
_NOISE = "sqrt(-2*log(1 - {0}))*cos(6.283185307179586*{1})/sqrt(dt) : second**-0.5"


@dataclass
class Equations:
    """The text of equations in a card's words, and the units that were declared in it.

    Attributes
    ----------
    text : str
    declared : dict of str to str
        Parameter or input to its unit, from lines such as ``tau : second (constant)``.
    noisy : bool
        Whether the text holds ``xi``.
    """

    text: str
    declared: dict[str, str] = field(default_factory=dict)
    noisy: bool = False


def in_card_words(text: str, taken: Set[str], where: str, method: str = "") -> Equations:
    """Return equations in a card's words.

    Parameters
    ----------
    text : str
        Lines ``dv/dt = ... : unit``, ``name = ... : unit`` and ``name : unit``.
    taken : set of str
        Words of the card's other texts, and its names.
    method : str
        The method of the ODE; empty where it is not chosen yet.

    Raises
    ------
    RefsimError
        For flags that a card cannot express, and for noise that the method cannot integrate.
    """
    found = Equations("")
    lines = []
    # A line without an equals sign declares a unit; the others are equations.
    for line in (line.split("#")[0].rstrip() for line in text.splitlines()):
        declared = _DECLARED.match(line) if "=" not in line else None
        if declared:
            _check_flags(declared[3], {"constant", "shared"}, line, where)
            found.declared[declared[1]] = check_unit(declared[2].strip(), f"{where}, {declared[1]}")
        elif line.strip():
            flags = _FLAGS.search(line)
            _check_flags(
                flags[1] if flags else "", {"unless refractory", "constant over dt"}, line, where
            )
            lines.append(line)
    found.text = "\n".join(lines)
    # Three things are rewritten, each only where the text has it.
    if re.search(r"\bconstant over dt\b", found.text):
        found.text = "\n".join(_without_constant_over_dt(lines, where))
    if re.search(r"\bint\s*\(", found.text):
        found.text = tests_named(found.text, taken)
    if re.search(r"\bxi(_\w+)?\b", found.text):
        found.text, found.noisy = _noise_named(found.text, taken, where, method), True
    return found


def words_of(value: object) -> set[str]:
    """Return every word of a table and of the tables in it, its keys included."""
    if isinstance(value, Mapping):
        return {word for key, each in value.items() for word in (str(key), *words_of(each))}
    return set(WORD.findall(value)) if isinstance(value, str) else set()


def _check_flags(text: str | None, known: Set[str], line: str, where: str) -> None:
    """Refuse a flag in brackets that a card cannot express."""
    flags = {flag.strip() for flag in (text or "").split(",")} - {""}
    if unknown := flags - known:
        raise RefsimError(
            f"{where}: the flag {listed(unknown)} of {line.strip()!r} is not known here; "
            f"known is {' or '.join(sorted(known))}."
        )


def _without_constant_over_dt(lines: list[str], where: str) -> list[str]:
    """Drop the flag of what does not change within a step, which is the same without it."""
    named = {row["left"].strip(): row["right"] for line in lines if (row := ROW.match(line))}
    moving = {left[1:-3] for left in named if left.startswith("d") and left.endswith("/dt")}
    # What reads a moving name moves too, however long the chain.
    for _ in named:
        moving |= {left for left, right in named.items() if set(WORD.findall(right)) & moving}
    kept = []
    for line in lines:
        left = line.partition("=")[0].strip()
        if "constant over dt" in line and left in moving:
            raise RefsimError(
                f"{where}: {left} is constant over dt but reads a state, which only Euler takes "
                "as it is at "
                "the start of a step; leave the flag out and give method euler, which is the same."
            )
        kept.append(re.sub(r"\s*\(\s*constant over dt\s*\)", "", line))
    return kept


def _noise_named(text: str, taken: Set[str], where: str, method: str) -> str:
    """Make ``xi`` of two drawn numbers, one pair for each name and sub-step.

    This is what the method of Euler and Maruyama needs.
    """
    if method not in ("", "euler"):
        raise RefsimError(
            f"{where}: xi is noise, which method euler integrates; method {method!r} does not."
        )
    # Numbers that the card draws itself are not drawn again for noise.
    used = {*taken, *WORD.findall(text)}
    names = sorted(set(re.findall(r"\bxi(?:_\w+)?\b", text)))
    draws = [name for name in DRAWS if name not in used]
    if len(draws) < 2 * len(names):
        raise RefsimError(
            f"{where}: {listed(names)} need {2 * len(names)} numbers a step, and {len(draws)} "
            "are left."
        )
    _check_additive(text, names, where)
    # Each xi gets a subexpression of its own, above the equations.
    lines = []
    for index, name in enumerate(names):
        noise = free((f"noise{name[2:]}", *(f"noise_{count}" for count in range(1, 1000))), used)
        used.add(noise)
        lines.append(f"{noise} = {_NOISE.format(*draws[2 * index : 2 * index + 2])}")
        text = re.sub(rf"\b{name}\b", noise, text)
    return "\n".join([*lines, text])


def _check_additive(text: str, names: list[str], where: str) -> None:
    """Refuse noise that a state multiplies.

    Euler and Brian2 would read it in two senses, that of Ito and that of Stratonovich.
    """
    rows = [row for line in text.splitlines() if (row := ROW.match(line))]
    trees = {row["left"].strip(): parsed(row["right"]) for row in rows}
    named = {left: tree for left, tree in trees.items() if tree is not None}
    # Slopes and subexpressions are told apart by their left-hand sides.
    slopes = {left[1:-3]: tree for left, tree in named.items() if left.endswith("/dt")}
    others = {left: tree for left, tree in named.items() if not left.endswith("/dt")}
    for state, tree in slopes.items():
        for name in names:
            try:
                part = linear_parts(tree, name, others, where)[1]
            except RefsimError:
                raise RefsimError(
                    f"{where}, d{state}/dt: {name} must be a term of a sum, such as sigma*{name}."
                ) from None
            # The factor of the noise may read a state through subexpressions.
            read = set(WORD.findall(ast.unparse(part))) if part is not None else set()
            for other, inner in reversed(list(others.items())):
                read |= set(WORD.findall(ast.unparse(inner))) if other in read else set()
            if moving := read & set(slopes):
                raise RefsimError(
                    f"{where}, d{state}/dt: {name} is multiplied by the state {listed(moving)}; "
                    "only noise of a constant size is read. Give it as input, Drive.noise, or "
                    "make its size a parameter."
                )


def declared_units(found: Equations, table: Mapping[str, Any], card: str) -> None:
    """Compare the units that equations declare with those of the card's tables.

    Raises
    ------
    RefsimError
        For a name without a value, or of another unit.
    """
    parameters, given = table.get("parameters", {}), table.get("input", {})
    where = f"{card}: [continuous] equations"
    for name, unit in found.declared.items():
        if name == INPUT or name.startswith(f"{INPUT}_"):
            known = given.get("unit", "1") if isinstance(given, dict) else unit
        elif isinstance(parameters, dict) and isinstance(parameters.get(name), dict):
            known = parameters[name].get("unit")
        else:
            raise RefsimError(
                f"{where}: declare {name} : {unit}, but [parameters] has no value of it. A "
                "parameter needs one; what a "
                f"reset changes is a state: 'd{name}/dt = 0*{unit}/second : {unit}'."
            )
        if known != unit:
            raise RefsimError(
                f"{where}: declare {name} : {unit}, but its unit is {known!r}; say one of them."
            )


WORD = re.compile(r"[A-Za-z_]\w*")
ROW = re.compile(r"^(?P<left>[^=]+)=(?P<right>.+):(?P<unit>[^:]+)$")
STATEMENT = re.compile(r"^(\s*\w+\s*[-+*/]?=)(?!=)(.+)$")


def parsed(text: str) -> ast.expr | None:
    """Return an expression as a tree; None where the text is not an expression."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # the reader of expressions says what is wrong with it


def free(names: Iterable[str], used: Set[str]) -> str:
    """Return the first name that is not used."""
    return next(name for name in names if name not in used)


def tests_named(text: str, taken: Set[str]) -> str:
    """Put each ``int(v > 1)`` inside arithmetic on a line of its own, above its use."""
    lines: list[str] = []
    used = {*taken, *WORD.findall(text)}
    for line in text.splitlines():
        row = ROW.match(line)
        tree = parsed(row["right"]) if row else None
        if row is None or tree is None or is_test(tree):
            lines.append(line)
            continue
        tests = _Tests(used)
        changed = tests.visit(tree)
        lines += [f"{name} = int({ast.unparse(test)}) : 1" for name, test in tests.found.items()]
        right = ast.unparse(changed)
        lines.append(
            f"{row['left'].rstrip()} = {right} : {row['unit'].strip()}" if tests.found else line
        )
    return "\n".join(lines)


class _Tests(ast.NodeTransformer):
    """Name each ``int()`` of a comparison."""

    def __init__(self, used: set[str]) -> None:
        self.used, self.found = used, dict[str, ast.expr]()

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace the call by a name."""
        self.generic_visit(node)
        if not is_test(node):
            return node
        name = free((f"test_{count}" for count in range(1, 1000)), self.used)
        self.used.add(name)
        self.found[name] = node.args[0]
        return ast.Name(name, ast.Load())


def tests_first(text: str) -> str:
    """Return statements in which each ``int()`` of a comparison is a statement of its own."""
    used, lines = set(WORD.findall(text)), list[str]()
    for line in text.splitlines():
        match = STATEMENT.match(line)
        tree = parsed(match[2]) if match else None
        if match is None or tree is None or is_test(tree):
            lines.append(line)
            continue
        tests = _Tests(used)
        changed = tests.visit(tree)
        lines += [f"{name} = {ast.unparse(test)}" for name, test in tests.found.items()]
        lines.append(f"{match[1]} {ast.unparse(changed)}" if tests.found else line)
    return "\n".join(lines)


_CONSTANTS = {"pi": 3.141592653589793, "e": 2.718281828459045}  # that Brian2 knows by name
# Words of Brian2 that a card cannot express, and what to write in their place.
_CURES = {
    "lastspike": "a card has no time of the last spike; give it a state that counts from there, "
    "'dsince/dt = 1 : second' with the reset 'since = 0*second', and write since for t - lastspike",
    "t": "a card has no time of its own, for samples are run one after the other; give it a "
    "state that "
    "counts, 'delapsed/dt = 1 : second', which starts at 0, and write elapsed for t",
    "t_in_timesteps": "a card does not count its steps; give it a state that does",
    "i": (
        "neurons are told apart by their parameters: Network.dense([(weight, bias, model, "
        "{name: values})])"
    ),
    "N": "a card is one neuron, whatever their number",
    "not_refractory": "write (unless refractory) behind the equation that is held",
    "rand": "write uniform, a number in [0, 1) that every engine draws alike",
    "randn": "write xi, which is noise of variance 1 a second, or make it of uniform and uniform_2",
}


def without_units(table: Table, card: str) -> Table:
    """Return a card's table whose texts hold names and numbers alone.

    Each quantity in a text becomes a derived constant.

    Raises
    ------
    RefsimError
        For a word of Brian2's that a card cannot express, with what to write in its place.
    """
    names = _names(table)
    if not all(isinstance(table.get(key, {}), dict) for key in NAMED):
        return table  # the reader says what is wrong with it
    literals = _Literals(names, card)
    changed = {
        key: _texts(table[key], literals, f"{card}: [{key}]")
        for key in TEXTS
        if isinstance(table.get(key), dict)
    }
    if not literals.changed:
        return table
    derived = changed.get("derived", {})
    return {**table, **changed, "derived": {**literals.constants, **derived}}


def _names(table: Mapping[str, Any]) -> set[str]:
    """Return every name to which the card gives a meaning: declared, or set by a statement."""
    declared = {name for key in NAMED if isinstance(table.get(key), dict) for name in table[key]}
    parts = [table[key] for key in ("continuous", "discrete") if isinstance(table.get(key), dict)]
    texts = [text for part in parts for text in part.values() if isinstance(text, str)]
    return declared | {
        match[1]
        for text in texts
        for match in re.finditer(r"(?:^|[\n;])\s*(\w+)\s*[-+*/]?=(?!=)", text)
    }


def _texts(part: Table, literals: "_Literals", where: str) -> Table:
    """Return a part of a card with its texts rewritten, those of tables in it too."""
    rewritten: Table = {}
    for key, value in part.items():
        if isinstance(value, dict):
            rewritten[key] = _texts(value, literals, f"{where} {key}")
        elif not isinstance(value, str):
            rewritten[key] = value
        elif key == "equations":
            rewritten[key] = "\n".join(
                literals.row(line, f"{where} {key}") for line in value.splitlines()
            )
        elif (
            key == "refractory"
            and base_unit(value) == "second"
            and not set(WORD.findall(value)) & literals.names
        ):
            rewritten[key] = literals.constant(
                value, to_si(value, "second", f"{where} {key}"), "second"
            )
        elif key in STATEMENTS:
            rewritten[key] = literals.statements(value, f"{where} {key}")
        else:
            rewritten[key] = (
                literals.expression(value, f"{where} {key}") if key in EXPRESSIONS else value
            )
    return rewritten


class _Literals(ast.NodeTransformer):
    """Replace each quantity in an expression by a derived constant.

    A quantity without a dimension becomes a number.
    """

    def __init__(self, names: Set[str], card: str) -> None:
        self.names, self.card, self.changed = names, card, False
        self.constants: dict[str, dict[str, str]] = {}

    def row(self, line: str, where: str) -> str:
        """Rewrite a line of equations."""
        row = ROW.match(line.split("#")[0].rstrip())
        if row is None:
            return line
        right = self.expression(row["right"], f"{where}, {row['left'].strip()}")
        same = right == row["right"]
        return line if same else f"{row['left'].rstrip()} = {right} : {row['unit'].strip()}"

    def statements(self, text: str, where: str) -> str:
        """Rewrite statements; a comparison inside arithmetic gets a statement of its own before."""
        plain = "\n".join(
            part for line in text.split("\n") for part in line.split("#")[0].split(";")
        )
        before = tests_first(plain) if not where.endswith(("fire", "[continuous] reset")) else plain
        after = "\n".join(self._statement(line, where) for line in before.split("\n"))
        self.changed |= after != plain
        return text if after == plain else after

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
        """Refuse words that a card cannot express."""
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(self.names)
        for name, cure in _CURES.items():
            if name in read:
                raise RefsimError(f"{where}: {name} in {ast.unparse(tree)!r} is not read: {cure}.")
        for name in sorted(read):
            if len(name) == 1 and (unit := unit_named(name)):
                raise RefsimError(
                    f"{where}: {name} in {ast.unparse(tree)!r} is no name of the card; the unit "
                    f"is written {unit.base}, and a name is declared."
                )

    def visit(self, node: ast.AST) -> Any:  # as in ast.NodeVisitor
        """Replace the largest part that holds numbers and units alone."""
        if isinstance(node, ast.expr) and (found := self._quantity(node)) and _has_name(node):
            number, unit = found
            value = number * factor(unit)
            if unit.dimension == NONE.dimension:
                return ast.parse(repr(value), mode="eval").body
            return ast.Name(self.constant(ast.unparse(node), value, unit.base), ast.Load())
        return super().visit(node)

    def constant(self, text: str, value: float, unit: str) -> str:
        """Return the name of a derived constant of this value, and keep it."""
        self.changed = True
        text = re.sub(r" ([*/]{1,2}) ", r"\1", text)
        entry = {"text": repr(value), "unit": unit, "meaning": f"{text}, as the equations write it"}
        # Equal quantities share a constant, and others that look alike are numbered.
        for name in (
            f"{_slug(text)}{end}" for end in ("", *(f"_{count}" for count in range(1, 1000)))
        ):
            if self.constants.get(name) == entry or not (
                name in self.names or name in self.constants
            ):
                self.constants[name] = entry
                return name
        raise AssertionError("a thousand constants of one text")

    def _quantity(self, node: ast.expr) -> tuple[float, Unit] | None:
        """Return number and unit of an expression of numbers and units; None for any other."""
        if isinstance(node, ast.Constant):
            number = node.value
            known = (
                isinstance(number, int | float)
                and not isinstance(number, bool)
                and abs(number) <= sys.float_info.max
            )
            return (float(number), NONE) if known else None  # type: ignore[arg-type]
        # A name of the card is no unit, and a unit of one letter is refused elsewhere.
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return None
            if node.id in _CONSTANTS:
                return _CONSTANTS[node.id], NONE
            unit = unit_named(node.id) if len(node.id) > 1 else None
            return (1.0, unit) if unit else None
        if isinstance(node, ast.UnaryOp):
            inner = self._quantity(node.operand)
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return (
                (sign * inner[0], inner[1])
                if inner and isinstance(node.op, ast.USub | ast.UAdd)
                else None
            )
        return self._of_two(node) if isinstance(node, ast.BinOp) else None

    def _of_two(self, node: ast.BinOp) -> tuple[float, Unit] | None:
        """Return the product, quotient or power of two quantities."""
        left, right = self._quantity(node.left), self._quantity(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Mult):
            return left[0] * right[0], left[1].times(right[1])
        if isinstance(node.op, ast.Div) and right[0]:
            return left[0] / right[0], left[1].times(right[1], -1)
        if (
            isinstance(node.op, ast.Pow)
            and right[1].dimension == NONE.dimension
            and abs(right[0]) < 10
            and left[0] > 0
        ):
            return _power(left[0], right[0]), left[1].to_the(right[0])
        return None


def _power(base: float, exponent: float) -> float:
    """Return a power, infinite where it is too large; `to_si` refuses that later."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _has_name(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Name) for part in ast.walk(node))


def _slug(text: str) -> str:
    """Return a name for a quantity: ``q_minus_50_mV``, ``q_0p7_nS_per_mV``."""
    name = (
        text.replace("**", "")
        .replace("*", "_")
        .replace("/", "_per_")
        .replace(".", "p")
        .replace("-", "minus_")
    )
    return "q_" + re.sub(r"_+", "_", re.sub(r"\W+", "_", name)).strip("_")
