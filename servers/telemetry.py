"""A server's telemetry: a recorder for each thread, merged when somebody asks.

No lock is taken on the way of a request. A thread that handles a request holds a `Recorder`
that is its own until it gives it back, and nobody else writes to it; lists and dicts append, pop
and copy atomically in CPython, with the GIL or without it. What is handed over does not change any
more. `docs/servers.md` has the table of all that threads share.
"""

from __future__ import annotations

import statistics
import struct
import time
from array import array
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Literal

from servers.report import STAGES, StageFigures

if TYPE_CHECKING:
    from servers.connection import Connection

ROW = struct.Struct(f"{len(STAGES)}f")  # nanoseconds of each stage; 7 digits are plenty
_ROWS_IN_CHUNK = 64
# The newest quarter of a million requests are kept (8 MB), so that a server left running does not
# grow. A window longer than that says how many rows it dropped.
_MAX_CHUNKS = 4096


class Recorder:
    """Counts and stage times of the one thread that holds it at the moment."""

    __slots__ = (
        "abandoned",
        "begun",
        "chunks",
        "connection",
        "deadlines_missed",
        "handled_ns",
        "handler_cpu_ns",
        "handler_errors",
        "held_ns",
        "idle_closed",
        "idle_ns",
        "metrics",
        "rejected",
        "reset",
        "rows",
        "statuses",
        "timed_out",
        "waited_ns",
        "window",
    )

    def __init__(self, window: int = 0) -> None:
        self.connection: Connection | None = None
        self.statuses: dict[int, int] = {}
        self.rejected: dict[str, int] = {}  # by the limit that it was
        self.metrics = 0
        self.timed_out = 0
        self.reset = 0
        self.abandoned = 0
        self.begun = 0  # requests that began in a handler, on a connection that stays
        self.idle_closed = 0  # connections that were idle for too long
        self.idle_ns = 0  # that connections which threads waited on were idle, summed
        self.deadlines_missed = 0
        self.handler_errors = 0
        self.handler_cpu_ns = 0
        self.waited_ns = 0  # from accept to the handler's start, summed
        self.handled_ns = 0  # from the handler's start to its end, summed
        self.held_ns = 0  # from accept to the request's end, summed
        self.window = window  # which one `rows` and `chunks` are of
        self.rows: list[bytes] = []  # stage times of the newest requests, one `ROW` each
        self.chunks = 0  # how often they became a chunk

    def answering(self, status: int, metrics: int = 0) -> None:
        """Holder only: an answer is about to be sent. For who keeps counts beyond this process
        (`servers.ledger`)."""

    def ended(self, connection: Connection) -> None:
        """Holder only: a request has come to its end, which is counted next. In this order, so
        that no request is counted of which the time is not.
        """
        self.held_ns += time.monotonic_ns() - connection.accepted_ns

    def unanswered(
        self, connection: Connection, how: Literal["reset", "timed_out", "abandoned"]
    ) -> None:
        """Holder only: a request ends without an answer, and its connection is closed."""
        self.ended(connection)
        setattr(self, how, getattr(self, how) + 1)
        connection.sock.close()

    def answered(self, status: int, connection: Connection) -> None:
        """Holder only: one response has been sent whole."""
        self.ended(connection)
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Telemetry:
    """All recorders of a server, and the sums over them. `make_recorder`: of the window of that
    number."""

    def __init__(self, make_recorder: Callable[[int], Recorder] = Recorder) -> None:
        self._make_recorder = make_recorder
        self.started_ns = time.monotonic_ns()
        self.window_ns = self.started_ns
        self._window = 0  # its number
        self._all: list[Recorder] = []
        self._free: list[Recorder] = []
        # Rows that have become whole chunks, each with the number of its window.
        # No deque: without the GIL a copy of one is not atomic before Python 3.15.
        self._chunks: list[tuple[int, bytes]] = []
        # Connections that stay and wait for a request, by descriptor.
        self.idle: dict[int, Connection] = {}

    def lend(self) -> Recorder:
        """Any thread: a recorder that nobody else holds."""
        window = self._window
        try:
            recorder = self._free.pop()
        except IndexError:
            recorder = self._make_recorder(window)
            self._all.append(recorder)
        if recorder.window != window:
            recorder.rows, recorder.chunks = [], 0
            recorder.window = window  # last: who sees it sees rows of this window
        return recorder

    def give_back(self, recorder: Recorder) -> None:
        """Its holder: done with this request."""
        if len(recorder.rows) >= _ROWS_IN_CHUNK:
            self._chunks.append((recorder.window, b"".join(recorder.rows)))
            recorder.rows = []
            recorder.chunks += 1
            if len(self._chunks) > _MAX_CHUNKS:  # each that comes in too many takes out one
                del self._chunks[:1]
        recorder.connection = None
        self._free.append(recorder)

    def recorders(self) -> list[Recorder]:
        """Any thread: all recorders there have ever been."""
        return self._all.copy()

    def in_progress(self) -> list[Connection]:
        """Any thread: the connections that a handler is busy with."""
        return [c for r in self.recorders() if (c := r.connection) is not None]

    def idle_ns(self) -> int:
        """Any thread: the time that connections have been idle so far, summed."""
        now_ns = time.monotonic_ns()
        still = sum(now_ns - connection.idle_ns for connection in self.idle.copy().values())
        return still + sum(recorder.idle_ns for recorder in self.recorders())

    def open_window(self) -> None:
        """Housekeeping thread: forget the stage times of the requests that came before."""
        self._window += 1
        self._chunks.clear()
        self.window_ns = time.monotonic_ns()

    def stage_rows(self) -> list[bytes]:
        """Any thread: every kept row, in pieces of whole rows.

        Not in one piece: that many rows copied would double what the server holds, and the
        allocator gives little of that back. Under load, rows that become a chunk meanwhile may be
        missing; at rest none are.
        """
        whole = self._kept_chunks()
        held = [r.rows.copy() for r in self.recorders() if r.window == self._window]
        return [*whole, *(b"".join(rows) for rows in held if rows)]

    def rows_dropped(self) -> int:
        """How many rows of this window are no longer kept."""
        filled = sum(r.chunks for r in self.recorders() if r.window == self._window)
        return max(0, filled - len(self._kept_chunks())) * _ROWS_IN_CHUNK

    def _kept_chunks(self) -> list[bytes]:
        return [chunk for window, chunk in self._chunks.copy() if window == self._window]


def count_rows(pieces: list[bytes]) -> int:
    """How many requests the rows are of."""
    return sum(map(len, pieces)) // ROW.size


def stage_figures(pieces: list[bytes]) -> dict[str, StageFigures]:
    """Mean, median and 99th percentile of each stage, in microseconds; empty without rows."""
    if not pieces:
        return {}
    figures = {}
    for index, stage in enumerate(STAGES):
        columns = (array("f", piece)[index :: len(STAGES)] for piece in pieces)
        times_ns = sorted(chain.from_iterable(columns))
        figures[stage] = StageFigures(
            mean=statistics.fmean(times_ns) / 1e3,
            p50=times_ns[(len(times_ns) - 1) // 2] / 1e3,
            p99=times_ns[min(len(times_ns) - 1, (len(times_ns) * 99) // 100)] / 1e3,
        )
    return figures
