"""A card as a system of equations, laid out once for LaTeX and Markdown.

First comes `system`: synapses, ODE, threshold and reset, derived constants, and one step. Then
comes the declared step as equations over the number of the step, with primes on what one step sets
several times. Then come the rows of a table of what the card declares: states at their start,
parameters, and the constants made of them.
"""

import ast
from collections import Counter
from dataclasses import dataclass, field

from ..cards.equations import SOLUTIONS
from ..cards.language import Statement, comparisons, parse_expression, parse_statements
from ..cards.names import DRAWS, INPUT_KINDS
from ..cards.neuron import NeuronModel
from ..cards.ode import GENERATED, generated_step, state_of
from ..cards.questions import ode_part
from ..core.errors import RefsimError
from .formula import NOTES, decimal, formula, functions_in, symbol, terms, with_prefix


@dataclass(frozen=True)
class Equation:
    """One equation: what stands before the sign, the sign, and the terms behind it."""

    left: str
    sign: str
    right: tuple[str, ...]

    @property
    def text(self) -> str:
        """The equation in one line."""
        return " ".join(part for part in (self.left, self.sign, *self.right) if part)


@dataclass(frozen=True)
class EquationBlock:
    """Equations that belong together, with a heading and sentences behind them.

    Mathematics in sentences stands between dollars.
    """

    heading: str
    lines: tuple[Equation, ...]
    words: tuple[str, ...] = field(default=())


def system(model: NeuronModel) -> tuple[EquationBlock, ...]:
    """Return all equations of a card in the order of reading."""
    _check_symbols(model)
    index = step_index(model)
    blocks = [EquationBlock("Synapses", tuple(_synapses(model, index)), (_input_words(model),))]
    # An ODE has a membrane, and perhaps a threshold.
    if model.continuous is not None:
        blocks.append(EquationBlock("Membrane", tuple(_odes(model)), tuple(_method_words(model))))
        if lines := _events(model):
            blocks.append(
                EquationBlock("Threshold and reset", tuple(lines), tuple(_refractory_words(model)))
            )
    # Derived constants are formulas too.
    if model.derived:
        made = [
            Equation(symbol(name), "=", tuple(terms(parse_expression(each.text, name))))
            for name, each in model.derived.items()
        ]
        said = (
            (r"$\Delta t$ is the duration of a step.",)
            if any("\\Delta t" in line.text for line in made)
            else ()
        )
        blocks.append(EquationBlock("Derived constants", tuple(made), said))
    # The declared step comes last.
    rows, words = step_equations(model, index)
    return (
        *blocks,
        EquationBlock("One step", tuple(rows), (*words, *_notes(model))),
    )


def _check_symbols(model: NeuronModel) -> None:
    printed: dict[str, str] = {}
    # Two names that print alike could not be told apart.
    for name in (*model.state, *model.parameters, *model.derived, *model.kernels):
        other = printed.setdefault(symbol(name), name)
        if other != name:
            raise RefsimError(
                f"card '{model.name}': '{other}' and '{name}' would both be printed as "
                f"${symbol(name)}$; give one another name in the card."
            )


def step_index(model: NeuronModel) -> str:
    """Return a letter that counts steps and that no name of the card uses; k is a kernel's."""
    taken = {
        *model.state,
        *model.parameters,
        *model.derived,
        *(statement.target for statement in model.discrete.ordered),
        *(["k"] if model.kernels else []),
    }
    return next(letter for letter in ("n", "k", "m", "l", "q", "n_{s}") if letter not in taken)


def _synapses(model: NeuronModel, index: str) -> list[Equation]:
    heard = f"s_{{j}}[{index}]"
    if len(model.inputs) == 1:
        return [
            Equation(f"{symbol(name)}[{index}]", "=", (rf"\sum_{{j}} w_{{j}}\,{heard}",))
            for name in model.inputs
        ]
    signed = {"excitatory": r"w_{j}", "inhibitory": r"-w_{j}"}
    return [
        Equation(
            f"{symbol(name)}[{index}]",
            "=",
            (rf"\sum_{{j}} \max\left({signed[name.partition('_')[2]]}, 0\right)\,{heard}",),
        )
        for name in model.inputs
    ]


def _input_words(model: NeuronModel) -> str:
    reached = " and ".join(
        f"${symbol(name)}$ reaches ${symbol(state)}$" for name, state in model.inputs.items()
    )
    return (
        f"Synapse $j$ has weight $w_{{j}}$ and spikes $s_{{j}}$ (1 or 0); "
        f"{INPUT_KINDS[model.input_kind]}. {reached}."
    )


