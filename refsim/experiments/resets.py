"""One neuron, one input, three resets: hard, soft and none. The variants are the card with another reset text."""

import ast
from dataclasses import replace

import numpy as np

from ..errors import RefsimError
from ..model import NeuronModel, Parameter
from ..model.expressions import Statement, parse_statements
from ..model.reading import ode_part, tests_of
from .inputs import Stimulus, noise
from .result import Column, Fact, Result
from .search import rheobase
from .solo import Setting, chosen, trains
from .trace import record_states

RESETS = ("hard", "soft", "none")


def resets(model: NeuronModel, stimulus: Stimulus | None = None, *, duration: float | str = "60 ms", setting: Setting | None = None) -> Result:
    """Run a neuron with each of three resets on the same input.

    Parameters
    ----------
    model : NeuronModel
    stimulus : Stimulus, optional
        By default noise about twice the rheobase.
    duration : float or str
    setting : Setting, optional
        By default the declared step, where the rest above threshold that a hard reset loses is largest.

    Returns
    -------
    Result
        Columns time, input and, a reset, the membrane after it (``v_hard``) and the spikes (``spike_hard``).
    """
    setting = chosen(model, setting, "grid")
    n_steps = setting.steps(duration)
    if stimulus is None:
        level = rheobase(model, setting, n_steps)
        stimulus = noise(2 * level, level, seed=1)
    name, unit = model.membrane, model.state[model.membrane].unit
    columns: dict[str, Column] = {}
    facts: dict[str, Fact] = {}
    for kind in RESETS:
        run = record_states(with_reset(model, kind), stimulus, setting, n_steps)
        (times,) = trains(run)
        if not columns:
            columns["time"] = Column((np.arange(run.spikes[0].n_steps) + 1) * run.spikes[0].dt, "second", "end of the step")
        columns[f"{name}_{kind}"] = Column(run.traces[0][name][0, :, 0], unit, f"membrane after a step, reset {kind}")
        columns[f"spike_{kind}"] = Column(run.spikes[0].dense()[0, :, 0].astype(np.float64), "1", f"spikes, reset {kind}")
        facts[f"spikes_{kind}"] = Fact(float(len(times)), "1", _words(kind))
    return Result("resets", model, {"runs": columns}, facts, {"input": stimulus.words(model), **setting.said()})


def with_reset(model: NeuronModel, kind: str) -> NeuronModel:
    """Return the card with another reset of its membrane; what a spike does to other states stays.

    ``hard`` sets the membrane to the card's reset value, or its start where the card has none; ``soft`` takes away the
    distance from there to the threshold, or what the card's own soft reset takes; ``none`` leaves the membrane alone.

    Raises
    ------
    RefsimError
        For another kind, or a neuron that has no threshold.
    """
    if kind not in RESETS:
        raise RefsimError(f"reset must be one of {', '.join(RESETS)}, but is {kind!r}.")
    if model.continuous is None or not tests_of(model.continuous.threshold):
        raise RefsimError(f"card '{model.name}': the variants are made from the threshold and reset of its ODE, and it has none.")
    membrane, own = model.membrane, _statements(model.continuous.reset)
    ode, step = _texts(model, next((row for row in own if row.target == membrane), None), kind)
    others = [f"{row.target} = {row.text}" for row in own if row.target != membrane]
    kept = tuple(row for row in model.discrete.reset if row.target != membrane)
    state = model.state[membrane]
    start = {f"{membrane}_start": Parameter(state.start, state.unit, "where a card that sets no membrane is reset to")}
    return replace(
        model,
        parameters={**model.parameters, **start},
        continuous=replace(model.continuous, reset="\n".join([f"{membrane} = {ode}", *others])),
        discrete=replace(model.discrete, reset=(*_statements(f"{membrane} = {step}"), *kept)),
    )


def _statements(text: str) -> tuple[Statement, ...]:
    return parse_statements(text, "reset") if text.strip() else ()


def _texts(model: NeuronModel, own: Statement | None, kind: str) -> tuple[str, str]:
    """Return the new right-hand sides of the membrane: at a spike of the ODE, and in every step."""
    membrane = model.membrane
    soft_card = own is not None and membrane in own.names
    base = f"({own.text})" if own is not None and not soft_card else f"{membrane}_start"
    if kind == "none":
        return membrane, membrane
    if kind == "hard":
        return base, f"{membrane}*(1 - z) + {base}*z"
    if soft_card:
        assert own is not None
        return own.text, f"{membrane}*(1 - z) + ({own.text})*z"
    taken = f"(({ast.unparse(tests_of(ode_part(model).threshold)[0][2])}) - {base})"
    return f"{membrane} - {taken}", f"{membrane} - z*{taken}"


def _words(kind: str) -> str:
    return {"hard": "the membrane is set", "soft": "an amount is taken off it", "none": "it is left alone"}[kind]
