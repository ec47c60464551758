"""Tracing: when each request was accepted, on which thread, and when each of its steps was.

Only where a server is started with `--trace N`: the request path is then another class, so that
without it nothing is looked at on the way of a request.
"""

from __future__ import annotations

import threading
from time import monotonic_ns

import msgspec

from servers.connection import Connection, Steps
from servers.options import Workload
from servers.rate_limit import TokenBuckets
from servers.report import STAGES
from servers.request_path import Linger, RequestPath
from servers.telemetry import ROW, Recorder


class TracedRequest(msgspec.Struct, frozen=True, array_like=True):
    """One connection on the request path, in nanoseconds of the monotonic clock. `thread`: as the
    operating system numbers it; `status`: of the answer, 0 without one; `stages_ns`: how long each
    of `STAGES` took, empty of one that was not answered 202."""

    address: str
    thread: int
    accepted_ns: int
    started_ns: int
    ended_ns: int
    status: int
    stages_ns: list[int]


class Trace(msgspec.Struct, frozen=True):
    """`GET /trace`: the first requests of the window to end, and how many more there were."""

    stages: list[str]
    requests: list[TracedRequest]
    dropped: int


class TraceLog:
    """The first `most` requests of a window."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: list[TracedRequest] = []
        self._dropped = 0

    def add(self, request: TracedRequest) -> None:
        """Any thread: one has ended."""
        with self._lock:
            if len(self._kept) < self._most:
                self._kept.append(request)
            else:
                self._dropped += 1

    def open_window(self) -> None:
        """Housekeeping thread: forget what came before."""
        with self._lock:
            self._kept, self._dropped = [], 0

    def trace(self) -> Trace:
        """Any thread: what there is so far."""
        with self._lock:
            return Trace(list(STAGES), self._kept.copy(), self._dropped)


class TracedPath(RequestPath):
    """The request path, and a row in the log for each connection that took it."""

    def __init__(
        self, limiter: TokenBuckets, linger: Linger, workload: Workload, trace: TraceLog
    ) -> None:
        super().__init__(limiter, linger, workload)
        self._trace = trace

    def serve(self, connection: Connection, recorder: Recorder) -> Steps[None]:
        started_ns, thread = monotonic_ns(), threading.get_native_id()
        rows, before = len(recorder.rows), recorder.statuses.copy()
        try:
            yield from super().serve(connection, recorder)
        finally:
            grown = [s for s, n in recorder.statuses.items() if n > before.get(s, 0)]
            whole = len(recorder.rows) > rows
            self._trace.add(
                TracedRequest(
                    address=connection.address,
                    thread=thread,
                    accepted_ns=connection.accepted_ns,
                    started_ns=started_ns,
                    ended_ns=monotonic_ns(),
                    status=grown[0] if grown else 0,
                    stages_ns=[round(ns) for ns in ROW.unpack(recorder.rows[-1])] if whole else [],
                )
            )
