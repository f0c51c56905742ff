"""Checks of a card by running it: determinism, equality of engines, finite states, orders of convergence."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Floats
from ..drive import Drive
from ..engines.brian import Brian2
from ..engines.discrete import Discrete
from ..errors import RefsimError, crash
from ..experiments.dt import ORDERS, fitted_order
from ..experiments.search import rheobase
from ..experiments.solo import Setting
from ..model import NeuronModel
from ..model.reading import ode_part
from ..network import Network
from ..recording import Recording, output_trace

Answer = tuple[float | None, str]

_STEP, _STEPS = 2.0**-10, 96  # a dyadic step of about a millisecond: its halves are exact
_GRID = Setting(dt=_STEP, mode="grid")
_SHORTER = [_STEP / 4**k for k in range(4)]  # to 15 microseconds; an ODE that needs less is too stiff for any explicit method
_HALVINGS = 6
_TOLD = 16  # steps in which an order is measured


_found: list[tuple[NeuronModel, float]] = []  # the last model and its scale: five checks of one card ask for it


def scale_of(model: NeuronModel) -> float:
    """Return an input that makes a neuron fire now and then: its rheobase in the declared step, or 1 where it has none."""
    if not _found or _found[0][0] is not model:
        try:
            scale = rheobase(model, _GRID, _STEPS)
        except RefsimError:
            scale = 1.0
        _found[:] = [(model, scale)]
    return _found[0][1]


def _network(model: NeuronModel, step: float = _STEP) -> Network:
    """Return one neuron; behind it, where its spikes carry a number, a second one that hears it."""
    behind = [([[1.0]], None, model)] if model.discrete.payload else []
    return Network.dense([([[1.0, -1.0]], None, model), *behind], step)


def _drive(values: Any, step: float, **options: Any) -> Drive:
    """Return currents (n_samples, ..., 1) of either sign, each sign through its own weight, for cards that part them."""
    return Drive.current(np.concatenate([np.maximum(values, 0), np.maximum(-values, 0)], axis=-1), step, **options)


def _rough(model: NeuronModel, samples: int = 4) -> Drive:
    """Return noise about 1, 4, 16 and 64 times the rheobase, inhibition and silence included."""
    level = scale_of(model) * 4.0 ** np.arange(samples)[:, None, None]
    values = np.random.default_rng(11).normal(1.0, 1.5, (samples, _STEPS, 1)) * level
    values[:, _STEPS // 2 : _STEPS // 2 + 8] = 0.0
    return _drive(values, _STEP, seed=0)


def _differing(a: Recording, b: Recording) -> int:
    """Count spikes and recorded numbers that differ."""
    wrong = sum(len(np.setxor1d(x.code, y.code)) for x, y in zip(a.spikes, b.spikes, strict=True))
    pairs = [(x[name], y[name]) for x, y in zip(a.traces, b.traces, strict=True) for name in x]
    return wrong + sum(int((~np.isclose(x, y, rtol=0, atol=0, equal_nan=True)).sum()) for x, y in pairs)


def determinism(model: NeuronModel) -> Answer:
    """Run Brian2 and Discrete twice each and count what differs."""
    drive, engines_ = _rough(model), (Brian2(target="numpy"), Discrete())
    record = tuple(model.stepped)
    wrong = sum(_differing(*(engine.run(_network(model), drive, record) for _ in range(2))) for engine in engines_)
    return float(wrong), "" if not wrong else "two runs of one engine differ"


def engines(model: NeuronModel, steps: Mapping[str, Any] | None = None) -> Answer:
    """Count spikes, and what they carry, that differ between Brian2 grid, Discrete and, where there is a step for it, PyTorch."""
    from ..pytorch.engine import Torch

    drive, network = _rough(model), _network(model)
    carried = (output,) if (output := output_trace(network.layers[-1])) else ()
    reference, words = Brian2(target="numpy").run(network, drive, carried), "Brian2 and Discrete"
    wrong = {"Discrete": _differing(reference, Discrete().run(network, drive, carried))}
    try:
        wrong["PyTorch"] = _differing(
            reference, Torch(dtype="float64", steps={name: _told(step) for name, step in (steps or {}).items()}).run(network, drive, carried)
        )
        words = "Brian2, Discrete and PyTorch"
    except RefsimError as error:
        if "no PyTorch step" not in str(error):
            raise
    if any(wrong.values()):
        return float(sum(wrong.values())), "; ".join(f"{engine} has {count} other spikes than Brian2" for engine, count in wrong.items() if count)
    return 0.0, f"{words}: {len(reference.spikes[0])} spikes"


def _told(step: Any) -> Any:
    """Return a user's step that says in words what it raises."""

    def told(*given: Any) -> Any:
        try:
            return step(*given)
        except Exception as error:  # a user's step can raise anything
            raise crash("the PyTorch step", error) from error

    return told


