"""Is the step right? The declared step against its ODE at dt/2, dt/4, ...

A discretisation error with an order.

Findings: everything a validation found, as data; the report only shows it.
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


@dataclass(frozen=True, eq=False)
class Rung:
    """One rung of the ladder: fine mode at dt/refine.

    Attributes
    ----------
    from_grid : Displacement
        Against the declared step.
    to_next : Displacement or None
        Against the next finer rung: what shrinks with dt.
    """

    refine: int
    recording: Recording
    from_grid: Displacement
    to_next: Displacement | None


@dataclass(frozen=True, eq=False)
class Ladder:
    """Fine mode at several refinements, and the order at which it converges (NaN where it cannot be
    fitted).
    """

    rungs: tuple[Rung, ...]
    order: float


def climb(grid: Recording, fine: Sequence[Recording]) -> Ladder:
    """Compare fine runs with the grid and with each other, coarse to fine."""
    runs = sorted(fine, key=lambda recording: recording.refine)
    rungs = []
    for index, run in enumerate(runs):
        to_next = _apart(run, runs[index + 1]) if index + 1 < len(runs) else None
        rungs.append(Rung(run.refine, run, _apart(grid, run), to_next))
    return Ladder(tuple(rungs), fitted_order(rungs))


def _apart(left: Recording, right: Recording) -> Displacement:
    """Measure how far spikes lie apart.

    Where nobody judges the classes of a network, its spikes are measured all the same.
    """
    return displacement(
        *(replace(run, network=replace(run.network, undecided="")) for run in (left, right))
    )


def fitted_order(rungs: Sequence[Rung]) -> float:
    """Fit ``displacement to the next rung ~ dt^order`` through at least two pairs of rungs."""
    points = [
        (rung.refine, rung.to_next.mean_steps)
        for rung in rungs
        if rung.to_next is not None and rung.to_next.mean_steps > 0
    ]
    if len(points) < 2:
        return float("nan")
    refine, steps = np.array(points).T
    return -fitted_power(refine, steps)


def judge_ladder(claim: Claim, ladder: Ladder) -> list[Verdict]:
    """Return the verdicts of a claim on the ladder: one a rung, or one for its order."""
    if claim.measure == "order of convergence":
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
    rows = []
    for rung in ladder.rungs:
        if claim.measure == "decisions changed by the step" and (
            why := rung.recording.no_decisions
        ):
            rows.append(Verdict(claim, None, "skipped", run=rung.recording.label, detail=why))
            continue
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


LADDER_MEASURES = (
    "displacement of spikes",
    "neurons with another count",
    "decisions changed by the step",
    "order of convergence",
)


@dataclass(frozen=True, eq=False)
class Closeup:
    """One neuron of one sample, looked at again with its membrane recorded.

    Where two runs part, or nearly do.

    Attributes
    ----------
    where : (layer, sample, neuron)
    step : int or None
        Where they part; None where they only come near to threshold.
    reference, trial : (n_steps,) float64
        What the threshold saw.
    threshold : float
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
    """What a validation found.

    Attributes
    ----------
    title : str
    network : Network or None
    data : dict
        What was put in: name, samples, steps, encoder.
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

        Empty where it parts by rounding alone.
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
        rows = [verdict.status for verdict in self.verdicts if verdict.claim.measure == IDENTITY]
        # Runs that were compared are judged, whether a claim asks for it or not: heading and
        # sentence are one verdict.
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
        """The comparison to look at: a real difference before a tie before the nearest approach."""
        if not self.comparisons:
            return None
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
    """Run one sample again, with membranes, at its first divergence or nearest approach."""
    where, step = _place(found)
    if where is None:
        return None
    layer, sample, neuron = where
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
    """Run a sample again with its membranes, alone or in its block: whichever fires as it did.

    None where neither does.
    """
    layer, sample, neuron = where
    first = sample // BLOCK * BLOCK
    for samples in (np.array([sample]), np.arange(first, min(first + BLOCK, drive.n_samples))):
        place = int(np.searchsorted(samples, sample))
        again = engine.run(run.network, drive.take(samples), record=("before_reset",))
        same = (
            np.array_equal(a.take(np.array([place])).code, b.take(np.array([sample])).code)
            for a, b in zip(again.spikes, run.spikes, strict=True)
        )
        if all(same):
            found: Floats = again.traces[layer]["before_reset"][place, :, neuron].astype(np.float64)
            return found
    return None


def _place(found: Comparison) -> tuple[tuple[int, int, int] | None, int | None]:
    if found.first is not None:
        at = found.first
        return (at.layer, at.sample, at.neuron), at.step
    if found.nearest is not None:
        return found.nearest[1:], None
    return None, None


def threshold_of(network: Network, layer: int, neuron: int) -> float:
    """Return the threshold of a neuron, where it is a constant; NaN where it moves."""
    value = constant_threshold(network.layers[layer], network.dt)
    return float(value[neuron] if value.ndim else value)
