"""Checks of a card's text: names, units, its step against its ODE term by term, and where the ODE rests."""

import itertools
import keyword
from typing import Any

import numpy as np

from ..engines.brian.session import session
from ..errors import RefsimError, counted
from ..experiments.solo import Setting, respond
from ..model import NeuronModel
from ..model.composing import OF_TRAITS
from ..model.over_steps import so_far
from ..model.reading import used_names
from .updater import check_declared_step

Answer = tuple[float | None, str]

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
_TOLD = 16  # steps after which a readout is held against what it says it makes of them
_STILL = 1e-6  # of a state's size over the last tenth: what is left of a way that is a hundred time constants long


def names(model: NeuronModel) -> Answer:
    """Count names that mean something else to Brian2, C++ or Python, and parameters that no text reads, neither as the card is nor with a trait switched."""
    own = {*model.state, *model.parameters, *model.derived}
    taken = sorted(own & {*_CPP, *keyword.kwlist, *_brian_names()})
    used = used_names(model) | (OF_TRAITS if model.convention else frozenset())
    idle = sorted(name for name in (*model.parameters, *model.derived) if name not in used)
    words = [f"{', '.join(taken)}: has another meaning in Brian2, C++ or Python; rename it"] if taken else []
    words += [f"{', '.join(idle)}: declared, but no text reads it"] if idle else []
    return float(len(taken) + len(idle)), "; ".join(words)


def _brian_names() -> set[str]:
    with session("numpy", "float64", 1e-3):
        from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
        from brian2.core.namespace import DEFAULT_UNITS

        return {*DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS, *DEFAULT_UNITS}


def units(model: NeuronModel) -> Answer:
    """Let Brian2 build the ODE and the step, which checks every unit."""
    for mode in ("fine", "grid") if model.continuous is not None else ("grid",):
        try:
            respond(model, [0.0], Setting(refine=1, mode=mode), n_steps=1)
        except RefsimError as error:
            return 1.0, str(error)
    return 0.0, "" if model.continuous is not None else "the declared step; there is no ODE"


def declared_step(model: NeuronModel) -> Answer:
    """Hold the step against what Brian2 makes of its ODE by the method that the card names; a readout against what it says it makes of the steps."""
    if model.discrete.over_steps:
        return _over_steps(model)
    found = check_declared_step(model)
    if found.status not in ("pass", "fail"):
        return None, found.detail
    return float(found.value or 0), found.detail


def _over_steps(model: NeuronModel) -> Answer:
    """Count the steps after which a readout is not the mean, sum, last or maximum of what has arrived so far."""
    arrived = np.random.default_rng(13).normal(0.0, 1.0, _TOLD)
    setting, readout = Setting(mode="grid"), model.discrete.readout
    found = respond(model, arrived[None], setting, n_steps=_TOLD, record=(readout,)).traces[0][readout][0, :, 0]
    expected = so_far(arrived, model.discrete.over_steps)
    wrong = np.flatnonzero(~(np.abs(found - expected) <= 1e-12))  # sixteen sums of numbers about 1 round by 1e-15 each
    words = f"after step {wrong[0]} {readout} is {found[wrong[0]]:.6g}, and the {model.discrete.over_steps} {expected[wrong[0]]:.6g}" if wrong.size else ""
    return float(wrong.size), words


def rest(model: NeuronModel) -> Answer:
    """Count the states that neither stay, nor settle, without input; a spike counts as one too."""
    if "stochastic" in model.traits:
        return None, "a stochastic neuron may fire without input"
    mode = "fine" if model.continuous is not None else "grid"
    setting = Setting(refine=4, mode=mode)
    run = respond(model, [0.0], setting, n_steps=_SILENCE, record=_told(model, mode))
    restless = []
    for name in run.traces[0]:
        trace = run.traces[0][name][0, :, 0]
        last = trace[-len(trace) // 10 :]
        size = max(float(np.abs(trace).max()), abs(model.state[name].start))
        if not np.ptp(last) <= _STILL * size and not _approaches(trace):
            restless.append(name)
    fired = len(run.spikes[0])
    words = ([f"{', '.join(restless)} still {'moves' if len(restless) == 1 else 'move'} after {_SILENCE} silent steps"] if restless else []) + (
        [f"fires {counted(fired, 'time')} without input"] if fired else []
    )
    return float(len(restless) + bool(fired)), "; ".join(words)


def _told(model: NeuronModel, mode: str) -> tuple[str, ...]:
    """Return the states that must come to rest: a readout over the steps may count them, which never ends."""
    return (model.discrete.readout,) if model.discrete.over_steps else tuple(model.solved if mode == "fine" else model.state)


def _approaches(trace: Any) -> bool:
    """Return whether a slow state is on its way to rest: it moves less in each quarter of the run than in the one before."""
    moved = [float(np.ptp(part)) for part in np.array_split(trace, 4)]
    return all(later < 0.9 * earlier for earlier, later in itertools.pairwise(moved))
