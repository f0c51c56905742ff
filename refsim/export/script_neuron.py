"""The group of neurons in a Brian2 script.

It is written from the card's ODE, or from its declared step line by line.
"""

import ast
import copy
import re
from collections.abc import Sequence

from ..cards.language import bare, comparisons, names_in, number_of, parse_expression
from ..cards.names import DRAWS
from ..cards.neuron import NeuronModel

_WORD = re.compile(r"[A-Za-z_]\w*")
_ONE = (
    "Brian2 dates a spike at the beginning of its time step: one more holds it for the whole period"
)
# What a card may call and Brian2 has no function for; in a step it is named, so that the step reads
# as the card does.
_SHIFT = [
    '@implementation("cpp", "double shr(double x, double n) { return trunc(x/pow(2.0, n)); }")',
    "@check_units(x=1, n=1, result=1)",
    "def shr(x, n):",
    '    """Shift the size of a whole number down by n bits."""',
    "    return np.trunc(x/2.0**n)",
]
_FLOOR = [
    '@implementation("cpp", "double whole_below(double x) { return floor(x); }")',
    "@check_units(x=1, result=1)",
    "def whole_below(x):",
    '    """Return the whole number below as a floating-point one: '
    'Brian2\'s floor is an integer of 32 bits."""',
    "    return np.floor(x)",
]


def read_names(model: NeuronModel) -> frozenset[str]:
    """Return the names that the part of the card in the script reads, derived ones included.

    The part is the ODE where there is one, and else the step.
    """
    if part := model.continuous:
        texts = [part.equations, part.threshold, part.reset, part.refractory]
        wanted = set(_WORD.findall(" ".join(texts)))
        for statement in reversed(model.discrete.modulate):
            wanted |= statement.names if statement.target in wanted else set()
    else:
        wanted = set(model.discrete.names)
    # Later constants may read earlier ones, so the list is walked backwards.
    for name, derived in reversed(list(model.derived.items())):
        wanted |= names_in(parse_expression(derived.text, name)) if name in wanted else set()
    return frozenset(wanted)


def continuous_group(model: NeuronModel) -> str:
    """Return equations, threshold, reset and method as the card gives them."""
    part = model.continuous
    assert part is not None
    lines = [f"{row.left} = {_of_text(row.right)} : {row.behind}" for row in part.rows]
    wanted = read_names(model)
    # What modulate names, the threshold may read.
    lines += [
        f"{each.target} = {brian2_text(each.text, each.tree)} : 1"
        for each in model.discrete.modulate
        if each.target in wanted
    ]
    lines += [f"{name} : {model.input_unit}" for name in model.inputs] + [
        f"{name} : 1" for name in _drawn(model)
    ]
    # Each statement of the reset is written for Brian2.
    reset = "; ".join(_of_statement(row) for row in part.reset.split("; ")) if part.reset else ""
    options = (
        [("threshold", _of_text(part.threshold), ""), ("reset", reset, "")]
        if part.threshold
        else []
    )
    # A refractory period in seconds, or a condition.
    timed = part.refractory in model.constant_units
    held = (
        f"{part.refractory} + dt" if timed else _of_text(part.refractory) if part.refractory else ""
    )
    options += [("refractory", held, _ONE if timed else ""), ("method", part.method, "")]
    given = [
        f'    {key}="{text}",' + (f"  # {comment}" if comment else "")
        for key, text, comment in options
        if text or key == "reset"
    ]
    # Numbers by chance are drawn before each step.
    draw = "; ".join(f"{name} = rand()" for name in _drawn(model))
    after = [f'neurons.run_regularly("{draw}", when="start")'] if draw else []
    return _defined(
        [
            *_equations(lines),
            "",
            "neurons = NeuronGroup(",
            "    1,",
            "    equations,",
            *given,
            ")",
            *after,
        ]
    )


