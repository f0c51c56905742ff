"""Search for the smallest strength of an input that makes a neuron fire, many cases at once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..errors import RefsimError
from ..model import NeuronModel
from .solo import Setting, respond, trains

Fires = Callable[[Floats], NDArray[np.bool_]]  # strengths (n_cases, n_tries) -> did it fire, of the same shape

_SCOUT = np.logspace(-16, 6, 177)  # eight a decade, from less than a femtoampere to a million
_TRIES, _ROUNDS = 64, 4
RESOLUTION = float(_SCOUT[1] / _SCOUT[0] - 1) / (_TRIES - 1) ** _ROUNDS  # relative width of the last bracket


def smallest(fires: Fires, n_cases: int) -> Floats:
    """Return the smallest strength that fires in each case, (n_cases,); NaN where none does, 0 where none is needed.

    A scout of all decades finds where firing begins; four rounds of 64 narrow that to a relative width of RESOLUTION.
    """
    scout = np.tile(_SCOUT, (n_cases, 1))
    fired = fires(scout)
    rows, first = np.arange(n_cases), fired.argmax(axis=1)
    high, low = _SCOUT[first], _SCOUT[np.maximum(first - 1, 0)]
    for _ in range(_ROUNDS):
        tries = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _TRIES)
        hit = fires(tries)
        hit[:, -1] = True  # known from the round before
        at = np.maximum(hit.argmax(axis=1), 1)
        low, high = tries[rows, at - 1], tries[rows, at]
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
    if not found > 0:
        never = "is a readout, which never fires" if model.discrete.readout else ""
        why = never or "fires without input" if found == 0 or never else f"does not fire within {n_steps} steps for any input up to {_SCOUT[-1]:g}"
        raise RefsimError(
            f"card '{model.name}': {why}, so that its input cannot be chosen for you; give one, such as --constant 0 (fi: --currents 0:1:11), or another duration."
        )
    return found
