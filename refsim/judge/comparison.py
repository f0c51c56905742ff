"""Is the code right? Two runs of one declared step must fire the same spikes.

Where they do not, refsim names the first spike that differs. `Comparison` holds two runs and what
every decision of the trial came to; `compare_recordings` makes one; `judge_identity` turns it into
a verdict; `describe` says it in a sentence.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.arrays import Ints
from ..core.claims import Claim, Verdict
from ..core.errors import counted
from ..engines.discrete import Discrete
from ..networks.recording import Recording
from .distances import check_comparable, delays, dtypes_of, mismatched
from .judgement import Decision, Replay
from .outputs import Readout, also_replayed, compare_readouts
from .replay import Own, replay
from .streams import Stream, compare_streams

IDENTITY = "mismatched spikes"
# Of a run whose spikes are the same: so many are replayed to say how finely it was judged.
BOUNDED_SAMPLES = 3
MOST_UNJUDGED = 0.01  # share of decisions that a pass may leave unjudged
SHORT = ("float16", "bfloat16")  # dtypes in which a proven bound is wider than the way to threshold
# What a comparison comes to, the first that is true; and what that makes of a claim that the two
# are the same.
OUTCOMES = {
    "not a number": "fail",
    "runs away": "inconclusive",
    "wrong decisions": "fail",
    "reference wrong": "fail",
    "other membranes": "fail",
    "readout differs": "fail",
    "events differ": "fail",
    "not judged": "inconclusive",
    "rounding": "inconclusive",
    "silent": "inconclusive",
    "readout unread": "inconclusive",
    "too coarse": "inconclusive",
    "same": "pass",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """A trial beside the reference: every spike of both runs, and every decision of the trial.

    Attributes
    ----------
    mismatched : tuple of int, one a layer
        Spikes that only one of the two has.
    parted : (n,) int64
        Samples with such a spike.
    replay : Replay
        Of the trial, in those samples and, where these are few, in some others.
    reference_replay : Replay or None
        Of the reference, where the trial parts from it although each of its decisions is right.
    nearest : tuple or None
        ``(distance, layer, sample, neuron)``: the nearest approach to threshold over both runs.
    nearest_bound : float or None
        How far rounding can move the membrane there.
    readouts : tuple of Readout
        The layers that never fire by declaration, and those whose spikes carry a number. They are
        compared with the reference where spikes are the same, and with the replay in all samples.
    streams : tuple of Stream
        The event streams that cards declare beside the spikes.
    first : Decision or None
        The first wrong decision, else the first that rounding may have tipped.
    """

    reference: Recording
    trial: Recording
    mismatched: tuple[int, ...]
    parted: Ints
    replay: Replay
    reference_replay: Replay | None = None
    nearest: tuple[float, int, int, int] | None = None
    nearest_bound: float | None = None
    readouts: tuple[Readout, ...] = ()
    streams: tuple[Stream, ...] = ()
    first: Decision | None = None
    # The declared step, too, gives NaN or infinity where the trial first does.
    declared_runs_away: bool = False

    @cached_property
    def outcome(self) -> str:
        """The result of the comparison, one of the keys of ``OUTCOMES``."""
        # NaN and infinity come first: nothing that follows from them is judged.
        if self.trial.not_a_number is not None:
            return "runs away" if self.declared_runs_away else "not a number"
        if not len(self.parted) and any(readout.differs for readout in self.readouts):
            return "readout differs"  # all that follows from it is said by it
        # Then decisions that rounding does not explain, in the layers that fire.
        if self.replay.count("wrong"):
            return "wrong decisions"
        if any(
            layer.membranes
            for layer, of in zip(self.replay.layers, self.reference.network.layers, strict=True)
            if of.model.discrete.fire
        ):
            return "other membranes"
        # Then what is not a spike: readouts, numbers that spikes carry, declared events.
        if any(readout.differs for readout in self.readouts):
            return "readout differs"
        if self.replay.count("numbers"):
            return "wrong decisions"
        if any(stream.wrong for stream in self.streams):
            return "events differ"
        # No decision is wrong. Where spikes differ all the same, the reason is looked for.
        if len(self.parted):
            return self._of_parted()
        # All spikes are the same; what is left is whether that says anything.
        if self.silent_layers:
            return "silent"
        if self.unread:
            return "readout unread"
        return "too coarse" if self.replay.judged_share < 1 - MOST_UNJUDGED else "same"

    def _of_parted(self) -> str:
        """Return the outcome where spikes differ and no decision of the trial is wrong."""
        if self.replay.count("unjudged") and any(
            not decision.known for decision in self.replay.open
        ):
            return "not judged"
        if self.replay.open:
            return "rounding"
        wrong = self.reference_replay is not None and self.reference_replay.wrong
        return "reference wrong" if wrong else "rounding"

    @property
    def status(self) -> str:
        """``"pass"``, ``"fail"`` or ``"inconclusive"``."""
        return OUTCOMES[self.outcome]

    @property
    def by_luck(self) -> bool:
        """Whether two equal runs came nearer to threshold than rounding reaches.

        On another machine a spike of such runs may tip.
        """
        near = (
            self.nearest is not None
            and self.nearest_bound is not None
            and 0 < self.nearest_bound >= self.nearest[0]
        )
        return not len(self.parted) and near

    @property
    def no_decisions(self) -> str:
        """The reason why no classes can be compared; "" where they can."""
        return self.reference.no_decisions or self.trial.no_decisions

    @property
    def changed_decisions(self) -> int:
        """The number of samples whose class differs."""
        return int((self.reference.decisions() != self.trial.decisions()).sum())

    @property
    def silent_layers(self) -> list[int]:
        """Layers that could fire and in which neither run did."""
        pairs = zip(self.reference.spikes, self.trial.spikes, strict=True)
        can = [layer.model.discrete.fire is not None for layer in self.reference.network.layers]
        return [
            layer for layer, (a, b) in enumerate(pairs) if not len(a) and not len(b) and can[layer]
        ]

    @property
    def unread(self) -> list[Readout]:
        """Readouts whose membranes nobody recorded."""
        return [readout for readout in self.readouts if not readout.recorded]

    @property
    def wrong_samples(self) -> Ints:
        """Samples with a decision that rounding does not explain."""
        return np.array(sorted(self.replay.wrong_samples), np.int64)

    @property
    def undecided(self) -> int:
        """Samples that part, and in which no decision is wrong."""
        return len(set(self.parted.tolist()) - self.replay.wrong_samples)


def compare_recordings(
    reference: Recording, trial: Recording, in_doubt: Collection[int] = ()
) -> Comparison:
    """Compare two recordings of one network and drive, and judge each decision of the trial.

    Parameters
    ----------
    reference, trial : Recording
        Runs of one network on one drive.
    in_doubt : collection of int
        Samples in which a layer that nobody recorded may have decided otherwise, so that nothing
        there can be called wrong.

    Returns
    -------
    Comparison

    Raises
    ------
    RefsimError
        Where the two differ in network, drive or shape.
    """
    check_comparable(reference, trial)
    # Spikes are compared in recorded layers alone.
    own = {index for index in range(len(trial.spikes)) if index in trial.recorded_layers}
    codes = [
        mismatched(a, b) if index in own else np.zeros(0, np.int64)
        for index, (a, b) in enumerate(zip(reference.spikes, trial.spikes, strict=True))
    ]
    # A spike's code counts samples, steps and neurons in one number.
    parted = np.unique(
        np.concatenate(
            [
                code // (train.n_steps * train.n_neurons)
                for code, train in zip(codes, trial.spikes, strict=True)
            ]
        )
    )
    # Each decision of the trial is judged by itself, on what the trial itself sent.
    nearest = nearest_approach((reference, trial))
    found = _replayed(trial, reference, _looked_at(reference, trial, parted), in_doubt)
    # Where the trial is right and the two part, the reference must be wrong.
    anew = None
    if len(parted) and not found.wrong and not found.open:
        anew = replay(reference, parted, dtypes_of(reference))
    # Of equal runs the report says how near they came to parting.
    bound = None
    if nearest is not None and not len(parted):
        nearest, bound = _most_endangered(reference, trial, found)
    # What is not a spike: the membranes of readouts, and what spikes carry.
    readouts = also_replayed(compare_readouts(reference, trial), trial, found)
    first = next(
        iter(decision for decision in found.wrong if decision.what == "spike"), None
    ) or next(iter(found.wrong or found.open), None)
    return Comparison(
        reference,
        trial,
        tuple(map(len, codes)),
        parted,
        found,
        anew,
        nearest,
        bound,
        readouts,
        compare_streams(reference, trial),
        first,
        _runs_away(trial),
    )


def _runs_away(trial: Recording) -> bool:
    """Return whether the declared step gives NaN or infinity as soon as the trial does."""
    if trial.not_a_number is None:
        return False
    layer, sample, neuron, step = trial.not_a_number
    with np.errstate(all="ignore"):
        run = Discrete().run(trial.network, trial.drive.take(np.array([sample])), ("before_reset",))
    return not np.isfinite(run.traces[layer]["before_reset"][0, : step + 1, neuron]).all()


def _looked_at(reference: Recording, trial: Recording, parted: Ints) -> Ints:
    """Return the samples to replay.

    All, where membranes or what spikes carry were recorded. Else those that part. Where none parts,
    those nearest to threshold and a few more.
    """
    everyone = np.arange(reference.drive.n_samples)
    if any(trace in traces for traces in trial.traces for trace in ("before_reset", "payload")):
        return everyone
    if len(parted):
        return parted
    # No sample parts: a few of them show how finely equal runs were judged.
    near = [
        found[2]
        for layer in range(len(reference.spikes))
        if (found := nearest_approach((reference, trial), layer)) is not None
    ]
    spread = np.linspace(0, len(everyone) - 1, min(BOUNDED_SAMPLES, len(everyone))).astype(np.int64)
    return np.unique([*near, *spread[: max(0, BOUNDED_SAMPLES - len(set(near)))]])


def _replayed(
    trial: Recording, reference: Recording, samples: Ints, in_doubt: Collection[int]
) -> Replay:
    """Replay a trial.

    In a short dtype, refsim's own steps in that dtype say as well what may have been decided.
    """
    dtypes = dtypes_of(reference, trial)
    own: Own | None = None
    if dtypes[1] in SHORT:
        from .torch_decisions import torch_decisions

        own = torch_decisions(trial, dtypes[1])
    return replay(trial, samples, dtypes, own, in_doubt)


def _most_endangered(
    reference: Recording, trial: Recording, replayed: Replay
) -> tuple[tuple[float, int, int, int], float]:
    """Return the nearest approach that rounding can tip, and its bound.

    There is one for each layer. Where rounding can tip none of them, the nearest of all is
    returned.
    """
    nearest = [
        found
        for layer in range(len(reference.spikes))
        if (found := nearest_approach((reference, trial), layer)) is not None
    ]
    # Samples of a nearest approach that the replay did not bound by themselves.
    missing = [
        sample
        for _, layer, sample, neuron in nearest
        if replayed.bound_at(layer, sample, neuron) is None
    ]
    known = replay(trial, np.unique(missing), dtypes_of(reference, trial)) if missing else replayed
    # False sorts before True: first those within their bound, then the nearest.
    rows = [
        (each, _either(replayed.bound_at(*each[1:]), known.bound_at(*each[1:]))) for each in nearest
    ]
    return min(rows, key=lambda row: (not 0 < row[1] >= row[0][0], row[0]))


def _either(first: float | None, second: float | None) -> float:
    """Return the first of two bounds that is known; infinite where neither is."""
    found = first if first is not None else second
    return np.inf if found is None else found


def nearest_approach(
    recordings: Sequence[Recording], only: int | None = None
) -> tuple[float, int, int, int] | None:
    """Return the nearest approach to threshold over some runs, in one layer or in all.

    Returns
    -------
    (distance, layer, sample, neuron) or None
        None where no engine knew the threshold.
    """
    rows = []
    for recording in recordings:
        for layer, approach in enumerate(recording.approach):
            if only not in (None, layer):
                continue
            sample = int(np.argmin(approach.distance))
            if not np.isfinite(approach.distance[sample]):
                continue  # the engine did not know the threshold
            rows.append(
                (float(approach.distance[sample]), layer, sample, int(approach.neuron[sample]))
            )
    return min(rows) if rows else None


def judge_identity(claim: Claim, comparison: Comparison) -> Verdict:
    """Judge the number of mismatched spikes.

    No mismatch is a pass: the same spikes were seen. It is none where a layer never fired, so that
    its weights were not tested, or where its decisions were judged too coarsely. Mismatches are a
    fail as soon as one decision of the trial is wrong: farther from threshold than rounding can
    reach, on what the trial itself sent (docs/decisions/0002, 0014). They are inconclusive where
    every decision that differs lies within that bound.
    """
    value = sum(comparison.mismatched)
    margin = comparison.nearest[0] if comparison.nearest else None
    status = comparison.status
    if claim.limit is None:
        status = "reported"
    elif comparison.outcome == "events differ":
        status = "pass"  # of spikes alone; events have a claim of their own
    elif (
        status == "fail"
        and comparison.outcome == "wrong decisions"
        and claim.holds(value)
        and claim.limit > 0
    ):
        status = "pass"  # a claim that allows for some mismatches
    return Verdict(
        claim,
        value,
        status,
        margin,
        comparison.trial.label,
        describe(comparison),
        _facts(comparison),
    )


def _facts(comparison: Comparison) -> Mapping[str, object]:
    """Return the comparison as data for report.json."""
    found = comparison.replay
    facts: dict[str, object] = {
        "outcome": comparison.outcome,
        "mismatched_per_layer": list(comparison.mismatched),
        "samples_parted": len(comparison.parted),
        "samples_undecided": comparison.undecided,
        "decisions": {
            "samples": len(found.samples),
            "looked_at": found.total,
            "judged_share": found.judged_share,
            "coarsest": _finite(found.coarsest),
            "layers": [
                {
                    "judged": layer.judged,
                    "right": layer.right,
                    "within_rounding": layer.within,
                    "wrong": layer.wrong,
                    "not_judged": layer.unjudged,
                    "other_membranes": layer.membranes,
                    "other_payloads": layer.numbers,
                }
                for layer in found.layers
            ],
        },
        "culprit_layers": found.culprits,
    }
    # Keys below are there only where there is something to say.
    if comparison.trial.not_a_number is not None:
        facts["first_not_a_number"] = dict(
            zip(("layer", "sample", "neuron", "step"), comparison.trial.not_a_number, strict=True)
        )
    if comparison.nearest:
        names = ("distance", "layer", "sample", "neuron", "rounding_bound")
        values = (*comparison.nearest, _finite(comparison.nearest_bound))
        facts["nearest_approach"] = dict(zip(names, values, strict=True))
    if first := comparison.first:
        facts["delay_per_layer"] = delays(comparison.reference, comparison.trial)
        facts["first_divergence"] = {
            "layer": first.layer,
            "sample": first.sample,
            "neuron": first.neuron,
            "step": first.step,
            "what": first.what,
            "fired_in": comparison.trial.label if first.fired else comparison.reference.label,
            "reference_membrane": _finite(first.seen),
            "trial_membrane": first.trial_seen,
            "distance_to_threshold": _finite(first.distance),
            "rounding_bound": _finite(first.bound),
            "tie": first in comparison.replay.open and first.known,
        }
    return facts


def _finite(bound: float | None) -> float | None:
    """Return a bound as JSON can hold it: null where it is infinite or unknown."""
    return bound if bound is not None and math.isfinite(bound) else None


def who_fired(comparison: Comparison) -> str:
    """Name the run that fires at the first difference."""
    assert comparison.first is not None
    if comparison.reference.label == comparison.trial.label:
        return "the trial" if comparison.first.fired else "the reference"
    return comparison.trial.label if comparison.first.fired else comparison.reference.label


def place(decision: Decision) -> str:
    """Say where a decision was made: layer, sample, neuron and step."""
    return (
        f"layer {decision.layer}, sample {decision.sample}, neuron {decision.neuron}, step "
        f"{decision.step}"
    )


def describe(comparison: Comparison) -> str:
    """Say in a sentence what a comparison comes to, and where."""
    return _WORDS[comparison.outcome](comparison)


def _not_a_number(comparison: Comparison) -> str:
    """Say where a membrane is NaN or infinite."""
    layer, sample, neuron, step = comparison.trial.not_a_number or (0, 0, 0, 0)
    return (
        f"a membrane of the trial is NaN or infinite, first at layer {layer}, sample "
        f"{sample}, neuron {neuron}, step {step}"
    )


def _wrong(comparison: Comparison) -> str:
    """Say how many decisions are wrong, and what the first of them is."""
    first, found = comparison.first, comparison.replay
    assert first is not None
    wrong = found.count("wrong")
    # The words say how far the first wrong decision lies from threshold.
    beyond = (
        f"{abs(first.distance):.2g} from threshold, beyond the rounding bound {first.bound:.2g}"
    )
    if first.what == "spike":
        text = (
            f"{counted(wrong, 'wrong decision')}, first at {place(first)}: only "
            f"{who_fired(comparison)} fires there; {beyond}"
        )
    else:
        text = (
            f"what spikes carry is off by {first.distance:.3g}, first at {place(first)}; "
            f"rounding reaches {first.bound:.2g}"
        )
    # Both membranes are given where the trial's was recorded.
    sides = (
        ""
        if first.trial_seen is None
        else f"; membranes {first.seen:.9g} and {first.trial_seen:.9g}"
    )
    # A delay is the first thing to look for when two simulators disagree.
    late = delays(comparison.reference, comparison.trial)
    delayed = (
        (
            f"; the trial is the reference delayed by {', '.join(map(str, late))} steps (layer by "
            "layer)"
        )
        if late
        else ""
    )
    return f"{text}{sides}{delayed}"


def _membranes(comparison: Comparison) -> str:
    """Say how many membranes are other than declared, and what the first of them is."""
    # A read-out's output is wrong also where its input is: only layers that fire are named.
    fires = [layer.model.discrete.fire is not None for layer in comparison.reference.network.layers]
    wrong = comparison.replay.wrong
    first = next(
        (each for each in wrong if each.what == "membrane" and fires[each.layer]), wrong[0]
    )
    count = counted(
        sum(
            layer.membranes
            for layer, own in zip(comparison.replay.layers, fires, strict=True)
            if own
        ),
        "membrane",
    )
    return (
        f"{count} of the trial other than declared, first at {place(first)}: off by "
        f"{abs(first.distance):.3g} where rounding reaches {first.bound:.2g}"
    )


def _readout_differs(comparison: Comparison) -> str:
    """Say which readout differs."""
    off = next(readout for readout in comparison.readouts if readout.differs)
    return f"the {off}" if len(comparison.parted) else f"every spike is the same, but the {off}"


def _tied(comparison: Comparison) -> str:
    """Say where a decision lies within rounding."""
    first = comparison.first
    if first is None:
        return "the runs part, and no decision of either is wrong"
    within = comparison.replay.count("within")
    return (
        f"{counted(within, 'decision')} within rounding, first at {place(first)}: only "
        f"{who_fired(comparison)} fires there; "
        f"{abs(first.distance):.2g} from threshold, within the rounding bound {first.bound:.2g}: "
        "a tie"
    )


def _unjudged(comparison: Comparison) -> str:
    """Say where a decision lies of which no bound on rounding is known."""
    first = comparison.first
    assert first is not None
    return (
        f"first parts at {place(first)}: only {who_fired(comparison)} fires there, where no "
        "bound on rounding is known"
    )


def _identical(comparison: Comparison) -> str:
    """Say that both runs are identical, and how near they came to threshold."""
    text = "identical in every layer, sample and step"
    if comparison.nearest is None:
        return text
    distance, layer, sample, neuron = comparison.nearest
    return (
        f"{text}; nearest approach to threshold {distance:.2g} (layer {layer}, sample "
        f"{sample}, neuron {neuron})"
    )


def _silent(comparison: Comparison) -> str:
    """Say which layers never fire."""
    layers = ", ".join(map(str, comparison.silent_layers))
    return (
        f"layer {layers} never fires in either run, and silence agrees with any weights; give "
        "stronger or longer input"
    )


def _reference_wrong(comparison: Comparison) -> str:
    """Say which decision of the reference is not as declared."""
    assert comparison.reference_replay is not None
    first = comparison.reference_replay.wrong[0]
    return (
        f"every decision of the trial is as declared, and one of {comparison.reference.label} "
        f"is not: {place(first)}; this is a fault of refsim's own, please report it"
    )


def _coarse(comparison: Comparison) -> str:
    """Say how many decisions rounding leaves unjudged."""
    found = comparison.replay
    return (
        f"identical, but {1 - found.judged_share:.1%} of decisions cannot be judged: "
        "there rounding reaches farther than a twentieth of the way from reset to threshold"
    )


_WORDS: dict[str, Callable[[Comparison], str]] = {
    "not a number": _not_a_number,
    "runs away": lambda found: (
        f"{_not_a_number(found)}; so it is in the declared step, which leaves the range of "
        "numbers there"
    ),
    "wrong decisions": _wrong,
    "reference wrong": _reference_wrong,
    "other membranes": _membranes,
    "events differ": lambda found: str(next(stream for stream in found.streams if stream.wrong)),
    "not judged": _unjudged,
    "rounding": _tied,
    "silent": _silent,
    "readout differs": _readout_differs,
    "readout unread": lambda found: str(found.unread[0]),
    "too coarse": _coarse,
    "same": _identical,
}
