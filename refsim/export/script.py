"""A card as a script of plain Brian2, for those who go on without refsim.

The script runs by itself and draws what it did. First comes the dimension of a derived constant:
where a card's text and its unit disagree, a script has to compute with plain numbers. Then comes an
input that shows what the neuron does, found by one run under many inputs at once, in NumPy alone.
Then comes `to_brian2`, with the parts of the script in its order.
"""

import ast
import copy
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._version import VERSION
from ..cards.language import FUNCTIONS, Comparison, evaluate, parse_expression, parse_statements
from ..cards.names import STEP
from ..cards.neuron import NeuronModel
from ..cards.questions import neuron, ode_part, split_input, tests_of
from ..core.arrays import Floats
from ..core.errors import RefsimError, listed
from ..core.units import Dimension, dimension, to_si
from ..engines.discrete import FUNCTIONS as NUMPY_FUNCTIONS
from ..engines.discrete import Discrete
from ..networks.drive import Drive
from ..networks.network import Network, positive_time
from .formula import BRIAN2_UNITS, brian2_quantity
from .script_neuron import continuous_group, discrete_group, python_text, read_names

Number = float | NDArray[np.float64]  # one number, or one for each level of the input
_NONE: Dimension = (0.0,) * 5
_KEEP = ("abs", "clip")  # of their first argument


def agrees(tree: ast.expr, unit: str, units: Mapping[str, str]) -> bool:
    """Return whether an expression has the dimension of a unit and mixes none on the way."""
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
    # A function keeps the dimension of its argument, or takes plain numbers.
    if isinstance(tree, ast.Call):
        assert isinstance(tree.func, ast.Name)
        first = _dimension(tree.args[0], units)
        if tree.func.id == "sqrt" and first is not None:
            return tuple(power / 2 for power in first)
        same = all(_dimension(argument, units) == first for argument in tree.args)
        return first if same and (first == _NONE or tree.func.id in _KEEP) else None
    assert isinstance(tree, ast.BinOp)
    # Where one side mixes dimensions, so does the whole.
    left, right = _dimension(tree.left, units), _dimension(tree.right, units)
    if left is None or right is None:
        return None
    if isinstance(tree.op, ast.Add | ast.Sub):
        return left if left == right else None
    # Only a written number may be the power of a quantity.
    if isinstance(tree.op, ast.Pow):
        power = tree.right.value if isinstance(tree.right, ast.Constant) else None
        return (
            _NONE
            if left == right == _NONE
            else tuple(part * power for part in left)
            if isinstance(power, int | float)
            else None
        )
    # Products add the powers of the base units, quotients subtract them.
    sign = 1 if isinstance(tree.op, ast.Mult) else -1
    return tuple(a + sign * b for a, b in zip(left, right, strict=True))


class _Divided(ast.NodeTransformer):
    def __init__(self, units: Mapping[str, str]) -> None:
        self.units = units

    def visit_Name(self, node: ast.Name) -> ast.expr:
        unit = self.units.get(node.id, "1")
        return (
            node if unit == "1" else ast.BinOp(node, ast.Div(), ast.parse(unit, mode="eval").body)
        )


STEPS = 100  # of the run that the input is chosen for
_SPIKES = 5  # that it should show
_AT_MOST = 4.0  # times the lowest level that fires at all: a slow neuron shows fewer
_EVERY = 20  # steps from one pulse to the next
# Euler steps a step: a membrane of 1 ms is followed, and more is not needed to choose two digits.
_REFINE = 16
# None, then four a decade, from a hundredth of a picoampere to a million.
_LEVELS = np.append(0.0, np.logspace(-14, 6, 81))


@dataclass(frozen=True)
class Input:
    """What the neuron of a script gets.

    Attributes
    ----------
    level : float
        SI, of the unit of the card's input.
    every : int
        A pulse of one step, every so many steps; 0 where the input is constant.
    """

    level: float
    every: int = 0

    def values(self, n_steps: int) -> list[float]:
        """Return the input of each step."""
        return [
            self.level if not self.every or step % self.every == 0 else 0.0
            for step in range(n_steps)
        ]


