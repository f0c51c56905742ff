"""One neuron on one input: every state, the threshold, the input and the spikes over time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import RefsimError
from ..model import NeuronModel
from ..network import Network
from ..recording import Recording
from .inputs import Stimulus, constant
from .ode import Ode
from .result import Column, Fact, Result
from .search import rheobase
from .solo import Setting, chosen, states_of, times_of, trains


def trace(model: NeuronModel, stimulus: Stimulus | None = None, *, duration: float | str = "100 ms", setting: Setting | None = None) -> Result:
    """Record one run.

    Parameters
    ----------
    model : NeuronModel
    stimulus : Stimulus, optional
        From `constant`, `step`, `noise` or `train`; by default a constant 1.5 times the rheobase.
    duration : float or str
    setting : Setting, optional
        ``Setting(mode="grid")`` runs the declared step in place of the ODE.

    Returns
    -------
    Result
        Columns time (end of each sub-step), input, seen (what the threshold saw), threshold, spike, and every state of the part that runs after the step.
    """
    setting = chosen(model, setting)
    n_steps = setting.steps(duration)
    if stimulus is None:
        stimulus = constant(1.5 * rheobase(model, setting, n_steps))
    run = record_states(model, stimulus, setting, n_steps)
    (times,) = trains(run)
    columns = columns_of(run)
    facts = {
        "spikes": Fact(float(len(times)), "1", "within the duration"),
        "first_spike": Fact(float(times[0]) if len(times) else float("nan"), "second", "end of the sub-step that crosses"),
    }
    return Result("trace", model, {"trace": columns}, facts, {"input": stimulus.words(model), **setting.said()})


def record_states(model: NeuronModel, stimulus: Stimulus, setting: Setting, n_steps: int) -> Recording:
    """Run one neuron and keep all of its states."""
    if not isinstance(stimulus, Stimulus):
        raise RefsimError(f'the input: needs a stimulus, such as experiments.constant("1 nA"), but {stimulus!r} was given.')
    weight, drive = stimulus.make(model, setting, n_steps)
    network = Network.dense([([[weight]], None, model)], setting.step)
    return setting.engine.run(network, drive, ("before_reset", *states_of(model, setting)))


def columns_of(run: Recording) -> Mapping[str, Column]:
    """Return the columns of a run of one neuron."""
    model, traces = run.network.layers[0].model, run.traces[0]
    states = {name: traces[name][0, :, 0] for name in model.state if name in traces}
    unit = model.state[model.membrane_in(fine=model.membrane not in states)].unit
    weight = float(run.network.layers[0].weight[0, 0])
    given = np.repeat([frame[0, 0] * weight for frame in run.drive.frames()], run.refine)
    return {
        "time": Column(times_of(run), "second", "end of the sub-step"),
        "input": Column(given, model.input_unit, "input of the step"),
        "seen": Column(traces["before_reset"][0, :, 0], unit, "what the threshold saw, before the reset"),
        "threshold": Column(threshold_over(model, states, given, run.network.dt), unit, "what it was compared with, after the step"),
        "spike": Column(run.spikes[0].dense()[0, :, 0].astype(np.float64), "1", "1 where the neuron fires"),
        **{name: Column(values, model.state[name].unit, model.state[name].meaning) for name, values in states.items()},
    }


def threshold_over(model: NeuronModel, states: Mapping[str, Any], given: Any, step: float) -> Any:
    """Return the threshold at each sub-step; NaN where the states after the step do not tell it."""
    try:
        return np.broadcast_to(Ode.of(model).threshold(states, given, step), given.shape).astype(np.float64)
    except (RefsimError, KeyError):
        return np.full(given.shape, np.nan)