def _odes(model: NeuronModel) -> list[Equation]:
    part, lines = ode_part(model), []
    for row in part.rows:
        # A slope is a derivative on the page; a subexpression is a name.
        state = state_of(row.left)
        tree = part.odes.slopes[state] if state else part.odes.subexpressions[row.left]
        written = (
            rf"\frac{{\mathrm{{d}}{symbol(state)}}}{{\mathrm{{d}}t}}" if state else symbol(row.left)
        )
        lines.append(Equation(written, "=", tuple(terms(tree))))
    return lines


def _method_words(model: NeuronModel) -> list[str]:
    assert model.continuous is not None
    said = []
    if model.input_kind != "pulse" and "step" in model.continuous.equations:
        said.append(
            r"$I/\Delta t$ is a current of the charge of one input, spread over one step $\Delta "
            r"t$; an input spike is a jump of that size."
        )
    if model.continuous.method == "exact":
        return [*said, "The equations are solved exactly over a time step."]
    methods = {
        "euler": "forward Euler",
        "exponential_euler": "exponential Euler",
        "rk2": "Runge-Kutta of order 2",
        "rk4": "Runge-Kutta of order 4",
        "heun": "Heun's method",
    }
    return [*said, f"The equations are integrated by {methods[model.continuous.method]}."]


def _events(model: NeuronModel) -> list[Equation]:
    part = model.continuous
    assert part is not None
    modulated = [
        Equation(symbol(each.target), "=", tuple(terms(each.tree)))
        for each in model.discrete.modulate
        if _reads(part.threshold, each.target)
    ]
    # A neuron without threshold has no events.
    if not part.threshold:
        return []
    lines = [
        *modulated,
        Equation(
            r"\mathrm{spike\ where}\quad",
            "",
            (formula(parse_expression(part.threshold, "threshold")),),
        ),
    ]
    for number, each in enumerate(parse_statements(part.reset, "reset") if part.reset else ()):
        left = r"\mathrm{then}\quad" if not number else ""
        lines.append(Equation(left, "", (rf"{symbol(each.target)} \leftarrow", *terms(each.tree))))
    return lines


def _reads(text: str, name: str) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name
        for node in ast.walk(ast.parse(text, mode="eval"))
    )


def _refractory_words(model: NeuronModel) -> list[str]:
    part = model.continuous
    assert part is not None
    # The order matters only of several statements.
    said = (
        ["Statements of the reset run in order."]
        if len(parse_statements(part.reset, "reset") if part.reset else ()) > 1
        else []
    )
    held = [symbol(state_of(row.left)) for row in part.rows if row.unless_refractory]
    also = (
        f", and {', '.join(f'${name}$' for name in held)} {'is' if len(held) == 1 else 'are'} held"
        if held
        else ""
    )
    if part.refractory in model.constant_units:
        said.append(f"For ${symbol(part.refractory)}$ after a spike there is no other{also}.")
    elif part.refractory:
        said.append(
            "There is no other spike while "
            f"${formula(parse_expression(part.refractory, 'refractory'))}${also}."
        )
    said += (
        [
            (
                r"In each time step $\mathrm{d}t$ of the integration a number $\mathcal{U}$ is "
                r"drawn, uniform in $[0, 1)$."
            )
        ]
        if model.draws
        else []
    )
    return said


def _notes(model: NeuronModel) -> list[str]:
    """Say what functions mean that not everyone writes so."""
    # All formulas of the card.
    trees = [statement.tree for statement in model.discrete.ordered]
    if model.continuous is not None:
        trees += [*model.continuous.odes.slopes.values()]
        trees += [*model.continuous.odes.subexpressions.values()]
    trees += [parse_expression(derived.text, name) for name, derived in model.derived.items()]
    said = [
        f"${text}${words}." for name, (text, words) in NOTES.items() if name in functions_in(*trees)
    ]
    drawn = [symbol(name) for name in DRAWS if name in model.discrete.names]
    return said + (
        [f"{', '.join(f'${name}$' for name in drawn)}: drawn in each step, uniform in $[0, 1)$."]
        if drawn
        else []
    )