def usual_input(model: NeuronModel, step: float) -> Input:
    """Return an input at which the neuron fires a few times in 100 steps, to two digits.

    It is constant, but for resonators, which forget a constant input within a turn or two and get
    pulses; a neuron that fires by itself gets none.
    """
    every = _EVERY if "resonant" in model.traits else 0
    # A readout never fires, so any input shows it.
    if model.discrete.readout:
        return Input(1.0, every)
    shape = np.array(Input(1.0, every).values(STEPS))
    # Far above the firing level a membrane may overflow, and is no answer.
    with np.errstate(all="ignore"):
        counts = (
            _in_the_step(model, shape, step)
            if model.continuous is None
            else _in_the_ode(model, shape, step)
        )
    # Nothing makes it fire: an input of 1 is as good as any.
    if not counts.any():
        return Input(1.0, every)
    # It fires by itself.
    if counts[0] and not model.draws:
        return Input(0.0)
    # The lowest level with a few spikes, and the lowest with one.
    few, first = (
        _LEVELS[int(np.argmax(counts >= wanted))] for wanted in (min(_SPIKES, int(counts.max())), 1)
    )
    level = few if model.draws else min(few, _AT_MOST * first)  # one spike by chance says little
    return Input(float(f"{level:.1e}"), every)


def _in_the_step(model: NeuronModel, shape: Floats, step: float) -> NDArray[np.int64]:
    """Count the spikes of the declared step, a level."""
    network = Network.dense([([[1.0]], None, model)], step)
    drive = Drive.current(_LEVELS[:, None, None] * shape[None, :, None], step, seed=0)
    return np.bincount(Discrete().run(network, drive, ()).spikes[0].sample, minlength=len(_LEVELS))


def _in_the_ode(model: NeuronModel, shape: Floats, step: float) -> NDArray[np.int64]:
    """Count the spikes of the ODE, a level: forward Euler, without refractory periods."""
    part, dt = ode_part(model), step / _REFINE
    odes = part.odes
    # What threshold and reset read, computed at each Euler step.
    named = {
        **odes.subexpressions,
        **{statement.target: statement.tree for statement in model.discrete.modulate},
    }
    reset = parse_statements(part.reset, "reset") if part.reset else ()
    # A refractory condition keeps the neuron from firing again.
    crossing = tests_of(part.refractory) if part.refractory not in model.constant_units else ()
    read = set(named) & set(
        re.findall(r"[A-Za-z_]\w*", part.threshold + part.refractory + part.reset)
    )
    # All levels at once, each a neuron.
    known: dict[str, Number] = {**model.constants(step), STEP: step, "dt": dt}
    known |= {name: np.full(len(_LEVELS), state.start) for name, state in model.solved.items()}
    chance, counts, before = (
        np.random.default_rng(0),
        np.zeros(len(_LEVELS), int),
        np.zeros(len(_LEVELS), bool),
    )
    known |= {name: chance.random(len(_LEVELS)) for name in model.draws}
    # Forward Euler, then chance, threshold and reset.
    for level in np.repeat(shape, _REFINE):
        known |= split_input(model, level * _LEVELS)
        _name(known, named)
        slopes = {
            name: evaluate(tree, known, NUMPY_FUNCTIONS) for name, tree in odes.slopes.items()
        }
        known |= {name: known[name] + dt * slope for name, slope in slopes.items()}
        known |= {name: chance.random(len(_LEVELS)) for name in model.draws}
        if read:
            _name(known, named)
        # A neuron fires where the threshold holds and did not before.
        fired = _hold(known, part.tests) & ~before
        counts += fired
        for statement in reset:
            known[statement.target] = np.where(
                fired, evaluate(statement.tree, known, NUMPY_FUNCTIONS), known[statement.target]
            )
        before = _hold(known, crossing) if crossing else before
    return counts


