"""What either target hands back, before it becomes a Recording."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...drive import Drive
from ...network import Network
from ...recording import Approach
from ...spikes import SpikeTrains


@dataclass(frozen=True, eq=False)
class Outcome:
    """Raw results of a run.

    Attributes
    ----------
    spikes : list of (time in seconds, index), one pair a layer
        Over all chunks: time and index run on from chunk to chunk.
    traces : list of dict of str to (n_steps of all chunks, batch*n_neurons)
    gaps : list of (n_samples, 2)
        Nearest approach and the neuron it was in.
    """

    spikes: list[tuple[Any, Any]]
    traces: list[dict[str, Any]]
    gaps: list[Any]


def to_spikes(outcome: Outcome, network: Network, drive: Drive, refine: int, batch: int) -> tuple[SpikeTrains, ...]:
    """Turn Brian2's times into integer steps and its indices into samples and neurons."""
    length, trains = drive.n_steps * refine, []
    for (time, index), layer in zip(outcome.spikes, network.layers, strict=True):
        # Brian2 makes each time as (integer step)*dt, so the nearest integer is that step, whatever the rounding.
        passed = np.rint(time / (network.dt / refine)).astype(np.int64)
        chunk, step = np.divmod(passed, length)
        place, neuron = np.divmod(np.asarray(index, np.int64), layer.n_post)
        sample = chunk * batch + place
        real = sample < drive.n_samples  # the last chunk is filled up with empty samples
        columns = (sample[real], step[real], neuron[real])
        trains.append(SpikeTrains.from_events(*columns, drive.n_samples, length, layer.n_post, network.dt / refine))
    return tuple(trains)


def to_traces(outcome: Outcome, network: Network, drive: Drive, refine: int, batch: int, record: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Give the recorded membranes their shape (n_samples, n_steps, n_neurons)."""
    length, kept = drive.n_steps * refine, []
    for index, layer in enumerate(network.layers):
        names = {"before_reset": "seen", "after_reset": layer.model.membrane} | {name: name for name in layer.model.state}
        arrays = {}
        for name in (name for name in record if name in names):
            raw = outcome.traces[index][names[name]]
            by_chunk = raw.reshape(-1, length, batch, layer.n_post).swapaxes(1, 2)
            arrays[name] = by_chunk.reshape(-1, length, layer.n_post)[: drive.n_samples]
        kept.append(arrays)
    return tuple(kept)


Joined = tuple[tuple[SpikeTrains, ...], tuple[dict[str, Any], ...], tuple[Approach, ...]]


def join(parts: list[tuple[Drive, Outcome]], network: Network, refine: int, batch: int, record: tuple[str, ...]) -> Joined:
    """Put the parts of a run together, in the order of their samples."""
    spikes = [to_spikes(outcome, network, drive, refine, batch) for drive, outcome in parts]
    traces = [to_traces(outcome, network, drive, refine, batch, record) for drive, outcome in parts]
    approach = [to_approach(outcome, drive) for drive, outcome in parts]
    if len(parts) == 1:
        return spikes[0], traces[0], approach[0]
    layers = range(len(network.layers))
    return (
        tuple(SpikeTrains.joined([part[layer] for part in spikes]) for layer in layers),
        tuple({name: np.concatenate([part[layer][name] for part in traces]) for name in traces[0][layer]} for layer in layers),
        tuple(
            Approach(np.concatenate([part[layer].distance for part in approach]), np.concatenate([part[layer].neuron for part in approach]))
            for layer in range(len(approach[0]))
        ),
    )


def to_approach(outcome: Outcome, drive: Drive) -> tuple[Approach, ...]:
    """Return the nearest approach of each sample, a layer."""
    return tuple(Approach(gap[: drive.n_samples, 0], gap[: drive.n_samples, 1].astype(np.int64)) for gap in outcome.gaps)
