"""The text that lets Brian2 fire between its steps: when the threshold was crossed, and what that changes at the end of the step.

A neuron goes to the end of a step without its arrivals; they are then added as they stand at the end, each from its own time on, since the solution
of the card's ODE is linear. Whether the membrane had crossed before they came, or crosses after, is read off both solutions, run backward: so an arrival
and a crossing may share a step. Newton's method finds the time since the crossing, ``sub_delta``; the reset jumps there and not at the end of the step, and
what the spike adds to other neurons is added from there on.
"""

import ast

from ...model.expressions import parse_statements
from ...model.odes import renamed
from ...network import Layer
from .flow import Flow
from .text import condition, spelled

# From the beginning of the step Newton's method doubles its digits each time: the first guess is off by a step, a hundredth of a time constant, so that
# after four rounds nothing is left to find; two more cost little.
ROUNDS = 6
DELTA, SLOPE, NEAR, EARLY = "sub_delta", "sub_slope", "sub_near", "sub_early"
_COUNT, _WHEN = "sub_count", "sub_when"
# By how much a falling slope may have been steeper within the step than at its end: a step over the time constant, which is a twentieth at most.
_STEEPER = 1.05


def variables(layer: Layer, flow: Flow) -> str:
    """Return the declarations of the variables that the texts below use."""
    units = layer.model.state
    membrane = units[layer.model.membrane_in(fine=True)].unit
    lines = [f"{DELTA} : second", f"{SLOPE} : {membrane}/second", f"{NEAR} : boolean", f"{EARLY} : boolean", f"{_COUNT} : 1", f"{_WHEN} : second"]
    return "\n".join(lines + [f"{_kept(name)} : {units[name].unit}" for name in flow.names])


def before_arrivals(flow: Flow) -> str:
    """Return the statements that keep the end of the step as it would be without arrivals, and forget those of the step before."""
    return "\n".join([f"{_COUNT} = 0", f"{_WHEN} = 0*second", *(f"{_kept(name)} = {name}" for name in flow.names)])


def arrival(flow: Flow, target: str, delta: str) -> str:
    """Return what a spike does to the neuron that it reaches, as Brian2 writes a synapse.

    Parameters
    ----------
    target : str
        The state to which the weight ``sub_weight`` is added.
    delta : str
        The variable that holds the time since the spike.
    """
    ours = {name: f"{name}_post" for name in (*flow.names, *flow.constants)}
    shares = flow.jump(target, delta, of="sub_weight", names=ours)
    return "\n".join([*(f"{name}_post += {share}" for name, share in shares.items()), f"{_COUNT}_post += 1", f"{_WHEN}_post += {delta}"])


def after_arrivals(flow: Flow) -> str:
    """Return the statements that tell whether the threshold was crossed before the arrivals, and whether a crossing may have been missed.

    Of several arrivals the mean time is taken; where a crossing lies among them the order is wrong, and `refsim.engines.brian.order` finds it. A peak within
    the step, before or after the arrivals, is above the end by its slope there over the time since at most.
    """
    kept, ours = {name: _kept(name) for name in flow.names}, {name: name for name in flow.names}
    at = {name: f"sub_at_{name}" for name in flow.names}
    lines = [f"{_WHEN} = {_WHEN}/clip({_COUNT}, 1, {_COUNT} + 1)"]
    lines += [f"{at[name]} = {text}" for name, text in flow.states(f"-{_WHEN}", kept).items()]
    for name, states in (("end", ours), ("kept", kept), ("at", at)):
        lines.append(f"sub_height_{name} = {flow.height_at(states)}")
    lines += [f"sub_rise_{name} = {flow.rise_at(states)}" for name, states in (("end", ours), ("kept", kept))]
    lines.append("sub_none = 0*sub_height_end")
    lines.append(f"{EARLY} = {_COUNT} > 0 and sub_height_at >= sub_none")
    reach = [f"sub_height_{name} - {_STEEPER}*{span}*sub_rise_{name} >= sub_none" for name, span in (("kept", "dt"), ("end", _WHEN))]
    falls = ["sub_rise_kept < sub_none/second", f"{_COUNT} > 0 and sub_rise_end < sub_none/second"]
    turns = " or ".join(f"({fall} and {far})" for fall, far in zip(falls, reach, strict=True))
    lines.append(f"{NEAR} = {NEAR} or (not {EARLY} and sub_height_end < sub_none and ({turns}))")
    return "\n".join(lines)


def threshold(layer: Layer) -> str:
    """Return the condition of a spike."""
    assert layer.model.continuous is not None
    return f"{EARLY} or ({condition(layer.model.continuous.threshold)})"


def crossing(layer: Layer, flow: Flow) -> str:
    """Return the statements that find the crossing and its slope, carry out the reset there, and take what it changed to the end of the step."""
    used = {name: f"sub_used_{name}" for name in flow.names}
    lines = [f"{used[name]} = int({EARLY})*{_kept(name)} + (1 - int({EARLY}))*{name}" for name in flow.names]
    lines.append(f"{DELTA} = dt")
    for number in range(ROUNDS + 1):
        back = {name: f"sub_{name}_{number}" for name in flow.names}
        lines += [f"{back[name]} = {text}" for name, text in flow.states(f"-{DELTA}", used).items()]
        if number < ROUNDS:
            lines.append(f"{DELTA} = {DELTA} + ({flow.height_at(back)})/({flow.rise_at(back)})")
    lines.append(f"{SLOPE} = {flow.rise_at(back)}")
    return "\n".join([*lines, *_kicks(layer, flow, back), *reset(flow)])


def reset(flow: Flow) -> list[str]:
    """Return the statements that take what the reset changed at the crossing to the end of the step."""
    return [f"{name} += {share}" for source in flow.names for name, share in flow.jump(source, DELTA, of=_kick(source)).items()]


def _kicks(layer: Layer, flow: Flow, back: dict[str, str]) -> list[str]:
    """Return statements that carry out the card's reset on the states at the crossing and name the differences."""
    assert layer.model.continuous is not None
    now, lines = dict(back), []
    for number, statement in enumerate(parse_statements(layer.model.continuous.reset, f"{layer.name}: reset")):
        new = f"sub_new_{statement.target}_{number}"
        lines.append(f"{new} = {renamed(ast.parse(spelled(statement.tree), mode='eval').body, now)}")
        now[statement.target] = new
    return lines + [f"{_kick(name)} = {now[name]} - {back[name]}" for name in flow.names]


def _kick(name: str) -> str:
    return f"sub_kick_{name}"


def _kept(name: str) -> str:
    return f"sub_kept_{name}"