def _name(known: dict[str, Number], named: Mapping[str, ast.expr]) -> None:
    for name, tree in named.items():
        known[name] = evaluate(tree, known, NUMPY_FUNCTIONS)


def _hold(known: Mapping[str, Number], tests: Sequence[Comparison]) -> NDArray[np.bool_]:
    """Return where all comparisons hold."""
    sides = [
        (evaluate(left, known, NUMPY_FUNCTIONS), symbol, evaluate(right, known, NUMPY_FUNCTIONS))
        for left, symbol, right in tests
    ]
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
    held = [compare[symbol](left, right) for left, symbol, right in sides]
    return np.asarray(np.logical_and.reduce(held))


# Names that the script itself uses, and that no name of a card may take away from it.
_TAKEN = (
    frozenset(
        [
            "plt",
            "prefs",
            "defaultclock",
            "duration",
            "equations",
            "neurons",
            "states",
            "spikes",
            "figure",
            "axes",
            "print",
            "seed",
            "rand",
            "int",
            "run",
            "NeuronGroup",
            "StateMonitor",
            "SpikeMonitor",
            "second",
            "hertz",
            "volt",
            "amp",
            "siemens",
            "farad",
            "ohm",
            "coulomb",
            "metre",
            "kelvin",
            "implementation",
            "check_units",
            "np",
            "time",
        ]
    )
    | BRIAN2_UNITS
    | {*FUNCTIONS}
)

# What a group or a monitor of Brian2 has already: a state of that name could neither be set nor
# read.
_HAS = frozenset(
    [
        "active",
        "clock",
        "code_objects",
        "contained_objects",
        "count",
        "equations",
        "event",
        "events",
        "id",
        "indices",
        "it",
        "name",
        "namespace",
        "order",
        "record",
        "record_variables",
        "resetter",
        "source",
        "spikes",
        "start",
        "state",
        "state_updater",
        "stop",
        "t",
        "thresholder",
        "updaters",
        "user_equations",
        "variables",
        "when",
    ]
)


