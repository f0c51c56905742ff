"""All cores of this machine: portions run in as many processes as wanted, results in order, nobody lost silently."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from threading import Event

import numpy as np

from ...drive import Drive
from .job import Job
from .outcome import Collector, Portion
from .room import check_room, portions


def run_compiled(job: Job, drive: Drive, workers: int) -> Collector:
    """Run all samples.

    Parameters
    ----------
    workers : int
        Processes at once. The result does not depend on it: a sample never knows of another.

    Raises
    ------
    RefsimError
        Where a process died twice on the same portion, the disk is full, or the spikes do not fit into memory.
    """
    stretches = portions(job.structure, drive, job.refine, workers)
    collector, stop = Collector(job.structure.network, drive, job.refine), Event()

    def one(first: int, end: int) -> Portion:
        return job.run(drive.take(np.arange(first, end)), stop)

    try:
        if len(stretches) == 1:
            collector.add(0, job.run(drive))
            return collector
        job.prepare()  # once, before many would wait for it
        with ThreadPoolExecutor(min(workers, len(stretches))) as pool:
            waiting = {pool.submit(copy_context().run, one, first, end): first for first, end in stretches}
            try:
                for done in as_completed(waiting):
                    collector.add(waiting.pop(done), done.result())
                    check_room(collector)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return collector
    finally:
        job.close()
