"""A card as a script of plain Brian2, for who goes on without refsim: it runs by itself and draws what it did."""

import ast
import textwrap
from collections.abc import Sequence

from .._version import VERSION
from ..errors import RefsimError, listed
from ..model import NeuronModel
from ..model.expressions import FUNCTIONS, parse_expression
from ..model.naming import STEP
from ..model.reading import neuron
from ..network import positive_time
from ..units import to_si
from .dimensions import agrees, in_numbers
from .level import STEPS, Input, usual_input
from .lines import continuous_group, discrete_group, python_text, read_names
from .quantities import brian2_quantity

# Names that the script itself uses, and that no name of a card may take away from it.
_TAKEN = frozenset(
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
        "ms",
        "us",
        "Hz",
        "kHz",
        "MHz",
        "mV",
        "mA",
        "uA",
        "nA",
        "pA",
        "mS",
        "uS",
        "nS",
        "uF",
        "nF",
        "pF",
        "kohm",
        "Mohm",
        "Gohm",
        "mm",
        "um",
        "implementation",
        "check_units",
        "np",
        "time",
    ]
) | {*FUNCTIONS}

# What a group or a monitor of Brian2 has already: a state of that name could neither be set nor read.
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
    model: NeuronModel, *, current: float | str | None = None, dt: float | str = "1 ms", refine: int = 32, duration: float | str | None = None
) -> str:
    """Write a complete script of plain Brian2 that runs one neuron on a held input and plots it.

    The script integrates the card's ODE at dt/refine, as fine mode does; of a card without an ODE it runs the declared step.

    Parameters
    ----------
    model : NeuronModel
    current : float or str, optional
        The constant input, SI or with a unit; by default one at which the neuron fires a few times, for resonators in pulses.
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
        Where plain Brian2 cannot say what the card does: kernels without an ODE, or a name that Brian2 uses.
    """
    neuron(model, "to_brian2")
    step = positive_time(dt, "dt")
    if not isinstance(refine, int) or refine < 1:
        raise RefsimError(f"refine: must be a whole number of 1 or more, but is {refine!r}.")
    given = Input(to_si(current, model.input_unit, "current")) if current is not None else usual_input(model, step)
    n_steps = STEPS if duration is None else max(1, round(positive_time(duration, "duration") / step))
    _check(model)
    refine = refine if model.continuous is not None else 1
    parts = [_head(model, given), _clock(model, step, refine, n_steps), _constants(model)]
    parts += [discrete_group(model) if model.continuous is None else continuous_group(model), _start(model, given, refine), _monitors(model), _plot(model)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _check(model: NeuronModel) -> None:
    if model.continuous is None and model.kernels:
        raise RefsimError(
            f"card '{model.name}': sums kernels ({listed(model.kernels)}) over past steps and has no [continuous] part; plain Brian2 keeps no past inputs, "
            f"so there is no script of it. Give the card an ODE, or run it with refsim run {model.name}."
        )
    states = model.stepped if model.continuous is None else model.solved
    if clash := ({*model.parameters, *model.derived, *model.state} & _TAKEN) | ({*states} & _HAS):
        raise RefsimError(f"card '{model.name}': {listed(clash)} is a word of the Brian2 script itself; give it another name in the card.")


def _head(model: NeuronModel, given: Input) -> str:
    what = "its equations" if model.continuous is not None else "its declared step"
    drive = "pulses" if given.every else "a constant input"
    about = f"Plain Brian2, written by refsim {VERSION} from the card '{model.name}': {what}, one neuron, {drive}."
    lines = [*textwrap.wrap(f"{model.name}: {model.title}.", 100), "", *(line for text in model.references for line in textwrap.wrap(text, 100))]
    quoted = "\n".join([*lines, "", *textwrap.wrap(about, 100)]).replace("\\", "\\\\").replace('"""', "'''")
    return f'"""{quoted}\n"""\n\nimport matplotlib.pyplot as plt\nfrom brian2 import *\n\nprefs.codegen.target = "numpy"  # one neuron: no compiler is needed'


def _clock(model: NeuronModel, step: float, refine: int, n_steps: int) -> str:
    """Return the lines that say how time passes; `step` where the card counts in it."""
    counts = model.continuous is None or STEP in read_names(model)
    lines = [f"{STEP} = {brian2_quantity(step, 'second')}  # the unit in which this card counts time"] if counts else []
    lines += [f"defaultclock.dt = {f'{STEP}/{refine}' if counts and refine > 1 else STEP if counts else brian2_quantity(step / refine, 'second')}"]
    lines += [f"duration = {f'{n_steps}*{STEP}' if counts else brian2_quantity(n_steps * step, 'second')}"]
    return "\n".join([*lines, "seed(0)  # of the random numbers"] if model.draws else lines)


def _constants(model: NeuronModel) -> str:
    """Return the parameters that this part of the card reads, and what is derived from them."""
    wanted = set(read_names(model))
    rows = [(name, brian2_quantity(each.value, each.unit), each.meaning) for name, each in model.parameters.items() if name in wanted]
    lines = ["# Parameters", *_commented(rows)] if rows else []
    made = [(name, _made(model, name), each.meaning) for name, each in model.derived.items() if name in wanted]
    return "\n".join([*lines, *([*([""] if lines else []), "# Made of them", *_commented(made)] if made else [])])


def _made(model: NeuronModel, name: str) -> str:
    """Return what computes a derived constant; over plain numbers where the card's text has not the dimension that it gives."""
    each, units = model.derived[name], {**model.constant_units, STEP: "second"}
    tree = parse_expression(each.text, f"card '{model.name}': [derived] {name}")
    if agrees(tree, each.unit, units):
        return python_text(each.text, tree)
    plain = in_numbers(tree, units)
    return f"({python_text(ast.unparse(plain), plain)})" + ("" if each.unit == "1" else f"*{each.unit}")


def _commented(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    return [f"{name} = {value}  # {' '.join(meaning.split())}" for name, value, meaning in rows]


def _start(model: NeuronModel, given: Input, refine: int) -> str:
    """Return start values and input."""
    states = model.stepped if model.continuous is None else model.solved
    lines = [f"neurons.{name} = {brian2_quantity(state.start, state.unit)}  # {' '.join(state.meaning.split())}" for name, state in states.items()]
    for name, share in _shares(model, given.level).items():
        level = brian2_quantity(share, model.input_unit)
        if given.every and share:
            pulse = f"t_in_timesteps % {given.every * refine} {f'< {refine}' if refine > 1 else '== 0'}"
            comment = f"# a pulse of one step, every {given.every} steps"
            lines.append(f'neurons.run_regularly("{name} = {level}*int({pulse})", when="start")  {comment}')
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
    lines = [f'states = StateMonitor(neurons, [{names}], record=True, when="end")  # after threshold and reset']
    lines += ["spikes = SpikeMonitor(neurons)"] if _fires(model) else []
    lines += ["", "run(duration)"] + (['print(f"{spikes.num_spikes} spikes in {duration}")'] if _fires(model) else [])
    return "\n".join(lines)


def _fires(model: NeuronModel) -> bool:
    return model.discrete.fire is not None


def _plot(model: NeuronModel) -> str:
    """Return the lines that draw every state, with a mark at each spike."""
    states = model.stepped if model.continuous is None else model.solved
    lines = [f'figure, axes = plt.subplots({len(states)}, sharex=True, squeeze=False, layout="constrained")']
    for row, (name, state) in enumerate(states.items()):
        _, unit = brian2_unit(state.unit)
        by = f"/{unit}" if unit.isidentifier() else f"/({unit})" if unit else ""
        lines.append(f"axes[{row}, 0].plot(states.t/ms, states.{name}[0]{by})")
        lines.append(f'axes[{row}, 0].set_ylabel("{name}{f" ({unit})" if unit else ""}")')
    row = list(states).index(membrane) if (membrane := model.membrane_in(fine=model.continuous is not None)) in states else 0
    if _fires(model):
        lines += ["for time in spikes.t/ms:", f'    axes[{row}, 0].axvline(time, color="C1", linestyle=":")']
    return "\n".join([*lines, 'axes[-1, 0].set_xlabel("time (ms)")', "plt.show()"])


def brian2_unit(unit: str) -> tuple[float, str]:
    """Return factor and name of the unit in which a plot shows a quantity."""
    usual = {"volt": (1e-3, "mV"), "amp": (1e-9, "nA"), "siemens": (1e-9, "nS"), "second": (1e-3, "ms"), "farad": (1e-12, "pF"), "hertz": (1.0, "Hz")}
    return usual.get(unit, (1.0, "" if unit == "1" else unit))
