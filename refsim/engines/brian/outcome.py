"""What either target hands back, before it becomes a Recording."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...drive import Drive
from ...network import Network
from ...recording import Approach
from ...spikes import SpikeTrains
from .text import FAR


@dataclass(frozen=True, eq=False)
class Outcome:
    """Raw results of a run.

    Attributes
    ----------
    spikes : list of SpikeTrains, one a layer
        On the grid of (sub-)steps.
    traces : list of dict of str to (n_steps of all chunks, batch*n_neurons)
    gaps : list of (n_samples, 2)
        Nearest approach and the neuron it was in.
    """

    spikes: list[SpikeTrains]
    traces: list[dict[str, Any]]
    gaps: list[Any]


def to_traces(outcome: Outcome, network: Network, drive: Drive, refine: int, batch: int, record: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Give the recorded membranes their shape (n_samples, n_steps, n_neurons)."""
    length, kept = drive.n_steps * refine, []
    for index, layer in enumerate(network.layers):
        after = next(name for name in outcome.traces[index] if name != "seen") if record else ""
        names = {"before_reset": "seen", "after_reset": after}
        arrays = {}
        for name in record:
            raw = outcome.traces[index][names[name]]
            by_chunk = raw.reshape(-1, length, batch, layer.n_post).swapaxes(1, 2)
            arrays[name] = by_chunk.reshape(-1, length, layer.n_post)[: drive.n_samples]
        kept.append(arrays)
    return tuple(kept)


Joined = tuple[tuple[SpikeTrains, ...], tuple[dict[str, Any], ...], tuple[Approach, ...]]


def join(parts: list[tuple[Drive, Outcome]], network: Network, refine: int, batch: int, record: tuple[str, ...]) -> Joined:
    """Put the parts of a run together, in the order of their samples."""
    spikes = [tuple(outcome.spikes) for _, outcome in parts]
    traces = [to_traces(outcome, network, drive, refine, batch, record) for drive, outcome in parts]
    approach = [to_approach(outcome, drive) for drive, outcome in parts]
    if len(parts) == 1:
        return spikes[0], traces[0], approach[0]
    layers = range(len(network.layers))
    return (
        tuple(SpikeTrains.joined([part[layer] for part in spikes]) for layer in layers),
        tuple({name: np.concatenate([part[layer][name] for part in traces]) for name in record} for layer in layers),
        tuple(
            Approach(np.concatenate([part[layer].distance for part in approach]), np.concatenate([part[layer].neuron for part in approach]))
            for layer in range(len(approach[0]))
        ),
    )


def to_approach(outcome: Outcome, drive: Drive) -> tuple[Approach, ...]:
    """Return the nearest approach of each sample, a layer."""
    rows = [np.where(gap < FAR / 2, gap, np.inf) for gap in outcome.gaps]  # a layer without a threshold came near to none
    return tuple(Approach(row[: drive.n_samples, 0], gap[: drive.n_samples, 1].astype(np.int64)) for row, gap in zip(rows, outcome.gaps, strict=True))
