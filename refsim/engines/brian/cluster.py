"""Beyond one machine: the same portions of samples, run through Dask's distributed scheduler.

The results are equal to those of one machine, bit for bit. First the run: the job goes to every
worker, portions follow it, results come back. Then what runs on a worker, then the client, and
last the checks that every worker has this refsim.
"""

import contextlib
import functools
import pickle
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.errors import RefsimError, first_line
from ...core.progress import advance
from ...core.spikes import SpikeTrains
from ...networks.drive import Drive
from .memory import PORTION_ROOM, check_room, portions
from .outcome import Collector, Portion
from .run import Job

# Dask has types for a part of its functions only; these names say which of its objects is meant.
DaskClient = Any
DaskFuture = Any

_PROTOCOLS = ("tcp", "tls", "ucx", "ws", "wss", "inproc")
# Seconds for a scheduler to answer, for a first worker to be there, and for the workers to put a
# job away.
_PATIENCE = 5
_TRIES = 4  # to send the job, since a worker may end just then
_PER_THREAD = 4  # portions: small enough that a slow worker or a lost one costs little


def run_on_cluster(job: Job, drive: Drive, scheduler: str | DaskClient) -> Collector:
    """Run all samples on the workers of a Dask scheduler.

    The job (weights, cards, sizes) goes to each worker once; a worker compiles the network unless
    its cache has it; a portion whose worker ends runs again on another.

    Parameters
    ----------
    job : Job
    drive : Drive
        Of all samples.
    scheduler : str or distributed.Client
        An address such as ``"tcp://10.0.0.1:8786"``, or a client of one's own.

    Raises
    ------
    RefsimError
        Where the scheduler cannot be reached, a worker has no refsim or another one, or a portion
        ends every worker.
    """
    with _client(scheduler) as client:
        threads = _check_workers(client)
        count = _PER_THREAD * threads
        stretches = portions(job.structure, drive, job.refine, count, room=count * PORTION_ROOM)
        with _on_every_worker(client, job) as name:
            return _Run(client, job, drive, name).collect(stretches, 2 * threads)


@contextlib.contextmanager
def _on_every_worker(client: DaskClient, job: Job) -> Iterator[str]:
    """Send the job to all workers, and to each that joins during the run; yield its name there.

    It goes as a worker plugin and not by ``Client.scatter``, which waits for ever where a worker
    ends on the way.
    """
    name, plugin = f"refsim-{uuid.uuid4().hex}", _plugin(job)
    for left in reversed(range(_TRIES)):
        try:
            client.register_plugin(plugin, name=name)
            break
        except OSError as error:
            if not left:
                raise RefsimError(
                    f"the workers of {client.scheduler.address} cannot be sent the network "
                    f"({_first_line(error)}). {_MEMORY}"
                ) from None
    try:
        yield name
    finally:
        if client.status == "running":
            # A worker that has just ended took the job with it, and that is no error.
            with contextlib.suppress(OSError, KeyError):
                client.sync(
                    functools.partial(client.unregister_worker_plugin, name),
                    callback_timeout=_PATIENCE,
                )


def _plugin(job: Job) -> object:
    """Return a worker plugin that carries a job to a worker.

    It is sent as code, so that it arrives on a worker without refsim too, whose portions then say
    what is missing.
    """
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):
        def __init__(self, packed: bytes) -> None:
            self.packed = packed

        def setup(self, worker: object) -> None:
            self.job = pickle.loads(self.packed)

    return Carrier(pickle.dumps(job))


