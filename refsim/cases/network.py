"""The module as its owner calls it.

An equal call must be answered alike, or the report says which state is left from the last.

How much hangs on what a file leaves unsaid: the accuracy of the network under every other answer,
reported and not judged.

Validate a network on real input: is the code right, is the step right, does it do its task.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import Ints
from ..core.claims import Claim, Verdict, judge
from ..core.errors import RefsimError
from ..core.progress import progress
from ..engines.brian.engine import Brian2
from ..engines.discrete import Discrete
from ..judge.comparison import IDENTITY, Comparison, compare_recordings, judge_identity
from ..judge.outputs import classes_moved_by_rounding
from ..judge.streams import MEASURE as EVENTS
from ..judge.streams import judge_streams
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import OUTPUT, Engine, Recording, check_run, output_trace, streams_of
from .findings import LADDER_MEASURES, Closeup, Findings, Ladder, climb, judge_ladder, look_closer

MEASURE = "answers unlike an equal call's"
_CLAIM = Claim(
    "code",
    MEASURE,
    0,
    "numbers",
    (
        "the declared network answers equal calls alike; a module that puts back some of its "
        "states "
        "alone answers by what it was called with before"
    ),
)


def judge_calls(trial: Recording) -> list[Verdict]:
    """Judge what a module answered when it was called twice.

    Nothing for a run of no module, or of one that leaves all to its owner.
    """
    calls = trial.provenance.get("calls")
    if not calls or (calls["status"] == "pass" and not calls["equal"]):
        return []
    return [
        Verdict(
            _CLAIM,
            calls["differ"],
            calls["status"],
            None,
            trial.label,
            calls["said"],
            {"calls": calls},
        )
    ]


_BECAUSE = (
    "Reported: a file that leaves this unsaid can be read either way, and nobody can be "
    "blamed for the other reading."
)


def with_other_readings(findings: Findings, readings: Mapping[str, Callable[[], Any]]) -> Findings:
    """Add to the findings the accuracy of each other reading, run by refsim's PyTorch steps in
    float32 on the same input.

    Parameters
    ----------
    readings : dict of str to function
        What is taken otherwise, ``reset='to v_reset'``, and a function that reads the file so: what
        it returns has the ``network``.

    Raises
    ------
    RefsimError
        Where the data have no labels.
    """
    from ..engines.pytorch import Torch

    reference, labels = findings.reference, findings.labels
    assert reference is not None
    if labels is None:
        raise RefsimError(
            "--otherwise reports accuracies, and the data have no labels: --labels FILE."
        )
    rows = []
    with progress(reference.drive.n_samples * len(readings), "otherwise"):
        for name, read in readings.items():
            claim = Claim("task", f"accuracy, {name}", None, "share of samples", _BECAUSE)
            try:
                network = read().network
                ran = Torch(dtype="float32").run(network, reference.drive, (OUTPUT,))
            except RefsimError as error:  # not every answer goes with every other
                rows.append(Verdict(claim, None, "skipped", detail=str(error)))
                continue
            rows.append(
                Verdict(claim, float(np.mean(ran.decisions() == labels)), "reported", run=ran.label)
            )
    return replace(findings, verdicts=(*findings.verdicts, *rows))


CODE_MEASURES = (IDENTITY, "changed decisions", EVENTS)
TASK_MEASURES = ("accuracy",)
MEASURES = (*CODE_MEASURES, *TASK_MEASURES, *LADDER_MEASURES)
TRIALS = ("torch float64", "torch float32", "brian2 float32", "discrete float64")


@dataclass(frozen=True)
class Plan:
    """What to run: the engines on trial, the refinements of fine mode, Brian2's processes at once,
    or a Dask scheduler for them.
    """

    trials: tuple[Engine, ...]
    fine: tuple[int, ...] = ()
    workers: int = 1
    scheduler: Any = None

    def reference(self) -> Brian2:
        """Return the engine that all others are held against."""
        return Brian2(workers=self.workers, scheduler=self.scheduler)

    def climber(self) -> Brian2:
        """Return the engine of fine mode; its ladder has the refinements."""
        return Brian2(mode="fine", margin=False, workers=self.workers, scheduler=self.scheduler)


def make_trial(name: str, device: str = "cpu", workers: int = 1, scheduler: Any = None) -> Engine:
    """Return an engine on trial by name, one of ``TRIALS``.

    Workers and scheduler are for Brian2.
    """
    if name not in TRIALS:
        raise RefsimError(f"run {name!r} is not known; known are {', '.join(TRIALS)}.")
    engine, dtype = name.split()
    if engine == "torch":
        from ..engines.pytorch import Torch

        return Torch(device=device, dtype=dtype)
    return (
        Brian2(dtype=dtype, workers=workers, scheduler=scheduler)
        if engine == "brian2"
        else Discrete()
    )


def make_plan(
    trials: Sequence[str],
    fine: Sequence[int],
    *,
    device: str = "cpu",
    workers: int = 1,
    scheduler: Any = None,
) -> Plan:
    """Return a plan from the names of its engines."""
    return Plan(
        tuple(make_trial(name, device, workers, scheduler) for name in trials),
        tuple(fine),
        workers,
        scheduler,
    )


def validate_network(
    network: Network,
    drive: Drive,
    plan: Plan,
    claims: Sequence[Claim],
    *,
    labels: Ints | None = None,
    title: str = "",
    data: dict[str, Any] | None = None,
) -> Findings:
    """Run the reference, the trials and the ladder, and judge every claim.

    Parameters
    ----------
    network : Network
    drive : Drive
    plan : Plan
    claims : list of Claim
        Measures are those of ``MEASURES``; each code claim is held against each trial.
    labels : (n_samples,) int64, optional
        For the accuracy.
    """
    check_run(network, drive, ())
    classes = network.layers[-1].n_post
    if (
        labels is not None
        and not network.undecided
        and (labels.min() < 0 or labels.max() >= classes)
    ):
        raise RefsimError(
            f"labels reach from {labels.min()} to {labels.max()}, but the network has {classes} "
            "outputs; classes are counted from 0."
        )
    reference_engine = plan.reference()
    total = drive.n_samples * (1 + len(plan.trials) + len(plan.fine))
    with progress(total, "validate"):
        record = (OUTPUT,) if any(output_trace(layer) for layer in network.layers) else ()
        reference = reference_engine.run(network, drive, record)
        comparisons = tuple(
            compare_recordings(reference, engine.run(network, drive, record))
            for engine in plan.trials
        )
        fine = plan.climber().ladder(network, drive, plan.fine, record)
    ladder = climb(reference, fine) if fine else None
    look: Callable[[], Closeup | None] | None = None
    if comparisons:
        worst = Findings(title, (), comparisons=comparisons).worst
        assert worst is not None
        engine = next(
            engine for engine, found in zip(plan.trials, comparisons, strict=True) if found is worst
        )
        look = functools.cache(
            lambda: look_closer(worst, network, drive, reference_engine.in_numpy(), engine)
        )
        if worst.first is not None:
            comparisons = tuple(
                _with_membranes(found, look()) if found is worst else found for found in comparisons
            )
    verdicts = [
        verdict
        for claim in applying(claims, network)
        for verdict in _judge(claim, reference, comparisons, ladder, labels)
    ]
    verdicts += [verdict for found in comparisons for verdict in judge_calls(found.trial)]
    facts = {
        "samples": drive.n_samples,
        "steps": drive.n_steps,
        "inputs": drive.n_inputs,
        "drive": drive.made.get("kind"),
    } | (data or {})
    return Findings(
        title, tuple(verdicts), network, facts, reference, comparisons, ladder, labels, look
    )


def _with_membranes(found: Comparison, closeup: Closeup | None) -> Comparison:
    """Put the trial's membrane of the close-up into the first decision that differs."""
    if found.first is None or closeup is None or closeup.step is None:
        return found
    return replace(found, first=replace(found.first, trial_seen=float(closeup.trial[closeup.step])))


