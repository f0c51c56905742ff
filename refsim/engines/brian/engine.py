"""Brian2: the engine that runs a network, compiled or not, and returns a Recording."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...cards.neuron import NeuronModel
from ...core.errors import RefsimError, option
from ...networks.drive import Drive
from ...networks.network import Network, positive_time
from ...networks.recording import Recording, check_range, check_run, make_provenance
from .cluster import run_on_cluster
from .exact.run import run_exact
from .memory import Split, split_samples
from .network import Structure
from .numpy_run import run_numpy
from .outcome import Collector
from .processes import run_compiled
from .run import Job
from .synapses import run_synapses

# Samples x steps x synapses below which NumPy is done before a compiler has started.
_SMALL = 10_000_000
_LARGEST_INDEX = 2**31 - 1  # spikes of a batch are numbered in 32 bits
_CACHE_BYTES = 1 << 20  # states of a batch should stay in the second-level cache


@dataclass(frozen=True)
class Brian2:
    """The reference: Brian2 runs the card's own text.

    Main arguments
    --------------
    mode : {"grid", "fine"}
        ``"grid"``: the declared step, bit by bit. ``"fine"``: the ODE at ``dt/refine`` with the
        same weights.
    refine : int
        Sub-steps a step in fine mode.
    dtype : {"float64", "float32"}
    spike_times : {"grid", "exact"}
        ``"exact"``: the ODE at steps of ``dt``, each crossing found between two steps and its
        effects with it, for cards whose ODE is linear and whose spikes act through a synapse, such
        as ``lif_exp``. `Recording.exact` holds the times, and why a sample's are in doubt.
    dt : float or str
        The step of exact spike times, such as ``"0.02 ms"``; it must divide that of the network.

    Other arguments
    ---------------
    target : {"auto", "cpp", "numpy"}
        ``"auto"`` compiles C++ unless the run is small.
    analog : {"current", "impulse"}
        Fine mode, cards whose input is an impulse: spread analog input and bias over their step, or
        keep both at the step's end.
    margin : bool
        Keep the nearest approach to threshold.
    workers : int
        Processes among which a compiled run splits its samples; the result does not depend on it.
    connections : {"product", "synapses"}
        ``"product"``: each weight stored once, its rows added where a spike arrives.
        ``"synapses"``: Brian2's plain Synapses, slow, the referee of the first.
    scheduler : str or distributed.Client, optional
        A Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers run the samples in place
        of this machine.
    """

    mode: str = "grid"
    refine: int = 1
    dtype: str = "float64"
    target: str = "auto"
    analog: str = "current"
    margin: bool = True
    workers: int = 1
    connections: str = "product"
    scheduler: Any = None
    spike_times: str = "grid"
    dt: Any = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("mode", self.mode, ("grid", "fine")),
            ("dtype", self.dtype, ("float64", "float32")),
            ("target", self.target, ("auto", "cpp", "numpy")),
            ("analog", self.analog, ("current", "impulse")),
            ("connections", self.connections, ("product", "synapses")),
            ("spike_times", self.spike_times, ("grid", "exact")),
        ):
            if value not in known:
                raise RefsimError(
                    f"Brian2: {name} must be one of {', '.join(known)}, but is {value!r}."
                )
        if (
            isinstance(self.refine, bool)
            or not isinstance(self.refine, int)
            or not 1 <= self.refine <= 4096
        ):
            raise RefsimError(
                f"Brian2: refine must be a whole number from 1 to 4096, but is {self.refine!r}."
            )
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise RefsimError(
                f"Brian2: workers must be a whole number of 1 or more, but is {self.workers!r}."
            )
        if self.scheduler is not None and self.target == "numpy":
            raise RefsimError(
                "Brian2: a scheduler's workers run compiled networks; target='numpy' runs here. "
                "Leave one of the two out."
            )
        if self.scheduler is not None and self.connections == "synapses":
            raise RefsimError(
                "Brian2: connections='synapses' runs here, in one process; leave the scheduler out."
            )
        if self.mode == "grid" and self.refine != 1:
            raise RefsimError(
                "Brian2: grid mode runs the declared step and has no sub-steps; "
                f"refine={self.refine} needs mode='fine'."
            )
        self._check_exact()

    def _check_exact(self) -> None:
        if self.spike_times == "grid":
            if self.dt is not None:
                raise RefsimError(
                    "Brian2: dt is the step of spike_times='exact'; otherwise the step is that "
                    "of the network, and mode='fine' takes refine=..."
                )
            return
        if self.dt is None:
            raise RefsimError(
                "Brian2: spike_times='exact' needs the step at which crossings are sought, such "
                "as dt='0.02 ms'."
            )
        usual = (self.mode, self.refine, self.dtype, self.workers, self.connections, self.scheduler)
        if usual != ("grid", 1, "float64", 1, "product", None):
            raise RefsimError(
                "Brian2: spike_times='exact' runs in float64, here, in one process, through "
                "Brian2's Synapses; leave the other arguments but target and dt out."
            )
        positive_time(self.dt, "Brian2: dt")

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Run a batch.

        Parameters
        ----------
        record : tuple of {"before_reset", "after_reset", "payload"}, or names of states
            Traces to keep, at every (sub-)step; a state as it is after the step.

        Raises
        ------
        RefsimError
            Where network, drive and traces do not go together, a card has no ODE in fine mode or no
            exact spike times, or the run does not fit into memory or onto the disk.
        """
        if self.spike_times == "exact":
            if record:
                raise RefsimError(
                    "Brian2: spike_times='exact' records spike times alone; leave record out, or "
                    "run mode='fine'."
                )
            return run_exact(network, drive, positive_time(self.dt, "Brian2: dt"), self.target)
        return _recordings([self], network, drive, record)[0]

    def ladder(
        self, network: Network, drive: Drive, refines: Sequence[int], record: tuple[str, ...] = ()
    ) -> list[Recording]:
        """Run fine mode at dt/k for each k of a list, and return what `run` gives for each.

        The network is compiled once, and all runs share the same processes.
        """
        return _recordings(
            [replace(self, mode="fine", refine=refine) for refine in refines],
            network,
            drive,
            record,
        )

    def chosen_target(self, network: Network, drive: Drive, n_samples: int) -> str:
        """Return the target for so many samples, ``"cpp"`` or ``"numpy"``, never ``"auto"``."""
        if self.target != "auto":
            return self.target
        synapses = sum(layer.weight.size for layer in network.layers)
        small = n_samples * drive.n_steps * self.refine * synapses <= _SMALL
        return "numpy" if small and self.scheduler is None else "cpp"

    def _structure(self, network: Network, drive: Drive, record: tuple[str, ...]) -> Structure:
        """Check what this engine needs of a network, and return what is to be built."""
        check_range(network, self.dtype)
        if self.mode == "fine":
            _check_fine(network)
        source = "events" if drive.values is None else "current"
        batch = (
            self.batch(network)
            if self._compiles(network, drive) and self.connections == "product"
            else drive.n_samples
        )
        return Structure(
            network, self.mode == "fine", source, self.dtype, batch, self.margin, record
        )

    def _compiles(self, network: Network, drive: Drive) -> bool:
        return self.chosen_target(network, drive, drive.n_samples) == "cpp"

    def _job(self, structure: Structure, record: tuple[str, ...]) -> Job:
        return Job(structure, self.refine, self.analog == "impulse", record)

    def _run_alone(self, structure: Structure, drive: Drive, record: tuple[str, ...]) -> Collector:
        """Run where no processes of this machine are shared: on a cluster, in NumPy or Synapses."""
        compiled = self._compiles(structure.network, drive)
        if compiled and self.connections == "product":
            return run_on_cluster(self._job(structure, record), drive, self.scheduler)
        found = Collector(structure.network, drive, self.refine)
        if self.connections == "synapses":
            found.add(
                0,
                run_synapses(
                    structure,
                    drive,
                    self.refine,
                    self.analog == "impulse",
                    "cpp_standalone" if compiled else "numpy",
                ),
            )
        else:
            found.add(0, run_numpy(structure, drive, self.refine, self.analog == "impulse", record))
        return found

    def _recording(self, structure: Structure, drive: Drive, found: Collector) -> Recording:
        network, mode = (
            structure.network,
            "grid" if self.mode == "grid" else f"fine dt/{self.refine}",
        )
        target = "C++ standalone" if self._compiles(network, drive) else "NumPy"
        facts = {
            "engine": "Brian2",
            "mode": self.mode,
            "refine": self.refine,
            "dtype": self.dtype,
            "target": target,
            "device": "cpu",
            "connections": self.connections,
            "analog": self.analog,
            "method": [_method(layer.model, structure.fine) for layer in network.layers],
        }
        provenance = make_provenance(f"Brian2 {mode} {self.dtype}", network, drive, **facts)
        approach = found.approach()
        return Recording(
            network, drive, found.spikes(self.workers), found.traces(), approach, provenance
        )

    def batch(self, network: Network) -> int:
        """Return how many samples a compiled run takes at once."""
        return _batch(network)

    def split(self, network: Network, drive: Drive, n_samples: int) -> Split:
        """Return how a compiled run of so many samples is split, from the drive of some of them."""
        source = "events" if drive.values is None else "current"
        structure = Structure(
            network, self.mode == "fine", source, self.dtype, self.batch(network), self.margin, ()
        )
        return split_samples(structure, drive, n_samples, self.refine, self.workers)

    def in_numpy(self) -> "Brian2":
        """Return the same engine on Brian2's NumPy target, for a look at a few samples."""
        return replace(self, target="numpy", scheduler=None)


