"""Is the code right? Two runs of the same declared step must give the same spikes, or refsim names the first that differs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Ints
from ..claims import Claim, Verdict, judge
from ..distances import Divergence, check_comparable, delays, earliest, first_divergences, mismatched
from ..recording import Recording
from ..rounding import Parting, Threshold, distances_to_threshold, worst_partings
from .readout import Readout, compare_readouts


@dataclass(frozen=True, eq=False)
class Comparison:
    """A trial held against the reference.

    Attributes
    ----------
    mismatched : tuple of int, one a layer
        Spikes that only one of the two has.
    partings : tuple of Parting
        The first divergence of every sample that has one.
    first : Parting or None
        The earliest of those that are no ties, else of all.
    nearest : tuple or None
        ``(distance, layer, sample, neuron)``: the nearest approach to threshold over both runs.
    nearest_bound : float or None
        How far rounding can move the membrane there.
    readouts : tuple of Readout
        Where the spikes are the same: the layers that never fire by declaration.
    """

    reference: Recording
    trial: Recording
    mismatched: tuple[int, ...]
    partings: tuple[Parting, ...]
    first: Parting | None
    nearest: tuple[float, int, int, int] | None
    nearest_bound: float | None = None
    readouts: tuple[Readout, ...] = ()

    @property
    def by_luck(self) -> bool:
        """True where two equal runs came closer to threshold than rounding reaches: elsewhere a spike may tip."""
        return not self.partings and self.nearest is not None and self.nearest_bound is not None and 0 < self.nearest_bound >= self.nearest[0]

    @property
    def no_decisions(self) -> str:
        """Why no classes can be compared; "" where they can."""
        return self.reference.no_decisions or self.trial.no_decisions

    @property
    def changed_decisions(self) -> int:
        """Samples whose class differs."""
        return int((self.reference.decisions() != self.trial.decisions()).sum())

    @property
    def silent_layers(self) -> list[int]:
        """Layers that could fire and in which neither run did."""
        pairs = zip(self.reference.spikes, self.trial.spikes, strict=True)
        can = [layer.model.discrete.fire is not None for layer in self.reference.network.layers]
        return [layer for layer, (a, b) in enumerate(pairs) if not len(a) and not len(b) and can[layer]]

    @property
    def unread(self) -> list[Readout]:
        """Readouts whose membranes nobody recorded."""
        return [readout for readout in self.readouts if not readout.recorded]

    @property
    def undecided(self) -> int:
        """Samples that differ by rounding alone, or where nobody knows how far rounding reaches."""
        return sum(parting.tie or parting.unknown for parting in self.partings)

    @property
    def ties(self) -> int:
        """Samples that differ by rounding alone."""
        return sum(parting.tie for parting in self.partings)


def compare_recordings(reference: Recording, trial: Recording) -> Comparison:
    """Compare two recordings of the same network and drive, spike by spike."""
    check_comparable(reference, trial)
    counts = tuple(len(mismatched(a, b)) for a, b in zip(reference.spikes, trial.spikes, strict=True))
    partings = [
        replace(parting, left_seen=_seen(reference, parting.where), right_seen=_seen(trial, parting.where))
        for parting in worst_partings(reference, first_divergences(reference, trial), _dtypes(reference, trial))
    ]
    real = [parting for parting in partings if not parting.tie and not parting.unknown]
    first = None
    if partings:
        chosen = earliest([parting.where for parting in real or partings])
        first = next(parting for parting in partings if parting.where == chosen)
    nearest, bound = nearest_approach((reference, trial)), None
    if nearest is not None and not partings:
        nearest, bound = _most_endangered(reference, trial)
    readouts = () if partings else compare_readouts(reference, trial)
    return Comparison(reference, trial, counts, tuple(partings), first, nearest, bound, readouts)


def _most_endangered(reference: Recording, trial: Recording) -> tuple[tuple[float, int, int, int], float]:
    """Return, of the nearest approaches of all layers, one that rounding reaches, else the nearest; and its bound."""
    nearest = [found for layer in range(len(reference.spikes)) if (found := nearest_approach((reference, trial), layer)) is not None]
    samples = np.unique([sample for _, _, sample, _ in nearest])
    layers = distances_to_threshold(reference, samples, _dtypes(reference, trial))
    rows = [(found, _bound_at(found, samples, layers)) for found in nearest]
    return min(rows, key=lambda row: (not 0 < row[1] >= row[0][0], row[0]))


def _dtypes(*recordings: Recording) -> tuple[str, ...]:
    return tuple(str(recording.provenance["dtype"]) for recording in recordings)


def _bound_at(nearest: tuple[float, int, int, int], samples: Ints, layers: Sequence[Threshold]) -> float:
    _, layer, sample, neuron = nearest
    row, found = int(np.searchsorted(samples, sample)), layers[layer]
    step = int(np.argmin(np.abs(found.distance[row, :, neuron])))
    return float(found.bound[row, step, neuron])


def _seen(recording: Recording, where: Divergence) -> float | None:
    if not recording.traces or "before_reset" not in recording.traces[where.layer]:
        return None
    return float(recording.traces[where.layer]["before_reset"][where.sample, where.step, where.neuron])


def nearest_approach(recordings: Sequence[Recording], only: int | None = None) -> tuple[float, int, int, int] | None:
    """Return (distance, layer, sample, neuron) of the nearest approach to threshold over some runs, in one layer or all."""
    rows = []
    for recording in recordings:
        for layer, approach in enumerate(recording.approach):
            if only not in (None, layer):
                continue
            sample = int(np.argmin(approach.distance))
            if not np.isfinite(approach.distance[sample]):
                continue  # the engine did not know the threshold
            rows.append((float(approach.distance[sample]), layer, sample, int(approach.neuron[sample])))
    return min(rows) if rows else None


def judge_identity(claim: Claim, comparison: Comparison) -> Verdict:
    """Judge the number of mismatched spikes.

    No mismatch is a pass: the identity was observed, unless a layer never fired, whose weights it does not test.
    Mismatches are a fail as soon as one sample parts farther from threshold than rounding can reach, and inconclusive
    where every sample parts within that bound (docs/decisions/0002). Readouts never fire; their membranes must agree to
    within rounding, and where nobody recorded them nothing is decided.
    """
    value = sum(comparison.mismatched)
    margin = comparison.nearest[0] if comparison.nearest else None
    if not value and (silent := comparison.silent_layers):
        told = f"layer {', '.join(map(str, silent))} never fires in either run, and silence agrees with any weights; give stronger or longer input"
        return Verdict(claim, value, "inconclusive", margin, comparison.trial.label, told, _facts(comparison))
    if not value and (off := [readout for readout in comparison.readouts if readout.differs]):
        return Verdict(claim, value, "fail", margin, comparison.trial.label, f"every spike is the same, but the {off[0]}", _facts(comparison))
    if not value and comparison.unread:
        return Verdict(claim, value, "inconclusive", margin, comparison.trial.label, str(comparison.unread[0]), _facts(comparison))
    verdict = judge(claim, value, margin=margin, run=comparison.trial.label, detail=describe(comparison))
    only_ties = verdict.status == "fail" and comparison.undecided == len(comparison.partings) > 0
    return Verdict(claim, value, "inconclusive" if only_ties else verdict.status, margin, verdict.run, verdict.detail, _facts(comparison))


def _facts(comparison: Comparison) -> Mapping[str, Any]:
    facts: dict[str, Any] = {"mismatched_per_layer": list(comparison.mismatched), "samples_parted": len(comparison.partings), "samples_tied": comparison.ties}
    if comparison.nearest:
        facts["nearest_approach"] = dict(zip(("distance", "layer", "sample", "neuron"), comparison.nearest, strict=True))
        facts["nearest_approach"] |= {"rounding_bound": _finite(comparison.nearest_bound)}
    if comparison.first:
        where = comparison.first.where
        facts["delay_per_layer"] = delays(comparison.reference, comparison.trial)
        facts["first_divergence"] = {
            "layer": where.layer, "sample": where.sample, "neuron": where.neuron, "step": where.step,
            "fired_in": comparison.reference.label if where.left_fired else comparison.trial.label,
            "reference_membrane": comparison.first.left_seen, "trial_membrane": comparison.first.right_seen,
            "distance_to_threshold": comparison.first.distance, "rounding_bound": _finite(comparison.first.bound), "tie": comparison.first.tie,
        }  # fmt: skip
    return facts


def _finite(bound: float | None) -> float | None:
    """JSON has no infinity; what is not known is null."""
    return bound if bound is not None and math.isfinite(bound) else None


def who_fired(comparison: Comparison) -> str:
    """Name the run that fires where the two part."""
    assert comparison.first is not None
    left = comparison.first.where.left_fired
    if comparison.reference.label == comparison.trial.label:
        return "the reference" if left else "the trial"
    return comparison.reference.label if left else comparison.trial.label


def describe(comparison: Comparison) -> str:
    """Say in a sentence where two runs part, or how close they came to it."""
    if comparison.first is None:
        if comparison.nearest is None:
            return "identical in every layer, sample and step"
        distance, layer, sample, neuron = comparison.nearest
        return f"identical in every layer, sample and step; nearest approach to threshold {distance:.2g} (layer {layer}, sample {sample}, neuron {neuron})"
    parting, where = comparison.first, comparison.first.where
    fired = who_fired(comparison)
    sides = f"; membranes {parting.left_seen:.9g} and {parting.right_seen:.9g}" if parting.left_seen is not None and parting.right_seen is not None else ""
    late = delays(comparison.reference, comparison.trial)
    delayed = f"; the trial is the reference delayed by {', '.join(map(str, late))} steps (layer by layer)" if late else ""
    cause = f"within the rounding bound {parting.bound:.2g}: a tie" if parting.tie else f"beyond the rounding bound {parting.bound:.2g}"
    cause = "where no bound on rounding is known" if parting.unknown else cause
    return (f"first parts at layer {where.layer}, sample {where.sample}, neuron {where.neuron}, step {where.step}: only {fired} fires there; "
            f"{abs(parting.distance):.2g} from threshold, {cause}{sides}{delayed}")  # fmt: skip
