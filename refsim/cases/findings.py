"""Everything that a validation found, as data; the report only shows it.

`Ladder` answers whether the step is right: the declared step beside its ODE at dt/2, dt/4, ...,
whose difference has an order. `Closeup` shows one neuron where two runs part. `Findings` holds all
of it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import Floats, Ints
from ..core.claims import Claim, Verdict, judge, overall
from ..engines.discrete import constant_threshold
from ..experiments.convergence import fitted_power
from ..judge.causes import Explanation, explaining_traits
from ..judge.comparison import IDENTITY, Comparison
from ..judge.distances import Displacement, displacement
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import BLOCK, Engine, Recording

LADDER_MEASURES = (
    "displacement of spikes",
    "neurons with another count",
    "decisions changed by the step",
    "order of convergence",
)


@dataclass(frozen=True, eq=False)
class Rung:
    """One rung of the ladder: fine mode at dt/refine.

    Attributes
    ----------
    from_grid : Displacement
        Displacement of its spikes from those of the declared step.
    to_next : Displacement or None
        Displacement from the next finer rung, which shrinks with dt.
    """

    refine: int
    recording: Recording
    from_grid: Displacement
    to_next: Displacement | None


@dataclass(frozen=True, eq=False)
class Ladder:
    """Fine mode at several refinements, and the order at which it converges.

    The order is NaN where it cannot be fitted.
    """

    rungs: tuple[Rung, ...]
    order: float


def climb(grid: Recording, fine: Sequence[Recording]) -> Ladder:
    """Compare fine runs with the grid and with each other, from coarse to fine.

    Parameters
    ----------
    grid : Recording
        The declared step at dt.
    fine : list of Recording
        The ODE at dt/refine.
    """
    # Each rung is compared with the next finer one, the last with none.
    runs = sorted(fine, key=lambda recording: recording.refine)
    rungs = []
    for index, run in enumerate(runs):
        to_next = _apart(run, runs[index + 1]) if index + 1 < len(runs) else None
        rungs.append(Rung(run.refine, run, _apart(grid, run), to_next))
    return Ladder(tuple(rungs), ladder_order(rungs))


def judge_ladder(claim: Claim, ladder: Ladder) -> list[Verdict]:
    """Return the verdicts of a claim on the ladder: one for each rung, or one for its order."""
    if claim.measure == "order of convergence":
        # Fewer than two differences have no slope.
        if np.isnan(ladder.order):
            return [
                Verdict(
                    claim,
                    None,
                    "skipped",
                    detail="an order needs at least three rungs whose spikes differ",
                )
            ]
        return [
            judge(
                claim,
                ladder.order,
                run="Brian2 fine " + ", ".join(f"dt/{rung.refine}" for rung in ladder.rungs),
            )
        ]
    # All other measures are of one rung.
    rows = []
    for rung in ladder.rungs:
        # A network without classes has none that change.
        if claim.measure == "decisions changed by the step" and (
            why := rung.recording.no_decisions
        ):
            rows.append(Verdict(claim, None, "skipped", run=rung.recording.label, detail=why))
            continue
        # NaN stands for spikes that cannot be paired.
        measured = rung.from_grid
        value = {
            "displacement of spikes": measured.mean_steps,
            "neurons with another count": measured.other_count,
            "decisions changed by the step": float(measured.changed_decisions),
        }[claim.measure]
        rows.append(
            judge(
                claim,
                None if np.isnan(value) else value,
                run=rung.recording.label,
                detail="no neuron fired equally often in both runs" if np.isnan(value) else "",
            )
        )
    return rows


def _apart(left: Recording, right: Recording) -> Displacement:
    """Measure how far the spikes of two runs lie apart.

    Spikes are measured also where nobody judges the classes of a network.
    """
    return displacement(
        *(replace(run, network=replace(run.network, undecided="")) for run in (left, right))
    )


def ladder_order(rungs: Sequence[Rung]) -> float:
    """Fit ``displacement to the next rung ~ dt^order`` through at least two pairs of rungs."""
    # Equal spikes have a displacement of 0, which has no logarithm.
    points = [
        (rung.refine, rung.to_next.mean_steps)
        for rung in rungs
        if rung.to_next is not None and rung.to_next.mean_steps > 0
    ]
    if len(points) < 2:
        return float("nan")
    refine, steps = np.array(points).T
    return -fitted_power(refine, steps)


@dataclass(frozen=True, eq=False)
class Closeup:
    """One neuron of one sample, run again with its membrane recorded.

    It is the neuron at which two runs part, or nearly do.

    Attributes
    ----------
    layer, sample, neuron : int
    step : int or None
        The step in which they part; None where they only come near to threshold.
    reference, trial : (n_steps,) float64
        What the threshold saw, in the unit of the membrane.
    threshold : float
        In the same unit; NaN where it moves.
    """

    layer: int
    sample: int
    neuron: int
    step: int | None
    reference: Floats
    trial: Floats
    threshold: float


@dataclass(frozen=True, eq=False)
class Findings:
    """The result of a validation.

    Attributes
    ----------
    title : str
    network : Network or None
    data : dict
        The input in words and numbers: name, samples, steps, encoder.
    reference : Recording or None
    comparisons : tuple of Comparison, one a trial
    ladder : Ladder or None
    labels : (n_samples,) int64 or None
    verdicts : tuple of Verdict
    look : function () -> Closeup or None, or None
        Runs one sample again, with membranes, when somebody wants to see it.
    """

    title: str
    verdicts: tuple[Verdict, ...]
    network: Network | None = None
    data: Mapping[str, Any] | None = None
    reference: Recording | None = None
    comparisons: tuple[Comparison, ...] = ()
    ladder: Ladder | None = None
    labels: Ints | None = None
    look: Callable[[], Closeup | None] | None = None

    @functools.cached_property
    def closeup(self) -> Closeup | None:
        """The membranes of the neuron to look at."""
        return self.look() if self.look else None

    @functools.cached_property
    def conventions(self) -> list[Explanation]:
        """The traits that, read otherwise, would make the worst run the reference's.

        Empty where that run parts by rounding alone.
        """
        worst = self.worst
        return (
            explaining_traits(worst.trial, worst.wrong_samples)
            if worst and len(worst.wrong_samples)
            else []
        )

    @property
    def verdict(self) -> str:
        """``"pass"``, ``"fail"`` or ``"inconclusive"``."""
        # The verdict is that of all claims.
        rows = [verdict.status for verdict in self.verdicts if verdict.claim.measure == IDENTITY]
        # Runs that were compared are judged, whether a claim asks for it or not. So the heading and
        # the sentence of a report never contradict each other.
        unasked = [] if rows else [found.status for found in self.comparisons]
        return (
            "fail"
            if "fail" in unasked
            else "inconclusive"
            if "inconclusive" in unasked and overall(self.verdicts) == "pass"
            else overall(self.verdicts)
        )

    @property
    def worst(self) -> Comparison | None:
        """The comparison to look at: a real difference first, then a tie, then the nearest."""
        if not self.comparisons:
            return None
        # Tuples compare by status, then by wrong decisions, samples and distance.
        return max(
            self.comparisons,
            key=lambda found: (
                ("pass", "inconclusive", "fail").index(found.status),
                found.replay.count("wrong"),
                len(found.parted),
                -(found.nearest or (0.0,))[0],
            ),
        )


def look_closer(
    found: Comparison, network: Network, drive: Drive, reference: Engine, trial: Engine
) -> Closeup | None:
    """Run one sample again, with membranes, at its first divergence or nearest approach.

    Returns
    -------
    Closeup or None
        None where there is nothing to look at, or an engine does not fire as before.
    """
    where, step = _place(found)
    if where is None:
        return None
    layer, sample, neuron = where
    # Both runs must fire again as they did, or there is nothing to compare.
    traces = [
        _again(engine, run, drive, where)
        for engine, run in ((reference, found.reference), (trial, found.trial))
    ]
    if traces[0] is None or traces[1] is None:
        return None
    return Closeup(
        layer, sample, neuron, step, traces[0], traces[1], threshold_of(network, layer, neuron)
    )


def _again(
    engine: Engine, run: Recording, drive: Drive, where: tuple[int, int, int]
) -> Floats | None:
    """Run a sample again with its membranes; return those of one neuron, (n_steps,).

    It is run alone, then in its block, and the first that fires as before is taken. Returns None
    where neither does.
    """
    layer, sample, neuron = where
    first = sample // BLOCK * BLOCK
    for samples in (np.array([sample]), np.arange(first, min(first + BLOCK, drive.n_samples))):
        place = int(np.searchsorted(samples, sample))
        again = engine.run(run.network, drive.take(samples), record=("before_reset",))
        # A run of another size may round otherwise; what is shown must be the run that was judged.
        same = (
            np.array_equal(a.take(np.array([place])).code, b.take(np.array([sample])).code)
            for a, b in zip(again.spikes, run.spikes, strict=True)
        )
        if all(same):
            found: Floats = again.traces[layer]["before_reset"][place, :, neuron].astype(np.float64)
            return found
    return None


def _place(found: Comparison) -> tuple[tuple[int, int, int] | None, int | None]:
    """Return the neuron to look at, as (layer, sample, neuron), and the step if there is one."""
    if found.first is not None:
        at = found.first
        return (at.layer, at.sample, at.neuron), at.step
    if found.nearest is not None:
        return found.nearest[1:], None
    return None, None


def threshold_of(network: Network, layer: int, neuron: int) -> float:
    """Return the threshold of a neuron where it is constant; NaN where it moves."""
    value = constant_threshold(network.layers[layer], network.dt)
    return float(value[neuron] if value.ndim else value)
