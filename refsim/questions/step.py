"""Is the step right? The declared step against its ODE at dt/2, dt/4, ...: a discretisation error with an order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..claims import Claim, Verdict, judge
from ..distances import Displacement, displacement
from ..experiments.dt import fitted_power
from ..recording import Recording


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
    """Fine mode at several refinements, and the order at which it converges (NaN where it cannot be fitted)."""

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
    """Measure how far spikes lie apart; where nobody judges the classes of a network, its spikes are measured all the same."""
    return displacement(*(replace(run, network=replace(run.network, undecided="")) for run in (left, right)))


def fitted_order(rungs: Sequence[Rung]) -> float:
    """Fit ``displacement to the next rung ~ dt^order`` through at least two pairs of rungs."""
    points = [(rung.refine, rung.to_next.mean_steps) for rung in rungs if rung.to_next is not None and rung.to_next.mean_steps > 0]
    if len(points) < 2:
        return float("nan")
    refine, steps = np.array(points).T
    return -fitted_power(refine, steps)


def judge_ladder(claim: Claim, ladder: Ladder) -> list[Verdict]:
    """Return the verdicts of a claim on the ladder: one a rung, or one for its order."""
    if claim.measure == "order of convergence":
        if np.isnan(ladder.order):
            return [Verdict(claim, None, "skipped", detail="an order needs at least three rungs whose spikes differ")]
        return [judge(claim, ladder.order, run="Brian2 fine " + ", ".join(f"dt/{rung.refine}" for rung in ladder.rungs))]
    rows = []
    for rung in ladder.rungs:
        if claim.measure == "decisions changed by the step" and (why := rung.recording.no_decisions):
            rows.append(Verdict(claim, None, "skipped", run=rung.recording.label, detail=why))
            continue
        measured = rung.from_grid
        value = {"displacement of spikes": measured.mean_steps, "neurons with another count": measured.other_count,
                 "decisions changed by the step": float(measured.changed_decisions)}[claim.measure]  # fmt: skip
        rows.append(
            judge(
                claim,
                None if np.isnan(value) else value,
                run=rung.recording.label,
                detail="no neuron fired equally often in both runs" if np.isnan(value) else "",
            )
        )
    return rows


LADDER_MEASURES = ("displacement of spikes", "neurons with another count", "decisions changed by the step", "order of convergence")
