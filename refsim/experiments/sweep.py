"""Sweep: any measure over any one or two numbers of a neuron, every combination in one run, on all cores where it pays."""

import itertools
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats
from ..drive import Drive
from ..errors import RefsimError
from ..model import NeuronModel
from ..model.naming import INPUT
from ..network import Network
from ..outside import safe_path
from ..units import to_si
from .measures import Measure, measure
from .quantities import parameter_values, readable, span
from .result import Column, Fact, Result
from .search import rheobase
from .solo import Setting, chosen, pair, trains

_CHUNK = 20_000_000  # numbers of a trace that one process holds at once
_MOST = 1_000_000  # combinations: hours on one core
_PAYS = 2_000  # combinations a core below which another process takes longer to start than to run


def sweep(
    model: NeuronModel, over: list[tuple[str, str | ArrayLike]], measures: str | list[str] = "spike_count", *,
    current: float | str | None = None, duration: float | str = "200 ms", setting: Setting | None = None, workers: int | None = None,
) -> Result:  # fmt: skip
    """Measure a neuron over one or two of its parameters, or its input ``I``.

    Parameters
    ----------
    model : NeuronModel
    over : list of (name, values), one or two
        ``[("tau", "2:20:10"), ("I", "0:2:21")]``
    measures : str or list of str
        Names of `refsim.experiments.measures.MEASURES`.
    current : float or str, optional
        Constant input where it is not swept; by default 1.5 times the rheobase of the card as given.
    duration : float or str
    workers : int, optional
        Processes at once; by default one a core where there are thousands of combinations.

    Returns
    -------
    Result
        One column a swept number and one a measure, a row a combination, values rising, the last number swept changing fastest.
    """
    setting = chosen(model, setting)
    for given in over:
        pair(given, "sweep")
    n_steps, names = setting.steps(duration), [name for name, _ in over]
    if len(over) not in (1, 2) or len(set(names)) != len(names):
        raise RefsimError(f"sweep: needs one or two different numbers to sweep, but {', '.join(names) or 'none'} were given.")
    asked = {name: measure(name) for name in ([measures] if isinstance(measures, str) else measures)}
    if workers is not None and workers < 1:
        raise RefsimError(f"sweep: workers must be a whole number of 1 or more, but is {workers!r}.")
    given_axes = [span(values, model.input_unit, name) if name == INPUT else parameter_values(model, name, values) for name, values in over]
    axes = [np.unique(values) for values in given_axes]  # rising, each once: a map has a place for nothing else
    if (size := math.prod(map(len, axes))) > _MOST:
        raise RefsimError(f"sweep: {size:,} combinations are more than one sweep runs, {_MOST:,}; give fewer values.")
    grid = np.array(list(itertools.product(*axes)))
    level = _level(model, current, names, setting, n_steps)
    inputs = grid[:, names.index(INPUT)] if INPUT in names else np.full(len(grid), level)
    columns = {name: Column(grid[:, index], _unit(model, name), _meaning(model, name)) for index, name in enumerate(names)}
    parameters = {name: grid[:, index] for index, name in enumerate(names) if name != INPUT}
    found = _measure_all(model, inputs, parameters, setting, n_steps, asked, workers)
    for index, (name, entry) in enumerate(asked.items()):
        unit = model.state[model.membrane].unit if entry.unit == "membrane" else entry.unit
        columns[name] = Column(found[:, index], unit, entry.meaning)
    facts = {} if INPUT in names else {"input": Fact(level, model.input_unit, "constant, in every run")}
    return Result(
        "sweep", model, {"sweep": columns}, facts, {"over": " and ".join(names), "duration": readable(n_steps * setting.step, "second"), **setting.said()}
    )


def _unit(model: NeuronModel, name: str) -> str:
    return model.input_unit if name == INPUT else model.parameter(name).unit


def _meaning(model: NeuronModel, name: str) -> str:
    return "constant input" if name == INPUT else model.parameter(name).meaning


def _level(model: NeuronModel, current: float | str | None, names: list[str], setting: Setting, n_steps: int) -> float:
    if INPUT in names:
        return float("nan")
    return 1.5 * rheobase(model, setting, n_steps) if current is None else to_si(current, model.input_unit, "current")


def _measure_all(
    model: NeuronModel, inputs: Floats, parameters: dict[str, Floats], setting: Setting, n_steps: int, asked: dict[str, Measure], workers: int | None
) -> Floats:
    """Measure every combination, in chunks; the result does not depend on how many processes share them."""
    cores = workers or min(os.cpu_count() or 1, max(1, len(inputs) // _PAYS))
    size = max(1, min(-(-len(inputs) // cores), _CHUNK // (n_steps * setting.refine)))
    parts = [np.arange(first, min(first + size, len(inputs))) for first in range(0, len(inputs), size)]
    jobs = [(model, inputs[part], {name: values[part] for name, values in parameters.items()}, setting, n_steps, list(asked)) for part in parts]
    if cores == 1 or len(jobs) == 1:
        return np.concatenate([_measure_part(job) for job in jobs])
    with safe_path(), ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        return np.concatenate(list(pool.map(_measure_part, jobs)))


def _measure_part(job: tuple[NeuronModel, Floats, dict[str, Floats], Setting, int, list[str]]) -> NDArray[np.float64]:
    """Run some combinations, one neuron each, and measure them: (n_combinations, n_measures)."""
    model, inputs, parameters, setting, n_steps, names = job
    asked = [measure(name) for name in names]
    record = ("after_reset",) if any(entry.needs_membrane for entry in asked) else ()
    network = Network.dense([(inputs[:, None], None, model, parameters)], setting.step)
    run = setting.engine.run(network, Drive.constant(1.0, n_steps, setting.step), record)
    membranes = run.traces[0]["after_reset"][0].T if record else np.empty((len(inputs), 0))
    rows = zip(trains(run), membranes, strict=True)
    return np.array([[entry.compute(times, v, n_steps * setting.step) for entry in asked] for times, v in rows])
