"""The one sentence a report opens with: is it the same network or not."""

from collections.abc import Callable, Sequence

from ..cases.findings import Findings
from ..core.errors import counted
from ..judge.comparison import IDENTITY, Comparison, describe, place, who_fired
from ..networks.recording import Recording


def sentence(findings: Findings) -> str:
    """Say what was found in one or two plain sentences; what it comes to was decided before."""
    worst = findings.worst
    if worst is None:
        return _plain(findings)
    text, failed = _WORDS[worst.outcome](findings, worst), "; ".join(_failed_claims(findings))
    if not failed:
        return text
    if worst.status == "fail":
        return f"{text} And a claim fails: {failed}."
    # What opens the report is why it fails.
    return f"A claim fails: {failed}. Apart from that: {text[0].lower()}{text[1:]}"


def _parted(worst: Comparison) -> str:
    parted = f"{len(worst.parted)} of {counted(worst.reference.drive.n_samples, 'sample')}"
    return f"{worst.trial.label} parts from {worst.reference.label} in {parted}"


def _not_a_number(_findings: Findings, worst: Comparison) -> str:
    return f"Not the same network: {describe(worst)} of {worst.trial.label}."


def _wrong(findings: Findings, worst: Comparison) -> str:
    first, found = worst.first, worst.replay
    assert first is not None
    if first.what != "spike":
        return f"Not the same network: {worst.trial.label}: {describe(worst)}." + _convention(
            findings
        )
    count = counted(found.count("wrong"), "decision")
    return (
        f"Not the same network: {_parted(worst)}, with {count} wrong of "
        f"{found.total:,}{_culprits(worst)}; the first at {place(first)}, "
        f"where only {who_fired(worst)} fires, {abs(first.distance):.2g} from threshold."
    ) + _convention(findings)


def _culprits(worst: Comparison) -> str:
    """Name the layers whose decisions are wrong, where there are others whose are right."""
    culprits = worst.replay.culprits
    if len(worst.replay.layers) == 1 or len(culprits) == len(worst.replay.layers):
        return ""
    return (
        f", all in layer{'s' if len(culprits) > 1 else ''} "
        f"{_and([str(layer) for layer in culprits])}"
    )


def _membranes(findings: Findings, worst: Comparison) -> str:
    return f"Not the same network: {worst.trial.label} has {describe(worst)}." + _convention(
        findings
    )


def _rounding(_findings: Findings, worst: Comparison) -> str:
    first = worst.first
    if first is None:
        return f"Not decided: {_parted(worst)}, and no decision of either is wrong by itself."
    return (
        f"Not decided: {_parted(worst)}, each time with the membrane within rounding of the "
        f"threshold; first at {place(first)}, "
        f"{abs(first.distance):.2g} from threshold where rounding reaches {first.bound:.2g}."
    )


def _unjudged(_findings: Findings, worst: Comparison) -> str:
    assert worst.first is not None
    return (
        f"Not decided: {_parted(worst)}, first at {place(worst.first)}, where no bound on "
        "rounding is known."
    )


def _silent(_findings: Findings, worst: Comparison) -> str:
    layers = ", ".join(map(str, worst.silent_layers))
    return (
        f"Not decided: the runs agree, but layer {layers} never fires, and silence agrees "
        "with any weights. Give stronger input or more steps."
    )


def _readout_differs(_findings: Findings, worst: Comparison) -> str:
    off = next(readout for readout in worst.readouts if readout.differs)
    if len(worst.parted):
        return f"Not the same network: {_parted(worst)}, and beside that the {off}."
    return (
        f"Not the same network: {worst.trial.label} fires the spikes of "
        f"{worst.reference.label}, but the {off}."
    )


_WORDS: dict[str, Callable[[Findings, Comparison], str]] = {
    "not a number": _not_a_number,
    "runs away": lambda _findings, worst: (
        f"Not decided: {describe(worst)}. Give weaker input, or a smaller dt."
    ),
    "wrong decisions": _wrong,
    "reference wrong": lambda _findings, worst: f"Not the declared network: {describe(worst)}.",
    "other membranes": _membranes,
    "not judged": _unjudged,
    "rounding": _rounding,
    "silent": _silent,
    "events differ": lambda _findings, worst: (
        f"Not the same network: of {worst.trial.label}, {describe(worst)}."
    ),
    "readout differs": _readout_differs,
    "readout unread": lambda _findings, worst: (
        f"Not decided: the spikes agree, but {worst.unread[0]}."
    ),
    "too coarse": lambda _findings, worst: (
        f"Not decided: {worst.trial.label} and {worst.reference.label} are {describe(worst)}."
    ),
    "same": lambda findings, _worst: _same(findings),
}


def _convention(findings: Findings) -> str:
    """Name the convention that explains a difference."""
    if not findings.conventions:
        return ""
    assert findings.worst is not None
    return f" {findings.worst.trial.label} runs {'; or '.join(map(str, findings.conventions[:3]))}."


