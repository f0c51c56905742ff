"""A card as a system of equations, laid out once for LaTeX and Markdown: synapses, ODE, threshold and reset."""

import ast
from dataclasses import dataclass, field

from ..errors import RefsimError
from ..model import NeuronModel
from ..model.expressions import parse_expression, parse_statements
from ..model.naming import DRAWS, INPUT_KINDS
from ..model.reading import equation_lines
from .formula import NOTES, formula, functions_in, terms
from .step import step_lines
from .symbols import symbol


@dataclass(frozen=True)
class Line:
    """One equation: what stands before the sign, the sign, and the terms behind it."""

    left: str
    sign: str
    right: tuple[str, ...]

    @property
    def text(self) -> str:
        """The equation in one line."""
        return " ".join(part for part in (self.left, self.sign, *self.right) if part)


@dataclass(frozen=True)
class Block:
    """Equations that belong together, with a heading and sentences behind them; mathematics in sentences stands between dollars."""

    heading: str
    lines: tuple[Line, ...]
    words: tuple[str, ...] = field(default=())


def system(model: NeuronModel) -> tuple[Block, ...]:
    """Return all equations of a card in the order of reading."""
    _check_symbols(model)
    index = step_index(model)
    blocks = [Block("Synapses", tuple(_synapses(model, index)), (_input_words(model),))]
    if model.continuous is not None:
        blocks.append(Block("Membrane", tuple(_odes(model)), tuple(_method_words(model))))
        if lines := _events(model):
            blocks.append(Block("Threshold and reset", tuple(lines), tuple(_refractory_words(model))))
    if model.derived:
        made = [Line(symbol(name), "=", tuple(terms(parse_expression(each.text, name)))) for name, each in model.derived.items()]
        said = (r"$\Delta t$ is the duration of a step.",) if any("\\Delta t" in line.text for line in made) else ()
        blocks.append(Block("Derived constants", tuple(made), said))
    rows, words = step_lines(model, index)
    return (*blocks, Block("One step", tuple(Line(*row) for row in rows), (*words, *_notes(model))))


def _check_symbols(model: NeuronModel) -> None:
    printed: dict[str, str] = {}
    for name in (*model.state, *model.parameters, *model.derived, *model.kernels):
        other = printed.setdefault(symbol(name), name)
        if other != name:
            raise RefsimError(f"card '{model.name}': '{other}' and '{name}' would both be printed as ${symbol(name)}$; give one another name in the card.")


def step_index(model: NeuronModel) -> str:
    """Return a letter that counts steps and that no name of the card uses; k is a kernel's."""
    taken = {*model.state, *model.parameters, *model.derived, *(statement.target for statement in model.discrete.ordered), *(["k"] if model.kernels else [])}
    return next(letter for letter in ("n", "k", "m", "l", "q", "n_{s}") if letter not in taken)


def _synapses(model: NeuronModel, index: str) -> list[Line]:
    heard = f"s_{{j}}[{index}]"
    if len(model.inputs) == 1:
        return [Line(f"{symbol(name)}[{index}]", "=", (rf"\sum_{{j}} w_{{j}}\,{heard}",)) for name in model.inputs]
    signed = {"excitatory": r"w_{j}", "inhibitory": r"-w_{j}"}
    return [Line(f"{symbol(name)}[{index}]", "=", (rf"\sum_{{j}} \max\left({signed[name.partition('_')[2]]}, 0\right)\,{heard}",)) for name in model.inputs]


def _input_words(model: NeuronModel) -> str:
    reached = " and ".join(f"${symbol(name)}$ reaches ${symbol(state)}$" for name, state in model.inputs.items())
    return f"Synapse $j$ has weight $w_{{j}}$ and spikes $s_{{j}}$ (1 or 0); {INPUT_KINDS[model.input_kind]}. {reached}."


def _odes(model: NeuronModel) -> list[Line]:
    lines = []
    for left, right, _unit in equation_lines(model):
        state = left[1:].removesuffix("/dt") if left.endswith("/dt") else ""
        written = rf"\frac{{\mathrm{{d}}{symbol(state)}}}{{\mathrm{{d}}t}}" if state else symbol(left)
        lines.append(Line(written, "=", tuple(terms(parse_expression(right, left)))))
    return lines


def _method_words(model: NeuronModel) -> list[str]:
    assert model.continuous is not None
    said = []
    if model.input_kind != "pulse" and "step" in model.continuous.equations:
        said.append(r"$I/\Delta t$ is a current of the charge of one input, spread over one step $\Delta t$; an input spike is a jump of that size.")
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


def _events(model: NeuronModel) -> list[Line]:
    part = model.continuous
    assert part is not None
    modulated = [Line(symbol(each.target), "=", tuple(terms(each.tree))) for each in model.discrete.modulate if _reads(part.threshold, each.target)]
    if not part.threshold:
        return []
    lines = [*modulated, Line(r"\mathrm{spike\ where}\quad", "", (formula(parse_expression(part.threshold, "threshold")),))]
    for number, each in enumerate(parse_statements(part.reset, "reset") if part.reset else ()):
        left = r"\mathrm{then}\quad" if not number else ""
        lines.append(Line(left, "", (rf"{symbol(each.target)} \leftarrow", *terms(each.tree))))
    return lines


def _reads(text: str, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse(text, mode="eval")))


def _refractory_words(model: NeuronModel) -> list[str]:
    part = model.continuous
    assert part is not None
    said = ["Statements of the reset run in order."] if len(parse_statements(part.reset, "reset") if part.reset else ()) > 1 else []
    held = [symbol(left[1:].removesuffix("/dt")) for left, _right, unit in equation_lines(model) if "(unless refractory)" in unit]
    also = f", and {', '.join(f'${name}$' for name in held)} {'is' if len(held) == 1 else 'are'} held" if held else ""
    if part.refractory in model.constant_units:
        said.append(f"For ${symbol(part.refractory)}$ after a spike there is no other{also}.")
    elif part.refractory:
        said.append(f"There is no other spike while ${formula(parse_expression(part.refractory, 'refractory'))}${also}.")
    said += [r"In each time step $\mathrm{d}t$ of the integration a number $\mathcal{U}$ is drawn, uniform in $[0, 1)$."] if model.draws else []
    return said


def _notes(model: NeuronModel) -> list[str]:
    """Say what functions mean that not everyone writes so."""
    trees = [statement.tree for statement in model.discrete.ordered]
    trees += [parse_expression(right, left) for left, right, _ in (equation_lines(model) if model.continuous else [])]
    trees += [parse_expression(derived.text, name) for name, derived in model.derived.items()]
    said = [f"${text}${words}." for name, (text, words) in NOTES.items() if name in functions_in(*trees)]
    drawn = [symbol(name) for name in DRAWS if name in model.discrete.names]
    return said + ([f"{', '.join(f'${name}$' for name in drawn)}: drawn in each step, uniform in $[0, 1)$."] if drawn else [])
