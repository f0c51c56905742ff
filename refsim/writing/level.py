"""An input that shows what a neuron does: found by one run of it under many inputs at once, in NumPy alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..drive import Drive
from ..engines.discrete import FUNCTIONS as NUMPY_FUNCTIONS
from ..engines.discrete import Discrete
from ..model import NeuronModel
from ..model.expressions import evaluate, parse_statements
from ..model.naming import STEP
from ..model.odes import read_odes
from ..model.reading import ode_part, split_input, tests_of
from ..network import Network

STEPS = 100  # of the run that the input is chosen for
_SPIKES = 5  # that it should show
_AT_MOST = 4.0  # times the lowest level that fires at all: a slow neuron shows fewer
_EVERY = 20  # steps from one pulse to the next
_REFINE = 16  # Euler steps a step: a membrane of 1 ms is followed, and more is not needed to choose two digits
_LEVELS = np.append(0.0, np.logspace(-14, 6, 81))  # none, then four a decade, from a hundredth of a picoampere to a million


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
        return [self.level if not self.every or step % self.every == 0 else 0.0 for step in range(n_steps)]


def usual_input(model: NeuronModel, step: float) -> Input:
    """Return an input at which the neuron fires a few times within 100 steps, rounded to two digits.

    It is constant, but for resonators, which forget a constant input within a turn or two and get pulses; a neuron that
    fires by itself gets none.
    """
    every = _EVERY if "resonant" in model.traits else 0
    if model.discrete.readout:
        return Input(1.0, every)
    shape = np.array(Input(1.0, every).values(STEPS))
    with np.errstate(all="ignore"):  # far above the firing level a membrane may overflow, and is no answer
        counts = _in_the_step(model, shape, step) if model.continuous is None else _in_the_ode(model, shape, step)
    if not counts.any():
        return Input(1.0, every)
    if counts[0] and not model.draws:
        return Input(0.0)
    few, first = (_LEVELS[int(np.argmax(counts >= wanted))] for wanted in (min(_SPIKES, int(counts.max())), 1))
    level = few if model.draws else min(few, _AT_MOST * first)  # one spike by chance says little
    return Input(float(f"{level:.1e}"), every)


def _in_the_step(model: NeuronModel, shape: Floats, step: float) -> NDArray[Any]:
    """Count the spikes of the declared step, a level."""
    network = Network.dense([([[1.0]], None, model)], step)
    drive = Drive.current(_LEVELS[:, None, None] * shape[None, :, None], step, seed=0)
    return np.bincount(Discrete().run(network, drive, ()).spikes[0].sample, minlength=len(_LEVELS))


def _in_the_ode(model: NeuronModel, shape: Floats, step: float) -> NDArray[Any]:
    """Count the spikes of the ODE, a level: forward Euler, without refractory periods."""
    part, dt = ode_part(model), step / _REFINE
    odes = read_odes(part.equations, f"card '{model.name}'")
    named = {**odes.subexpressions, **{statement.target: statement.tree for statement in model.discrete.modulate}}
    reset = parse_statements(part.reset, "reset") if part.reset else ()
    crossing = tests_of(part.refractory) if part.refractory not in model.constant_units else ()
    read = set(named) & set(re.findall(r"[A-Za-z_]\w*", part.threshold + part.refractory + part.reset))
    known: dict[str, Any] = {**model.constants(step), STEP: step, "dt": dt}
    known |= {name: np.full(len(_LEVELS), state.start) for name, state in model.solved.items()}
    chance, counts, before = np.random.default_rng(0), np.zeros(len(_LEVELS), int), np.zeros(len(_LEVELS), bool)
    known |= {name: chance.random(len(_LEVELS)) for name in model.draws}
    for level in np.repeat(shape, _REFINE):
        known |= split_input(model, level * _LEVELS)
        _name(known, named)
        slopes = {name: evaluate(tree, known, NUMPY_FUNCTIONS) for name, tree in odes.slopes.items()}
        known |= {name: known[name] + dt * slope for name, slope in slopes.items()}
        known |= {name: chance.random(len(_LEVELS)) for name in model.draws}
        if read:
            _name(known, named)
        fired = _hold(known, tests_of(part.threshold)) & ~before
        counts += fired
        for statement in reset:
            known[statement.target] = np.where(fired, evaluate(statement.tree, known, NUMPY_FUNCTIONS), known[statement.target])
        before = _hold(known, crossing) if crossing else before
    return counts


def _name(known: dict[str, Any], named: Mapping[str, Any]) -> None:
    for name, tree in named.items():
        known[name] = evaluate(tree, known, NUMPY_FUNCTIONS)


def _hold(known: Mapping[str, Any], tests: Any) -> Any:
    """Return where all comparisons hold."""
    sides = [(evaluate(left, known, NUMPY_FUNCTIONS), symbol, evaluate(right, known, NUMPY_FUNCTIONS)) for left, symbol, right in tests]
    compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
    return np.logical_and.reduce([compare[symbol](left, right) for left, symbol, right in sides])
