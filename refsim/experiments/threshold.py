"""Strength and duration: how strong a rectangle of current must be to make a neuron fire, by how long it lasts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats
from ..errors import RefsimError
from ..model import NeuronModel
from .quantities import readable, span
from .result import Column, Fact, Result
from .search import smallest
from .solo import Setting, fine, respond, trains

_DEFAULT = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 200, 400)  # steps


def threshold(model: NeuronModel, durations: str | ArrayLike | None = None, *, after: float | str = "20 ms", setting: Setting | None = None) -> Result:
    """Measure the strength-duration curve.

    Parameters
    ----------
    model : NeuronModel
    durations : str or (n,), optional
        Of the current, in seconds; each is rounded to whole steps of dt. By default 1 to 400 steps.
    after : float or str
        How long a spike may come after the current has ended.

    Returns
    -------
    Result
        Columns duration, strength and charge; facts rheobase (strength at the longest duration) and chronaxie (duration
        at twice the rheobase, interpolated between the durations measured).
    """
    setting = fine(model, setting)
    given = np.array(_DEFAULT) * setting.step if durations is None else span(durations, "second", "durations")
    setting.steps(float(max(given.max(), setting.step)), "durations")  # refuses what is too long
    steps = np.unique(np.rint(given / setting.step).astype(int))
    if steps[0] < 1:
        raise RefsimError(f"threshold: durations must be at least a step of {readable(setting.step, 'second')}; give a smaller --dt for shorter ones.")
    n_steps, unit = int(steps[-1]) + setting.steps(after, "after"), model.input_unit
    on = (np.arange(n_steps) < steps[:, None]).astype(np.float64)

    def fires(strengths: Floats) -> NDArray[np.bool_]:
        currents = (strengths[:, :, None] * on[:, None, :]).reshape(-1, n_steps)
        return np.array([bool(train.size) for train in trains(respond(model, currents, setting, n_steps=n_steps))]).reshape(strengths.shape)

    strengths = smallest(fires, len(steps))
    if np.isnan(strengths).all():
        raise RefsimError(f"threshold: '{model.name}' does not fire at any strength, for any of these durations; there is no threshold to measure.")
    seconds = steps * setting.step
    columns = {
        "duration": Column(seconds, "second", "of the current"),
        "strength": Column(strengths, unit, "smallest current that makes the neuron fire"),
        "charge": _charge(strengths, steps, setting.step, unit),
    }
    rheobase = float(strengths[-1])
    facts = {
        "rheobase": Fact(rheobase, unit, f"strength at {readable(float(seconds[-1]), 'second')}"),
        "chronaxie": Fact(chronaxie(seconds, strengths, rheobase), "second", "duration at twice the rheobase"),
    }
    return Result("threshold", model, {"curve": columns}, facts, setting.said())


def _charge(strengths: Floats, steps: NDArray[np.int_], step: float, unit: str) -> Column:
    """Return strength times duration: coulombs where the strength is a current, else counted in steps."""
    if unit == "amp":
        return Column(strengths * steps * step, "coulomb", "strength times duration")
    return Column(strengths * steps, unit, "strength times duration in steps")


def chronaxie(durations: Floats, strengths: Floats, rheobase: float) -> float:
    """Return the duration at twice the rheobase, on straight lines between the measured points in 1/strength; else NaN."""
    if not rheobase > 0 or not strengths[-1] <= 2 * rheobase <= strengths[0]:
        return float("nan")
    known = np.isfinite(strengths)
    return float(np.interp(0.5 / rheobase, 1 / strengths[known], durations[known]))