def finite(model: NeuronModel) -> Answer:
    """Count states that are NaN or infinite under ten times the rheobase of either sign, in the step and in the ODE.

    An explicit method is unstable with steps longer than the shortest time constant, which for gates far from rest is some ten
    microseconds: that is a step too long, and the card is asked again with shorter ones. What no ODE may do, a logarithm or root of
    a negative number or a state that runs away, it does with any step. A card that counts time in steps has only the one.
    """
    wrong: dict[str, int] = {}
    for step in _SHORTER if model.timed else _SHORTER[:1]:
        wrong = _not_finite(model, step)
        if not wrong:
            return 0.0, "" if step == _STEP else f"finite with steps of {step * 1e3:.2g} ms; {model.discrete.solution} is unstable with longer ones"
    return float(sum(wrong.values())), f"{', '.join(wrong)} is NaN or infinite at ten times the rheobase, {10 * scale_of(model):.4g}, or less that"


def _not_finite(model: NeuronModel, step: float) -> dict[str, int]:
    """Return how many numbers of each state are not finite, for those that have any."""
    level = 10 * scale_of(model) * (1.0 if model.input_kind == "pulse" else step / _STEP)  # of impulses as much a second, whatever the step
    drive = _drive(np.array([[level], [-level]]), step, n_steps=round(_STEPS * _STEP / step))
    wrong: dict[str, int] = {}
    for mode in ("grid", "fine") if model.continuous is not None else ("grid",):
        refine = max(1, round(16 * step / _STEP)) if mode == "fine" else 1
        engine = Brian2(mode=mode, refine=refine, target="numpy", margin=False)
        for name, trace in engine.run(_network(model, step), drive, tuple(model.state)).traces[0].items():
            wrong[name] = wrong.get(name, 0) + int((~np.isfinite(trace)).sum())
    return {name: count for name, count in wrong.items() if count}


def method_order(model: NeuronModel) -> Answer:
    """Return by how much the order of the membrane in fine mode exceeds that of the declared method."""
    if model.continuous is None or "stochastic" in model.traits:
        return None, "there is no ODE" if model.continuous is None else "a stochastic neuron has no order of its membrane"
    method = str(ode_part(model).method)
    level = 0.5 * scale_of(model)
    paths = [_path(model, Brian2(mode="fine", refine=2**k, target="numpy", margin=False), _STEP, level) for k in range(_HALVINGS)]
    errors = np.abs(np.diff(paths, axis=0)).max(axis=1)
    return _over(errors, np.array([_STEP / 2**k for k in range(_HALVINGS - 1)]), method, float(np.abs(paths).max()))


def step_order(model: NeuronModel) -> Answer:
    """Return by how much the declared step, run at dt/2^k, converges to the ODE faster than its method should.

    A card that counts time in steps is another neuron at another dt, and is left out; so is a step that is exact.
    """
    solution = model.discrete.solution
    if solution not in ORDERS or solution == "exact" or model.continuous is None or "stochastic" in model.traits:
        return (
            None,
            f"the step says {solution}: declared_step holds it against its ODE" if solution == "exact" else f"the step says {solution}, which has no order",
        )
    if _ode_constants(model, _STEP) != _ode_constants(model, _STEP / 2):
        return None, "the card counts time in steps: at another dt it is another neuron"
    level = 0.5 * scale_of(model)
    truth = _path(model, Brian2(mode="fine", refine=2 ** (_HALVINGS + 3), target="numpy", margin=False), _STEP, level)
    sizes = np.array([_STEP / 2**k for k in range(_HALVINGS)])
    errors = np.array([np.abs(_path(model, Brian2(target="numpy", margin=False), float(size), level) - truth).max() for size in sizes])
    return _over(errors, sizes, solution, float(np.abs(truth).max()))


def _ode_constants(model: NeuronModel, step: float) -> dict[str, float]:
    """Return the constants that the ODE's own text reads, and `step` itself where it does."""
    words = set(re.findall(r"[A-Za-z_]\w*", ode_part(model).equations))
    return {name: value for name, value in {**model.constants(step), "step": step}.items() if name in words}


def _path(model: NeuronModel, engine: Brian2, step: float, level: float) -> Floats:
    """Return the membrane after each of 16 steps of a constant input that stays below threshold.

    An error that changes its sign on the way is small where it does, whatever its order: no single instant tells an order.
    """
    steps = round(_TOLD * _STEP / step)
    drive = _drive(np.array([[level]]), step, n_steps=steps)
    run = engine.run(_network(model, step), drive, ("after_reset",))
    if len(run.spikes[0]):
        raise RefsimError(f"card '{model.name}': fires at half its rheobase, so that no order below threshold can be measured.")
    membrane: Floats = run.traces[0]["after_reset"][0, :, 0]
    return membrane.reshape(_TOLD, -1)[:, -1]


def _over(errors: Floats, sizes: Floats, method: str, size: float) -> Answer:
    """Return the fitted order less the declared one, None where rounding is all there is."""
    if method not in ORDERS:
        return None, f"the order of {method} is not known here"
    order = fitted_order(sizes, np.abs(errors), 1e-12 * max(size, 1e-300))
    if order == np.inf:
        return 0.0, "rounding only"
    if np.isnan(order):
        return None, "too few differences above rounding to fit an order"
    declared = ORDERS[method] if np.isfinite(ORDERS[method]) else 4.0
    return min(order - declared, 9.0), f"{order:.2f} measured, {ORDERS[method]:g} declared by {method}"
