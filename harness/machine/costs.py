"""The cost of a thread, and of a put into the pool's queue, in Python and in C++. Threads are timed
by `python -m harness.machine.costs STACK LOCK CPUS`.

One thread after the other, each started as the server `thread-per-request` starts it, doing
nothing. Three times are taken of each, in wall time: creation (until the call returns), start
(from the call to the new thread's first instruction), end (from its last instruction until the
kernel no longer knows it). Threads that follow one another get the same stack again, which the C
library keeps (up to 40 MiB of them), so a fourth figure is the start on a stack that was never
used before, while many threads are alive. CPU time is that of whole lives, from getrusage over many
of them, and of the creating thread within the call. It is measured in a process of its own, because
locked memory and the size of stacks belong to a process.

The queue: a put by the acceptor, and a worker's way back for the next. The queue and the workers
are those of `servers.thread_pool`; only what they carry is not a connection, and their handler does
nothing but look at the clock. In C++ both are timed by `native_cost.cpp`, built and run.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import os
import platform
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple, cast

import msgspec

from harness.core.errors import LabError
from harness.core.record import ThreadCost, ThreadCosts
from harness.stats.intervals import location_estimate
from servers.connection import Connection
from servers.native.build import CannotBuild, compiled
from servers.thread_pool import ThreadPool, WorkQueue

_BATCHES, _THREADS, _ALIVE = 9, 150, 64
_LIMIT_S = 120.0
_TGKILL = {"x86_64": 234, "aarch64": 131, "riscv64": 131}
_LOCK_ALL = 1 | 2  # MCL_CURRENT | MCL_FUTURE
_PUT_BATCHES = 9
_PUTS = 500
# A worker that only counts never looks into what it is given.
_PARCEL = cast(Connection, object())
_SOURCE = Path(__file__).with_name("native_cost.cpp")


class Batches(msgspec.Struct, frozen=True):
    """The child process's result: one figure for each batch of threads, in microseconds."""

    create_us: list[float]
    start_us: list[float]
    end_us: list[float]
    create_cpu_us: list[float]
    life_cpu_us: list[float]
    fresh_start_us: list[float]
    end_p99_us: list[float]


def measure_thread_costs(
    stack_size_bytes: int, lock_stacks: bool, cpus: frozenset[int] | None = None
) -> ThreadCosts:
    """The cost of a thread with such a stack, on these CPUs (None: wherever this process may run).

    Each figure is the median over batches of the batch's median (CPU of lives: mean; `end_p99_us`:
    99th percentile), with a 95 % interval. Raises `LabError` when it cannot be measured.
    """
    where = sorted(os.sched_getaffinity(0) if cpus is None else cpus)
    command = [sys.executable, "-P", "-m", "harness.machine.costs", str(stack_size_bytes)]
    command += [str(int(lock_stacks)), ",".join(map(str, where))]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"the cost of a thread cannot be measured: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it just ended"]
        raise LabError(f"the cost of a thread cannot be measured: {lines[-1]}")
    return costs_of(
        msgspec.json.decode(done.stdout, type=Batches), stack_size_bytes, lock_stacks, where
    )


def costs_of(
    found: Batches, stack_size_bytes: int, lock_stacks: bool, cpus: list[int]
) -> ThreadCosts:
    """The record of what was timed."""
    return ThreadCosts(
        stack_size_bytes=stack_size_bytes,
        lock_stacks=lock_stacks,
        cpus=cpus,
        create_us=_cost(found.create_us),
        start_us=_cost(found.start_us),
        end_us=_cost(found.end_us),
        create_cpu_us=_cost(found.create_cpu_us),
        life_cpu_us=_cost(found.life_cpu_us),
        fresh_start_us=_cost(found.fresh_start_us),
        end_p99_us=_cost(found.end_p99_us),
    )


def _cost(values: list[float]) -> ThreadCost:
    estimate = location_estimate(values)
    assert estimate is not None
    return ThreadCost(
        median=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        least=min(values),
        most=max(values),
        batches=len(values),
    )


# ---- in the child process ---------------------------------------------------------------------


def _gone() -> Callable[[int], None]:
    """A wait until the kernel no longer knows a thread of this process."""
    number = _TGKILL.get(platform.machine())
    if number is None:
        raise SystemExit(f"the end of a thread cannot be seen on {platform.machine()}")
    libc, process = ctypes.CDLL(None, use_errno=True), os.getpid()

    def wait(thread: int) -> None:
        # Signal 0 only asks. Yielding lets the thread end where there is one CPU for both.
        while libc.syscall(number, process, thread, 0) == 0:
            os.sched_yield()
        if ctypes.get_errno() != errno.ESRCH:
            raise OSError(ctypes.get_errno(), "tgkill")

    return wait