def discrete_group(model: NeuronModel) -> str:
    """Return the declared step as statements that run in the card's order, once a time step."""
    step = model.discrete
    lines = [f"{name} : {state.unit}" for name, state in model.stepped.items()] + [
        f"{name} : {model.input_unit}" for name in model.inputs
    ]
    lines += ["z : integer"] if step.fire else []
    code, order = [f"{name} = rand()" for name in model.draws], []
    # The parts of the step in the order in which they run.
    for name, statements in (
        ("integrate", step.integrate),
        ("modulate", step.modulate),
        ("fire", (step.fire,) if step.fire else ()),
        ("reset", step.reset),
    ):
        code += [f"{each.target} = {brian2_text(each.text, each.tree)}" for each in statements]
        order += [name] if statements else []
    # The step decides by itself; Brian2 only reads z.
    threshold = ', threshold="z > 0", reset=""' if step.fire else ""
    group = [
        f"neurons = NeuronGroup(1, equations{threshold})",
        f"# One step, in this order: {', '.join(order)}.",
        "neurons.run_regularly(",
        '    """',
        *(f"    {line}" for line in code),
        '    """,',
        '    when="groups",',
        ")",
    ]
    return _defined([*_equations(lines), "", *group])


def _defined(lines: Sequence[str]) -> str:
    """Return Brian2's text behind the functions that it calls and Brian2 lacks or has otherwise."""
    text = re.sub(r"\bfloor\s*\(", "whole_below(", "\n".join(lines))
    # Only functions that the text calls are defined.
    functions = [
        define for name, define in (("shr(", _SHIFT), ("whole_below(", _FLOOR)) if name in text
    ]
    return "\n".join([*(line for define in functions for line in (*define, "", "")), text])


def _of_text(text: str) -> str:
    """Return an expression of the ODE as the card writes it, as far as Brian2 can read it.

    What Brian2 has no word for, or computes otherwise, is replaced.
    """
    return _written(text, parse_expression(text, "text"), _Replaced())


def _of_statement(text: str) -> str:
    """Return a statement ``v = ...`` or ``v -= ...`` in the same way."""
    head, equals, tail = text.partition("=")
    return f"{head}{equals} {_of_text(tail)}"


def _drawn(model: NeuronModel) -> list[str]:
    wanted = read_names(model)
    return [name for name in DRAWS if name in wanted]


def _equations(lines: Sequence[str]) -> list[str]:
    return ['equations = """', *lines, '"""']


def brian2_text(text: str, tree: ast.expr) -> str:
    """Write an expression for Brian2.

    A comparison is 1 or 0, and ``round``, which Brian2 lacks, is written with ``floor``.
    """
    written = _written(text, tree, _Replaced())
    return f"int({written})" if comparisons(tree) else written


def python_text(text: str, tree: ast.expr) -> str:
    """Write an expression that Python computes once, with the names of ``from brian2 import *``."""
    return _written(text, tree, _Replaced(python=True))


def _written(text: str, tree: ast.expr, replaced: "_Replaced") -> str:
    """Return the card's own text, or the changed one where a function had to be replaced."""
    changed = replaced.visit(copy.deepcopy(tree))
    return re.sub(r" (\*\*|\*|/) ", r"\1", ast.unparse(changed)) if replaced.found else bare(text)


class _Replaced(ast.NodeTransformer):
    """Replace functions that do not exist by what does.

    The text is Brian2's, or Python's where it is computed once.
    """

    def __init__(self, *, python: bool = False) -> None:
        self.python, self.found = python, False

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Compute a power of numbers alone: of whole numbers Brian2 makes 0 of ``2**(-1)``."""
        self.generic_visit(node)
        value = (
            None
            if self.python or not isinstance(node.op, ast.Pow) or names_in(node)
            else number_of(node)
        )
        if value is None:
            return node
        self.found = True
        return ast.Constant(value)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace the functions that are missing.

        round(x) becomes floor(x + 0.5); trunc(x) in Brian2 becomes sign(x)*floor(abs(x)); shr(x, n)
        in Python becomes trunc(x/2**n).
        """
        self.generic_visit(node)
        assert isinstance(node.func, ast.Name)
        text = {
            "round": "floor({0} + 0.5)",
            "shr": "trunc({0}/2.0**{1})" if self.python else "",
            "trunc": "" if self.python else "sign({0})*floor(abs({0}))",
        }
        if not (wanted := text.get(node.func.id)):
            return node
        self.found = True
        return ast.parse(
            wanted.format(*(f"({ast.unparse(argument)})" for argument in node.args)), mode="eval"
        ).body