def _same(findings: Findings) -> str:
    reference = findings.comparisons[0].reference
    whole = [found for found in findings.comparisons if not _unrecorded(found)]
    partly = [found for found in findings.comparisons if _unrecorded(found)]
    # What was recorded in some layers alone is said of these: nobody saw the spikes of the others.
    shown = whole or partly[:1]
    layers = range(len(reference.spikes)) if whole else partly[0].trial.recorded_layers
    trials = _and([found.trial.label for found in shown])
    spikes = sum(len(reference.spikes[layer]) for layer in layers)
    verb = "fires" if len(shown) == 1 else "fire"
    drive = reference.drive
    size = (
        f"{counted(drive.n_samples, 'sample')}, {counted(len(layers), 'layer')} and "
        f"{counted(drive.n_steps, 'step')}"
    )
    carried = (
        " and what they carry"
        if any(layer.model.discrete.payload for layer in reference.network.layers)
        else ""
    )
    text = (
        f"The same network: {trials} {verb} exactly the {counted(spikes, 'spike')} of "
        f"{reference.label}{carried}, over {size}{_stood_in(findings)}."
    )
    text = " ".join([text, *(_recorded_alone(found) for found in partly)])
    if full := [layer for layer in layers if _always(reference, layer)]:
        text += (
            f" {_layers(full).capitalize()} fire{'s' * (len(full) == 1)} in every step, "
            "which agrees with many weights: weaker input tells more."
        )
    contrary = [
        line for line in (findings.data or {}).get("ignored", ()) if " is declared with " in line
    ]
    if contrary:  # the description was asked to ignore it, and a reader of the heading was not
        text += f" Its file says otherwise, which was to be ignored: {'; '.join(contrary)}."
    if reference.network.undecided:
        text += f" Nothing is said of its classes: {reference.network.undecided}."
    nearest = [found for found in findings.comparisons if found.nearest is not None]
    if not nearest:
        return text
    closest = min(nearest, key=lambda found: found.nearest or (0.0, 0, 0, 0))
    assert closest.nearest is not None
    text += f" Nearest approach to threshold: {closest.nearest[0]:.2g}"
    lucky = [found for found in nearest if found.by_luck]
    if lucky:
        bound = max(found.nearest_bound or 0.0 for found in lucky)
        return (
            f"{text}, where {' and '.join(found.trial.label for found in lucky)} may round by "
            f"{bound:.2g}: on another machine a spike may tip."
        )
    reach = closest.nearest_bound
    return text + (
        ", in a layer whose sums are exact."
        if reach == 0
        else f", where rounding reaches {reach:.2g}."
        if reach is not None
        else "."
    )


def _always(reference: Recording, layer: int) -> bool:
    """Whether each neuron of a layer fires in each step, so that its spikes tell little of its
    weights.
    """
    train = reference.spikes[layer]
    return len(train) == train.n_samples * train.n_steps * train.n_neurons


def _unrecorded(found: Comparison) -> list[int]:
    return [
        layer
        for layer in range(len(found.trial.spikes))
        if layer not in found.trial.recorded_layers
    ]


def _recorded_alone(found: Comparison) -> str:
    """Say which layers were recorded, and of which nobody saw a spike."""
    free = _unrecorded(found)
    fires = [layer.model.discrete.fire is not None for layer in found.trial.network.layers]
    fired = [layer for layer in found.trial.recorded_layers if fires[layer]]
    read = [layer for layer in found.trial.recorded_layers if not fires[layer]]
    spikes = counted(sum(len(found.trial.spikes[layer]) for layer in fired), "spike")
    seen = [f"the {spikes} of {_layers(fired)}"] * bool(fired) + [
        f"the output of {_layers(read)}"
    ] * bool(read)
    return (
        f"Of {found.trial.label} only {_and(seen)} could be compared; {_layers(free)} "
        f"{'were' if len(free) > 1 else 'was'} not recorded."
    )


def _layers(numbers: Sequence[int]) -> str:
    return f"layer{'s' * (len(numbers) > 1)} {_and([str(number) for number in numbers])}"


def _stood_in(findings: Findings) -> str:
    """Say where nobody's code but refsim's own ran, and how to put one's own on trial."""
    own = [
        found
        for found in findings.comparisons
        if found.trial.provenance.get("trial", "refsim's steps") != "refsim's steps"
    ]
    if own:
        return ""
    return (
        "; your own code did not run, refsim's steps stood in for it (package.file:factory, "
        "or Torch(module=...), puts it on trial)"
    )


def _and(names: list[str]) -> str:
    """Join names as one speaks: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _failed_claims(findings: Findings) -> list[str]:
    """Say which claims fail that the comparison itself does not tell of."""
    told = (IDENTITY, "changed decisions", "mismatched events")
    failed = [
        verdict
        for verdict in findings.verdicts
        if verdict.status == "fail" and verdict.claim.measure not in told
    ]
    return [
        (
            f"{verdict.claim.measure} is {verdict.value:.4g}, {verdict.claim.sense} "
            f"{verdict.claim.limit:g} is needed"
        )
        + (f" ({verdict.detail})" if verdict.detail else "")
        for verdict in failed
    ]


def _plain(findings: Findings) -> str:
    failed = [verdict for verdict in findings.verdicts if verdict.status == "fail"]
    if findings.verdict == "pass":
        count = sum(verdict.status == "pass" for verdict in findings.verdicts)
        return f"It holds: {findings.title} ({count} checks)."
    if not failed:
        return f"Not decided: {findings.title}; nothing was run that could pass or fail."
    first = failed[0]
    value = "no number" if first.value is None else f"{first.value:.6g}"
    return (
        f"It does not hold: {findings.title}. {len(failed)} of {len(findings.verdicts)} "
        f"checks fail, first {first.claim.measure} in {first.run}: {value} "
        f"{first.claim.unit}. {first.detail}"
    ).strip()
