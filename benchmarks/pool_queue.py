"""Which queue is the best for the pool: `python -m benchmarks.pool_queue`

The pool's own, whose workers wait at a `SimpleQueue`, against two others: a deque under a
`Condition`, and workers that sleep on a stack, of whom the last to fall asleep is woken first, one
at a time. At 2,000 RPS, in blocks that take turns; and at the peak under wrk (Debian package), each
on a CPU of its own, in turns.

The first has its price at low load: whoever takes something from it wakes the next sleeper, whether
there is more or not, and being woken in vain costs two context switches. At the peak nobody sleeps,
and it is written in C.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from benchmarks.common import met, print_table
from benchmarks.peak import measure
from harness import lab
from harness.core.errors import LabError
from servers.connection import Connection
from servers.thread_pool import ThreadPoolBackend, WorkQueue

OWN = "thread-pool"
OTHERS = ("benchmarks.pool_queue:ConditionPool", "benchmarks.pool_queue:StackPool")
# What a queue that is best in both would reach: its ratio is at most the mark; without one, no
# difference or a better one.
MARKS = {
    "server.cpu_us_per_request.total": ("CPU", 0.87),
    "server.cpu_us_per_request.overhead": ("overhead CPU", None),
    "server.context_switches.per_request": ("context switches", 0.5),
    "client.block_response_us.p50": ("median of a block", None),
}
PEAK_MARK = 0.97


class ConditionQueue(WorkQueue):
    """A deque under a lock; whoever puts tells one that sleeps."""

    def __init__(self, size: int, newest_first: bool = False) -> None:
        super().__init__(size, newest_first)
        self._changed = threading.Condition()
        self._closed = False

    def put(self, connection: Connection) -> bool:
        with self._changed:
            if len(self._items) >= self._size:
                return False
            self._items.append(connection)
            self._changed.notify()
        return True

    def get(self) -> Connection | None:
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            return self._take() if self._items else None

    def close(self, workers: int) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take_all(self) -> list[Connection]:
        with self._changed:
            return [self._take() for _ in range(len(self._items))]


class StackQueue(WorkQueue):
    """Workers that find nothing sleep on a stack, each on a lock of its own, and the last to sleep
    is woken first: its memory is the warmest. One at a time is being woken; who has been woken, and
    sees that there is more, wakes the next. So nobody is woken for what a worker who is awake takes
    meanwhile; and while nobody sleeps nothing but a deque is touched."""

    def __init__(self, size: int, newest_first: bool = False) -> None:
        super().__init__(size, newest_first)
        self._sleepers: list[threading.Lock] = []  # each is locked, until its worker is woken
        self._waking = False  # one has been woken and is not up yet
        self._closed = False

    def put(self, connection: Connection) -> bool:
        if len(self._items) >= self._size:
            return False
        self._items.append(connection)
        if self._sleepers and not self._waking:
            self._wake_one()
        return True

    def get(self) -> Connection | None:
        while True:
            try:
                return self._take()
            except IndexError:
                if self._closed:
                    return None
            self._sleep()

    def _sleep(self) -> None:
        bed = threading.Lock()
        bed.acquire()
        self._sleepers.append(bed)
        # Whoever puts adds first and looks for sleepers then; a sleeper does it the other way
        # round. So one of them sees the other.
        if self._items or self._closed:
            with suppress(ValueError):  # not there any more: it has been woken
                self._sleepers.remove(bed)
                return
        bed.acquire()
        self._waking = False
        if len(self._items) > 1 and self._sleepers:  # one is for this worker
            self._wake_one()

    def _wake_one(self) -> None:
        try:
            bed = self._sleepers.pop()
        except IndexError:  # the last one found something after all
            return
        self._waking = True
        bed.release()

    def close(self, workers: int) -> None:
        self._closed = True
        with suppress(IndexError):
            while True:
                self._sleepers.pop().release()

    def take_all(self) -> list[Connection]:
        left: list[Connection] = []
        with suppress(IndexError):
            while True:
                left.append(self._take())
        return left


class ConditionPool(ThreadPoolBackend):
    """The pool with a deque and a condition."""

    name: ClassVar[str] = "condition"
    queue_class = ConditionQueue


class StackPool(ThreadPoolBackend):
    """The pool with a stack of sleepers."""

    name: ClassVar[str] = "stack"
    queue_class = StackQueue


def ratios(other: str, restarts: int) -> list[list[str]]:
    """Of one queue to the pool's own at 2,000 RPS, beside their marks. Raises `LabError`."""
    with tempfile.TemporaryDirectory() as out:
        run = lab.compare("queues", backends=[OWN, other], rounds=restarts, duration=3.5,
                          warmup=0.5, design="blocks", out=Path(out), bare=True).run  # fmt: skip
    rows = []
    for comparison in run.comparisons:
        if comparison.metric not in MARKS:
            continue
        title, mark = MARKS[comparison.metric]
        if comparison.ratio is None or comparison.ci_low is None or comparison.ci_high is None:
            raise LabError(f"{title} of {other}: {comparison.note or 'nothing was compared'}")
        spread = f"{comparison.ci_low:.2f} to {comparison.ci_high:.2f}"
        reached, least = (comparison.ci_low, 1.0) if mark is None else (comparison.ratio, mark)
        rows.append([title, f"{comparison.ratio:.2f}", spread, "no worse" if mark is None
                     else f"{mark:g}", met(reached, least, at_most=True)])  # fmt: skip
    return rows


def main() -> int:
    """Print both, beside the marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_queue", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="under wrk, in turns (default 8)")
    parser.add_argument("--restarts", type=int, default=8, help="at 2,000 RPS (default 8)")
    asked = parser.parse_args()
    try:
        for other in OTHERS:
            title = f"{other.partition(':')[2]} / the pool's own, 2,000 RPS"
            found = ratios(other, asked.restarts)
            print_table(title, ["", "ratio", "95 % CI", "mark", ""], found)
        rates = measure([OWN, *OTHERS], asked.rounds)
    except LabError as error:
        print(f"benchmarks.pool_queue: {error}", file=sys.stderr)
        return 2
    rows = []
    for name, own in rates.items():
        each = [one / other for one, other in zip(own, rates[OWN], strict=True)]
        middle = statistics.median(each)
        rows.append([name.rpartition(":")[2], f"{statistics.median(own):,.0f}", f"{middle:.2f}",
                     f"{min(each):.2f} to {max(each):.2f}", f"{PEAK_MARK:g}",
                     met(middle, PEAK_MARK, at_most=False)])  # fmt: skip
    print_table("Requests/s under wrk, 100 connections",
                ["", "median", "ratio", "rounds", "mark", ""], rows)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
