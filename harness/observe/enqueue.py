"""What it takes to hand a connection to the pool's queue: the put alone, in the acceptor's thread.

The queue and the workers are those of `servers.thread_pool`. The workers wait for work, as they do
in a server at moderate load, so a put includes waking one of them.
"""

from __future__ import annotations

import os
import threading
from statistics import median
from time import perf_counter_ns
from typing import cast

from servers.connection import Connection
from servers.thread_pool import ThreadPool, WorkQueue

_BATCHES = 9
_PUTS = 500


def measure_enqueue_us(
    cpus: frozenset[int] | None = None, workers: int = 16, batches: int = _BATCHES
) -> list[float]:
    """Median wall time of a put, in microseconds, in each of some batches of 500.

    `cpus`: where to measure (None: wherever this process may run).
    """
    before = os.sched_getaffinity(0)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    taken = threading.Semaphore(0)
    queue = WorkQueue(10_000)
    try:
        pool = ThreadPool(workers, queue, lambda connection: taken.release())
        try:
            _batch_us(queue, taken)  # the first one warms up
            return [_batch_us(queue, taken) for _ in range(batches)]
        finally:
            queue.close(workers)
            pool.join(5.0)
    finally:
        os.sched_setaffinity(0, before)


def _batch_us(queue: WorkQueue, taken: threading.Semaphore) -> float:
    # A worker that only counts never looks into what it is given.
    parcel = cast(Connection, object())
    times_ns = []
    for _ in range(_PUTS):
        began = perf_counter_ns()
        queue.put(parcel)
        times_ns.append(perf_counter_ns() - began)
        taken.acquire()  # one at a time, as a queue that is empty most of the time
    return median(times_ns) / 1e3
