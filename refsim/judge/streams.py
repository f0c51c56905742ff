"""Event streams that cards declare beside the spikes.

Each event of a trial judged on its own, as a spike is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Ints
from ..core.claims import Claim, Verdict
from ..core.errors import counted
from ..engines.arrivals import heard_by
from ..engines.discrete import LayerState, parts_by_input
from ..networks.network import Layer
from ..networks.recording import Recording
from .rounding import BoundedLayer, BoundedSum, Rounding

MEASURE = "mismatched events"
_AT_ONCE = 1 << 20  # cells whose rounding is bounded at once


@dataclass(frozen=True)
class Stream:
    """One event stream of one layer, in two runs.

    Attributes
    ----------
    layer : int
    name : str
    mismatched : int
        Events that only one of the two runs has.
    wrong, within : int
        Events of the trial that are not those of the declared step on what the trial itself sent:
        beyond rounding, and within it.
    first : tuple of int
        Sample, step and neuron of the first wrong one, else of the first that is mismatched; empty
        where there is none.
    recorded : bool
        Whether both runs show it.
    """

    layer: int
    name: str
    mismatched: int = 0
    wrong: int = 0
    within: int = 0
    first: tuple[int, ...] = ()
    recorded: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the row of report.json."""
        return {
            **asdict(self),
            "first": dict(zip(("sample", "step", "neuron"), self.first, strict=False)) or None,
        }

    def __str__(self) -> str:
        """Say in words what differs."""
        what = f"stream '{self.name}' of layer {self.layer}"
        if not self.recorded:
            return (
                f"{what} was not recorded in both runs; an engine of refsim does, and so does "
                "a layer of refsim.pytorch"
            )
        if not self.first:
            return f"{what} is the same"
        sample, step, neuron = self.first
        count = self.wrong or self.mismatched
        kind = "wrong event" if self.wrong else "other event"
        return (
            f"{what} has {counted(count, kind)}, first at sample {sample}, neuron {neuron}, "
            f"step {step}"
        )


def compare_streams(reference: Recording, trial: Recording) -> tuple[Stream, ...]:
    """Compare the declared event streams of two runs of one network on one drive.

    Returns
    -------
    tuple of Stream
        By layer, in the card's order; empty where no card declares any.
    """
    return tuple(
        stream
        for index, layer in enumerate(reference.network.layers)
        if layer.model.discrete.streams
        for stream in _of_layer(index, layer, reference, trial)
    )


def judge_streams(claim: Claim, reference: Recording, trial: Recording) -> Verdict:
    """Judge the number of mismatched events, as mismatched spikes are judged.

    A fail as soon as one event of the trial is wrong; inconclusive where those that differ lie
    within rounding, or follow from spikes that do, or where nobody recorded them.
    """
    streams = compare_streams(reference, trial)
    if not streams:
        return Verdict(
            claim,
            None,
            "skipped",
            run=trial.label,
            detail="no card of the network declares an event stream",
        )
    facts = {"streams": [stream.as_dict() for stream in streams]}
    hidden = [stream for stream in streams if not stream.recorded]
    told = "; ".join(str(stream) for stream in streams if stream.first or not stream.recorded)
    value = sum(stream.mismatched for stream in streams)
    if any(stream.wrong for stream in streams):
        status = "fail"
    elif hidden or value:
        status = "inconclusive"
        told += "" if hidden else "; each within rounding, or behind a spike that is"
    else:
        status, told = (
            "pass",
            (
                "identical in every layer, sample and step: "
                f"{', '.join(f'{stream.name} of layer {stream.layer}' for stream in streams)}"
            ),
        )
    if claim.limit is None:
        status = "reported"
    return Verdict(
        claim,
        None if len(hidden) == len(streams) else value,
        status,
        run=trial.label,
        detail=told,
        facts=facts,
    )


def _of_layer(index: int, layer: Layer, reference: Recording, trial: Recording) -> Iterator[Stream]:
    names = layer.model.discrete.streams
    left, right = (
        {name: found for name in names if (found := _events(run, index, name)) is not None}
        for run in (reference, trial)
    )
    if {*left, *right} != {*names} or len(left) != len(right):
        yield from (Stream(index, name, recorded=name in left and name in right) for name in names)
        return
    off = _off(_Followed(index, layer, trial, right), (reference, trial))
    for name in names:
        wrong, within = off[name]
        other = left[name] != right[name]
        places = np.argwhere(wrong if wrong.any() else other)
        first = min(places.tolist(), key=lambda at: (at[1], at[0], at[2])) if len(places) else ()
        yield Stream(
            index, name, int(other.sum()), int(wrong.sum()), int(within.sum()), tuple(first)
        )


