"""The f-I curve: how fast a neuron fires on a constant input, perhaps for several values of a parameter."""

import numpy as np
from numpy.typing import ArrayLike

from ..model import NeuronModel
from .measures import onset_rate, steady_rate
from .quantities import parameter_values, readable, span
from .result import Column, Fact, Result
from .search import rheobase
from .solo import Setting, fine, pair, respond, trains


def fi(
    model: NeuronModel, currents: str | ArrayLike | None = None, over: tuple[str, str | ArrayLike] | None = None,
    *, duration: float | str = "500 ms", setting: Setting | None = None,
) -> Result:  # fmt: skip
    """Measure firing rates over input currents.

    Parameters
    ----------
    model : NeuronModel
    currents : str or (n,), optional
        ``"0:2nA:41"`` or numbers in the unit of the card's input; by default from 0 to three times the rheobase.
    over : (name, values), optional
        A parameter and its values, one curve each: ``("tau", "5,10,20")``.
    duration : float or str
        Of each run; a rate below two spikes in this time reads 0.

    Returns
    -------
    Result
        Columns current, the parameter, rate (between first and last spike), onset_rate (of the first interval), spikes.
    """
    setting = fine(model, setting)
    n_steps, unit = setting.steps(duration), model.input_unit
    levels = np.linspace(0, 3, 41) * rheobase(model, setting, n_steps) if currents is None else np.unique(span(currents, unit, "currents"))
    name, values = _values(model, over)
    run = respond(model, levels, setting, n_steps=n_steps, parameters={name: values} if name else None)
    times = trains(run)
    columns = {"current": Column(np.repeat(levels, len(values)), unit, "constant input")}
    if name:
        parameter = model.parameter(name)
        columns[name] = Column(np.tile(values, len(levels)), parameter.unit, parameter.meaning)
    columns |= {
        "rate": Column(np.array([steady_rate(train) for train in times]), "hertz", "spikes a second between the first and the last"),
        "onset_rate": Column(np.array([onset_rate(train) for train in times]), "hertz", "one over the first interval"),
        "spikes": Column(np.array([len(train) for train in times]), "1", "spikes within the duration"),
    }
    facts = {f"onset{index or ''}": _onset(columns, name, value, unit, model) for index, value in enumerate(values)}
    return Result("fi", model, {"curve": columns}, facts, {"duration": readable(n_steps * setting.step, "second"), **setting.said()})


def _values(model: NeuronModel, over: tuple[str, str | ArrayLike] | None) -> tuple[str, np.ndarray]:
    if over is None:
        return "", np.array([np.nan])
    pair(over, "fi")
    name, given = over
    return name, np.unique(parameter_values(model, name, given))


def _onset(columns: dict[str, Column], name: str, value: float, unit: str, model: NeuronModel) -> Fact:
    """Return the smallest current of the curve that fires at all."""
    mine = columns["spikes"].values > 0
    if name:
        mine &= columns[name].values == value
    found = columns["current"].values[mine]
    of = f", {name} = {readable(value, model.parameter(name).unit)}" if name else ""
    return Fact(float(found.min()) if found.size else float("nan"), unit, f"smallest input that fires{of}")
