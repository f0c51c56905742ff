"""Who takes part: each engine's file, environment, samples, and what its spikes are held to."""

import sys
from dataclasses import dataclass
from pathlib import Path

from .peers import python_of


@dataclass(frozen=True)
class Entry:
    """One engine of a contest.

    Attributes
    ----------
    name : str
        As told in the table.
    module : str
        Its file, run as a process.
    peer : str
        Name of its environment; empty for refsim's own.
    spikes : {"equal", "rounding", "other"}
        Must be those of refsim; or differ at most by where the engine rounds; or are of other
        dynamics.
    because : str
        Why they need not be equal.
    samples : int
        At most so many, where an engine is slow; time is scaled.
    dtypes : tuple of str
    options : tuple of str
        Words for the engine.
    """

    name: str
    module: str
    peer: str = ""
    spikes: str = "equal"
    because: str = ""
    samples: int = 1_000_000
    dtypes: tuple[str, ...] = ("float32", "float64")
    options: tuple[str, ...] = ()

    @property
    def python(self) -> Path | None:
        """The interpreter that runs it, or None where the peer is not installed."""
        return python_of(self.peer) if self.peer else Path(sys.executable)


REFERENCE = Entry("refsim", "benchmarks.engines.refsim_grid")
ENTRIES = (
    REFERENCE,
    Entry("refsim, with margin", "benchmarks.engines.refsim_grid", options=("margin",)),
    Entry("plain PyTorch loop", "benchmarks.engines.torch_loop"),
    Entry("snnTorch", "benchmarks.engines.snntorch_leaky", "snntorch"),
    Entry("SpikingJelly", "benchmarks.engines.spikingjelly_lif", "spikingjelly"),
    Entry(
        "Norse",
        "benchmarks.engines.norse_box",
        "norse",
        "rounding",
        "its step is v + (x - v)/tau, which rounds elsewhere than decay*v + x",
    ),
    Entry("Brian2, the usual way", "benchmarks.engines.brian2_synapses", samples=50),
    Entry(
        "NEST",
        "benchmarks.engines.nest_delta",
        "nest",
        "other",
        "hard reset, and a step of delay a layer",
        samples=20,
        dtypes=("float64",),
    ),
    Entry("hand-written kernel", "benchmarks.engines.kernel"),
)
