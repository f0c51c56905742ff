"""How much memory a compiled run needs, and how its samples are split so that it fits.

Samples go in portions; a run whose spikes cannot fit is stopped.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from ...core import memory
from ...networks.drive import Drive
from ...networks.recording import named_traces
from .network import Structure
from .outcome import BYTES_A_SPIKE, Collector, code_type

_ROOM = 3 << 29  # bytes that all compiled programs together may use at most
# The same for one portion on a worker of a cluster, whose memory is not known here.
PORTION_ROOM = _ROOM // 4
_SHARE = 4  # and no more than this part of what is free
# Bytes a spike of a portion of one chunk: 12 and 8 as below, and 4 or 8 in a file that may lie in
# memory and is read whole.
SPIKE_ROOM = 24
# A program gathers 4 bytes a spike of one chunk, in an array of up to twice that size beside the
# one half as large that it grew out of, and then sorts them into codes.
_GATHERED = 12
_EVENT = 16  # bytes of a listed input spike while it is written
_GROWTH = 3  # a growing array is there twice for a moment, once in double size


def portion_bytes(structure: Structure, drive: Drive, refine: int, chunks: int) -> int:
    """Return the bytes that a portion of so many chunks fills at most.

    At most means that every neuron fires at every (sub-)step.
    """
    length, layers = drive.n_steps * refine, structure.network.layers
    bins = structure.batch * length * sum(layer.n_post for layer in layers)
    code = np.dtype(
        code_type(structure.batch * chunks, length, max(layer.n_post for layer in layers))
    ).itemsize
    # Traces grow while they are recorded, and all chunks of a portion are kept.
    traced = (
        structure.batch
        * length
        * sum(layer.n_post * len(named_traces(layer.model, structure.traces)) for layer in layers)
    )
    traces = _GROWTH * np.dtype(structure.dtype).itemsize * traced
    return int(
        bins * (_GATHERED + code)
        + chunks * (2 * code * bins + traces + _input_bytes(structure, drive))
    )


def _input_bytes(structure: Structure, drive: Drive) -> int:
    if drive.values is not None:
        return 2 * 8 * structure.batch * int(drive.values.shape[1]) * drive.n_inputs
    if drive.bits is not None:
        return structure.batch * drive.bits.nbytes // drive.n_samples
    assert drive.listed is not None
    return _EVENT * len(drive.listed) * structure.batch // drive.n_samples


@dataclass(frozen=True)
class Split:
    """How a run is split: samples a chunk, chunks, portions, and samples in the largest portion."""

    batch: int
    chunks: int
    portions: int
    samples: int


def split_samples(
    structure: Structure,
    drive: Drive,
    n_samples: int,
    refine: int,
    workers: int,
    room: int | None = None,
) -> Split:
    """Return into how many portions samples go: one a worker, or more where room is short.

    Parameters
    ----------
    refine : int
        Sub-steps a step.
    workers : int
        Portions that run at once.
    room : int, optional
        Bytes for the portions that run at once; by default a share of what is free here.
    """
    chunks = -(-n_samples // structure.batch)
    room = min(_ROOM, memory.available() // _SHARE) if room is None else room
    at_once = min(workers, chunks)
    # The largest number of chunks a portion at which all that run at once fit together.
    fit = chunks
    while fit > 1 and at_once * portion_bytes(structure, drive, refine, fit) > room:
        fit = fit // 2 if fit > 64 else fit - 1
    count = max(at_once, -(-chunks // fit))
    # Each worker gets as many portions as another, or one of them would end alone.
    count = min(chunks, -(-count // workers) * workers)
    return Split(
        structure.batch, chunks, count, min(n_samples, -(-chunks // count) * structure.batch)
    )


def portions(
    structure: Structure, drive: Drive, refine: int, workers: int, *, room: int | None = None
) -> list[tuple[int, int]]:
    """Split the samples of a drive at the bounds of chunks; return (first, end) of each portion."""
    split = split_samples(structure, drive, drive.n_samples, refine, workers, room)
    bounds = np.minimum(
        np.linspace(0, split.chunks, split.portions + 1).astype(int) * structure.batch,
        drive.n_samples,
    )
    return list(itertools.pairwise(bounds.tolist()))


def check_room(collector: Collector) -> None:
    """Stop a run as soon as its first samples show that its spikes will not fit into memory.

    Parameters
    ----------
    collector : Collector
        With the samples that have run so far.

    Raises
    ------
    RefsimError
        It says how many samples would fit.
    """
    done, total = collector.n_samples, collector.drive.n_samples
    needed = BYTES_A_SPIKE * collector.n_spikes * total // done
    # What the codes of these spikes fill now is free again at the end.
    free = memory.available() + 4 * collector.n_spikes
    memory.check_spike_room(done, total, needed, free)
