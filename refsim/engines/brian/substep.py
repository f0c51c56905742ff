"""The text that lets Brian2 fire between its steps: when the threshold was crossed, and what that changes at the end of the step.

At the end of a step in which a neuron crossed its threshold, ``sub_delta`` is the time since the crossing: Newton's method finds it on the
exact solution of the card's ODE, run backward. The reset jumps then and not at the end of the step, and what a spike adds to another neuron
is added then too; both are taken forward to the end by the same solution, which is linear, so that it does not matter in which order.
"""

from ...model.expressions import parse_statements
from ...model.odes import renamed
from ...network import Layer
from .flow import Flow

# From the beginning of the step Newton's method doubles its digits each time: the first guess is off by a step, a hundredth of a time constant, so that
# after four rounds nothing is left to find; two more cost little.
ROUNDS = 6
DELTA, SLOPE, NEAR = "sub_delta", "sub_slope", "sub_near"


def variables(layer: Layer, flow: Flow) -> str:
    """Return the declarations of the variables that the texts below use."""
    units = layer.model.state
    kicks = [f"{_kick(name)} : {units[name].unit}" for name in flow.names]
    return "\n".join([f"{DELTA} : second", f"{SLOPE} : {threshold_unit(layer)}/second", f"{NEAR} : boolean", *kicks])


def threshold_unit(layer: Layer) -> str:
    """Return the unit of what the threshold compares."""
    return layer.model.state[layer.model.membrane_in(fine=True)].unit


def crossing(layer: Layer, flow: Flow) -> str:
    """Return the statements that find the crossing, its slope, and what the reset changes there."""
    lines = [f"{DELTA} = dt"]
    for number in range(ROUNDS):
        back = _back(flow, number)
        lines += _went_back(flow, back)
        lines.append(f"{DELTA} = {DELTA} + ({flow.height_at(back)})/({flow.rise_at(back)})")
    back = _back(flow, ROUNDS)
    lines += _went_back(flow, back)
    lines.append(f"{SLOPE} = {flow.rise_at(back)}")
    return "\n".join(lines + _kicks(layer, flow, back))


def reset(flow: Flow) -> str:
    """Return the statements of the reset: what it changed at the crossing, taken forward to the end of the step."""
    return "\n".join(f"{name} += {share}" for source in flow.names for name, share in flow.jump(source, DELTA, of=_kick(source)).items())


def arrival(flow: Flow, target: str, delta: str) -> str:
    """Return what a spike does to the neuron that it reaches, as Brian2 writes a synapse.

    Parameters
    ----------
    target : str
        The state to which the weight ``w`` is added.
    delta : str
        The variable that holds the time since the spike.
    """
    ours = {name: f"{name}_post" for name in (*flow.names, *flow.constants)}
    shares = flow.jump(target, delta, of="w", names=ours)
    return "\n".join(f"{name}_post += {share}" for name, share in shares.items())


def nearness(flow: Flow) -> str:
    """Return the statement that notes a peak which may have reached the threshold between two steps and was not seen.

    A membrane that falls at the end of a step was higher within it by its slope there times a step at most, were the slope the same; twice that
    leaves room for a slope that changes.
    """
    ours = {name: name for name in flow.names}
    height, rise = flow.height_at(ours), flow.rise_at(ours)
    return f"{NEAR} = {NEAR} or (({height}) < 0*({height}) and ({rise}) < 0*({rise}) and ({height}) - 2*dt*({rise}) >= 0*({height}))"


def _kick(name: str) -> str:
    return f"sub_kick_{name}"


def _back(flow: Flow, number: int) -> dict[str, str]:
    return {name: f"sub_{name}_{number}" for name in flow.names}


def _went_back(flow: Flow, back: dict[str, str]) -> list[str]:
    """Return statements that set the states to what they were a time `sub_delta` ago."""
    return [f"{back[name]} = {text}" for name, text in flow.states(f"-{DELTA}").items()]


def _kicks(layer: Layer, flow: Flow, back: dict[str, str]) -> list[str]:
    """Return statements that carry out the card's reset on the states at the crossing and keep the differences."""
    assert layer.model.continuous is not None
    text = layer.model.continuous.reset
    now, lines = dict(back), []
    for number, statement in enumerate(parse_statements(text, f"{layer.name}: reset") if text else ()):
        new = f"sub_new_{statement.target}_{number}"
        lines.append(f"{new} = {renamed(statement.tree, now)}")
        now[statement.target] = new
    return lines + [f"{_kick(name)} = {now[name]} - {back[name]}" for name in flow.names]
