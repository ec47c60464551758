"""Times the pool's queue: a put by the acceptor, a worker's way back for the next.

The queue and the workers are those of `servers.thread_pool`; only what they carry is not a
connection, and their handler does nothing but look at the clock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple, cast

from servers.connection import Connection
from servers.thread_pool import ThreadPool, WorkQueue

_BATCHES = 9
_PUTS = 500
# A worker that only counts never looks into what it is given.
_PARCEL = cast(Connection, object())


class Return(NamedTuple):
    """Median and 99th percentile of each batch, in microseconds."""

    p50_us: list[float]
    p99_us: list[float]


def measure_enqueue_us(
    cpus: frozenset[int] | None = None, workers: int = 16, batches: int = _BATCHES
) -> list[float]:
    """Median wall time of a put, in microseconds, in each of some batches of 500.

    The workers wait for work, as they do in a server at moderate load, so a put includes waking
    one of them. `cpus`: where to measure (None: wherever this process may run).
    """
    taken = threading.Semaphore(0)
    queue = WorkQueue(10_000)
    with _on(cpus):
        pool = ThreadPool(workers, queue, lambda connection: taken.release())
        try:
            _put_us(queue, taken)  # the first one warms up
            return [_put_us(queue, taken) for _ in range(batches)]
        finally:
            queue.close(workers)
            pool.join(5.0)


def measure_return_us(cpus: frozenset[int] | None = None, batches: int = _BATCHES) -> Return:
    """Wall time from the end of a handler to the start of the same worker's next, in each of some
    batches of 500: one worker, and a queue in which the next is already waiting."""
    found = Return([], [])
    with _on(cpus):
        for number in range(batches + 1):
            times_ns = _returns_ns()
            if number:  # the first one warms up
                found.p50_us.append(median(times_ns) / 1e3)
                found.p99_us.append(sorted(times_ns)[len(times_ns) * 99 // 100] / 1e3)
    return found


@contextmanager
def _on(cpus: frozenset[int] | None) -> Iterator[None]:
    """This process on these CPUs for a while."""
    before = os.sched_getaffinity(0)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _put_us(queue: WorkQueue, taken: threading.Semaphore) -> float:
    times_ns = []
    for _ in range(_PUTS):
        began = perf_counter_ns()
        queue.put(_PARCEL)
        times_ns.append(perf_counter_ns() - began)
        taken.acquire()  # one at a time, as a queue that is empty most of the time
    return median(times_ns) / 1e3


def _returns_ns() -> list[int]:
    """The gaps between the calls of the handler that one worker makes until the queue is empty."""
    calls: list[tuple[int, int]] = []

    def handle(connection: Connection) -> None:
        began = perf_counter_ns()
        calls.append((began, perf_counter_ns()))

    queue = WorkQueue(_PUTS + 1)
    for _ in range(_PUTS + 1):
        queue.put(_PARCEL)
    queue.close(1)
    if not ThreadPool(1, queue, handle).join(5.0):
        raise RuntimeError("a worker did not come to the end of its queue within 5 s")
    return [began - ended for (_, ended), (began, _) in pairwise(calls)]