def _recordings(
    engines: Sequence[Brian2], network: Network, drive: Drive, record: tuple[str, ...]
) -> list[Recording]:
    """Run engines that differ in their refinement alone.

    Those that compile for this machine share its processes, as one queue of portions.
    """
    record = check_run(network, drive, record, states=True)
    structures = [engine._structure(network, drive, record) for engine in engines]
    shares = [
        engine._compiles(network, drive)
        and engine.connections == "product"
        and engine.scheduler is None
        for engine in engines
    ]
    jobs = [
        engine._job(structure, record)
        for engine, structure, share in zip(engines, structures, shares, strict=True)
        if share
    ]
    pooled = iter(run_compiled(jobs, drive, engines[0].workers) if jobs else ())
    return [
        engine._recording(
            structure, drive, next(pooled) if share else engine._run_alone(structure, drive, record)
        )
        for engine, structure, share in zip(engines, structures, shares, strict=True)
    ]


def _method(model: NeuronModel, fine: bool) -> str:
    return model.continuous.method if fine and model.continuous else "declared step"


def _check_fine(network: Network) -> None:
    for layer in network.layers:
        # Read-outs over the steps stay on the grid in fine mode too.
        if layer.model.continuous is None and not layer.model.discrete.over_steps:
            raise RefsimError(
                f"{layer.name}: card '{layer.model.name}' is a map in discrete time and has no "
                f"ODE; run it with {option('mode', 'grid', '--grid, or without --fine')}."
            )


def _batch(network: Network) -> int:
    """Return how many samples are taken at once: a power of two whose states fit the cache.

    It depends on the layers alone, so that other data of the network use the same program.
    """
    neurons = sum(layer.n_post for layer in network.layers)
    batch = 256
    while batch > 1 and (
        batch * neurons * 40 > _CACHE_BYTES or batch * network.n_inputs > _LARGEST_INDEX
    ):
        batch //= 2
    return batch
