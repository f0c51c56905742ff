"""The declared step as equations over the number of the step; what one step sets several times gets primes on the way."""

import ast
from collections import Counter

from ..model import NeuronModel
from ..model.equations import SOLUTIONS
from ..model.expressions import Statement, comparisons, parse_expression
from ..model.odes import GENERATED, generated_step, read_odes
from .formula import formula, terms
from .symbols import symbol

Row = tuple[str, str, tuple[str, ...]]  # left, sign, terms on the right


def step_lines(model: NeuronModel, index: str) -> tuple[list[Row], list[str]]:
    """Return the equations of one step, and sentences to them."""
    step = _Step(model, index)
    for name in model.kernels:
        step.kernel(name)
    statements = list(model.discrete.ordered)
    start, made = _generated(model)
    while statements:
        if made and len(model.discrete.ordered) - len(statements) == start:
            step.method(made)
            del statements[: len(made)]
        else:
            step.statement(statements.pop(0))
    solution = SOLUTIONS[model.discrete.solution].replace("as [input] declares it", "of this kind")
    words = [rf"One step of $\Delta t$, in this order; it is {solution}."]
    if step.renamed:
        words.append(f"Primes mark what step ${index}$ sets on the way.")
    if model.discrete.readout:
        over = f", the {model.discrete.over_steps} of what has arrived over the steps so far" if model.discrete.over_steps else ""
        words.append(f"The neuron never fires; its output is ${symbol(model.discrete.readout)}[{index}]${over}.")
    return step.rows, words + step.words


def _generated(model: NeuronModel) -> tuple[int, tuple[Statement, ...]]:
    """Return where in the step the statements begin that a method made of the ODE, and these; none where there are none."""
    if model.continuous is None or model.discrete.solution not in GENERATED:
        return -1, ()
    odes = read_odes(model.continuous.equations, "equations")
    if odes.held:
        return -1, ()
    made = generated_step(odes, model.discrete.solution, model.inputs, kind=model.input_kind, where="equations")
    texts, wanted = [(each.target, each.text) for each in model.discrete.integrate], [(each.target, each.text) for each in made]
    starts = [start for start in range(len(texts)) if texts[start : start + len(wanted)] == wanted]
    return (starts[0], made) if starts else (-1, ())


class _Step:
    def __init__(self, model: NeuronModel, index: str) -> None:
        self.model, self.index = model, index
        self.rows: list[Row] = []
        self.words: list[str] = []
        self.alias: dict[str, str] = {}
        self.renamed = False
        start, made = _generated(model)
        inside = range(start, start + len(made))
        targets = [each.target for at, each in enumerate(model.discrete.ordered) if at not in inside or each.target in model.state]
        self.total, self.done = Counter(targets), Counter[str]()

    def name(self, name: str) -> str:
        """Return a name with the step it belongs to: the last one where the step has not set it yet."""
        if name in self.alias:
            return self.alias[name]
        varies = {*self.model.inputs, *self.model.kernels, *self.model.draws}
        if name in varies:
            return f"{symbol(name)}[{self.index}]"
        if name not in self.total:
            return symbol(name)
        if not self.done[name]:
            return f"{symbol(name)}[{self.index}-1]"
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
        right = (rf"\mathbf{{1}}\left({formula(tree, self.name)}\right)",) if comparisons(tree) else tuple(terms(tree, self.name))
        if comparisons(tree) and not any(r"\mathbf{1}" in word for word in self.words):
            self.words.append(r"$\mathbf{1}(\cdot)$ is 1 where the condition holds and 0 elsewhere.")
        self.alias.pop(target, None)
        self.rows.append((self.set(target), "=", right))

    def kernel(self, name: str) -> None:
        """Add a sum over past steps and the kernel in it."""
        kernel, own = self.model.kernels[name], self.model.kernels[name].of == "z"
        first = 1 if own else 0
        self.rows.append((f"{symbol(name)}[{self.index}]", "=", (rf"\sum_{{k={first}}}^{{K-1}} {_kernel(name)}\,{symbol(kernel.of)}[{self.index}-k]",)))
        self.rows.append((_kernel(name), "=", tuple(terms(parse_expression(kernel.text, name)))))
        cut = formula(parse_expression(kernel.cut, name), lambda each: _kernel(name) if each == name else symbol(each))
        self.words.append(f"${_kernel(name)}$ ends before the first $k = K$ where ${cut}$.")

    def method(self, made: tuple[Statement, ...]) -> None:
        """Add the step of a numerical method, for all states at once; inputs that are jumps come before or after it."""
        jumps = len(self.model.inputs)
        kind, states = self.model.input_kind, list(self.model.solved)
        for statement in made[:jumps] if kind == "early_impulse" else ():
            self.statement(statement)
        given = ", ".join(self.name(name) for name in self.model.inputs) if kind == "pulse" else "0"
        old = _vector([self.name(name) for name in states])
        new = _vector([self.set(name) for name in states])
        self.rows.append((r"\mathbf{y}", "=", (old,)))
        self.rows += _METHODS[self.model.discrete.solution](new, given)
        self.words.append(r"$\mathbf{f}$ are the right-hand sides of the differential equations" + ("." if kind == "pulse" else ", without their input."))
        if self.model.discrete.solution == "exponential_euler":
            self.words.append(r"$A_{i}$ and $B_{i}$ are taken at $\mathbf{y}$.")
        for statement in made[-jumps:] if kind == "impulse" else ():
            self.statement(statement)


def _kernel(name: str) -> str:
    return rf"{symbol(name)}(k)"


def _vector(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else rf"\left({', '.join(parts)}\right)"


def _euler(new: str, given: str) -> list[Row]:
    return [(new, "=", (r"\mathbf{y}", rf"+ \Delta t\,\mathbf{{f}}\left(\mathbf{{y}}, {given}\right)"))]


def _exponential_euler(new: str, given: str) -> list[Row]:
    return [
        (rf"f_{{i}}\left(\mathbf{{y}}, {given}\right)", "=", ("A_{i}", r"+ B_{i}\,y_{i}")),
        (r"y'_{i}", "=", (r"\left(y_{i} + \frac{A_{i}}{B_{i}}\right)\,\exp\left(B_{i}\,\Delta t\right)", r"- \frac{A_{i}}{B_{i}}")),
        (new, "=", (r"\mathbf{y}'",)),
    ]


def _rk4(new: str, given: str) -> list[Row]:
    reach = {1: "", 2: r" + \frac{\Delta t}{2}\,\mathbf{k}_{1}", 3: r" + \frac{\Delta t}{2}\,\mathbf{k}_{2}", 4: r" + \Delta t\,\mathbf{k}_{3}"}
    stages: list[Row] = [(rf"\mathbf{{k}}_{{{number}}}", "=", (rf"\mathbf{{f}}\left(\mathbf{{y}}{more}, {given}\right)",)) for number, more in reach.items()]
    last = r"+ \frac{\Delta t}{6}\,\left(\mathbf{k}_{1} + 2\,\mathbf{k}_{2} + 2\,\mathbf{k}_{3} + \mathbf{k}_{4}\right)"
    return [*stages, (new, "=", (r"\mathbf{y}", last))]


_METHODS = {"euler": _euler, "exponential_euler": _exponential_euler, "rk4": _rk4}
