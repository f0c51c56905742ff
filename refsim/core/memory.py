"""How much memory is free, and the refusals of what would not fit into it.

First the free memory, then the guard of a weight that is written as a matrix, and the guard of a
run whose spikes grow while it goes on.
"""

import os
from pathlib import Path

from .errors import RefsimError

LARGEST_MATRIX = 4 << 30  # bytes of one weight: 500 million numbers


def available() -> int:
    """Return the bytes of memory that are free for us.

    It is what the system says, or less where a container has a limit.
    """
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Linux knows what could be freed; on another system all memory counts as free.
    try:
        rows = dict(
            line.split(":") for line in Path("/proc/meminfo").read_text("ascii").splitlines()
        )
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    # There may be no container, or one without a limit.
    try:
        limit, used = (
            int(Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii"))
            for name in ("max", "current")
        )
        free = min(free, max(limit - used, 0))
    except (OSError, ValueError):
        pass
    return free


def check_matrix_room(n_post: int, n_pre: int, where: str) -> None:
    """Refuse a linear map that is too large once it is written as a matrix.

    Parameters
    ----------
    n_post, n_pre : int
        Shape of the matrix of float64.
    where : str
        What it is the weight of, for the message.

    Raises
    ------
    RefsimError
        Where it fills more than ``LARGEST_MATRIX`` bytes.
    """
    size = 8 * n_post * n_pre
    if size > LARGEST_MATRIX:
        raise RefsimError(
            f"{where}: as a matrix ({n_post:,}, {n_pre:,}) its weights fill {size / 2**30:,.0f} "
            f"GiB; at most {LARGEST_MATRIX >> 30} are read."
        )


def check_spike_room(done: int, total: int, needed: int, free: int) -> None:
    """Stop a run whose spikes will not fit, and say how many samples would.

    Parameters
    ----------
    done, total : int
        Samples that have run, and samples in all.
    needed, free : int
        Bytes for the spikes of all samples, and bytes that they may take.

    Raises
    ------
    RefsimError
        Where samples are left, and the spikes of all do not fit.
    """
    if done < total and needed > free:
        raise RefsimError(
            f"this run needs {needed / 2**30:,.1f} GiB for its spikes, as its first {done:,} "
            f"samples show, and {free / 2**30:,.1f} are free. "
            f"Give fewer samples at a time: --samples {fitting(total, needed, free)}."
        )


def fitting(n_samples: int, needed: int, free: int) -> int:
    """Return how many samples fit, with a fifth to spare, rounded down to two digits."""
    fit = max(1, int(0.8 * n_samples * free / needed))
    unit = int(10 ** max(0, len(str(fit)) - 2))
    return fit // unit * unit
