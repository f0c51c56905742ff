"""Held against the recorded twin.

The spikes that the framework itself fired, as one more run of the same network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Ints
from ..core.claims import Claim, Verdict, judge
from ..core.errors import listed
from ..engines.discrete import Discrete
from ..engines.following import Known, membranes
from ..judge.causes import causes, missing_and_surplus
from ..judge.comparison import Comparison, compare_recordings
from ..judge.distances import check_comparable
from ..judge.expected import Again, Expected
from ..judge.recorded import Taken, as_recording, known_of, take, told_axes
from ..judge.unrecorded import settle
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording, output_trace
from .case import standard_claims
from .findings import Closeup, Findings, look_closer
from .network import CODE_MEASURES, judge_code

_EARLY = Claim(
    "code",
    "spikes before the first can come",
    0,
    "spikes",
    (
        "what is given some steps late gives nothing in its first steps; a spike there says that "
        "it "
        "is not so late"
    ),
)


def hold_against(
    findings: Findings,
    expected: Expected,
    claims: Sequence[Claim],
    late: Ints,
    readings: Mapping[str, Again],
) -> Findings:
    """Add to the findings whether recorded spikes are those of the network.

    One more run, judged as any other.

    Parameters
    ----------
    expected : Expected
    claims : list of Claim
        Those about code are held against the recording.
    late : (1,) or (n,) int64
        Steps by which the framework gives the last layer's spikes later than they are fired.
    readings : dict of str to function
        The network and how late its output is, read with one convention taken otherwise; of those,
        what explains a difference is named.

    Raises
    ------
    RefsimError
        Where the recording does not fit the network.
    """
    reference = findings.reference
    assert reference is not None
    given, aside = expected.layers(reference.network)
    raw = take(given, reference.network, reference.drive, expected.axes, expected.where)
    moved = raw.sooner(expected.delays(reference.network, late))
    trial = as_recording(
        moved,
        reference.network,
        reference.drive,
        _dtype(expected, reference.network),
        _label(expected, raw, reference),
        reference,
    )
    found = compare_recorded(reference, trial, [each.trial for each in findings.comparisons])
    look = findings.look
    if replace(findings, comparisons=(*findings.comparisons, found)).worst is found:
        look = cache(
            partial(
                look_closer,
                found,
                reference.network,
                reference.drive,
                Discrete(),
                _Follower(found.trial),
            )
        )
        found = _with_membrane(found, look())
    verdicts = [_told(judge_code(claim, found), found) for claim in claims]
    if any(each.status in ("fail", "inconclusive") for each in verdicts) and any(found.mismatched):
        why = causes(
            reference,
            raw,
            expected,
            {index: moved.late.get(index, np.zeros(1, np.int64)) for index in raw.rasters},
            readings,
        )
        verdicts = [_explained(each, why, found) for each in verdicts]
    verdicts += _early(moved, expected.name)
    facts = {
        "expected": _facts(expected, raw, moved, found.trial),
        "assumed": [
            *(findings.data or {}).get("assumed", ()),
            *([] if expected.axes else told_axes(raw, expected.name)),
            *aside,
        ],
    }
    data = {**(findings.data or {}), **facts}
    return replace(
        findings,
        verdicts=(*findings.verdicts, *verdicts),
        comparisons=(*findings.comparisons, found),
        data=data,
        look=look,
    )


def _with_membrane(found: Comparison, closeup: Closeup | None) -> Comparison:
    """Leave out what the recording's threshold saw at the first difference: nobody knows it."""
    return (
        found
        if found.first is None
        else replace(found, first=replace(found.first, trial_seen=None))
    )


def compare_recorded(
    reference: Recording, trial: Recording, others: Sequence[Recording] = ()
) -> Comparison:
    """Compare a recording with a run.

    Where only some layers were recorded, the others are what rounding lets them be.

    Parameters
    ----------
    others : list of Recording
        More runs of the same network and drive.
    """
    check_comparable(reference, trial)
    if "recorded_layers" not in trial.provenance:
        return compare_recordings(reference, trial)
    same = [each for each in others if each.provenance["dtype"] == trial.provenance["dtype"]]
    settled = settle(trial, reference, same)
    # A decision that hangs on one that nobody saw, and that rounding may have tipped, is not
    # judged.
    return compare_recordings(
        reference, _with_outputs(settled.trial, reference), in_doubt=settled.open
    )


def _with_outputs(trial: Recording, reference: Recording) -> Recording:
    """Return a trial in which layers that were not recorded send what the reference's do.

    Where spikes are the same, these are compared too.
    """
    free = set(range(len(trial.spikes))) - set(trial.provenance["recorded_layers"])
    names = [output_trace(layer) for layer in trial.network.layers]
    traces = tuple(
        {**reference.traces[index], **each}
        if index in free and names[index] in reference.traces[index]
        else each
        for index, each in enumerate(trial.traces)
    )
    return replace(trial, traces=traces)


def _dtype(expected: Expected, network: Network) -> str:
    whole = any("integer" in layer.model.traits for layer in network.layers)
    return expected.dtype or ("float64" if whole else "float32")


