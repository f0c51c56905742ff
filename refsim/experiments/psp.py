"""The response to one input spike: how every state moves, less what it would have done without."""

import numpy as np

from ..arrays import Floats
from ..drive import Drive
from ..errors import RefsimError
from ..model import NeuronModel
from ..network import Network
from ..units import to_si
from .quantities import readable
from .result import Column, Fact, Result
from .search import smallest
from .solo import Setting, fine, times_of

_BEFORE = 2  # steps before the spike, so that the picture has a base line


def psp(model: NeuronModel, weight: float | str | None = None, *, duration: float | str = "100 ms", setting: Setting | None = None) -> Result:
    """Record the response to one spike.

    Parameters
    ----------
    model : NeuronModel
    weight : float or str, optional
        Of the spike, in the unit of the card's input; by default half of what makes the neuron fire.
    duration : float or str
        After the spike.

    Returns
    -------
    Result
        Columns time (from the arrival of the spike) and, a state, its response; facts peak, time to it, width, area.

    Raises
    ------
    RefsimError
        Where the neuron fires, so that there is no response below threshold.
    """
    setting = fine(model, setting)
    n_steps, unit = _BEFORE + setting.steps(duration), model.input_unit
    chosen = _half_critical(model, setting, n_steps) if weight is None else to_si(weight, unit, "weight")
    run = _run(model, np.array([chosen, 0.0]), setting, n_steps, tuple(model.solved))
    if len(run.spikes[0]):
        raise RefsimError(f"psp: the neuron '{model.name}' fires at a weight of {readable(chosen, unit)}; give a smaller one.")
    # an impulse jumps at the end of its step, a pulse begins with it
    time = times_of(run) - (_BEFORE + (1 if model.input_kind == "impulse" else 0)) * setting.step
    columns = {"time": Column(time, "second", "from the arrival of the spike")}
    for name, state in model.solved.items():
        trace = run.traces[0][name][0]
        columns[name] = Column(trace[:, 0] - trace[:, 1], state.unit, f"response of the {state.meaning}")
    response = columns[model.membrane_in(fine=True)]
    facts = _shape(time, response.values, response.unit)
    return Result("psp", model, {"response": columns}, facts, {"weight": readable(chosen, unit) or "0", **setting.said()})


def _run(model: NeuronModel, weights: Floats, setting: Setting, n_steps: int, record: tuple[str, ...]):  # type: ignore[no-untyped-def]
    drive = Drive.events([0], [_BEFORE], [0], (1, n_steps, 1), setting.step)
    return setting.engine.run(Network.dense([(weights[:, None], None, model)], setting.step), drive, record)


def _half_critical(model: NeuronModel, setting: Setting, n_steps: int) -> float:
    def fires(weights: Floats):  # type: ignore[no-untyped-def]
        return _run(model, weights.ravel(), setting, n_steps, ()).spikes[0].counts().reshape(weights.shape) > 0

    found = float(smallest(fires, 1)[0])
    if not found > 0:
        raise RefsimError(f"psp: no single spike makes '{model.name}' fire, or it fires without one; give its weight.")
    return 0.5 * found


def _shape(time: Floats, response: Floats, unit: str) -> dict[str, Fact]:
    """Return peak, time to peak, width at half height and area of a response."""
    at = int(np.argmax(np.abs(response)))
    above = time[np.abs(response) >= 0.5 * abs(response[at])]
    sub_step = float(time[1] - time[0])
    area = float(response.sum() * sub_step)
    mean_time = area / float(response[at]) if response[at] else float("nan")
    return {
        "peak": Fact(float(response[at]), unit, "largest deflection of the membrane"),
        "time_to_peak": Fact(float(time[at]), "second", "from the arrival of the spike"),
        "half_width": Fact(float(above[-1] - above[0] + sub_step), "second", "between the two half heights, to a sub-step"),
        "area_over_peak": Fact(mean_time, "second", "area under the response over its peak"),
    }
