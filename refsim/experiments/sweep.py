"""Measures of a neuron over numbers that are swept.

`fi` is the f-I curve: how fast a neuron fires on a constant input, perhaps for several values of a
parameter. `threshold` is the strength-duration curve: how strong a rectangle of current must be to
make a neuron fire, by how long it lasts. `sweep` takes any measure over any one or two numbers of a
neuron, every combination in one run, on all cores where it pays.
"""

import itertools
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.names import INPUT
from ..cards.neuron import NeuronModel
from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.outside import safe_path
from ..core.units import to_si
from ..networks.drive import Drive
from ..networks.network import Network
from .one_neuron import (
    Measure,
    Setting,
    chosen,
    fine,
    measure,
    onset_rate,
    pair,
    respond,
    rheobase,
    smallest,
    steady_rate,
    trains,
)
from .result import Column, Fact, Result, parameter_values, readable, span


def fi(
    model: NeuronModel,
    currents: str | ArrayLike | None = None,
    over: tuple[str, str | ArrayLike] | None = None,
    *,
    duration: float | str = "500 ms",
    setting: Setting | None = None,
) -> Result:
    """Measure firing rates over input currents.

    Parameters
    ----------
    model : NeuronModel
    currents : str or (n,), optional
        ``"0:2nA:41"`` or numbers in the unit of the card's input; by default from 0 to three times
        the rheobase.
    over : (name, values), optional
        A parameter and its values, one curve each: ``("tau", "5,10,20")``.
    duration : float or str
        Of each run; a rate below two spikes in this time reads 0.

    Returns
    -------
    Result
        Columns current, the parameter, rate (between first and last spike), onset_rate (of the
        first interval), spikes.
    """
    setting = fine(model, setting)
    n_steps, unit = setting.steps(duration), model.input_unit
    # By default from silence to three times the rheobase.
    levels = (
        np.linspace(0, 3, 41) * rheobase(model, setting, n_steps)
        if currents is None
        else np.unique(span(currents, unit, "currents"))
    )
    # Each value of the parameter is a neuron, each current a sample.
    name, values = _values(model, over)
    run = respond(
        model, levels, setting, n_steps=n_steps, parameters={name: values} if name else None
    )
    times = trains(run)
    columns = {"current": Column(np.repeat(levels, len(values)), unit, "constant input")}
    if name:
        parameter = model.parameter(name)
        columns[name] = Column(np.tile(values, len(levels)), parameter.unit, parameter.meaning)
    # Two rates: of all intervals, and of the first one.
    columns |= {
        "rate": Column(
            np.array([steady_rate(train) for train in times]),
            "hertz",
            "spikes a second between the first and the last",
        ),
        "onset_rate": Column(
            np.array([onset_rate(train) for train in times]), "hertz", "one over the first interval"
        ),
        "spikes": Column(
            np.array([len(train) for train in times]), "1", "spikes within the duration"
        ),
    }
    # The onset of each curve.
    facts = {
        f"onset{index or ''}": _onset(columns, name, value, unit, model)
        for index, value in enumerate(values)
    }
    return Result(
        "fi",
        model,
        {"curve": columns},
        facts,
        {"duration": readable(n_steps * setting.step, "second"), **setting.said()},
    )


def _values(model: NeuronModel, over: tuple[str, str | ArrayLike] | None) -> tuple[str, np.ndarray]:
    if over is None:
        return "", np.array([np.nan])
    pair(over, "fi")
    name, given = over
    return name, np.unique(parameter_values(model, name, given))


def _onset(
    columns: dict[str, Column], name: str, value: float, unit: str, model: NeuronModel
) -> Fact:
    """Return the smallest current of the curve that fires at all."""
    mine = columns["spikes"].values > 0
    if name:
        mine &= columns[name].values == value
    found = columns["current"].values[mine]
    of = f", {name} = {readable(value, model.parameter(name).unit)}" if name else ""
    return Fact(
        float(found.min()) if found.size else float("nan"), unit, f"smallest input that fires{of}"
    )


_DEFAULT = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 200, 400)  # steps