def step_equations(model: NeuronModel, index: str) -> tuple[list[Equation], list[str]]:
    """Return the equations of one step, and the sentences that stand behind them."""
    step = _Step(model, index)
    # Kernels are sums over past steps, and come first.
    for name in model.kernels:
        step.kernel(name)
    statements = list(model.discrete.ordered)
    start, made = _generated(model)
    # What a method made of the ODE is written as the method.
    while statements:
        if made and len(model.discrete.ordered) - len(statements) == start:
            step.method(made)
            del statements[: len(made)]
        else:
            step.statement(statements.pop(0))
    solution = SOLUTIONS[model.discrete.solution].replace("as [input] declares it", "of this kind")
    words = [rf"One step of $\Delta t$, in this order; it is {solution}."]
    # Notes on the notation, only where it is used.
    if step.renamed:
        words.append(f"Primes mark what step ${index}$ sets on the way.")
    if model.discrete.readout:
        over = (
            f", the {model.discrete.over_steps} of what has arrived over the steps so far"
            if model.discrete.over_steps
            else ""
        )
        words.append(
            "The neuron never fires; its output is "
            f"${symbol(model.discrete.readout)}[{index}]${over}."
        )
    return step.rows, words + step.words


def _generated(model: NeuronModel) -> tuple[int, tuple[Statement, ...]]:
    """Return where in the step the statements begin that a method made of the ODE, and these.

    It is -1, with none, where the step has no such statements.
    """
    if model.continuous is None or model.discrete.solution not in GENERATED:
        return -1, ()
    odes = model.continuous.odes
    if odes.unless_refractory:
        return -1, ()
    # The statements that the method makes of this ODE.
    made = generated_step(
        odes, model.discrete.solution, model.inputs, kind=model.input_kind, where="equations"
    )
    texts, wanted = (
        [(each.target, each.text) for each in model.discrete.integrate],
        [(each.target, each.text) for each in made],
    )
    # The step may have other statements around them.
    starts = [start for start in range(len(texts)) if texts[start : start + len(wanted)] == wanted]
    return (starts[0], made) if starts else (-1, ())


class _Step:
    def __init__(self, model: NeuronModel, index: str) -> None:
        self.model, self.index = model, index
        self.rows: list[Equation] = []
        self.words: list[str] = []
        self.alias: dict[str, str] = {}
        self.renamed = False
        start, made = _generated(model)
        inside = range(start, start + len(made))
        targets = [
            each.target
            for at, each in enumerate(model.discrete.ordered)
            if at not in inside or each.target in model.state
        ]
        self.total, self.done = Counter(targets), Counter[str]()

    def name(self, name: str) -> str:
        """Return a name with the step it belongs to.

        The last one where the step has not set it yet.
        """
        # A helper that only keeps a value is that value.
        if name in self.alias:
            return self.alias[name]
        varies = {*self.model.inputs, *self.model.kernels, *self.model.draws}
        if name in varies:
            return f"{symbol(name)}[{self.index}]"
        if name not in self.total:
            return symbol(name)
        # Not yet set in this step, so it is the last step's.
        if not self.done[name]:
            return f"{symbol(name)}[{self.index}-1]"
        # Set more than once: all but the last time have primes.
        primes = self.done[name] if self.done[name] < self.total[name] else 0
        self.renamed |= primes > 0
        return f"{symbol(name, primes)}[{self.index}]"

    def set(self, name: str) -> str:
        self.done[name] += 1
        return self.name(name)

    def statement(self, statement: Statement) -> None:
        """Add ``target = expression``; a helper that only keeps a value is that value."""
        tree, target = statement.tree, statement.target
        if isinstance(tree, ast.Name) and target not in self.model.state:
            self.alias[target] = self.name(tree.id)
            return
        # A comparison is 1 or 0.
        right = (
            (rf"\mathbf{{1}}\left({formula(tree, self.name)}\right)",)
            if comparisons(tree)
            else tuple(terms(tree, self.name))
        )
        if comparisons(tree) and not any(r"\mathbf{1}" in word for word in self.words):
            self.words.append(
                r"$\mathbf{1}(\cdot)$ is 1 where the condition holds and 0 elsewhere."
            )
        self.alias.pop(target, None)
        self.rows.append(Equation(self.set(target), "=", right))

    def kernel(self, name: str) -> None:
        """Add a sum over past steps and the kernel in it."""
        kernel, own = self.model.kernels[name], self.model.kernels[name].of == "z"
        # A kernel of spikes begins one step ago.
        first = 1 if own else 0
        past = rf"{_kernel(name)}\,{symbol(kernel.of)}[{self.index}-k]"
        whole = (rf"\sum_{{k={first}}}^{{K-1}} {past}",)
        self.rows.append(Equation(f"{symbol(name)}[{self.index}]", "=", whole))
        text = tuple(terms(parse_expression(kernel.text, name)))
        self.rows.append(Equation(_kernel(name), "=", text))
        cut = formula(
            parse_expression(kernel.cut, name),
            lambda each: _kernel(name) if each == name else symbol(each),
        )
        self.words.append(f"${_kernel(name)}$ ends before the first $k = K$ where ${cut}$.")

    def method(self, made: tuple[Statement, ...]) -> None:
        """Add the step of a numerical method, for all states at once.

        Inputs that are jumps come before or after it.
        """
        jumps = len(self.model.inputs)
        kind, states = self.model.input_kind, list(self.model.solved)
        for statement in made[:jumps] if kind == "early_impulse" else ():
            self.statement(statement)
        given = ", ".join(self.name(name) for name in self.model.inputs) if kind == "pulse" else "0"
        old = _vector([self.name(name) for name in states])
        new = _vector([self.set(name) for name in states])
        self.rows.append(Equation(r"\mathbf{y}", "=", (old,)))
        self.rows += _METHODS[self.model.discrete.solution](new, given)
        self.words.append(
            r"$\mathbf{f}$ are the right-hand sides of the differential equations"
            + ("." if kind == "pulse" else ", without their input.")
        )
        if self.model.discrete.solution == "exponential_euler":
            self.words.append(r"$A_{i}$ and $B_{i}$ are taken at $\mathbf{y}$.")
        for statement in made[-jumps:] if kind == "impulse" else ():
            self.statement(statement)


