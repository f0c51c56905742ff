"""Stimulus: an input as a person says it, before it becomes a Drive.

It is constant, a step, noise or a spike train.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..cards.neuron import NeuronModel
from ..core.errors import RefsimError
from ..core.units import to_si
from ..networks.drive import Drive
from .one_neuron import Setting
from .result import readable, span

Make = Callable[[NeuronModel, Setting, int], tuple[float, Drive]]


@dataclass(frozen=True, eq=False)
class Stimulus:
    """An input, made for a neuron when its unit and the steps are known.

    Attributes
    ----------
    make : function (model, setting, n_steps) -> (weight, Drive of one sample and one input)
    words : function (model) -> str
        The input in a few words.
    """

    make: Make
    words: Callable[[NeuronModel], str]


def constant(level: float | str) -> Stimulus:
    """Return the same current at every step, in the unit of the card's input."""

    def make(model: NeuronModel, setting: Setting, n_steps: int) -> tuple[float, Drive]:
        return 1.0, Drive.constant(_in_si(level, model), n_steps, setting.step)

    return Stimulus(
        make, lambda model: f"constant {readable(_in_si(level, model), model.input_unit)}"
    )


def step(level: float | str, start: float | str, stop: float | str) -> Stimulus:
    """Return a current from one time to another, and none outside."""

    def make(model: NeuronModel, setting: Setting, n_steps: int) -> tuple[float, Drive]:
        first, last = (
            round(to_si(time, "second", f"step: {name}") / setting.step)
            for time, name in ((start, "start"), (stop, "stop"))
        )
        if not 0 <= first < last:
            raise RefsimError(
                "step: must start at 0 or later and stop after it starts, but goes from "
                f"{start!r} to {stop!r}."
            )
        if first >= n_steps:
            raise RefsimError(
                f"step: starts at {start!r}, when the run of "
                f"{readable(n_steps * setting.step, 'second')} has ended; give a longer duration."
            )
        values = np.zeros((1, n_steps, 1))
        values[:, first:last] = _in_si(level, model)
        return 1.0, Drive.current(values, setting.step)

    return Stimulus(make, lambda model: f"step {readable(_in_si(level, model), model.input_unit)}")


def noise(mean: float | str, std: float | str, seed: int = 0) -> Stimulus:
    """Return a Gaussian current, drawn anew at every step."""

    def make(model: NeuronModel, setting: Setting, n_steps: int) -> tuple[float, Drive]:
        return 1.0, Drive.noise(
            _in_si(mean, model), _in_si(std, model), n_steps, setting.step, seed
        )

    return Stimulus(
        make,
        lambda model: (
            f"noise {readable(_in_si(mean, model), model.input_unit)} +- "
            f"{readable(_in_si(std, model), model.input_unit)}"
        ),
    )


def train(times: str | float | ArrayLike, weight: float | str) -> Stimulus:
    """Return spikes of one weight at given times, each in the step that begins there."""

    def make(model: NeuronModel, setting: Setting, n_steps: int) -> tuple[float, Drive]:
        # A spike belongs to the step that begins at its time.
        steps = np.unique(
            np.round(span(times, "second", "train: times") / setting.step).astype(np.int64)
        )
        if steps[0] < 0 or steps[-1] >= n_steps:
            raise RefsimError(
                f"train: spikes must lie within the {n_steps} steps of the run, but reach from "
                f"step {steps[0]} to {steps[-1]}."
            )
        zeros = np.zeros_like(steps)
        return _in_si(weight, model), Drive.events(
            zeros, steps, zeros, (1, n_steps, 1), setting.step
        )

    return Stimulus(
        make, lambda model: f"spikes of {readable(_in_si(weight, model), model.input_unit)}"
    )


def _in_si(value: float | str, model: NeuronModel) -> float:
    return to_si(value, model.input_unit, "input")
