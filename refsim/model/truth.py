"""Comparisons that count as 1 or 0 inside arithmetic, as Brian2 writes them: each gets a name of its own."""

import ast
import re
from collections.abc import Iterable, Set

from .expressions import is_test

WORD = re.compile(r"[A-Za-z_]\w*")
ROW = re.compile(r"^(?P<left>[^=]+)=(?P<right>.+):(?P<unit>[^:]+)$")
STATEMENT = re.compile(r"^(\s*\w+\s*[-+*/]?=)(?!=)(.+)$")


def parsed(text: str) -> ast.expr | None:
    """Return an expression as a tree, None where it is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # the reader of expressions says what is wrong with it


def free(names: Iterable[str], used: Set[str]) -> str:
    """Return the first name that is not used."""
    return next(name for name in names if name not in used)


def tests_named(text: str, taken: Set[str]) -> str:
    """Put each ``int(v > 1)`` inside arithmetic on a line of its own, above."""
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
        lines.append(f"{row['left'].rstrip()} = {right} : {row['unit'].strip()}" if tests.found else line)
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
    """Return statements, one a line, in which each ``int()`` of a comparison is a statement of its own, above."""
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
