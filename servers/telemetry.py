"""What a server knows of itself: a recorder for each thread, merged when somebody asks.

No lock is taken on the way of a request. A thread that handles a request holds a `Recorder`
that is its own until it gives it back; lists and deques append and pop atomically in CPython,
with the GIL or without it.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from array import array
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from servers.report import STAGES, StageFigures

if TYPE_CHECKING:
    from servers.connection import Connection

ROW_WIDTH = len(STAGES)
_ROWS_IN_CHUNK = 256
# The newest quarter of a million requests are kept (8 MB of float32), so that a server left running
# does not grow. A window longer than that says how many rows it dropped.
_MAX_CHUNKS = 1024


class Recorder:
    """Counts and stage times of the one thread that holds it at the moment."""

    __slots__ = (
        "abandoned",
        "connection",
        "deadlines_missed",
        "handled_ns",
        "handler_cpu_ns",
        "handler_errors",
        "held_ns",
        "metrics",
        "reset",
        "rows",
        "statuses",
        "timed_out",
        "waited_ns",
    )

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.statuses: dict[int, int] = {}
        self.metrics = 0
        self.timed_out = 0
        self.reset = 0
        self.abandoned = 0
        self.deadlines_missed = 0
        self.handler_errors = 0
        self.handler_cpu_ns = 0
        self.waited_ns = 0  # from accept to the handler's start, summed
        self.handled_ns = 0  # from the handler's start to its end, summed
        self.held_ns = 0  # from accept to the request's end, summed
        self.rows = array("f")  # nanoseconds, ROW_WIDTH to a request; 7 digits are plenty

    def ended(self, connection: Connection) -> None:
        """Holder only: a request has come to its end, which is counted next. In this order, so
        that no request is counted of which the time is not.
        """
        self.held_ns += time.monotonic_ns() - connection.accepted_ns

    def answered(self, status: int, connection: Connection) -> None:
        """Holder only: one response has been sent whole."""
        self.ended(connection)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def answered_count(self) -> int:
        """Any thread: how many responses were sent."""
        return sum(list(self.statuses.values()))


class Telemetry:
    """All recorders of a server, and the sums over them."""

    def __init__(self) -> None:
        self.started_ns = time.monotonic_ns()
        self.window_ns = self.started_ns
        self._all: list[Recorder] = []
        self._free: list[Recorder] = []
        self._grow = threading.Lock()
        self._chunks: deque[array[float]] = deque(maxlen=_MAX_CHUNKS)
        self._chunks_pushed = 0

    def lend(self) -> Recorder:
        """Any thread: a recorder that nobody else holds."""
        try:
            return self._free.pop()
        except IndexError:
            recorder = Recorder()
            with self._grow:
                self._all.append(recorder)
            return recorder

    def give_back(self, recorder: Recorder) -> None:
        """Its holder: done with this request."""
        if len(recorder.rows) >= _ROWS_IN_CHUNK * ROW_WIDTH:
            self._chunks.append(recorder.rows)
            self._chunks_pushed += 1
            recorder.rows = array("f")
        recorder.connection = None
        self._free.append(recorder)

    def recorders(self) -> list[Recorder]:
        """Any thread: all recorders there have ever been."""
        return self._all.copy()

    def in_progress(self) -> list[Connection]:
        """Any thread: the connections that a handler is busy with."""
        return [r.connection for r in self.recorders() if r.connection is not None]

    def open_window(self) -> None:
        """Housekeeping thread, while no request is in progress: forget the stage times so far."""
        self._chunks.clear()
        self._chunks_pushed = 0
        for recorder in self.recorders():
            recorder.rows = array("f")
        self.window_ns = time.monotonic_ns()

    def stage_rows(self) -> list[array[float]]:
        """Any thread: every kept row, in arrays of whole rows, in nanoseconds.

        Not in one array: that many rows copied would double what the server holds, and the
        allocator gives little of that back.
        """
        held = [recorder.rows for recorder in self.recorders()]
        return [*self._chunks, *(rows[: len(rows) - len(rows) % ROW_WIDTH] for rows in held)]

    def rows_dropped(self) -> int:
        """How many rows of this window are no longer kept."""
        return max(0, self._chunks_pushed - _MAX_CHUNKS) * _ROWS_IN_CHUNK


def count_rows(chunks: list[array[float]]) -> int:
    """How many requests the rows are of."""
    return sum(map(len, chunks)) // ROW_WIDTH


def stage_figures(chunks: list[array[float]]) -> dict[str, StageFigures]:
    """Mean, median and 99th percentile of each stage, in microseconds; empty without rows."""
    if not count_rows(chunks):
        return {}
    figures = {}
    for index, stage in enumerate(STAGES):
        times_ns = sorted(chain.from_iterable(rows[index::ROW_WIDTH] for rows in chunks))
        figures[stage] = StageFigures(
            mean=statistics.fmean(times_ns) / 1e3,
            p50=times_ns[(len(times_ns) - 1) // 2] / 1e3,
            p99=times_ns[min(len(times_ns) - 1, (len(times_ns) * 99) // 100)] / 1e3,
        )
    return figures


def process_usage() -> resource.struct_rusage:
    """CPU time and context switches of the whole process, ended threads included."""
    return resource.getrusage(resource.RUSAGE_SELF)
