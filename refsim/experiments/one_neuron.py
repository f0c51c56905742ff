"""One neuron, run many times at once: a sample for an input, a neuron for a set of parameters.

First comes `Setting`, how time passes, with `respond`, which runs a neuron on currents; then the
measures of a run, numbers from spike times and membrane; then the search for the smallest strength
of an input that makes a neuron fire, many cases at once.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.neuron import NeuronModel
from ..cards.questions import neuron, ode_part
from ..core.arrays import Floats
from ..core.errors import RefsimError, listed
from ..engines.brian.engine import Brian2
from ..networks.drive import Drive
from ..networks.network import Network, positive_time
from ..networks.recording import Recording

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
        """The engine: Brian2's NumPy target.

        It needs no compiler and takes a batch as one vector.
        """
        refine = self.refine if self.mode == "fine" else 1
        return Brian2(mode=self.mode, refine=refine, target="numpy", margin=False)

    def steps(self, duration: object, where: str = "duration") -> int:
        """Return how many steps a duration has, at least one."""
        steps = positive_time(duration, where) / self.step
        # A typing error in a unit would ask for more memory than there is.
        if steps > _LARGEST:
            raise RefsimError(
                f"{where}: {duration!r} has {steps:.3g} steps of dt; {_LARGEST:,} are allowed. "
                "Give a shorter one, or a longer dt."
            )
        return max(1, round(steps))

    def said(self) -> dict[str, str]:
        """Return the setting for the head of a table."""
        return {
            "dt": f"{self.step * 1e3:g} ms",
            "mode": f"ODE at dt/{self.refine}" if self.mode == "fine" else "declared step",
        }


def respond(
    model: NeuronModel,
    current: ArrayLike,
    setting: Setting,
    *,
    n_steps: int,
    parameters: Mapping[str, Floats] | None = None,
    record: tuple[str, ...] = (),
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
    # A current without steps is held over all of them.
    values = values[:, None] if values.ndim == 1 else values
    # Each set of parameters is a neuron of the layer.
    n_neurons = max((len(column) for column in (parameters or {}).values()), default=1)
    # One input with weight 1 drives them all.
    network = Network.dense(
        [(np.ones((n_neurons, 1)), None, model, dict(parameters or {}))], setting.step
    )
    drive = Drive.current(values[:, :, None], setting.step, n_steps=n_steps)
    _room(values.shape[0] * n_neurons * n_steps * setting.refine * len(record))
    return setting.engine.run(network, drive, record)


def _room(numbers: int) -> None:
    if numbers > _LARGEST:
        raise RefsimError(
            f"this experiment would hold {numbers:,} numbers of its traces; give a shorter "
            "duration, a smaller refine or fewer values."
        )


def trains(recording: Recording) -> list[Floats]:
    """Return the spike times in seconds of each (sample, neuron), the samples one after the other.

    A spike is found at the end of its (sub-)step, and that is its time.
    """
    spikes = recording.spikes[0]
    # Samples one after the other, neurons within them.
    cell = spikes.sample * spikes.n_neurons + spikes.neuron
    order = np.lexsort((spikes.step, cell))
    times = (spikes.step[order] + 1) * spikes.dt
    # Where the spikes of each (sample, neuron) begin and end.
    edges = np.searchsorted(cell[order], np.arange(spikes.n_samples * spikes.n_neurons + 1))
    return [times[low:high] for low, high in itertools.pairwise(edges)]


def states_of(model: NeuronModel, setting: Setting) -> tuple[str, ...]:
    """Return the states of the part that runs.

    In fine mode these are the states of the ODE, without a count of refractory steps.
    """
    return tuple(model.solved if setting.mode == "fine" else model.stepped)


def times_of(recording: Recording) -> Floats:
    """Return the end of each (sub-)step in seconds, which is when a trace was taken."""
    spikes = recording.spikes[0]
    return np.asarray((np.arange(spikes.n_steps) + 1) * spikes.dt, np.float64)


def chosen(model: NeuronModel, setting: Setting | None, mode: str = "fine") -> Setting:
    """Return the setting that is given, or the usual one.

    The usual one runs the ODE where the card has one and the experiment is about it.
    """
    neuron(model, "an experiment")
    return setting or Setting(mode=mode if model.continuous is not None else "grid")


def pair(over: object, who: str) -> None:
    """Refuse what is not a name with its values."""
    if not isinstance(over, tuple | list) or len(over) != 2 or not isinstance(over[0], str):
        raise RefsimError(
            f'{who}: over needs a name and its values, such as ("tau", "5,10,20"), but {over!r} '
            "was given."
        )


def fine(model: NeuronModel, setting: Setting | None, **changes: Any) -> Setting:
    """Return a setting in which time is continuous, or say why it cannot be."""
    neuron(model, "an experiment")
    ode_part(model)
    chosen = replace(setting or Setting(), **changes)
    if chosen.mode != "fine":
        raise RefsimError(
            "this experiment asks about continuous time and runs the ODE; mode='grid' runs the "
            "declared step and has no place here."
        )
    return chosen


# Spike times (s), membrane (n_steps,), duration (s) -> number.
Measured = Callable[[Floats, Floats, float], float]


@dataclass(frozen=True)
class Measure:
    """A measure: its unit, what it is, and whether it needs the membrane.

    The unit ``"membrane"`` is the membrane's own.
    """

    unit: str
    meaning: str
    compute: Measured
    needs_membrane: bool = False


def steady_rate(times: Floats) -> float:
    """Return the spikes per second between the first and the last spike; 0 for less than two."""
    return float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else 0.0


def onset_rate(times: Floats) -> float:
    """Return one over the first interval between spikes; 0 for less than two."""
    return float(1 / (times[1] - times[0])) if len(times) > 1 else 0.0


def _isi_mean(times: Floats) -> float:
    return float(np.diff(times).mean()) if len(times) > 1 else float("nan")


def _isi_cv(times: Floats) -> float:
    """Return the standard deviation of the intervals over their mean; one interval has none."""
    return float(np.diff(times).std() / np.diff(times).mean()) if len(times) > 2 else float("nan")


def _membrane(meaning: str, reduce: Callable[[Floats], float]) -> Measure:
    return Measure(
        "membrane", meaning, lambda _times, v, _duration: float(reduce(v)), needs_membrane=True
    )


MEASURES = {
    "spike_count": Measure("1", "number of spikes", lambda times, _v, _duration: float(len(times))),
    "first_spike": Measure(
        "second",
        "time of the first spike",
        lambda times, _v, _duration: float(times[0]) if len(times) else float("nan"),
    ),
    "rate": Measure(
        "hertz", "spikes over the whole duration", lambda times, _v, duration: len(times) / duration
    ),
    "steady_rate": Measure(
        "hertz",
        "rate between first and last spike",
        lambda times, _v, _duration: steady_rate(times),
    ),
    "isi_mean": Measure(
        "second", "mean interval between spikes", lambda times, _v, _duration: _isi_mean(times)
    ),
    "isi_cv": Measure(
        "1",
        "coefficient of variation of the intervals",
        lambda times, _v, _duration: _isi_cv(times),
    ),
    "v_min": _membrane("lowest membrane after a step", np.min),
    "v_max": _membrane("highest membrane after a step", np.max),
    "v_mean": _membrane("mean membrane", np.mean),
    "v_end": _membrane("membrane at the end", lambda v: v[-1]),
}


def measure(name: str) -> Measure:
    """Return a measure by name, or say which there are."""
    if name not in MEASURES:
        raise RefsimError(f"measure: {name!r} is not known; known are {listed(MEASURES)}.")
    return MEASURES[name]


# Strengths (n_cases, n_tries) -> did it fire, of the same shape.
Fires = Callable[[Floats], NDArray[np.bool_]]

_SCOUT = np.logspace(-16, 6, 177)  # eight a decade, from less than a femtoampere to a million
_TRIES, _ROUNDS = 64, 4
# Relative width of the last bracket.
RESOLUTION = float(_SCOUT[1] / _SCOUT[0] - 1) / (_TRIES - 1) ** _ROUNDS


def smallest(fires: Fires, n_cases: int) -> Floats:
    """Return the smallest strength that fires in each case, (n_cases,).

    It is NaN where none does, and 0 where none is needed. A scout of all decades finds where firing
    begins; four rounds of 64 narrow that to a relative width of RESOLUTION.
    """
    scout = np.tile(_SCOUT, (n_cases, 1))
    # Decades first, to find where firing begins.
    fired = fires(scout)
    rows, first = np.arange(n_cases), fired.argmax(axis=1)
    high, low = _SCOUT[first], _SCOUT[np.maximum(first - 1, 0)]
    # Then the gap between silence and spike, narrowed 63-fold each time.
    for _ in range(_ROUNDS):
        tries = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _TRIES)
        hit = fires(tries)
        # The upper end of the gap is known to fire.
        hit[:, -1] = True  # known from the round before
        at = np.maximum(hit.argmax(axis=1), 1)
        low, high = tries[rows, at - 1], tries[rows, at]
    # Silent cases are NaN, and those that fire at the smallest strength need none.
    found: Floats = np.where(fired.any(axis=1), np.where(fired[:, 0], 0.0, high), np.nan)
    return found


def rheobase(model: NeuronModel, setting: Setting, n_steps: int) -> float:
    """Return the smallest constant input that makes a neuron fire within some steps.

    Raises
    ------
    RefsimError
        Where no input does, or none is needed.
    """

    def fires(currents: Floats) -> NDArray[np.bool_]:
        times = trains(respond(model, currents.ravel(), setting, n_steps=n_steps))
        return np.array([bool(train.size) for train in times]).reshape(currents.shape)

    found = float(smallest(fires, 1)[0])
    # A neuron that never fires, or always, has no rheobase.
    if not found > 0:
        never = "is a readout, which never fires" if model.discrete.readout else ""
        why = (
            never or "fires without input"
            if found == 0 or never
            else f"does not fire within {n_steps} steps for any input up to {_SCOUT[-1]:g}"
        )
        raise RefsimError(
            f"card '{model.name}': {why}, so that its input cannot be chosen for you; give one, "
            "such as --constant 0 (fi: --currents 0:1:11), or another duration."
        )
    return found
