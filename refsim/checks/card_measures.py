"""What the checks of a card measure.

First the text of the card: its names, its units, its step against its ODE, and where the ODE rests.
Then runs of the card: determinism, equality of engines, finite states, and orders of convergence.
"""

import itertools
import keyword
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.neuron import NeuronModel, so_far
from ..cards.questions import ode_part, used_names
from ..cards.traits import OF_TRAITS
from ..core.arrays import Floats
from ..core.errors import RefsimError, counted, crash
from ..engines.brian.engine import Brian2
from ..engines.brian.session import session
from ..engines.discrete import Discrete
from ..experiments.convergence import ORDERS, fitted_order
from ..experiments.one_neuron import Setting, respond, rheobase
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording, output_trace
from .declared_step import check_declared_step
from .suite import Answer

if TYPE_CHECKING:
    from ..pytorch.base import Step, Stepped

_CPP = frozenset(
    [
        "alignas",
        "alignof",
        "asm",
        "auto",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "const",
        "constexpr",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "float",
        "for",
        "goto",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "operator",
        "private",
        "protected",
        "public",
        "register",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "try",
        "typedef",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
    ]
)
_SILENCE = 1000  # steps after which a neuron must have settled, or be on its way to a fixed point
_READOUT_STEPS = 16  # steps after which a readout is compared with what it says it is
# Of a state's size over the last tenth: what is left of a way that is a hundred time constants
# long.
_STILL = 1e-6


def names(model: NeuronModel) -> Answer:
    """Count names with another meaning in Brian2, C++ or Python, and names that no text reads.

    A parameter counts as read where the card reads it as it is or with a trait switched.
    """
    # A name that Brian2, C++ or Python knows would be taken for theirs.
    own = {*model.state, *model.parameters, *model.derived}
    taken = sorted(own & {*_CPP, *keyword.kwlist, *_brian_names()})
    # A parameter that only a trait's text reads is still of use.
    used = used_names(model) | (OF_TRAITS if model.convention else frozenset())
    idle = sorted(name for name in (*model.parameters, *model.derived) if name not in used)
    words = (
        [f"{', '.join(taken)}: has another meaning in Brian2, C++ or Python; rename it"]
        if taken
        else []
    )
    words += [f"{', '.join(idle)}: declared, but no text reads it"] if idle else []
    return float(len(taken) + len(idle)), "; ".join(words)


def _brian_names() -> set[str]:
    with session("numpy", "float64", 1e-3):
        # The lists are Brian2's own, of the version that is installed.
        from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
        from brian2.core.namespace import DEFAULT_UNITS

        return {*DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS, *DEFAULT_UNITS}


def units(model: NeuronModel) -> Answer:
    """Let Brian2 build the ODE and the step, which checks every unit."""
    # Building the group is enough: Brian2 checks units before it runs.
    for mode in ("fine", "grid") if model.continuous is not None else ("grid",):
        try:
            respond(model, [0.0], Setting(refine=1, mode=mode), n_steps=1)
        except RefsimError as error:
            return 1.0, str(error)
    return 0.0, "" if model.continuous is not None else "the declared step; there is no ODE"


def declared_step(model: NeuronModel) -> Answer:
    """Compare the step with what Brian2 makes of the ODE by the method that the card names.

    A readout is compared with what it says it makes of the steps.
    """
    if model.discrete.over_steps:
        return _over_steps(model)
    found = check_declared_step(model)
    if found.status not in ("pass", "fail"):
        return None, found.detail
    return float(found.value or 0), found.detail


def _over_steps(model: NeuronModel) -> Answer:
    """Count the steps after which a readout is not the mean, sum, last or maximum of its input."""
    # Sixteen random inputs, through the engine and through NumPy.
    arrived = np.random.default_rng(13).normal(0.0, 1.0, _READOUT_STEPS)
    setting, readout = Setting(mode="grid"), model.discrete.readout
    found = respond(
        model, arrived[None], setting, n_steps=_READOUT_STEPS, record=(readout,)
    ).traces[0][readout][0, :, 0]
    expected = so_far(arrived, model.discrete.over_steps)
    # Sixteen sums of numbers about 1 round by 1e-15 each.
    wrong = np.flatnonzero(~(np.abs(found - expected) <= 1e-12))
    words = (
        (
            f"after step {wrong[0]} {readout} is {found[wrong[0]]:.6g}, and the "
            f"{model.discrete.over_steps} {expected[wrong[0]]:.6g}"
        )
        if wrong.size
        else ""
    )
    return float(wrong.size), words


