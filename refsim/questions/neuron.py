"""Validate single neurons: a written input and the spikes and membranes it must give, in every engine; a step and its ODE."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..checks.updater import check_declared_step
from ..claims import Claim, Verdict, judge
from ..drive import Drive
from ..engines.brian import Brian2
from ..engines.discrete import Discrete
from ..errors import RefsimError
from ..model import NeuronModel
from ..network import Network
from ..recording import TRACES, Engine, Recording

NEURON_MEASURES = ("wrong spikes", "membrane error", "payload error")
STEP_MEASURES = ("terms that differ",)


def alone(model: NeuronModel, dt: object) -> Network:
    """Return a network of one neuron whose input reaches it with weight 1."""
    return Network.dense([([[1.0]], None, model)], dt)


def engines() -> tuple[Engine, ...]:
    """Return the three engines that must agree on a neuron."""
    from ..pytorch.engine import Torch

    return Brian2(target="numpy"), Discrete(), Torch(dtype="float64")


def validate_neuron(
    model: NeuronModel, inputs: Sequence[float], dt: object, expected: Mapping[str, Sequence[float]], claims: Sequence[Claim]
) -> tuple[Verdict, ...]:
    """Run one neuron on a written input in all three engines.

    Parameters
    ----------
    inputs : (n_steps,)
    expected : dict
        ``spikes`` (n_steps,) of 0 and 1, and perhaps ``before_reset``, ``after_reset`` and ``payload`` (n_steps,).
    """
    drive = Drive.current(np.asarray(inputs, float).reshape(1, -1, 1), dt)
    for name, values in expected.items():
        if len(values) != drive.n_steps:
            raise RefsimError(f"case: expected {name} has {len(values)} steps, but the input has {drive.n_steps}.")
    runs = [engine.run(alone(model, dt), drive, record=TRACES) for engine in engines()]
    return tuple(_judge(claim, run, expected) for claim in claims for run in runs)


def _judge(claim: Claim, run: Recording, expected: Mapping[str, Sequence[float]]) -> Verdict:
    if claim.measure == "wrong spikes":
        fired = run.spikes[0].dense()[0, :, 0]
        wrong = int((fired != np.asarray(expected["spikes"], bool)).sum())
        return judge(claim, wrong, run=run.label, detail=f"{int(fired.sum())} spikes")
    traces = {"membrane error": ("before_reset", "after_reset"), "payload error": ("payload",)}
    if claim.measure in traces:
        found = {name: run.traces[0][name][0, :, 0] for name in traces[claim.measure] if name in expected and name in run.traces[0]}
        return judge(claim, max((float(np.abs(found[name] - expected[name]).max()) for name in found), default=None), run=run.label)
    raise RefsimError(f"claim '{claim.measure}': is not a known measure; known are {', '.join(NEURON_MEASURES)}.")


def validate_steps(models: Sequence[NeuronModel], claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Hold each card's declared step against the solution of its ODE, found by Brian2's symbolic updaters."""
    rows: list[Any] = []
    for claim in claims:
        if claim.measure not in STEP_MEASURES:
            raise RefsimError(f"claim '{claim.measure}': is not a known measure; known are {', '.join(STEP_MEASURES)}.")
        for model in models:
            found = check_declared_step(model)
            rows.append(judge(claim, found.value, run=f"card {model.name}", detail=found.detail))
    return tuple(rows)
