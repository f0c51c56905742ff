"""The check of a judge: planted pairs of recordings whose right verdicts are known."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from ..cards.read import load
from ..core.claims import Claim, Verdict
from ..core.errors import RefsimError, crash
from ..core.spikes import SpikeTrains
from ..engines.discrete import Discrete
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording
from .suite import Answer, Check, run_checks

# Reference, trial -> "pass", "fail" or "inconclusive"
Judge = Callable[[Recording, Recording], str]


@dataclass(frozen=True, eq=False)
class Planted:
    """A pair of recordings and the verdict that a judge must give."""

    reference: Recording
    trial: Recording
    verdict: str


def _network() -> Network:
    """Two small layers whose weights are dyadic, so that every sum is exact."""
    srif = load("srif")
    # Both layers get drive enough to fire often, and rarely all at once.
    weight = np.array([[0.375, 0.25, -0.125], [0.125, 0.3125, 0.25], [-0.25, 0.1875, 0.4375]])
    return Network.dense([(weight, None, srif), (weight[::-1] * 2, None, srif)], 1e-3)


def _run() -> Recording:
    events = np.argwhere(np.random.default_rng(3).random((4, 24, 3)) < 0.6)
    return Discrete().run(
        _network(), Drive.events(events[:, 0], events[:, 1], events[:, 2], (4, 24, 3), 1e-3)
    )


def _changed(recording: Recording, layer: int, change: Callable[[np.ndarray], None]) -> Recording:
    dense = recording.spikes[layer].dense()
    change(dense)
    # Only the one layer is another; all else of the recording stays.
    spikes = list(recording.spikes)
    spikes[layer] = SpikeTrains.from_dense(dense, recording.network.dt)
    return replace(recording, spikes=tuple(spikes))


def _identical() -> Planted:
    return Planted(_run(), _run(), "pass")


def _moved_spike() -> Planted:
    """Move one output spike a step later: every count is the same."""

    def late(dense: np.ndarray) -> None:
        # A spike that is followed by silence can move without meeting another.
        sample, step, neuron = next(at for at in np.argwhere(dense[:, :-1] & ~dense[:, 1:]))
        dense[sample, step : step + 2, neuron] = [False, True]

    return Planted(_run(), _changed(_run(), 1, late), "fail")


def _last_step() -> Planted:
    """Plant a spike too many in the very last step."""

    def add(dense: np.ndarray) -> None:
        sample, neuron = np.argwhere(~dense[:, -1])[0]
        dense[sample, -1, neuron] = True

    return Planted(_run(), _changed(_run(), 1, add), "fail")


def _hidden_layer() -> Planted:
    """Take a spike from the hidden layer alone; the output is untouched."""

    def drop(dense: np.ndarray) -> None:
        dense[tuple(np.argwhere(dense)[0])] = False

    return Planted(_run(), _changed(_run(), 0, drop), "fail")


def _rounding_tie() -> Planted:
    """Put a membrane within rounding of threshold, and the other run on the other side of it.

    Neither run is wrong.
    """
    srif = load("srif")
    # 0.1 + 0.2 + 0.2 is 0.5 only up to rounding.
    network = Network.dense([([[0.1, 0.2, 0.2]], None, srif)], 1e-3)
    drive = Drive.events([0, 0, 0], [0, 1, 2], [0, 1, 2], (1, 4, 3), 1e-3)
    reference = Discrete().run(network, drive)

    def flip(dense: np.ndarray) -> None:
        dense[0, 2, 0] = not dense[0, 2, 0]

    return Planted(reference, _changed(reference, 0, flip), "inconclusive")


def _fault_beside_tie() -> Planted:
    """Put a tie in neuron 0 and a real fault in neuron 1, in one step.

    The tie does not explain the fault.
    """
    # Neuron 0 meets its threshold up to rounding, and neuron 1 stays far below.
    network = Network.dense([([[0.1, 0.2, 0.2], [0.125, 0.0, 0.0]], None, load("srif"))], 1e-3)
    drive = Drive.events([0, 0, 0], [0, 1, 2], [0, 1, 2], (1, 4, 3), 1e-3)
    reference = Discrete().run(network, drive)

    def flip(dense: np.ndarray) -> None:
        dense[0, 2] = ~dense[0, 2]

    return Planted(reference, _changed(reference, 0, flip), "fail")


def _check(name: str, because: str, plant: Callable[[], Planted]) -> Check:
    def measure(verdict_of: Judge) -> Answer:
        planted = plant()
        try:
            said = verdict_of(planted.reference, planted.trial)
        except Exception as error:  # a user's judge can raise anything
            raise crash("the judge", error, f"where it should say {planted.verdict}") from error
        return float(said != planted.verdict), f"said {said}, should say {planted.verdict}"

    return Check(Claim("code", name, 0, "wrong verdicts", because), measure)


JUDGE_CHECKS: dict[str, Check] = {
    "identical": _check(
        "identical",
        "two equal runs are the same network, and a judge that never says so is no judge",
        _identical,
    ),
    "moved_spike": _check(
        "moved_spike",
        "a late spike has the same count; spikes must be compared, not counted",
        _moved_spike,
    ),
    "last_step": _check("last_step", "the last step counts as much as any other", _last_step),
    "hidden_layer": _check(
        "hidden_layer", "every layer counts, also where the output agrees", _hidden_layer
    ),
    "fault_beside_tie": _check(
        "fault_beside_tie",
        (
            "neurons of one step cannot explain each other; each that differs has to be within "
            "rounding"
        ),
        _fault_beside_tie,
    ),
    "rounding_tie": _check(
        "rounding_tie",
        "a membrane within rounding of threshold proves neither run wrong",
        _rounding_tie,
    ),
}


def check_judge(verdict_of: Judge, *, skip: Collection[str] | str = ()) -> list[Verdict]:
    """Check a function that judges two recordings.

    Parameters
    ----------
    verdict_of : function ``(reference, trial) -> "pass" | "fail" | "inconclusive"``
    skip : name or names of checks to leave out

    Returns
    -------
    list of Verdict, one a check
        A judge that raises fails.

    Raises
    ------
    RefsimError
        For a check that does not exist, or what is no function.
    """
    if not callable(verdict_of):
        raise RefsimError(
            f"check_judge: needs a function of (reference, trial), but {verdict_of!r} was given."
        )
    return run_checks(JUDGE_CHECKS, verdict_of, who="check_judge", run="the judge", skip=skip)