def _judge(
    claim: Claim,
    reference: Recording,
    comparisons: Sequence[Comparison],
    ladder: Ladder | None,
    labels: Ints | None,
) -> list[Verdict]:
    if claim.measure in CODE_MEASURES:
        return [judge_code(claim, found) for found in comparisons]
    if claim.measure == "accuracy":
        if labels is None:
            return [Verdict(claim, None, "skipped", detail="the data has no labels")]
        if reference.no_decisions:
            return [
                Verdict(
                    claim,
                    None,
                    "skipped" if claim.limit is None else "inconclusive",
                    run=reference.label,
                    detail=reference.no_decisions,
                )
            ]
        return [judge(claim, float(np.mean(reference.decisions() == labels)), run=reference.label)]
    if claim.measure in LADDER_MEASURES:
        if ladder is None:
            return [
                Verdict(claim, None, "skipped", detail="no fine run was asked for (--fine 2 4 8)")
            ]
        return judge_ladder(claim, ladder)
    raise RefsimError(
        f"claim '{claim.measure}': is not a known measure; known are {', '.join(MEASURES)}."
    )


def applying(claims: Sequence[Claim], network: Network) -> list[Claim]:
    """Return the claims that say something of a network.

    Of event streams only where a card declares some.
    """
    return [claim for claim in claims if claim.measure != EVENTS or streams_of(network)]


def judge_code(claim: Claim, found: Comparison) -> Verdict:
    """Judge one of ``CODE_MEASURES``.

    Where rounding alone explains every class that changed, it is a tie too.
    """
    if claim.measure == IDENTITY:
        return judge_identity(claim, found)
    if claim.measure == EVENTS:
        return judge_streams(claim, found.reference, found.trial)
    if found.no_decisions:
        return Verdict(claim, None, "skipped", run=found.trial.label, detail=found.no_decisions)
    verdict = judge(claim, found.changed_decisions, run=found.trial.label)
    tied = np.setdiff1d(found.parted, found.wrong_samples)
    if verdict.status == "fail" and classes_moved_by_rounding(
        found.reference, found.trial, tied.tolist()
    ):
        return replace(
            verdict,
            status="inconclusive",
            detail="rounding, or what nobody knows a bound of, explains every class that changed",
        )
    return verdict
