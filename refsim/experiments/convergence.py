"""Convergence: spike times and membrane against the sub-step.

It asks whether the integration converges, and at which order.
"""

import itertools
import math

import numpy as np

from ..cards.neuron import NeuronModel
from ..cards.questions import ode_part
from ..core.arrays import Floats
from ..core.errors import RefsimError
from .inputs import Stimulus, constant
from .one_neuron import Setting, fine, rheobase, trains
from .responses import record_states
from .result import Column, Fact, Result

# Order of the global error in the membrane below threshold; exact methods leave rounding only.
ORDERS = {
    "exact": np.inf,
    "euler": 1.0,
    "exponential_euler": 1.0,
    "heun": 2.0,
    "rk2": 2.0,
    "rk4": 4.0,
}
_ROUNDING = 1e-11  # relative: what some thousand sub-steps in double precision leave


def dt(
    model: NeuronModel,
    stimulus: Stimulus | None = None,
    *,
    duration: float | str = "100 ms",
    finest: int = 8,
    setting: Setting | None = None,
) -> Result:
    """Run the ODE at dt, dt/2, ..., dt/2^finest and compare each run with the next.

    Parameters
    ----------
    model : NeuronModel
    stimulus : Stimulus, optional
        By default a constant 1.5 times the rheobase.
    duration : float or str
    finest : int
        Halvings of dt, 3 to 12.

    Returns
    -------
    Result
        Columns sub_step, spikes, first_spike, spike_change (mean shift of a spike to the next finer
        run) and membrane_change (of the membrane halfway to the first spike); facts spike_order and
        membrane_order, fitted. A table ``spikes`` holds every spike time by sub-step.
    """
    setting = fine(model, setting)
    if not isinstance(finest, int) or not 3 <= finest <= 12:
        raise RefsimError(f"dt: finest must be a whole number from 3 to 12, but is {finest!r}.")
    n_steps = setting.steps(duration)
    # An input above threshold, so that there are spikes to compare.
    stimulus = stimulus or constant(1.5 * rheobase(model, setting, n_steps))
    # The same run at each sub-step, every one half of the one before.
    refines = [2**k for k in range(finest + 1)]
    runs = [
        record_states(model, stimulus, fine(model, setting, refine=refine), n_steps)
        for refine in refines
    ]
    times = [trains(run)[0] for run in runs]
    # halfway to the first spike of the finest run, at the end of a step: a point in time that every
    # run has
    halfway = max(0, int((times[-1][0] / setting.step if len(times[-1]) else n_steps) / 2) - 1)
    membrane = model.membrane_in(fine=True)
    membranes = np.array(
        [run.traces[0][membrane][0, (halfway + 1) * run.refine - 1, 0] for run in runs]
    )
    # Each run is compared with the next finer one; no truth is needed.
    sub_steps = setting.step / np.array(refines)
    moved, drift = _shifts(times), np.append(np.abs(np.diff(membranes)), np.nan)
    # Differences of rounding would spoil the fit.
    floor = _ROUNDING * float(np.abs(membranes).max())
    columns = {
        "sub_step": Column(sub_steps, "second", "dt/2^k"),
        "spikes": Column(np.array([len(train) for train in times]), "1", "within the duration"),
        "first_spike": Column(
            np.array([train[0] if len(train) else np.nan for train in times]),
            "second",
            "time of the first spike",
        ),
        "spike_change": Column(moved, "second", "mean shift of a spike to the next finer run"),
        "membrane_change": Column(
            drift, model.state[membrane].unit, "change of the membrane halfway to the first spike"
        ),
    }
    spikes = {
        "sub_step": Column(
            np.repeat(sub_steps, [len(train) for train in times]), "second", "dt/2^k"
        ),
        "time": Column(np.concatenate(times), "second", "of each spike"),
    }
    facts = {
        "spike_order": _spike_order(model, sub_steps, moved),
        "membrane_order": Fact(
            fitted_order(sub_steps, drift, floor), "1", f"fitted; declared {_declared(model)}"
        ),
    }
    return Result(
        "dt",
        model,
        {"ladder": columns, "spikes": spikes},
        facts,
        {"input": stimulus.words(model), "dt": f"{setting.step * 1e3:g} ms"},
    )


def _spike_order(model: NeuronModel, sub_steps: Floats, moved: Floats) -> Fact:
    if model.draws:
        return Fact(float("nan"), "1", "none: chance is drawn anew at each sub-step")
    order = fitted_order(sub_steps, moved, 0.0)
    if np.isinf(order) and np.isnan(moved[:-1]).any():
        order = float("nan")  # spikes came and went: those that stayed in place tell no order
    return Fact(order, "1", "fitted; spikes on a grid have 1 at best")


def _declared(model: NeuronModel) -> str:
    method = str(ode_part(model).method)
    return (
        f"{method}: {ORDERS.get(method, float('nan')):g}"
        if np.isfinite(ORDERS.get(method, np.nan))
        else f"{method}: rounding only"
    )


def _shifts(times: list[Floats]) -> Floats:
    """Return the mean shift of the n-th spike from each run to the next finer one.

    It is NaN for the last run, and where spikes have no partner; one spike may be lost at the end
    of the run.
    """
    shifts = []
    # The n-th spike of one run belongs to the n-th of the other.
    for coarse, finer in itertools.pairwise(times):
        both = min(len(coarse), len(finer))
        shifts.append(
            float(np.abs(coarse[:both] - finer[:both]).mean())
            if both and abs(len(coarse) - len(finer)) <= 1
            else float("nan")
        )
    return np.array([*shifts, np.nan])


def fitted_order(sub_steps: Floats, changes: Floats, floor: float) -> float:
    """Fit ``change ~ sub_step^order`` to changes above a floor.

    The order is infinite where all changes lie below it, and NaN where too few are left.
    """
    known = np.isfinite(changes)
    # Differences of rounding have no order.
    above = known & (changes > floor)
    if known.any() and not above.any():
        return float("inf")
    if above.sum() < 3:
        return float("nan")
    return fitted_power(sub_steps[above], changes[above])


def fitted_power(x: Floats, y: Floats) -> float:
    """Return p of ``y ~ x^p``, by least squares of the logarithms of positive numbers (n,).

    Sums are rounded once and logarithms are the system's, so that a report has the same digits with
    every release of NumPy.
    """
    # The slope of a straight line through the logarithms.
    across, up = [math.log(value) for value in x], [math.log(value) for value in y]
    middle, height = math.fsum(across) / len(across), math.fsum(up) / len(up)
    rise = math.fsum((a - middle) * (b - height) for a, b in zip(across, up, strict=True))
    return rise / math.fsum((a - middle) ** 2 for a in across)