def _lives(wait_gone: Callable[[int], None]) -> tuple[float, float, float, float, float]:
    """Median creation, start, end and creator's CPU time of some threads, and the 99th percentile
    of the end, in microseconds."""
    create, start, end, cpu = [], [], [], []
    stamps: list[int] = []

    def run() -> None:
        first = time.monotonic_ns()
        stamps.append(threading.get_native_id())
        stamps.append(first)
        stamps.append(time.monotonic_ns())

    def life() -> None:
        stamps.clear()
        cpu_ns, began = time.thread_time_ns(), time.monotonic_ns()
        _thread.start_new_thread(run, ())
        returned, cpu_end_ns = time.monotonic_ns(), time.thread_time_ns()
        while len(stamps) < 3:
            os.sched_yield()
        thread, first, last = stamps
        wait_gone(thread)
        end.append(time.monotonic_ns() - last)
        create.append(returned - began)
        start.append(first - began)
        cpu.append(cpu_end_ns - cpu_ns)

    for _ in range(_THREADS):
        life()
    late_ns = sorted(end)[len(end) * 99 // 100]
    return (
        median(create) / 1e3, median(start) / 1e3, median(end) / 1e3, median(cpu) / 1e3,
        late_ns / 1e3,
    )  # fmt: skip


def _life_cpu_us() -> float:
    """Process CPU for a whole life, in microseconds; the creator sleeps meanwhile."""
    ended = threading.Semaphore(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(_THREADS):
        _thread.start_new_thread(ended.release, ())
        ended.acquire()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent_s / _THREADS * 1e6


def _fresh_start_us() -> float:
    """Median start of threads that are all alive at once, in microseconds.

    The first of them may get stacks that the C library kept; the later ones cannot.
    """
    gate, begun, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    firsts: list[int] = []

    def run() -> None:
        firsts.append(time.monotonic_ns())
        begun.release()
        gate.acquire()
        ended.release()

    starts = []
    for _ in range(_ALIVE):
        began = time.monotonic_ns()
        _thread.start_new_thread(run, ())
        begun.acquire()
        starts.append(firsts[-1] - began)
    for _ in range(_ALIVE):
        gate.release()
    for _ in range(_ALIVE):
        ended.acquire()
    return median(starts[_ALIVE // 2 :]) / 1e3


def main(argv: list[str]) -> int:
    """Measure and write one JSON line; exit status 1 with the reason where it cannot be."""
    stack_size_bytes, lock = int(argv[0]), argv[1] == "1"
    os.sched_setaffinity(0, {int(cpu) for cpu in argv[2].split(",")})
    threading.stack_size(stack_size_bytes)
    if lock:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlockall(_LOCK_ALL) != 0:
            reason = os.strerror(ctypes.get_errno())
            print(f"mlockall failed ({reason}); run as root or raise ulimit -l", file=sys.stderr)
            return 1
    wait_gone = _gone()
    _lives(wait_gone)  # the first batch warms up
    lives = [_lives(wait_gone) for _ in range(_BATCHES)]
    life_cpu_us = [_life_cpu_us() for _ in range(_BATCHES)]
    create, start, end, cpu, late = (list(times) for times in zip(*lives, strict=True))
    fresh_us = [_fresh_start_us() for _ in range(_BATCHES)]
    found = Batches(create, start, end, cpu, life_cpu_us, fresh_us, late)
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


class Return(NamedTuple):
    """Median and 99th percentile of each batch, in microseconds."""

    p50_us: list[float]
    p99_us: list[float]


def measure_enqueue_us(
    cpus: frozenset[int] | None = None, workers: int = 16, batches: int = _PUT_BATCHES
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


def measure_return_us(cpus: frozenset[int] | None = None, batches: int = _PUT_BATCHES) -> Return:
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


class NativeCosts(NamedTuple):
    """`enqueue_us`: the median of each batch, in microseconds."""

    thread_costs: ThreadCosts
    enqueue_us: list[float]


class _NativeBatches(Batches, frozen=True):
    enqueue_us: list[float]


def measure_native_costs(
    stack_size_bytes: int, lock_stacks: bool, cpus: frozenset[int], workers: int
) -> NativeCosts:
    """As `measure_thread_costs` and `measure_enqueue_us`. Raises `LabError` where it cannot be."""
    try:
        program = compiled("native-cost", _SOURCE)
        done = subprocess.run(
            [program, str(stack_size_bytes), str(int(lock_stacks)), str(workers)],
            capture_output=True, timeout=_LIMIT_S, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )  # fmt: skip
    except (CannotBuild, OSError, subprocess.SubprocessError) as error:
        raise LabError(f"the cost of a thread in C++ cannot be measured: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it just ended"]
        raise LabError(f"the cost of a thread in C++ cannot be measured: {lines[-1]}")
    found = msgspec.json.decode(done.stdout, type=_NativeBatches)
    costs = costs_of(found, stack_size_bytes, lock_stacks, sorted(cpus))
    return NativeCosts(costs, found.enqueue_us)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