def threshold(
    model: NeuronModel,
    durations: str | ArrayLike | None = None,
    *,
    after: float | str = "20 ms",
    setting: Setting | None = None,
) -> Result:
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
        Columns duration, strength and charge; facts rheobase (strength at the longest duration) and
        chronaxie (duration at twice the rheobase, interpolated between the durations measured).
    """
    setting = fine(model, setting)
    given = (
        np.array(_DEFAULT) * setting.step
        if durations is None
        else span(durations, "second", "durations")
    )
    setting.steps(float(max(given.max(), setting.step)), "durations")  # refuses what is too long
    # Durations are whole steps of dt.
    steps = np.unique(np.rint(given / setting.step).astype(int))
    if steps[0] < 1:
        raise RefsimError(
            "threshold: durations must be at least a step of "
            f"{readable(setting.step, 'second')}; give a smaller --dt for shorter ones."
        )
    n_steps, unit = int(steps[-1]) + setting.steps(after, "after"), model.input_unit
    # A rectangle of current for each duration.
    on = (np.arange(n_steps) < steps[:, None]).astype(np.float64)

    def fires(strengths: Floats) -> NDArray[np.bool_]:
        currents = (strengths[:, :, None] * on[:, None, :]).reshape(-1, n_steps)
        return np.array(
            [
                bool(train.size)
                for train in trains(respond(model, currents, setting, n_steps=n_steps))
            ]
        ).reshape(strengths.shape)

    # All durations are searched at once.
    strengths = smallest(fires, len(steps))
    if np.isnan(strengths).all():
        raise RefsimError(
            f"threshold: '{model.name}' does not fire at any strength, for any of these "
            "durations; there is no threshold to measure."
        )
    seconds = steps * setting.step
    columns = {
        "duration": Column(seconds, "second", "of the current"),
        "strength": Column(strengths, unit, "smallest current that makes the neuron fire"),
        "charge": _charge(strengths, steps, setting.step, unit),
    }
    # The longest duration stands for an endless one.
    rheobase = float(strengths[-1])
    facts = {
        "rheobase": Fact(rheobase, unit, f"strength at {readable(float(seconds[-1]), 'second')}"),
        "chronaxie": Fact(
            chronaxie(seconds, strengths, rheobase), "second", "duration at twice the rheobase"
        ),
    }
    return Result("threshold", model, {"curve": columns}, facts, setting.said())


def _charge(strengths: Floats, steps: NDArray[np.int_], step: float, unit: str) -> Column:
    """Return strength times duration.

    It is in coulombs where the strength is a current, and else counted in steps.
    """
    if unit == "amp":
        return Column(strengths * steps * step, "coulomb", "strength times duration")
    return Column(strengths * steps, unit, "strength times duration in steps")


def chronaxie(durations: Floats, strengths: Floats, rheobase: float) -> float:
    """Return the duration at twice the rheobase, or NaN.

    Between the measured points 1/strength is taken for a straight line.
    """
    if not rheobase > 0 or not strengths[-1] <= 2 * rheobase <= strengths[0]:
        return float("nan")
    known = np.isfinite(strengths)
    return float(np.interp(0.5 / rheobase, 1 / strengths[known], durations[known]))


_CHUNK = 20_000_000  # numbers of a trace that one process holds at once
_MOST = 1_000_000  # combinations: hours on one core
_PAYS = 2_000  # combinations a core below which another process takes longer to start than to run


def sweep(
    model: NeuronModel,
    over: list[tuple[str, str | ArrayLike]],
    measures: str | list[str] = "spike_count",
    *,
    current: float | str | None = None,
    duration: float | str = "200 ms",
    setting: Setting | None = None,
    workers: int | None = None,
) -> Result:
    """Measure a neuron over one or two of its parameters, or its input ``I``.

    Parameters
    ----------
    model : NeuronModel
    over : list of (name, values), one or two
        ``[("tau", "2:20:10"), ("I", "0:2:21")]``
    measures : str or list of str
        Names of `refsim.experiments.one_neuron.MEASURES`.
    current : float or str, optional
        Constant input where it is not swept; by default 1.5 times the rheobase of the card as
        given.
    duration : float or str
    workers : int, optional
        Processes at once; by default one a core where there are thousands of combinations.

    Returns
    -------
    Result
        One column a swept number and one a measure, a row a combination, values rising, the last
        number swept changing fastest.
    """
    setting = chosen(model, setting)
    for given in over:
        pair(given, "sweep")
    # What is swept, and what is measured.
    n_steps, names = setting.steps(duration), [name for name, _ in over]
    if len(over) not in (1, 2) or len(set(names)) != len(names):
        raise RefsimError(
            "sweep: needs one or two different numbers to sweep, but "
            f"{', '.join(names) or 'none'} were given."
        )
    asked = {
        name: measure(name) for name in ([measures] if isinstance(measures, str) else measures)
    }
    if workers is not None and workers < 1:
        raise RefsimError(
            f"sweep: workers must be a whole number of 1 or more, but is {workers!r}."
        )
    # Values of a parameter keep the bounds of its card.
    given_axes = [
        span(values, model.input_unit, name)
        if name == INPUT
        else parameter_values(model, name, values)
        for name, values in over
    ]
    # Rising, each once: a map has a place for nothing else.
    axes = [np.unique(values) for values in given_axes]
    # So many runs would take hours.
    if (size := math.prod(map(len, axes))) > _MOST:
        raise RefsimError(
            f"sweep: {size:,} combinations are more than one sweep runs, {_MOST:,}; give fewer "
            "values."
        )
    # Every combination, the last number changing fastest.
    grid = np.array(list(itertools.product(*axes)))
    level = _constant_input(model, current, names, setting, n_steps)
    # The input is swept, or the same in all runs.
    inputs = grid[:, names.index(INPUT)] if INPUT in names else np.full(len(grid), level)
    columns = {
        name: Column(grid[:, index], _unit(model, name), _meaning(model, name))
        for index, name in enumerate(names)
    }
    parameters = {name: grid[:, index] for index, name in enumerate(names) if name != INPUT}
    found = _measure_all(model, inputs, parameters, setting, n_steps, asked, workers)
    # A measure of the membrane has the membrane's unit.
    for index, (name, entry) in enumerate(asked.items()):
        unit = model.state[model.membrane].unit if entry.unit == "membrane" else entry.unit
        columns[name] = Column(found[:, index], unit, entry.meaning)
    facts = (
        {} if INPUT in names else {"input": Fact(level, model.input_unit, "constant, in every run")}
    )
    return Result(
        "sweep",
        model,
        {"sweep": columns},
        facts,
        {
            "over": " and ".join(names),
            "duration": readable(n_steps * setting.step, "second"),
            **setting.said(),
        },
    )


def _unit(model: NeuronModel, name: str) -> str:
    return model.input_unit if name == INPUT else model.parameter(name).unit


def _meaning(model: NeuronModel, name: str) -> str:
    return "constant input" if name == INPUT else model.parameter(name).meaning


def _constant_input(
    model: NeuronModel,
    current: float | str | None,
    names: list[str],
    setting: Setting,
    n_steps: int,
) -> float:
    if INPUT in names:
        return float("nan")
    return (
        1.5 * rheobase(model, setting, n_steps)
        if current is None
        else to_si(current, model.input_unit, "current")
    )


def _measure_all(
    model: NeuronModel,
    inputs: Floats,
    parameters: dict[str, Floats],
    setting: Setting,
    n_steps: int,
    asked: dict[str, Measure],
    workers: int | None,
) -> Floats:
    """Measure every combination, in chunks.

    The result does not depend on how many processes share them.
    """
    # Another process pays only where it has much to do.
    cores = workers or min(os.cpu_count() or 1, max(1, len(inputs) // _PAYS))
    # A chunk is bounded by the memory of its traces.
    size = max(1, min(-(-len(inputs) // cores), _CHUNK // (n_steps * setting.refine)))
    parts = [
        np.arange(first, min(first + size, len(inputs))) for first in range(0, len(inputs), size)
    ]
    jobs = [
        (
            model,
            inputs[part],
            {name: values[part] for name, values in parameters.items()},
            setting,
            n_steps,
            list(asked),
        )
        for part in parts
    ]
    # A process of its own would only cost its start.
    if cores == 1 or len(jobs) == 1:
        return np.concatenate([_measure_part(job) for job in jobs])
    with (
        safe_path(),
        ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        return np.concatenate(list(pool.map(_measure_part, jobs)))


def _measure_part(
    job: tuple[NeuronModel, Floats, dict[str, Floats], Setting, int, list[str]],
) -> NDArray[np.float64]:
    """Run some combinations, one neuron each, and measure them: (n_combinations, n_measures)."""
    model, inputs, parameters, setting, n_steps, names = job
    asked = [measure(name) for name in names]
    # A trace is kept only where a measure reads it.
    record = ("after_reset",) if any(entry.needs_membrane for entry in asked) else ()
    # Each combination is a neuron with its own weight and parameters.
    network = Network.dense([(inputs[:, None], None, model, parameters)], setting.step)
    run = setting.engine.run(network, Drive.constant(1.0, n_steps, setting.step), record)
    membranes = run.traces[0]["after_reset"][0].T if record else np.empty((len(inputs), 0))
    rows = zip(trains(run), membranes, strict=True)
    return np.array(
        [[entry.compute(times, v, n_steps * setting.step) for entry in asked] for times, v in rows]
    )