def _label(expected: Expected, raw: Taken, reference: Recording) -> str:
    """Name the run, with its layers where not all were recorded."""
    count = len(reference.network.layers)
    which = (
        ""
        if len(raw.layers) == count
        else f" (layer{'s' * (len(raw.layers) > 1)} {listed(raw.layers)} of {count})"
    )
    return f"recorded {expected.name}{which}"


def _told(verdict: Verdict, found: Comparison) -> Verdict:
    """Say of a recording of some layers which they are, and of silence what it is."""
    layers = found.trial.provenance["recorded_layers"]
    if (
        verdict.status == "fail"
        and found.outcome == "readout differs"
        and (alike := _like_spikes(found))
    ):
        told = (
            f"what was recorded of layer {listed(alike)}, which never fires, holds 0 and 1 "
            "alone, as spikes do; is it of another layer? "
            "An array without a name is of the last: numpy.savez(file, **{'0': ...}) names it"
        )
        return replace(verdict, detail="; ".join(part for part in (verdict.detail, told) if part))
    if verdict.status == "pass" and len(layers) < len(found.trial.network.layers):
        return replace(
            verdict, detail=f"in layer {listed(layers)}, which was recorded; the others ran freely"
        )
    return verdict


def _like_spikes(found: Comparison) -> list[int]:
    """Return the readouts of which something was recorded that looks like spikes."""
    layers = found.trial.provenance["recorded_layers"]
    known = known_of(found.trial)
    return [
        index
        for index in layers
        if found.trial.network.layers[index].model.discrete.fire is None
        and (values := known[index].carried) is not None
        and np.any(values == 1)
        and np.all((values == 0) | (values == 1))
    ]


def _explained(verdict: Verdict, why: Sequence[str], found: Comparison) -> Verdict:
    """Add to a verdict that is no pass what would make the recorded spikes."""
    if (
        verdict.status not in ("fail", "inconclusive")
        or verdict.claim.measure != "mismatched spikes"
    ):
        return verdict
    counts = missing_and_surplus(found)
    cause = (
        f"the recorded spikes are fired with {' or '.join(why)}"
        if why
        else "no single convention that was tried explains it"
    )
    told = cause if verdict.status == "fail" or why else _unseen(found)
    detail = "; ".join(part for part in (verdict.detail, counts, told) if part)
    return replace(verdict, detail=detail, facts={**verdict.facts, "explained_by": list(why)})


def _unseen(found: Comparison) -> str:
    """Say which layers to record where rounding in one that was not leaves it open."""
    missing = [
        index
        for index in range(len(found.trial.network.layers))
        if index not in found.trial.provenance["recorded_layers"]
    ]
    if not missing:
        return ""
    return (
        f"layer {listed(missing)} was not recorded, and lies within rounding of its threshold "
        "where it matters; record it too"
    )


def _early(moved: Taken, name: str) -> list[Verdict]:
    """Judge spikes that came before they can have come."""
    if not moved.late:
        return []
    count = sum(moved.early.values())
    late = ", ".join(
        f"layer {index} is taken to be {int(each.max())} late"
        for index, each in sorted(moved.late.items())
    )
    return [judge(_EARLY, count, run=f"recorded {name}", detail=late if count else "")]


def _facts(expected: Expected, raw: Taken, moved: Taken, trial: Recording) -> dict[str, Any]:
    return {
        "file": expected.name,
        "layers": {str(index): len(each.train) for index, each in sorted(raw.rasters.items())},
        "axes": trial.provenance["axes"],
        "fits_too": {
            str(index): list(each.others)
            for index, each in sorted(raw.rasters.items())
            if each.others
        },
        "delay": trial.provenance["delay"],
        "dtype": trial.provenance["dtype"],
        "before_the_first": sum(moved.early.values()),
    }


@dataclass(frozen=True, eq=False)
class _Follower:
    """Stands in for the engine of a recording.

    Its membranes are those of the declared step that follows its spikes.
    """

    trial: Recording

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Return the recorded spikes of some samples, with what their thresholds saw."""
        numbers = {int(number): row for row, number in enumerate(self.trial.drive.sample_numbers)}
        rows = np.array([numbers[int(number)] for number in drive.sample_numbers])
        spikes = tuple(train.take(rows) for train in self.trial.spikes)
        known = {
            index: _whole(each, spikes[index].dense(), rows)
            for index, each in self._known().items()
        }
        traces = tuple(
            {
                name: membranes(network, drive, known, index)
                for name in record
                if name == "before_reset"
            }
            for index in range(len(spikes))
        )
        return replace(self.trial, drive=drive, spikes=spikes, traces=traces)

    def _known(self) -> dict[int, Known | None]:
        seen = known_of(self.trial)
        return {index: seen.get(index) for index in range(len(self.trial.spikes))}


def _whole(known: Known | None, fired: NDArray[np.bool_], rows: Ints) -> Known:
    return Known(
        fired, None, None if known is None or known.carried is None else known.carried[rows]
    )


def code_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return those of some claims that a recording is held against.

    The usual where there is none.
    """
    own = [claim for claim in claims if claim.measure in CODE_MEASURES]
    return own or [claim for claim in standard_claims() if claim.measure in CODE_MEASURES]