def to_brian2(
    model: NeuronModel,
    *,
    current: float | str | None = None,
    dt: float | str = "1 ms",
    refine: int = 32,
    duration: float | str | None = None,
) -> str:
    """Write a complete script of plain Brian2 that runs one neuron on a held input and plots it.

    The script integrates the card's ODE at dt/refine, as fine mode does; of a card without an ODE
    it runs the declared step.

    Parameters
    ----------
    model : NeuronModel
    current : float or str, optional
        The constant input, SI or with a unit; by default one at which the neuron fires a few times,
        for resonators in pulses.
    dt : float or str
        The declared step: the unit in which some cards count time.
    refine : int
        Sub-steps a step.
    duration : float or str, optional
        By default 100 steps.

    Returns
    -------
    str
        Python code that imports brian2 and matplotlib alone.

    Raises
    ------
    RefsimError
        Where plain Brian2 cannot say what the card does: kernels without an ODE, or a name that
        Brian2 uses.
    """
    neuron(model, "to_brian2")
    step = positive_time(dt, "dt")
    if not isinstance(refine, int) or refine < 1:
        raise RefsimError(f"refine: must be a whole number of 1 or more, but is {refine!r}.")
    # The input that was asked for, or one that shows what the neuron does.
    given = (
        Input(to_si(current, model.input_unit, "current"))
        if current is not None
        else usual_input(model, step)
    )
    n_steps = (
        STEPS if duration is None else max(1, round(positive_time(duration, "duration") / step))
    )
    # What plain Brian2 cannot say is refused before anything is written.
    _check(model)
    # A declared step has no sub-steps.
    refine = refine if model.continuous is not None else 1
    # The script from top to bottom.
    parts = [_head(model, given), _clock(model, step, refine, n_steps), _constants(model)]
    parts += [
        discrete_group(model) if model.continuous is None else continuous_group(model),
        _start(model, given, refine),
        _monitors(model),
        _plot(model),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _check(model: NeuronModel) -> None:
    if model.continuous is None and model.kernels:
        raise RefsimError(
            f"card '{model.name}': sums kernels ({listed(model.kernels)}) over past steps and "
            "has no [continuous] part; plain Brian2 keeps no past inputs, "
            "so there is no script of it. Give the card an ODE, or run it with refsim run "
            f"{model.name}."
        )
    # Names that the script itself or Brian2 uses would be overwritten.
    states = model.stepped if model.continuous is None else model.solved
    if clash := ({*model.parameters, *model.derived, *model.state} & _TAKEN) | ({*states} & _HAS):
        raise RefsimError(
            f"card '{model.name}': {listed(clash)} is a word of the Brian2 script itself; give "
            "it another name in the card."
        )


def _head(model: NeuronModel, given: Input) -> str:
    what = "its equations" if model.continuous is not None else "its declared step"
    drive = "pulses" if given.every else "a constant input"
    about = (
        f"Plain Brian2, written by refsim {VERSION} from the card '{model.name}': {what}, "
        f"one neuron, {drive}."
    )
    lines = [
        *textwrap.wrap(f"{model.name}: {model.title}.", 100),
        "",
        *(line for text in model.references for line in textwrap.wrap(text, 100)),
    ]
    # The text stands between triple quotes in the script.
    quoted = (
        "\n".join([*lines, "", *textwrap.wrap(about, 100)])
        .replace("\\", "\\\\")
        .replace('"""', "'''")
    )
    return (
        f'"""{quoted}\n"""\n\nimport matplotlib.pyplot as plt\nfrom brian2 import '
        '*\n\nprefs.codegen.target = "numpy"  # one neuron: no compiler is needed'
    )


def _clock(model: NeuronModel, step: float, refine: int, n_steps: int) -> str:
    """Return the lines that say how time passes; `step` where the card counts in it."""
    counts = model.continuous is None or STEP in read_names(model)
    # Durations are counted in steps where the card counts so.
    if counts:
        seconds = brian2_quantity(step, "second")
        lines = [f"{STEP} = {seconds}  # the unit in which this card counts time"]
        sub_step, duration = f"{STEP}/{refine}" if refine > 1 else STEP, f"{n_steps}*{STEP}"
    else:
        lines = []
        sub_step = brian2_quantity(step / refine, "second")
        duration = brian2_quantity(n_steps * step, "second")
    lines += [f"defaultclock.dt = {sub_step}", f"duration = {duration}"]
    return "\n".join([*lines, "seed(0)  # of the random numbers"] if model.draws else lines)


def _constants(model: NeuronModel) -> str:
    """Return the parameters that this part of the card reads, and what is derived from them."""
    wanted = set(read_names(model))
    # Only what the part in the script reads.
    rows = [
        (name, brian2_quantity(each.value, each.unit), each.meaning)
        for name, each in model.parameters.items()
        if name in wanted
    ]
    lines = ["# Parameters", *_commented(rows)] if rows else []
    made = [
        (name, _derived_text(model, name), each.meaning)
        for name, each in model.derived.items()
        if name in wanted
    ]
    return "\n".join(
        [*lines, *([*([""] if lines else []), "# Made of them", *_commented(made)] if made else [])]
    )


def _derived_text(model: NeuronModel, name: str) -> str:
    """Return what computes a derived constant.

    It computes with plain numbers where the card's text has not the dimension that the card gives.
    """
    each, units = model.derived[name], {**model.constant_units, STEP: "second"}
    tree = parse_expression(each.text, f"card '{model.name}': [derived] {name}")
    # The card's text has the dimension that the card says.
    if agrees(tree, each.unit, units):
        return python_text(each.text, tree)
    # Else it is computed over plain numbers, and the unit put behind.
    plain = in_numbers(tree, units)
    return f"({python_text(ast.unparse(plain), plain)})" + (
        "" if each.unit == "1" else f"*{each.unit}"
    )


def _commented(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    return [f"{name} = {value}  # {' '.join(meaning.split())}" for name, value, meaning in rows]


def _start(model: NeuronModel, given: Input, refine: int) -> str:
    """Return start values and input."""
    states = model.stepped if model.continuous is None else model.solved
    lines = [
        (
            f"neurons.{name} = {brian2_quantity(state.start, state.unit)}  # "
            f"{' '.join(state.meaning.split())}"
        )
        for name, state in states.items()
    ]
    # The input is constant, or a pulse of one step.
    for name, share in _shares(model, given.level).items():
        level = brian2_quantity(share, model.input_unit)
        if given.every and share:
            pulse = (
                f"t_in_timesteps % {given.every * refine} {f'< {refine}' if refine > 1 else '== 0'}"
            )
            comment = f"# a pulse of one step, every {given.every} steps"
            lines.append(
                f'neurons.run_regularly("{name} = {level}*int({pulse})", when="start")  {comment}'
            )
        else:
            lines.append(f"neurons.{name} = {level}  # the input")
    return "\n".join(lines)


def _shares(model: NeuronModel, level: float) -> dict[str, float]:
    if len(model.inputs) == 1:
        return dict.fromkeys(model.inputs, level)
    signs = {"excitatory": 1, "inhibitory": -1}
    return {name: max(signs[name.split("_")[1]] * level, 0.0) for name in model.inputs}


def _monitors(model: NeuronModel) -> str:
    states = model.stepped if model.continuous is None else model.solved
    names = ", ".join(f'"{name}"' for name in states)
    lines = [
        (
            f'states = StateMonitor(neurons, [{names}], record=True, when="end")  '
            "# after threshold and reset"
        )
    ]
    lines += ["spikes = SpikeMonitor(neurons)"] if _fires(model) else []
    lines += ["", "run(duration)"] + (
        ['print(f"{spikes.num_spikes} spikes in {duration}")'] if _fires(model) else []
    )
    return "\n".join(lines)


def _fires(model: NeuronModel) -> bool:
    return model.discrete.fire is not None


def _plot(model: NeuronModel) -> str:
    """Return the lines that draw every state, with a mark at each spike."""
    states = model.stepped if model.continuous is None else model.solved
    lines = [
        (
            f"figure, axes = plt.subplots({len(states)}, sharex=True, squeeze=False, "
            'layout="constrained")'
        )
    ]
    # A panel for each state, in a usual unit.
    for row, (name, state) in enumerate(states.items()):
        _, unit = brian2_unit(state.unit)
        by = f"/{unit}" if unit.isidentifier() else f"/({unit})" if unit else ""
        lines.append(f"axes[{row}, 0].plot(states.t/ms, states.{name}[0]{by})")
        lines.append(f'axes[{row}, 0].set_ylabel("{name}{f" ({unit})" if unit else ""}")')
    # Spikes are marked on the membrane.
    row = (
        list(states).index(membrane)
        if (membrane := model.membrane_in(fine=model.continuous is not None)) in states
        else 0
    )
    if _fires(model):
        lines += [
            "for time in spikes.t/ms:",
            f'    axes[{row}, 0].axvline(time, color="C1", linestyle=":")',
        ]
    return "\n".join([*lines, 'axes[-1, 0].set_xlabel("time (ms)")', "plt.show()"])


def brian2_unit(unit: str) -> tuple[float, str]:
    """Return factor and name of the unit in which a plot shows a quantity."""
    usual = {
        "volt": (1e-3, "mV"),
        "amp": (1e-9, "nA"),
        "siemens": (1e-9, "nS"),
        "second": (1e-3, "ms"),
        "farad": (1e-12, "pF"),
        "hertz": (1.0, "Hz"),
    }
    return usual.get(unit, (1.0, "" if unit == "1" else unit))
