"""What a validation will need, before it is run: sizes, memory and time.

All is estimated from a few samples that are run now. `forecast` returns a `Forecast`; `check_input`
refuses input that would not fit into memory.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core import memory
from ..core.errors import RefsimError
from ..engines.brian import memory as room
from ..engines.brian.engine import Brian2
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import BLOCK, Engine
from .network import Plan

_TRAIN = 24  # bytes of a spike in memory: sample, step and neuron, 8 each
_ENCODED = 110  # bytes of a listed input spike while it is sorted and checked
# Bytes of a sample's input while a step is drawn: a rate, a random number, their comparison.
_DRAWN = 25
_COMPARED = 64  # bytes of a spike of one layer while two trains are compared
_CHUNKS = 2  # run now: the first shows what a start costs, the second what goes on
_STEPS = 10**9  # steps of neurons that are run now at most, which takes some seconds


@dataclass(frozen=True)
class Timed:
    """One run of the plan.

    It has its name, the seconds that all samples will take, and the spikes of each layer in those
    tried.
    """

    label: str
    seconds: float
    spikes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Forecast:
    """The sizes, memory and time that a validation will need.

    Attributes
    ----------
    network : Network
    n_samples, n_steps : int
        Sizes of the whole run.
    tried : int
        Samples that were run to find out; all estimates are in proportion to them.
    batch, chunks, portions, processes : int
        Samples that Brian2 takes at once, how often, in how many starts of the program, and how
        many run side by side.
    runs : tuple of Timed
    grows, held, free : int
        Bytes of what grows with the samples, at its largest over all processes; of what this
        process holds anyway; and of what is free.
    """

    network: Network
    n_samples: int
    n_steps: int
    tried: int
    batch: int
    chunks: int
    portions: int
    processes: int
    runs: tuple[Timed, ...]
    grows: int
    held: int
    free: int

    @property
    def memory(self) -> int:
        """Bytes that all processes hold together at their largest."""
        return self.grows + self.held

    @property
    def seconds(self) -> float:
        """Expected duration of all runs."""
        return sum(run.seconds for run in self.runs)

    @property
    def fits(self) -> bool:
        """Whether the memory that is free is enough."""
        return self.grows <= self.free

    @property
    def fitting(self) -> int:
        """The number of samples that would fit."""
        return memory.fitting(self.n_samples, self.grows, self.free)


def forecast(network: Network, tried: Drive, n_samples: int, plan: Plan) -> Forecast:
    """Run a few samples in each engine of a plan, and say what all samples will need.

    Parameters
    ----------
    network : Network
    tried : Drive
        The input of the first samples alone.
    n_samples : int
        Number of samples of the whole run.
    plan : Plan

    Returns
    -------
    Forecast
    """
    # How the whole run will be cut decides how much is in memory at once.
    split = plan.reference().split(network, tried, n_samples)
    # There is no use in more processes than portions.
    at_once = min(plan.workers, split.portions)

    def timed(engine: Engine) -> Timed:
        if not isinstance(engine, Brian2):
            return _timed(engine, network, tried, n_samples, -(-n_samples // BLOCK))
        # Few samples would run in NumPy. The engine is told to do what it will do for all of them.
        same = replace(engine, target=engine.chosen_target(network, tried, n_samples))
        found = _timed(same, network, tried, n_samples, split.portions)
        return replace(found, seconds=found.seconds / at_once) if same.target == "cpp" else found

    # The plan runs the reference, the trials and the rungs of the ladder.
    runs = tuple(
        timed(engine)
        for engine in (
            plan.reference(),
            *plan.trials,
            *(replace(plan.climber(), refine=refine) for refine in plan.fine),
        )
    )
    # What grows with the samples is in proportion to what was tried.
    grows = _largest(tried, runs, n_samples, split.samples * at_once, network)
    return Forecast(
        network,
        n_samples,
        tried.n_steps,
        tried.n_samples,
        split.batch,
        split.chunks,
        split.portions,
        at_once,
        runs,
        grows,
        resident(),
        memory.available(),
    )


def tried_samples(network: Network, n_samples: int, n_steps: int) -> int:
    """Return how many samples are run to find out what all need: fewer where each is long."""
    long = _STEPS // (n_steps * sum(layer.n_post for layer in network.layers))
    return min(n_samples, _CHUNKS * Brian2().batch(network), max(_CHUNKS, long))


def _timed(engine: Engine, network: Network, drive: Drive, n_samples: int, starts: int) -> Timed:
    """Run half of the samples and all of them, and work out the seconds of the whole run.

    What grows between the two is the cost of a sample; what does not is that of a start.
    """
    # Two sizes tell what each sample costs and what each start costs.
    half = max(1, drive.n_samples // 2)
    few = drive.take(np.arange(half))
    recording = engine.run(network, drive)  # compiles and imports
    # Of two runs each, the faster one was disturbed less.
    first, whole = (
        min(_seconds(engine, network, given) for _ in range(2)) for given in (few, drive)
    )
    # So short a time is measured with noise, and a cost is never negative.
    each = max(whole - first, 0.0) / max(drive.n_samples - half, 1)
    start = max(whole - each * drive.n_samples, 0.0)
    return Timed(
        recording.label, start * starts + each * n_samples, tuple(map(len, recording.spikes))
    )


def _seconds(engine: Engine, network: Network, drive: Drive) -> float:
    """Return how long a run takes."""
    start = time.perf_counter()
    engine.run(network, drive)
    return time.perf_counter() - start


def _largest(
    tried: Drive, runs: Sequence[Timed], n_samples: int, running: int, network: Network
) -> int:
    """Return the bytes at the largest moment of the whole run.

    What stays is the input and the trains of all runs; of what comes and goes, the largest part
    counts.
    """
    scale = n_samples / tried.n_samples
    # These stay until the report is written.
    stays = _input_bytes(tried) + _TRAIN * sum(sum(run.spikes) for run in runs)
    # Programs, dense trains and compared trains come and go; the largest counts.
    programs = (
        max(sum(run.spikes) for run in runs) * room.SPIKE_ROOM * min(running, n_samples) / n_samples
    )
    dense = tried.n_samples * tried.n_steps * sum(layer.n_post for layer in network.layers)
    passing = max(programs, dense, _COMPARED * max(max(run.spikes) for run in runs))
    return int(scale * max(_encoding_bytes(tried), stays + passing))


def _input_bytes(drive: Drive) -> int:
    """Return the bytes of a drive that is in memory."""
    return sum(
        array.nbytes for array in (drive.bits, drive.values) if array is not None
    ) + _TRAIN * len(drive.listed or ())


def _encoding_bytes(drive: Drive) -> int:
    """Return the bytes that a drive takes while it is made.

    A drive of bits needs the numbers of one step beside them; a list needs its columns and their
    order.
    """
    listed = len(drive.listed or ())
    return (
        _input_bytes(drive)
        + (_ENCODED * listed)
        + (_DRAWN * drive.n_samples * drive.n_inputs if drive.bits is not None else 0)
    )


def check_input(n_samples: int, tried: Drive) -> None:
    """Refuse input that would not fit into memory, before it is drawn, and say how much would.

    Parameters
    ----------
    n_samples : int
        Number of samples of the whole input.
    tried : Drive
        The input of the first samples alone.

    Raises
    ------
    RefsimError
        With the memory that is needed and the number of samples that fits.
    """
    needed, free = int(_encoding_bytes(tried) * n_samples / tried.n_samples), memory.available()
    if needed > free:
        fit = memory.fitting(n_samples, needed, free)
        raise RefsimError(
            f"the input of {n_samples:,} samples needs about {needed / 2**30:,.1f} GiB while it "
            f"is drawn, and {free / 2**30:,.1f} are free. Give fewer: --samples {fit}."
        )


def resident() -> int:
    """Return the bytes that this process holds now; 0 where the system does not say."""
    try:
        rows = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines()
        )
        return int(rows["VmRSS"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