def rest(model: NeuronModel) -> Answer:
    """Count the states that neither stay, nor settle, without input; a spike counts as one too."""
    if "stochastic" in model.traits:
        return None, "a stochastic neuron may fire without input"
    mode = "fine" if model.continuous is not None else "grid"
    # A fourth of the step is fine enough for what moves without input.
    setting = Setting(refine=4, mode=mode)
    run = respond(model, [0.0], setting, n_steps=_SILENCE, record=_record_of(model, mode))
    restless = []
    # A state is at rest where its last tenth is flat, or where it slows down.
    for name in run.traces[0]:
        trace = run.traces[0][name][0, :, 0]
        last = trace[-len(trace) // 10 :]
        size = max(float(np.abs(trace).max()), abs(model.state[name].start))
        if not np.ptp(last) <= _STILL * size and not _approaches(trace):
            restless.append(name)
    # A spike without input is unrest too.
    fired = len(run.spikes[0])
    words = (
        [
            (
                f"{', '.join(restless)} still {'moves' if len(restless) == 1 else 'move'} after "
                f"{_SILENCE} silent steps"
            )
        ]
        if restless
        else []
    ) + ([f"fires {counted(fired, 'time')} without input"] if fired else [])
    return float(len(restless) + bool(fired)), "; ".join(words)


def _record_of(model: NeuronModel, mode: str) -> tuple[str, ...]:
    """Return the states that must come to rest.

    Of a readout over the steps only the readout must: it may count the steps, and that never ends.
    """
    return (
        (model.discrete.readout,)
        if model.discrete.over_steps
        else tuple(model.solved if mode == "fine" else model.state)
    )


def _approaches(trace: Floats) -> bool:
    """Return whether a slow state moves less in each quarter of the run than in the one before."""
    moved = [float(np.ptp(part)) for part in np.array_split(trace, 4)]
    return all(later < 0.9 * earlier for earlier, later in itertools.pairwise(moved))


_STEP, _STEPS = 2.0**-10, 96  # a dyadic step of about a millisecond: its halves are exact
_GRID = Setting(dt=_STEP, mode="grid")
# To 15 microseconds; an ODE that needs less is too stiff for any explicit method.
_SHORTER = [_STEP / 4**k for k in range(4)]
_HALVINGS = 6
_TOLD = 16  # steps in which an order is measured


# The last model and its scale: five checks of one card ask for it.
_found: list[tuple[NeuronModel, float]] = []


def scale_of(model: NeuronModel) -> float:
    """Return an input that makes a neuron fire now and then.

    It is the rheobase of the declared step, or 1 where there is none.
    """
    # The search for a rheobase runs the neuron many times; it is kept for one card.
    if not _found or _found[0][0] is not model:
        try:
            scale = rheobase(model, _GRID, _STEPS)
        except RefsimError:
            scale = 1.0
        _found[:] = [(model, scale)]
    return _found[0][1]


def _network(model: NeuronModel, step: float = _STEP) -> Network:
    """Return one neuron, and a second one behind it where its spikes carry a number."""
    behind = [([[1.0]], None, model)] if model.discrete.payload else []
    return Network.dense([([[1.0, -1.0]], None, model), *behind], step)


def _drive(values: Floats, step: float, **options: Any) -> Drive:
    """Return currents (n_samples, ..., 1) of either sign.

    Each sign comes through a weight of its own, for cards that part excitation from inhibition.
    """
    return Drive.current(
        np.concatenate([np.maximum(values, 0), np.maximum(-values, 0)], axis=-1), step, **options
    )


def _rough(model: NeuronModel, samples: int = 4) -> Drive:
    """Return noise about 1, 4, 16 and 64 times the rheobase, inhibition and silence included."""
    level = scale_of(model) * 4.0 ** np.arange(samples)[:, None, None]
    # Most of it is positive, so that the neuron fires; some of it inhibits.
    values = np.random.default_rng(11).normal(1.0, 1.5, (samples, _STEPS, 1)) * level
    # Silence in the middle lets states decay.
    values[:, _STEPS // 2 : _STEPS // 2 + 8] = 0.0
    return _drive(values, _STEP, seed=0)


def _differing(a: Recording, b: Recording) -> int:
    """Count spikes and recorded numbers that differ."""
    wrong = sum(len(np.setxor1d(x.code, y.code)) for x, y in zip(a.spikes, b.spikes, strict=True))
    pairs = [(x[name], y[name]) for x, y in zip(a.traces, b.traces, strict=True) for name in x]
    return wrong + sum(
        int((~np.isclose(x, y, rtol=0, atol=0, equal_nan=True)).sum()) for x, y in pairs
    )


def determinism(model: NeuronModel) -> Answer:
    """Run Brian2 and Discrete twice each and count what differs."""
    drive, engines_ = _rough(model), (Brian2(target="numpy"), Discrete())
    record = tuple(model.stepped)
    wrong = sum(
        _differing(*(engine.run(_network(model), drive, record) for _ in range(2)))
        for engine in engines_
    )
    return float(wrong), "" if not wrong else "two runs of one engine differ"


def engines(model: NeuronModel, steps: "Mapping[str, Step] | None" = None) -> Answer:
    """Count the spikes, and what they carry, that differ between the engines.

    The engines are Brian2 (grid), Discrete and, where there is a step for the card, PyTorch.
    """
    from ..engines.pytorch import Torch

    # All engines get one input and one network.
    drive, network = _rough(model), _network(model)
    carried = (output,) if (output := output_trace(network.layers[-1])) else ()
    reference, words = Brian2(target="numpy").run(network, drive, carried), "Brian2 and Discrete"
    # Brian2 is the reference.
    wrong = {"Discrete": _differing(reference, Discrete().run(network, drive, carried))}
    try:
        wrong["PyTorch"] = _differing(
            reference,
            Torch(
                dtype="float64",
                steps={name: _guarded_step(step) for name, step in (steps or {}).items()},
            ).run(network, drive, carried),
        )
        words = "Brian2, Discrete and PyTorch"
    except RefsimError as error:
        if "no PyTorch step" not in str(error):
            raise
    # Each engine that differs is named with its count.
    if any(wrong.values()):
        return float(sum(wrong.values())), "; ".join(
            f"{engine} has {count} other spikes than Brian2"
            for engine, count in wrong.items()
            if count
        )
    return 0.0, f"{words}: {len(reference.spikes[0])} spikes"


def _guarded_step(step: "Step") -> "Step":
    """Return a user's step that says in words what it raises."""

    def guarded(*given: Any) -> "Stepped":
        try:
            return step(*given)
        except Exception as error:  # a user's step can raise anything
            raise crash("the PyTorch step", error) from error

    return guarded


def finite(model: NeuronModel) -> Answer:
    """Count the states that are NaN or infinite under ten times the rheobase of either sign.

    The step is run and the ODE too. An explicit method is unstable with steps longer than the
    shortest time constant, which for gates far from rest is some ten microseconds. Such a step is
    too long, and no fault of the card, so the card is run again with shorter steps. A fault of the
    ODE itself, such as the logarithm or root of a negative number or a state that runs away,
    appears with any step. A card that counts time in steps has one step only.
    """
    wrong: dict[str, int] = {}
    # A card that counts time in steps has one step only.
    for step in _SHORTER if model.timed else _SHORTER[:1]:
        wrong = _not_finite(model, step)
        # Shorter steps are not tried once one is short enough.
        if not wrong:
            return (
                0.0,
                ""
                if step == _STEP
                else (
                    f"finite with steps of {step * 1e3:.2g} ms; {model.discrete.solution} is "
                    "unstable with longer ones"
                ),
            )
    return (
        float(sum(wrong.values())),
        (
            f"{', '.join(wrong)} is NaN or infinite at ten times the rheobase, "
            f"{10 * scale_of(model):.4g}, or less that"
        ),
    )


def _not_finite(model: NeuronModel, step: float) -> dict[str, int]:
    """Return how many numbers of each state are not finite, for those that have any."""
    # Of impulses as much a second, whatever the step.
    level = 10 * scale_of(model) * (1.0 if model.input_kind == "pulse" else step / _STEP)
    # One sample excites and one inhibits.
    drive = _drive(np.array([[level], [-level]]), step, n_steps=round(_STEPS * _STEP / step))
    wrong: dict[str, int] = {}
    # The declared step, and the ODE where there is one.
    for mode in ("grid", "fine") if model.continuous is not None else ("grid",):
        refine = max(1, round(16 * step / _STEP)) if mode == "fine" else 1
        engine = Brian2(mode=mode, refine=refine, target="numpy", margin=False)
        for name, trace in (
            engine.run(_network(model, step), drive, tuple(model.state)).traces[0].items()
        ):
            wrong[name] = wrong.get(name, 0) + int((~np.isfinite(trace)).sum())
    return {name: count for name, count in wrong.items() if count}


def method_order(model: NeuronModel) -> Answer:
    """Return the order of the membrane in fine mode, less that of the declared method."""
    if model.continuous is None or "stochastic" in model.traits:
        return (
            None,
            "there is no ODE"
            if model.continuous is None
            else "a stochastic neuron has no order of its membrane",
        )
    method = str(ode_part(model).method)
    level = 0.5 * scale_of(model)
    # The same 16 steps, each time with half the sub-step.
    paths = [
        _path(model, Brian2(mode="fine", refine=2**k, target="numpy", margin=False), _STEP, level)
        for k in range(_HALVINGS)
    ]
    # Each run is compared with the next finer one; no truth is needed.
    errors = np.abs(np.diff(paths, axis=0)).max(axis=1)
    return _over(
        errors,
        np.array([_STEP / 2**k for k in range(_HALVINGS - 1)]),
        method,
        float(np.abs(paths).max()),
    )


def step_order(model: NeuronModel) -> Answer:
    """Return the order at which the declared step at dt/2^k meets the ODE, less the declared order.

    A card that counts time in steps is another neuron at another dt, and is left out; so is a step
    that is exact.
    """
    solution = model.discrete.solution
    if (
        solution not in ORDERS
        or solution == "exact"
        or model.continuous is None
        or "stochastic" in model.traits
    ):
        return (
            None,
            f"the step says {solution}: declared_step holds it against its ODE"
            if solution == "exact"
            else f"the step says {solution}, which has no order",
        )
    # Constants that change with dt make another neuron of it.
    if _ode_constants(model, _STEP) != _ode_constants(model, _STEP / 2):
        return None, "the card counts time in steps: at another dt it is another neuron"
    level = 0.5 * scale_of(model)
    # The ODE at a step far finer than all that are measured.
    truth = _path(
        model,
        Brian2(mode="fine", refine=2 ** (_HALVINGS + 3), target="numpy", margin=False),
        _STEP,
        level,
    )
    # The declared step itself at dt, dt/2, ...
    sizes = np.array([_STEP / 2**k for k in range(_HALVINGS)])
    errors = np.array(
        [
            np.abs(
                _path(model, Brian2(target="numpy", margin=False), float(size), level) - truth
            ).max()
            for size in sizes
        ]
    )
    return _over(errors, sizes, solution, float(np.abs(truth).max()))


def _ode_constants(model: NeuronModel, step: float) -> dict[str, float]:
    """Return the constants that the ODE's own text reads, and `step` itself where it does."""
    words = set(re.findall(r"[A-Za-z_]\w*", ode_part(model).equations))
    return {
        name: value
        for name, value in {**model.constants(step), "step": step}.items()
        if name in words
    }


def _path(model: NeuronModel, engine: Brian2, step: float, level: float) -> Floats:
    """Return the membrane after each of 16 steps of a constant input that stays below threshold.

    All 16 are needed: where an error changes its sign it is small at that instant, whatever its
    order.
    """
    steps = round(_TOLD * _STEP / step)
    drive = _drive(np.array([[level]]), step, n_steps=steps)
    run = engine.run(_network(model, step), drive, ("after_reset",))
    # A reset on the way would hide the order.
    if len(run.spikes[0]):
        raise RefsimError(
            f"card '{model.name}': fires at half its rheobase, so that no order below threshold "
            "can be measured."
        )
    membrane: Floats = run.traces[0]["after_reset"][0, :, 0]
    # Only the ends of whole steps are common to all runs.
    return membrane.reshape(_TOLD, -1)[:, -1]


def _over(errors: Floats, sizes: Floats, method: str, size: float) -> Answer:
    """Return the fitted order less the declared one, None where rounding is all there is."""
    if method not in ORDERS:
        return None, f"the order of {method} is not known here"
    order = fitted_order(sizes, np.abs(errors), 1e-12 * max(size, 1e-300))
    # All errors lie below rounding: the step is exact there.
    if order == np.inf:
        return 0.0, "rounding only"
    if np.isnan(order):
        return None, "too few differences above rounding to fit an order"
    # An exact method has no finite order; four is more than any other has.
    declared = ORDERS[method] if np.isfinite(ORDERS[method]) else 4.0
    return min(
        order - declared, 9.0
    ), f"{order:.2f} measured, {ORDERS[method]:g} declared by {method}"
