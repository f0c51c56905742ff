"""All cores of this machine: portions of the samples in several processes, results in order.

A process that dies is reported, and no result is missing without an error.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from threading import Event

import numpy as np

from ...networks.drive import Drive
from .memory import check_room, portions
from .outcome import Collector, Portion
from .run import Job


def run_compiled(jobs: Sequence[Job], drive: Drive, workers: int) -> list[Collector]:
    """Run all samples with each of several jobs, whose portions share the processes.

    Parameters
    ----------
    jobs : sequence of Job
    drive : Drive
        Of all samples.
    workers : int
        Processes at once. The result does not depend on it, since samples are independent.

    Raises
    ------
    RefsimError
        Where a process died twice on the same portion, the disk is full, or the spikes do not fit
        into memory.
    """
    collectors, stop = (
        [Collector(job.structure.network, drive, job.refine) for job in jobs],
        Event(),
    )
    waiting = [
        (job, collector, *part)
        for job, collector in zip(jobs, collectors, strict=True)
        for part in portions(job.structure, drive, job.refine, workers)
    ]
    # The longest portions first, so that no worker begins one when the others end.
    waiting.sort(key=lambda row: -row[0].refine)

    def one(job: Job, first: int, end: int) -> Portion:
        return job.run(
            drive if end - first == drive.n_samples else drive.take(np.arange(first, end)), stop
        )

    try:
        if len(waiting) == 1:
            collectors[0].add(0, one(jobs[0], 0, drive.n_samples))
            return collectors
        # The program is compiled once, before all threads would wait for it.
        jobs[0].prepare()
        with ThreadPoolExecutor(min(workers, len(waiting))) as pool:
            asked = {
                pool.submit(copy_context().run, one, job, first, end): (collector, first)
                for job, collector, first, end in waiting
            }
            try:
                for done in as_completed(asked):
                    collector, first = asked.pop(done)
                    collector.add(first, done.result())
                    check_room(collector)
            except BaseException:
                # An error, or Ctrl-C: no portion begins any more, and those that run are ended.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return collectors
    finally:
        for job in jobs:
            job.close()