def _events(run: Recording, index: int, name: str) -> NDArray[np.float64] | None:
    """Return a stream, (n_samples, n_steps, n_neurons).

    None where a run did not record it, or a module hides it.
    """
    found = run.traces[index].get(name) if run.traces else None
    return None if found is None or np.isnan(found).all() else np.asarray(found, np.float64)


@dataclass(frozen=True, eq=False)
class _Followed:
    """A layer of a trial, and its events by stream, (n_samples, n_steps, n_neurons), each."""

    index: int
    layer: Layer
    trial: Recording
    events: Mapping[str, NDArray[np.float64]]


def _off(layer: _Followed, runs: tuple[Recording, Recording]) -> dict[str, tuple[Any, Any]]:
    """Return, by stream, where the trial's events are not those of the declared step.

    Beyond rounding, and within it.
    """
    everyone = np.arange(layer.trial.drive.n_samples)
    plain = _plain(layer, everyone)
    off = {name: events != plain[name] for name, events in layer.events.items()}
    some = np.flatnonzero(np.any([each.any(axis=(1, 2)) for each in off.values()], axis=0))
    found = {name: (each.copy(), np.zeros_like(each)) for name, each in off.items()}
    for part in (
        np.array_split(some, max(1, len(some) * layer.layer.n_post // _AT_ONCE))
        if len(some)
        else []
    ):
        for name, tipped in _tipped(layer, part, runs).items():
            wrong, within = found[name]
            wrong[part], within[part] = off[name][part] & ~tipped, off[name][part] & tipped
    return found


def _plain(layer: _Followed, samples: Ints) -> dict[str, NDArray[np.float64]]:
    """Run a layer on what the trial sent to it, along the trial's own spikes and events.

    Return the events of the declared step.
    """
    trial, drive = layer.trial, layer.trial.drive.take(samples)
    state = LayerState.start(
        layer.layer, trial.network.dt, len(samples), drive.draws(layer.index, layer.layer.n_post)
    )
    parts = parts_by_input(layer.layer)
    fired = trial.spikes[layer.index].take(samples).dense()
    found = {name: np.zeros(fired.shape) for name in layer.events}
    for step, heard in enumerate(
        heard_by(trial.network, layer.index, drive.frames(), _sent(trial, samples))
    ):
        state.step(
            {name: heard @ part.weight.T + part.bias for name, part in parts.items()},
            fired=fired[:, step],
        )
        for name, events in found.items():
            events[:, step] = state.state[name]
            state.state[name] = layer.events[name][samples, step]  # each event stands alone
    return found


def _tipped(
    layer: _Followed, samples: Ints, runs: tuple[Recording, Recording]
) -> dict[str, NDArray[np.bool_]]:
    """Return where the rounding of both runs may tip an event of the declared step."""
    trial, drive = layer.trial, layer.trial.drive.take(samples)
    rounding = Rounding.of([str(run.provenance["dtype"]) for run in runs])
    weighted = {
        name: BoundedSum(part, rounding) for name, part in parts_by_input(layer.layer).items()
    }
    bounded = BoundedLayer(
        layer.layer,
        trial.network.dt,
        rounding,
        len(samples),
        drive.draws(layer.index, layer.layer.n_post),
    )
    fired = trial.spikes[layer.index].take(samples).dense()
    found = {name: np.zeros(fired.shape, bool) for name in layer.events}
    for step, heard in enumerate(
        heard_by(trial.network, layer.index, drive.frames(), _sent(trial, samples))
    ):
        bounded.step({name: weigh(heard) for name, weigh in weighted.items()}, fired[:, step])
        for name, tipped in found.items():
            tipped[:, step] = bounded.carried.errors[name] > 0
            bounded.values[name] = layer.events[name][samples, step]
            bounded.carried.errors[name] = np.zeros(tipped[:, step].shape)
    return found


def _sent(trial: Recording, samples: Ints) -> list[NDArray[np.float64]]:
    """Return what other layers heard of each layer.

    Its spikes, or what they carried where that was recorded.
    """
    found = []
    for index, layer in enumerate(trial.network.layers):
        carried = trial.traces[index].get("payload") if layer.model.discrete.payload else None
        found.append(
            np.asarray(
                trial.spikes[index].take(samples).dense() if carried is None else carried[samples],
                np.float64,
            )
        )
    return found
