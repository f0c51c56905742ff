"""Held against the recorded twin: the spikes that the framework itself fired, from a file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from ..arrays import Ints
from ..claims import Claim, Verdict, judge
from ..distances import mismatched
from ..engines.discrete import Discrete
from ..network import Network
from ..recording import Recording
from ..spikes import SpikeTrains
from .findings import Findings
from .traits import one_trait_otherwise

MEASURE = "spikes unlike the recorded"
Again = Callable[[], tuple[Network, Ints]]  # a network read anew, and how late its output is
_CLAIM = Claim("code", MEASURE, 0, "spikes", "the recorded spikes are what the framework itself fired, and the network read from its file is the same network")
_SAMPLES = 4  # enough to tell conventions apart, few enough to try them all
_FARTHEST = 3  # steps


def hold_against(findings: Findings, recorded: SpikeTrains, name: str, late: Ints, readings: Mapping[str, Again]) -> Findings:
    """Add to the findings whether the last layer fires what was recorded.

    Parameters
    ----------
    recorded : SpikeTrains
        Of the last layer.
    name : str
        Of their file.
    late : (1,) or (n,) int
        Steps by which the framework gives the last layer's spikes later than they are fired.
    readings : dict of str to function
        The network and how late its output is, read with one convention taken otherwise; of those, what explains a difference is named.
    """
    reference = findings.reference
    assert reference is not None
    found = len(mismatched(shifted(reference.spikes[-1], late), recorded))
    detail = f"of {len(recorded):,} in {name}" if not found else _explained(reference, recorded, late, readings)
    verdict: Verdict = judge(_CLAIM, found, run=reference.label, detail=detail)
    silent = not len(recorded) and verdict.status == "pass"
    if silent:
        verdict = replace(verdict, status="inconclusive", detail=f"{name} records no spike, and silence agrees with any weights")
    return replace(findings, verdicts=(*findings.verdicts, verdict))


def shifted(train: SpikeTrains, late: Ints) -> SpikeTrains:
    """Return spikes some steps later, one number for all or one a neuron; what leaves the end is lost."""
    step = train.step + np.broadcast_to(late, train.n_neurons)[train.neuron]
    keep = (step >= 0) & (step < train.n_steps)
    columns = (train.sample[keep], step[keep], train.neuron[keep])
    return SpikeTrains.from_events(*columns, train.n_samples, train.n_steps, train.n_neurons, train.dt)


def _explained(reference: Recording, recorded: SpikeTrains, late: Ints, readings: Mapping[str, Again]) -> str:
    """Say what, taken otherwise, makes the recorded spikes."""
    causes = list(_causes(reference, recorded, late, readings))
    return f"the recorded spikes are fired with {' or '.join(causes)}" if causes else "no single convention that was tried explains it"


def _causes(reference: Recording, recorded: SpikeTrains, late: Ints, readings: Mapping[str, Again]) -> Iterator[str]:
    chosen = np.arange(min(_SAMPLES, reference.drive.n_samples))
    drive, wanted = reference.drive.take(chosen), recorded.take(chosen)
    others = ((name, (network, late)) for name, network in one_trait_otherwise(reference.network))
    for name, (network, its_late) in chain(((name, read()) for name, read in readings.items()), others):
        spikes = Discrete().run(network, drive).spikes[-1]
        if not len(mismatched(shifted(spikes, its_late), wanted)):
            yield name
    for more in (*range(1, _FARTHEST + 1), *range(-_FARTHEST, 0)):
        if (late + more).min() >= 0 and not len(mismatched(shifted(reference.spikes[-1], late + more), recorded)):
            yield f"an output {abs(more)} step{'s' if abs(more) > 1 else ''} {'later' if more > 0 else 'earlier'}"