class _Run:
    """A run on a cluster, with few portions on their way, so that no machine has all the input."""

    def __init__(self, client: DaskClient, job: Job, drive: Drive, name: str) -> None:
        self.client, self.job, self.drive, self.name = client, job, drive, name

    def collect(self, stretches: list[tuple[int, int]], at_once: int) -> Collector:
        """Send the portions, ``at_once`` at a time, and collect what comes back."""
        collector, waiting = (
            Collector(self.job.structure.network, self.drive, self.job.refine),
            deque(stretches),
        )
        running: dict[DaskFuture, tuple[int, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    stretch = waiting.popleft()
                    running[self._send(stretch)] = stretch
                for future in self._done(running):
                    stretch = running.pop(future)
                    portion = self._result(future, stretch)
                    collector.add(stretch[0], portion)
                    check_room(collector)
                    advance(portion.n_samples)
        finally:
            if running and self.client.status == "running":
                self.client.cancel(list(running), force=True)
        return collector

    def _done(self, running: Collection[DaskFuture]) -> Collection[DaskFuture]:
        """Wait for portions; give up where all workers are gone and none comes in their place."""
        from distributed import wait

        while True:
            try:
                # Otherwise wait would ask the client that was opened last.
                with self.client.as_current():
                    ended: Collection[DaskFuture] = wait(  # type: ignore[no-untyped-call]
                        list(running), timeout=_PATIENCE, return_when="FIRST_COMPLETED"
                    ).done
                    return ended
            except CancelledError:
                raise RefsimError(
                    "the scheduler has gone away in the middle of the run. Start it again."
                ) from None
            except TimeoutError:
                _await_worker(
                    self.client,
                    (
                        "has lost all its workers in the middle of the run; their logs say why. "
                        "Start some"
                    ),
                )

    def _send(self, stretch: tuple[int, int]) -> DaskFuture:
        import dask

        # The input travels with its portion, so that the scheduler can send it again where a worker
        # is lost.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.client.submit(
                _run_on_worker,
                self.name,
                _packed(self.drive.take(np.arange(*stretch))),
                code_digest(),
                pure=False,
                key=f"{self.name}-{stretch[0]}",
            )

    def _result(self, future: DaskFuture, stretch: tuple[int, int]) -> Portion:
        """Return the results of a portion, or an error that says what became of it."""
        from distributed.scheduler import KilledWorker

        samples = f"samples {stretch[0]:,} to {stretch[1] - 1:,}"
        try:
            return future.result()  # type: ignore[no-any-return]
        except RefsimError:
            raise
        except KilledWorker as killed:
            raise RefsimError(
                f"{samples} ended each worker that ran them, {killed.allowed_failures + 1} in "
                f"all. {_MEMORY}"
            ) from None
        except Exception as error:
            raise RefsimError(
                f"a worker could not run {samples}: {type(error).__name__}: {_first_line(error)}"
            ) from None


_MEMORY = "Their logs say why; too little memory is the usual reason."


def _run_on_worker(name: str, packed: Drive, code: str) -> Portion:
    """Run a portion here, on a worker; refuse where the code is not that of the run."""
    from distributed import get_worker

    if code != code_digest():
        raise RefsimError(
            "a worker that joined during the run has another refsim than this machine. Install "
            "the same on every worker."
        )
    plugin = get_worker().plugins[name]
    return plugin.job.run(_unpacked(packed))  # type: ignore[attr-defined, no-any-return]


def _packed(drive: Drive) -> Drive:
    """Return a drive whose spikes take half the bytes, to be sent."""
    return (
        drive
        if drive.listed is None
        else replace(drive, listed=_columns(drive.listed, np.int32), made={})
    )


def _unpacked(drive: Drive) -> Drive:
    """Return a drive as it was before `_packed`."""
    return (
        drive if drive.listed is None else replace(drive, listed=_columns(drive.listed, np.int64))
    )


def _columns(spikes: SpikeTrains, kind: type[np.int32] | type[np.int64]) -> SpikeTrains:
    return replace(
        spikes,
        sample=spikes.sample.astype(kind),
        step=spikes.step.astype(kind),
        neuron=spikes.neuron.astype(kind),
    )


@contextlib.contextmanager
def _client(scheduler: object) -> Iterator[DaskClient]:
    """Open a client of an address, or take the one that is given and leave it open."""
    try:
        from distributed import Client
    except ImportError:
        raise RefsimError(
            "a scheduler needs Dask, which is not installed: pip install 'refsim[distributed]'"
        ) from None
    if not isinstance(scheduler, str):
        if not isinstance(scheduler, Client) or scheduler.asynchronous:
            raise RefsimError(
                "Brian2: scheduler must be an address such as 'tcp://10.0.0.1:8786' or a "
                f"distributed.Client, but is {scheduler!r}."
            )
        yield scheduler
        return
    try:
        _knock(scheduler)
        client: DaskClient = Client(  # type: ignore[no-untyped-call]
            scheduler, timeout=_PATIENCE, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise RefsimError(
            f"the scheduler {scheduler} cannot be reached within {_PATIENCE} s "
            f"({_first_line(error)}). Start one with `dask scheduler`, and workers with `dask "
            "worker ADDRESS`."
        ) from None
    try:
        yield client
    finally:
        client.close()


def _knock(address: str) -> None:
    """Raise an OSError where nothing listens at an address, or something that is no scheduler.

    Dask's own client would wait much longer, and again when it is closed.
    """
    import asyncio
    import socket

    from distributed.comm.addressing import get_address_host_port

    protocol = address.partition("://")[0] if "://" in address else "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"addresses begin with {', '.join(_PROTOCOLS)}, not {protocol}")
    if protocol in ("tcp", "tls"):
        socket.create_connection(get_address_host_port(address), _PATIENCE).close()
    if protocol in ("tcp", "inproc"):  # tls would need its own keys
        # In a thread of its own, since a notebook has a loop that runs here already.
        with ThreadPoolExecutor(1) as apart:
            apart.submit(asyncio.run, _greeting(address)).result()


async def _greeting(address: str) -> None:
    """Exchange greetings with a scheduler, or give up."""
    import asyncio

    from distributed.comm.core import connect

    try:
        asked = connect(address, timeout=_PATIENCE)  # type: ignore[no-untyped-call]
        comm = await asyncio.wait_for(asked, _PATIENCE)
    except TimeoutError:
        raise TimeoutError("what listens there does not answer as a scheduler") from None
    await comm.close()


def _check_workers(client: DaskClient) -> int:
    """Return the number of threads of all workers; refuse where one has another refsim."""
    _await_worker(client, "has no workers. Start some")
    here = _facts()()
    for worker, there in client.run(_facts(), on_error="return").items():
        if isinstance(there, BaseException):
            raise RefsimError(
                f"worker {worker} cannot be asked for its refsim ({type(there).__name__}: "
                f"{_first_line(there)}). {_SAME}"
            )
        for (name, ours), theirs in zip(here.items(), there.values(), strict=True):
            if ours != theirs:
                raise RefsimError(
                    f"worker {worker} has {name} {theirs or 'not installed'}, and here it is "
                    f"{ours}. {_SAME}"
                )
    return sum(client.nthreads().values())


def _await_worker(client: DaskClient, words: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError:
        raise RefsimError(
            f"the scheduler {client.scheduler.address} {words} with `dask worker "
            f"{client.scheduler.address}`."
        ) from None


_SAME = "Install the same 'refsim[distributed]' on every worker, under the same Python."


def _facts() -> Callable[[], dict[str, str]]:
    """Return a function that is sent as code, and so runs on a worker that has no refsim."""

    def facts() -> dict[str, str]:
        import hashlib
        import importlib.util
        import pathlib
        from importlib.metadata import PackageNotFoundError, version

        found = {}
        for package in ("refsim", "brian2", "numpy"):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = ""
        spec = importlib.util.find_spec("refsim")
        if spec is None or spec.origin is None:
            return {**found, "refsim": "", "refsim's code": ""}
        folder = pathlib.Path(spec.origin).parent
        texts = [
            path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".py", ".cpp")
        ]
        return {**found, "refsim's code": hashlib.sha256(b"".join(texts)).hexdigest()[:12]}

    return facts


@functools.cache
def code_digest() -> str:
    """Return the checksum of refsim's code on this machine."""
    return str(_facts()()["refsim's code"])


def _first_line(error: BaseException) -> str:
    return first_line(error, 200)
