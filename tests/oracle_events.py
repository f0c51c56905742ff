"""Neurons between events, solved by SciPy to 1e-12 with exact event times.

No grid, no card, no simulator. Times in ms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

State = np.ndarray
NEVER = np.inf


@dataclass(frozen=True)
class Hybrid:
    """A flow that is left at a threshold.

    What flows, when it fires, what a spike and an input spike do to the state.
    """

    flow: Callable[[float, State], State]
    start: tuple[float, ...]
    fires: Callable[[State], float]  # reaches zero from below at a spike
    reset: Callable[[State], State]
    # The flow while refractory; None: `flow` itself.
    held: Callable[[float, State], State] | None = None
    t_ref: float = 0.0  # ms after a spike in which no other may come
    released: Callable[[State], State] = lambda state: state  # at the end of the refractory period
    arrives: Callable[[State], State] = lambda state: state
    arrivals: tuple[float, ...] = ()  # ms
    deaf: bool = False  # an input spike that arrives while refractory is lost
    onset: float = 0.0  # ms; before it the state rests at its start
    # Ms and state from `fires` to the spike itself.
    climb: Callable[[State], tuple[float, State]] = lambda state: (0.0, state)


def solve(
    model: Hybrid, times: np.ndarray, max_step: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return spike times (n_spikes,) in ms and states (n_times, n_states).

    A state at an event is the one after it.
    """
    t, y, free, held = model.onset, np.asarray(model.start, float), 0.0, False
    states = np.tile(y, (len(times), 1))
    spikes: list[float] = []
    edges = [*sorted(model.arrivals), NEVER]
    while t < times[-1]:
        edge = next(time for time in edges if time > t)
        stop = min(times[-1], edge, free if free > t else NEVER)
        flow = model.held if held and model.held else model.flow
        t, y = _stretch(
            flow, model.fires if t >= free else None, t, y, stop, times, states, max_step
        )
        if held and t == free:
            held, y = False, model.released(y)
        if t == edge and not (held and model.deaf):
            y = model.arrives(y)
        if t >= free and model.fires(y) >= -1e-11:
            climb, y = model.climb(y)
            t += climb
            spikes.append(t)
            y, free, held = model.reset(y), t + model.t_ref, model.t_ref > 0
        states[times == t] = y
    return np.array(spikes), states


def _stretch(flow, fires, t, y, stop, times, states, max_step):
    """Follow one flow from t to its threshold or to `stop`.

    Fill in the states asked for on the way.
    """
    event = (lambda _, state: fires(state)) if fires else (lambda _, state: -1.0)
    event.terminal, event.direction = True, 1
    done = solve_ivp(
        flow,
        (t, stop),
        y,
        method="DOP853",
        rtol=1e-12,
        atol=1e-12,
        max_step=max_step,
        events=event,
        dense_output=True,
    )
    assert done.success, done.message
    inside = (times > t) & (times <= done.t[-1])
    if inside.any():
        states[inside] = done.sol(times[inside]).T
    return float(done.t[-1]), done.y[:, -1]


def solve_peaks(
    flow, start, above: float, times: np.ndarray, max_step: float = 0.25, tolerance: float = 1e-12
) -> tuple[np.ndarray, np.ndarray]:
    """Return the times in ms of the membrane's maxima above a bar (the first state is the
    membrane), and the states.
    """

    def slope(t, state):
        return flow(t, state)[0]

    slope.direction = -1
    done = solve_ivp(
        flow,
        (0.0, times[-1]),
        start,
        method="DOP853",
        rtol=tolerance,
        atol=tolerance,
        max_step=max_step,
        events=slope,
        t_eval=times,
    )
    assert done.success, done.message
    peaks = [
        t for t, state in zip(done.t_events[0], done.y_events[0], strict=True) if state[0] >= above
    ]
    return np.array(peaks), done.y.T
