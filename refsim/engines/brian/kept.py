"""Read-outs over the steps in fine mode: they stay on the grid, and take once a step all that arrived in its sub-steps.

Their mean, last or maximum is over steps of dt, as a network is trained, and not over sub-steps, of which a run has as many as it likes.
"""

import ast

from ...model import NeuronModel
from ...model.expressions import Statement
from ...model.naming import INPUT
from ...model.odes import renamed
from .text import ThreeAddress, grid_variables, jump_of, watch

ARRIVED = "arrived_so_far"


def kept_variables(model: NeuronModel, per_neuron: frozenset[str], *, gap: bool, seen: bool) -> str:
    """Return the Brian2 equations that declare the variables of such a layer: plain numbers, as in grid mode."""
    return "\n".join([grid_variables(model, per_neuron, gap=gap, seen=seen), f"{jump_of(INPUT)} : 1", f"{ARRIVED} : 1"])


def kept_update(model: NeuronModel, dtype: str, *, seen: bool) -> str:
    """Return the statements of a sub-step: gather what arrives; at the end of a step take the declared step, else leave all as it is."""
    code, readout = ThreeAddress(dtype), model.discrete.readout
    share = "dt/second/step"  # of a step: what flows, a current of the bias or of analog input, is spread over it
    code.lines += [
        f"{ARRIVED} = {ARRIVED} + {jump_of(INPUT)} + {INPUT}*{share}",
        "sub_steps_ = whole_below(step*second/dt + 0.5)",
        "steps_done_ = (t_in_timesteps + 1)/sub_steps_",
        "ends_ = truth(whole_below(steps_done_) >= steps_done_)",
    ]
    now = {INPUT: ARRIVED}
    for number, statement in enumerate(model.discrete.before_fire):
        new = f"new_{statement.target}_{number}_"
        code.statement(_renamed(statement, new, now))
        now[statement.target] = new
    code.lines += [f"{name} = ends_*{now[name]} + (1 - ends_)*{name}" for name in model.stepped if name in now]
    code.lines.append(f"{ARRIVED} = (1 - ends_)*{ARRIVED}")
    return "\n".join([*code.lines, *watch(readout, None, gap=False, seen=seen)])


def _renamed(statement: Statement, target: str, names: dict[str, str]) -> Statement:
    text = renamed(statement.tree, names)
    return Statement(target, text, ast.parse(text, mode="eval").body)
