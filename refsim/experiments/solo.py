"""Run one neuron many times at once: a sample an input, a neuron a set of parameters."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..drive import Drive
from ..engines.brian import Brian2
from ..errors import RefsimError
from ..model import NeuronModel
from ..model.reading import neuron, ode_part
from ..network import Network, positive_time
from ..recording import Recording

_LARGEST = 200_000_000  # numbers of a trace that are held at once


@dataclass(frozen=True)
class Setting:
    """How time passes in an experiment.

    Attributes
    ----------
    dt : float or str
        The declared step: the unit in which input is given and some cards count time.
    refine : int
        Sub-steps a step. Spikes are found at the end of theirs.
    mode : {"fine", "grid"}
        The card's ODE at dt/refine, or its declared step.
    """

    dt: float | str = "1 ms"
    refine: int = 32
    mode: str = "fine"

    @property
    def step(self) -> float:
        """The step in seconds."""
        return positive_time(self.dt, "dt")

    @property
    def sub_step(self) -> float:
        """The sub-step in seconds; the step itself in grid mode."""
        return self.step / self.refine if self.mode == "fine" else self.step

    @property
    def engine(self) -> Brian2:
        """The engine: Brian2's NumPy target, which needs no compiler and takes a batch as one vector."""
        refine = self.refine if self.mode == "fine" else 1
        return Brian2(mode=self.mode, refine=refine, target="numpy", margin=False)

    def steps(self, duration: object, where: str = "duration") -> int:
        """Return how many steps a duration has, at least one."""
        steps = positive_time(duration, where) / self.step
        if steps > _LARGEST:
            raise RefsimError(f"{where}: {duration!r} has {steps:.3g} steps of dt; {_LARGEST:,} are allowed. Give a shorter one, or a longer dt.")
        return max(1, round(steps))

    def said(self) -> dict[str, str]:
        """Return the setting for the head of a table."""
        return {"dt": f"{self.step * 1e3:g} ms", "mode": f"ODE at dt/{self.refine}" if self.mode == "fine" else "declared step"}


def respond(
    model: NeuronModel, current: ArrayLike, setting: Setting, *, n_steps: int, parameters: Mapping[str, Floats] | None = None, record: tuple[str, ...] = ()
) -> Recording:
    """Run a neuron on currents.

    Parameters
    ----------
    current : (n_samples,) held, or (n_samples, n_steps)
        SI.
    parameters : dict of str to (n_neurons,), optional
        Each neuron gets its own set; without it there is one neuron.

    Returns
    -------
    Recording of one layer, (n_samples, n_steps*refine, n_neurons)
    """
    values = np.asarray(current, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    n_neurons = max((len(column) for column in (parameters or {}).values()), default=1)
    network = Network.dense([(np.ones((n_neurons, 1)), None, model, dict(parameters or {}))], setting.step)
    drive = Drive.current(values[:, :, None], setting.step, n_steps=n_steps)
    _room(values.shape[0] * n_neurons * n_steps * setting.refine * len(record))
    return setting.engine.run(network, drive, record)


def _room(numbers: int) -> None:
    if numbers > _LARGEST:
        raise RefsimError(f"this experiment would hold {numbers:,} numbers of its traces; give a shorter duration, a smaller refine or fewer values.")


def trains(recording: Recording) -> list[Floats]:
    """Return the spike times in seconds of each (sample, neuron), the samples one after the other.

    A spike is found at the end of its (sub-)step, and that is its time.
    """
    spikes = recording.spikes[0]
    cell = spikes.sample * spikes.n_neurons + spikes.neuron
    order = np.lexsort((spikes.step, cell))
    times = (spikes.step[order] + 1) * spikes.dt
    edges = np.searchsorted(cell[order], np.arange(spikes.n_samples * spikes.n_neurons + 1))
    return [times[low:high] for low, high in itertools.pairwise(edges)]


def states_of(model: NeuronModel, setting: Setting) -> tuple[str, ...]:
    """Return the states of the part that runs: a count of refractory steps is no state of the ODE."""
    return tuple(model.solved if setting.mode == "fine" else model.stepped)


def times_of(recording: Recording) -> Floats:
    """Return the end of each (sub-)step in seconds, which is when a trace was taken."""
    spikes = recording.spikes[0]
    return np.asarray((np.arange(spikes.n_steps) + 1) * spikes.dt, np.float64)


def chosen(model: NeuronModel, setting: Setting | None, mode: str = "fine") -> Setting:
    """Return the setting given, else the usual one: the ODE where the card has one and the experiment is about it."""
    neuron(model, "an experiment")
    return setting or Setting(mode=mode if model.continuous is not None else "grid")


def pair(over: object, who: str) -> None:
    """Refuse what is no name and its values."""
    if not isinstance(over, tuple | list) or len(over) != 2 or not isinstance(over[0], str):
        raise RefsimError(f'{who}: over needs a name and its values, such as ("tau", "5,10,20"), but {over!r} was given.')


def fine(model: NeuronModel, setting: Setting | None, **changes: Any) -> Setting:
    """Return a setting in which time is continuous, or say why it cannot be."""
    neuron(model, "an experiment")
    ode_part(model)
    chosen = replace(setting or Setting(), **changes)
    if chosen.mode != "fine":
        raise RefsimError("this experiment asks about continuous time and runs the ODE; mode='grid' runs the declared step and has no place here.")
    return chosen
