"""How much memory a run needs and how much there is.

Samples go in portions that fit, and a run that cannot fit says so.
"""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import RefsimError
from ...networks.drive import Drive
from ...networks.recording import named_traces
from .network import Structure
from .outcome import BYTES_A_SPIKE, Collector, code_type

_ROOM = 3 << 29  # bytes that all compiled programs at once may hold at most
# The same for one portion on a worker of a cluster, whose memory is not known here.
PORTION_ROOM = _ROOM // 4
_SHARE = 4  # and no more than this part of what is free
# Bytes a spike of a portion of one chunk: 12 and 8 as below, and 4 or 8 in a file in memory, which
# is read whole.
SPIKE_ROOM = 24
# A program gathers 4 a spike of one chunk, in an array of up to twice that beside its half, and
# then sorts them into codes.
_GATHERED = 12
_EVENT = 16  # bytes of a listed input spike while it is written
_GROWTH = 3  # a growing array holds its old and its new, doubled, self for a moment


def portion_bytes(structure: Structure, drive: Drive, refine: int, chunks: int) -> int:
    """Return the most that a portion of so many chunks can hold in memory.

    Every neuron fires at every (sub-)step.
    """
    length, layers = drive.n_steps * refine, structure.network.layers
    bins = structure.batch * length * sum(layer.n_post for layer in layers)
    code = np.dtype(
        code_type(structure.batch * chunks, length, max(layer.n_post for layer in layers))
    ).itemsize
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
    """Say into how many portions samples go.

    At least one a worker, and each as small as the room asks.
    """
    chunks = -(-n_samples // structure.batch)
    room = min(_ROOM, available() // _SHARE) if room is None else room
    at_once = min(workers, chunks)
    fit = chunks
    while fit > 1 and at_once * portion_bytes(structure, drive, refine, fit) > room:
        fit = fit // 2 if fit > 64 else fit - 1
    count = max(at_once, -(-chunks // fit))
    # As many for one worker as for another, or one of them ends alone.
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


def available() -> int:
    """Return the bytes of memory that are free for us.

    What the system says, and the limit of a container.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        rows = dict(
            line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines()
        )
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass  # another system than Linux
    try:
        limit, used = (
            int(Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii"))
            for name in ("max", "current")
        )
        free = min(free, max(limit - used, 0))
    except (OSError, ValueError):
        pass  # no container, or one without a limit
    return free


def check_room(collector: Collector) -> None:
    """Stop a run whose spikes will not fit into memory, as soon as its first samples show it, and
    say how many would.

    Raises
    ------
    RefsimError
    """
    done, total = collector.n_samples, collector.drive.n_samples
    needed, free = (
        BYTES_A_SPIKE * collector.n_spikes * total // done,
        available() + 4 * collector.n_spikes,
    )
    if done < total and needed > free:
        raise RefsimError(
            f"this run needs {needed / 2**30:,.1f} GiB for its spikes, as its first {done:,} "
            f"samples show, and {free / 2**30:,.1f} are free. "
            f"Give fewer samples at a time: --samples {fitting(total, needed, free)}."
        )


def fitting(n_samples: int, needed: int, free: int) -> int:
    """Return how many samples fit, with a fifth to spare, in two digits."""
    fit = max(1, int(0.8 * n_samples * free / needed))
    unit = int(10 ** max(0, len(str(fit)) - 2))
    return fit // unit * unit