def _kernel(name: str) -> str:
    return rf"{symbol(name)}(k)"


def _vector(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else rf"\left({', '.join(parts)}\right)"


def _euler(new: str, given: str) -> list[Equation]:
    step = rf"+ \Delta t\,\mathbf{{f}}\left(\mathbf{{y}}, {given}\right)"
    return [Equation(new, "=", (r"\mathbf{y}", step))]


def _exponential_euler(new: str, given: str) -> list[Equation]:
    slope = rf"f_{{i}}\left(\mathbf{{y}}, {given}\right)"
    moved = r"\left(y_{i} + \frac{A_{i}}{B_{i}}\right)\,\exp\left(B_{i}\,\Delta t\right)"
    return [
        Equation(slope, "=", ("A_{i}", r"+ B_{i}\,y_{i}")),
        Equation(r"y'_{i}", "=", (moved, r"- \frac{A_{i}}{B_{i}}")),
        Equation(new, "=", (r"\mathbf{y}'",)),
    ]


def _rk4(new: str, given: str) -> list[Equation]:
    points = {
        1: "",
        2: r" + \frac{\Delta t}{2}\,\mathbf{k}_{1}",
        3: r" + \frac{\Delta t}{2}\,\mathbf{k}_{2}",
        4: r" + \Delta t\,\mathbf{k}_{3}",
    }
    stages = [
        Equation(
            rf"\mathbf{{k}}_{{{number}}}",
            "=",
            (rf"\mathbf{{f}}\left(\mathbf{{y}}{more}, {given}\right)",),
        )
        for number, more in points.items()
    ]
    last = (
        r"+ \frac{\Delta t}{6}\,\left(\mathbf{k}_{1} + 2\,\mathbf{k}_{2} + 2\,\mathbf{k}_{3} "
        r"+ \mathbf{k}_{4}\right)"
    )
    return [*stages, Equation(new, "=", (r"\mathbf{y}", last))]


_METHODS = {"euler": _euler, "exponential_euler": _exponential_euler, "rk4": _rk4}


# Symbol and value as mathematics (no value where there is an equation), unit as a word, meaning as
# text.
TableRow = tuple[str, str, str, str]


def sections(model: NeuronModel) -> list[tuple[str, list[TableRow]]]:
    """Return (heading, rows), without the empty ones."""
    states = [
        _row(
            name,
            each.start,
            each.unit,
            each.meaning + (f" ({each.only} part only)" if each.only else ""),
        )
        for name, each in model.state.items()
    ]
    parameters = [
        _row(name, each.value, each.unit, each.meaning) for name, each in model.parameters.items()
    ]
    derived = [
        (symbol(name), "", with_prefix(1.0, each.unit)[1], each.meaning)
        for name, each in model.derived.items()
    ]
    found = [("States, at the start", states), ("Parameters", parameters), ("Derived", derived)]
    return [(heading, rows) for heading, rows in found if rows]


def _row(name: str, value: float, unit: str, meaning: str) -> TableRow:
    digits, sign = with_prefix(value, unit)
    return symbol(name), decimal(digits), sign, meaning
