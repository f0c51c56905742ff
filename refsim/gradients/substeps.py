"""Finite differences in Brian2, with spikes between the steps.

Perturbed copies of a network run side by side; the result is believed only where the runs at two
steps agree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..cards.language import SCALAR_FUNCTIONS
from ..cards.names import STEP
from ..core.arrays import Floats, Ints
from ..core.errors import RefsimError, first_line
from ..core.spikes import EventTrain
from ..engines.brian.exact.closed_form import check_exact
from ..engines.brian.exact.run import Fired, NetworkCopies, run_networks
from ..networks.network import Network, positive_time
from .differences import FOURTH, same_spikes
from .losses import HARD_WINDOW, TimedLoss
from .spike_times import Gradient, input_train

# The difference of fourth order: offsets in units of the step, and what each run counts, in units
# of 1 over the step; and what it counts in that of second order.
OFFSETS, SHARES = zip(*FOURTH, strict=True)
SECOND = (0.5, -0.5, 0.0, 0.0)
# Of the largest entry, each counted by what a move of its own size changes. A spike time is known
# to some 1e-16 s, and over a step of 1e-5 of a weight that acts in milliseconds its difference to
# 1e-9; a spike that is taken wrongly is off by the step of the run, a thousandth of a time
# constant.
AGREE = 1e-9
# Where a membrane only just reaches the threshold, a spike time goes like the square root of what a
# weight is above the least that fires. Of a root, the error of the fourth order is 14 times the
# square of that of the second, which is the difference of the two orders.
ROOT, CURVED = 14.0, 1e-7
_WHERE = "brian_differences"


@dataclass(frozen=True)
class BrianGradient:
    """A gradient by finite differences in Brian2, and whether it is to be believed.

    Attributes
    ----------
    gradient : Gradient
        Of the run at the smaller step; NaN where spikes appear or vanish.
    layers : tuple of EventTrain
        The spikes of the network itself, at the smaller step.
    apart : float
        Largest difference of the two gradients over the largest entry, each entry by what a move of
        its own size changes; infinite where they are not to be compared.
    doubt : str
        Why it is inconclusive, empty where it is accepted.
    """

    gradient: Gradient
    layers: tuple[EventTrain, ...]
    apart: float
    doubt: str

    @property
    def status(self) -> str:
        """``"accepted"`` or ``"inconclusive"``."""
        return "inconclusive" if self.doubt else "accepted"


@dataclass(frozen=True, eq=False)
class DifferenceCase:
    """One network's weights, its input spikes, and the loss of its output.

    The weights are one (n_post, n_pre) a layer.
    """

    weights: tuple[Floats, ...]
    given: EventTrain
    loss: Callable[[EventTrain], TimedLoss]


def brian_differences(
    network: Network,
    times: ArrayLike,
    inputs: ArrayLike,
    stop: float | str,
    loss: Callable[[EventTrain], TimedLoss],
    *,
    dt: Sequence[float | str] = ("0.1 ms", "0.04 ms"),
    size: float = 3e-5,
    target: str = "auto",
) -> BrianGradient:
    """Return the gradient of a loss over spike times by differences of fourth order, all in Brian2.

    Four copies of the network for every weight and every input spike run side by side, at one step
    and again at a smaller. The result is accepted if in every copy each neuron fires equally often,
    no spike and arrival exchange places between copies, none were taken in the wrong order within a
    step, no membrane turns so near below its threshold that a spike may have been missed, both
    steps give the same to 1e-9, and the differences of second and of fourth order are so near that
    the fourth is right to 1e-7. Otherwise it is inconclusive.

    Parameters
    ----------
    network : Network
        Layers of cards whose ODE is linear, such as ``lif_exp``, each hearing of those before it.
    times : (n_events,) in seconds
        Input spikes, 0 <= t <= stop.
    inputs : (n_events,) of int
        Which input each of them is of.
    stop : float or str
        End of the run.
    loss : function
        From the last layer's EventTrain to a `TimedLoss`, of which the value alone is used.
    dt : two of float or str
        The steps, in seconds.
    size : float
        How far a weight is moved, in units of its layer's largest; an input time by as much of the
        fastest time constant.
    target : {"auto", "cpp", "numpy"}

    Raises
    ------
    RefsimError
        For a network without exact spike times, and for a loss that does not move with them.
    """
    stop_at = positive_time(stop, f"{_WHERE}: stop")
    given = input_train(times, inputs, network.n_inputs, stop_at, _WHERE)
    case = DifferenceCase(tuple(layer.weight for layer in network.layers), given, loss)
    return differences_of(network, [case], stop_at, dt=dt, size=size, target=target)[0]


def differences_of(
    network: Network,
    cases: Sequence[DifferenceCase],
    stop: float,
    *,
    dt: Sequence[float | str],
    size: float = 3e-5,
    target: str = "auto",
) -> list[BrianGradient]:
    """Do the same for many networks that differ in weights, input and loss, one run a step."""
    check_exact(network)
    # One step alone says nothing about its own error.
    if isinstance(dt, str) or not isinstance(dt, Sequence) or len(dt) != 2:
        raise RefsimError(
            f"{_WHERE}: dt must be two steps, such as ('0.02 ms', '0.005 ms'): what one alone "
            f"gives is not to be believed; but is {dt!r}."
        )
    if not size > 0:
        raise RefsimError(f"{_WHERE}: size must be above 0, but is {size!r}.")
    steps = sorted((positive_time(each, f"{_WHERE}: dt") for each in dt), reverse=True)
    # Steps that are nearly equal agree whatever their error is.
    if steps[0] < 2 * steps[1]:
        raise RefsimError(
            f"{_WHERE}: the two steps must differ by a factor of 2 or more, but are {steps[0]:g} "
            f"s and {steps[1]:g} s."
        )
    quick = fastest(network)
    # Each case becomes its copies, and all copies run at once.
    moved = [_moved(case, size, size * quick) for case in cases]
    runs = [run_networks(_perturbed_copies(network, moved, stop), step, target) for step in steps]
    ends = np.cumsum([0, *(len(each.times) for each in moved)])
    return [
        _judged(case, each, [_CaseRuns(run, int(ends[k])) for run in runs])
        for k, (case, each) in enumerate(zip(cases, moved, strict=True))
    ]


@dataclass(frozen=True, eq=False)
class _Moved:
    """Weights and input times of the copies of one case, and how far each parameter was moved.

    The first copy is as the case is.
    """

    weights: tuple[Floats, ...]
    times: Floats
    inputs: Ints
    by: Floats


@dataclass(frozen=True, eq=False)
class _CaseRuns:
    """The copies of one case in a run, from the first on."""

    run: Fired
    first: int

    def trains(self, copy: int) -> list[EventTrain]:
        return [row[self.first + copy] for row in self.run.layers]


def _moved(case: DifferenceCase, size: float, time_step: float) -> _Moved:
    # A weight is moved in units of the largest of its layer.
    steps = [np.full(weight.size, size * (np.abs(weight).max() or 1.0)) for weight in case.weights]
    by = np.concatenate([*steps, np.full(len(case.given), time_step)])
    flat = np.concatenate([*(weight.ravel() for weight in case.weights), case.given.times])
    # The first copy is the case itself; then four copies for each parameter.
    copies = np.tile(flat, (1 + len(OFFSETS) * len(flat), 1))
    place = np.repeat(np.arange(len(flat)), len(OFFSETS))
    copies[1 + np.arange(len(place)), place] += np.tile(OFFSETS, len(flat)) * by[place]
    # The row of numbers is cut into weights and times again.
    *weights, times = np.split(copies, np.cumsum([weight.size for weight in case.weights]), axis=1)
    shaped = tuple(
        part.reshape(-1, *weight.shape) for part, weight in zip(weights, case.weights, strict=True)
    )
    return _Moved(shaped, times, np.tile(case.given.neurons, (len(copies), 1)), by)


def _perturbed_copies(network: Network, moved: Sequence[_Moved], stop: float) -> NetworkCopies:
    weights = tuple(
        np.concatenate(rows) for rows in zip(*(each.weights for each in moved), strict=True)
    )
    events = np.concatenate([np.full(len(each.times), each.times.shape[1]) for each in moved])
    times, inputs = (
        np.concatenate([getattr(each, name).ravel() for each in moved])
        for name in ("times", "inputs")
    )
    return NetworkCopies(
        network, weights, np.repeat(np.arange(len(events)), events), inputs, times, stop
    )


def _judged(case: DifferenceCase, moved: _Moved, parts: Sequence[_CaseRuns]) -> BrianGradient:
    number = len(moved.times)
    # Any doubt about either run comes first.
    doubt = next((reason for part in parts if (reason := _doubt(part, number))), "")
    # The larger step and the smaller one.
    rougher, gradient = (_gradient(case, moved, part) for part in parts)
    # Then the two steps must agree.
    apart = (
        _apart(rougher, gradient, moved.by)
        if np.isfinite([*rougher.flat(), *gradient.flat()]).all()
        else float("inf")
    )
    if not doubt and not apart <= AGREE:
        doubt = (
            f"the two steps give gradients {apart:.1e} of the largest entry apart, more than "
            f"{AGREE:g}"
        )
    if (
        not doubt
        and not (
            wrong := ROOT
            * _apart(_gradient(case, moved, parts[-1], SECOND), gradient, moved.by) ** 2
        )
        <= CURVED
    ):
        doubt = (
            "a perturbed copy comes so near to a spike that vanishes that the difference is "
            f"off by {wrong:.1e} of the largest entry, more than {CURVED:g}"
        )
    return BrianGradient(gradient, tuple(parts[-1].trains(0)), apart, doubt)


def _doubt(part: _CaseRuns, number: int) -> str:
    """Return why the copies of a run are not those of one smooth function."""
    # The loss is smooth only while each neuron keeps its number of spikes.
    itself = part.trains(0)
    if not all(same_spikes(itself, part.trains(copy)) for copy in range(number)):
        return "a spike appears or vanishes in a perturbed copy"
    last = part.first + number
    if reason := next((doubt for doubt in part.run.doubts[part.first : last] if doubt), ""):
        return reason
    if any(
        not np.array_equal(row[part.first], other)
        for row in part.run.places
        for other in row[part.first + 1 : last]
    ):
        return "a spike and an arrival exchange places in a perturbed copy"
    return ""


def _gradient(
    case: DifferenceCase, moved: _Moved, part: _CaseRuns, shares: Sequence[float] = SHARES
) -> Gradient:
    number = len(moved.times)
    itself = part.trains(0)
    # The loss of every copy; NaN where spikes appear or vanish.
    values = np.array(
        [
            _value(case.loss, copy[-1]) if same_spikes(itself, copy) else np.nan
            for copy in map(part.trains, range(number))
        ]
    )
    if len(itself[-1]) and np.ptp(values) == 0 and _moves(part, number):
        raise RefsimError(
            f"{_WHERE}: the loss is {values[0]:g} in every copy, although output spikes move: "
            f"{HARD_WINDOW}."
        )
    # The shares of the formula make the difference of the four copies.
    flat = values[1:].reshape(-1, len(OFFSETS)) @ np.array(shares) / moved.by
    *weights, inputs = np.split(flat, np.cumsum([weight.size for weight in case.weights]))
    return Gradient(
        tuple(
            part.reshape(weight.shape) for part, weight in zip(weights, case.weights, strict=True)
        ),
        inputs,
    )


def _value(loss: Callable[[EventTrain], TimedLoss], output: EventTrain) -> float:
    try:
        found = loss(output)
    except RefsimError:
        raise
    except Exception as error:  # a user's loss can raise anything
        raise RefsimError(
            f"{_WHERE}: the loss raised {type(error).__name__} on the last layer's EventTrain: "
            f"{first_line(error)}"
        ) from error
    if not isinstance(found, TimedLoss):
        raise RefsimError(
            f"{_WHERE}: loss must return a TimedLoss, as those of refsim.gradients over spike "
            f"times do, but returned {type(found).__name__}."
        )
    return found.value


def _moves(part: _CaseRuns, number: int) -> bool:
    """Return whether any output spike time differs between copies."""
    first = part.trains(0)[-1].times
    return any(not np.array_equal(first, part.trains(copy)[-1].times) for copy in range(1, number))


def _apart(left: Gradient, right: Gradient, by: Floats) -> float:
    """Return the largest difference of two gradients over the largest entry.

    Each entry counts by what a move of its own size changes.
    """
    difference, size = (left.flat() - right.flat()) * by, right.flat() * by
    return float(np.abs(difference).max(initial=0) / (np.abs(size).max(initial=0) or 1.0))


def fastest(network: Network) -> float:
    """Return the fastest time constant of a network's ODEs, in seconds."""
    rates = []
    for layer in network.layers:
        assert layer.model.continuous is not None
        odes = layer.model.continuous.odes
        scope = {
            **layer.model.constants(network.dt),
            **dict.fromkeys((*layer.model.inputs, *odes.slopes), 0.0),
            STEP: network.dt,
        }
        # The Jacobian of a linear ODE, a column for each state.
        still = np.array(odes.at(scope, SCALAR_FUNCTIONS))
        columns = [
            np.array(odes.at({**scope, name: 1.0}, SCALAR_FUNCTIONS)) - still
            for name in odes.slopes
        ]
        # The fastest rate is the largest eigenvalue.
        rates.append(np.abs(np.linalg.eigvals(np.array(columns))).max())
    return float(1 / max(rates))
