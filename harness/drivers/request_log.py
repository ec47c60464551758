"""The request log: one row a request, in memory that both processes see.

The parent writes the schedule, the generator fills in what happened, and the parent may look at
any time: watching costs the generator nothing, and what a generator that was killed had measured
is still there. It lies in a memfd, so that no disk can stall the generator.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Final

# Columns, each of n int64: times in ns from the window's start.
INTENDED, CLIENT, ALLOWED, SENT, CONNECTED, ENDED, CODE = range(7)
_COLUMNS: Final = 7
# Header, int64 each: how many rows count; the window's start on the monotonic clock; next row to be
# sent; the number of requests in flight integrated over time, in ns, and its peak (both `NOT_YET`
# where nobody keeps that account).
ROWS, START_NS, CURSOR, IN_FLIGHT_NS, IN_FLIGHT_MAX = range(5)
_HEADER: Final = 16

NOT_YET: Final = -1  # a time that has not come

# CODE: 0 while open, else outcome + 16 * detail, where detail is the HTTP status, or the cause of
# an `unsent`.
OK, TIMEOUT, REFUSED, RESET, REJECTED, HTTP_ERROR, BAD_RESPONSE, UNSENT = range(1, 9)
OUTCOME_NAMES: Final = (
    "open",
    "ok",
    "timeout",
    "refused",
    "reset",
    "rejected",
    "http_error",
    "bad_response",
    "unsent",
)
DETAIL: Final = 16
UNSENT_LATE, UNSENT_IN_FLIGHT, UNSENT_DESCRIPTORS, UNSENT_PORTS, UNSENT_STOPPED = range(5)
UNSENT_WORKER_LOST, UNSENT_NEVER_ALLOWED = 5, 6
UNSENT_CAUSES: Final = (
    "too late",
    "in-flight cap",
    "no descriptors",
    "no ports",
    "stopped",
    "lost with its worker",
    "never allowed",
)
NEVER_ALLOWED: Final = UNSENT_CAUSES[UNSENT_NEVER_ALLOWED]


def bytes_of(rows: int) -> int:
    """How large the log of so many requests is."""
    return 8 * (_HEADER + _COLUMNS * rows)


class RequestLog:
    """Header and columns as memoryviews of int64 over the shared memory."""

    def __init__(self, fd: int, rows: int) -> None:
        self.fd = fd
        self.rows = rows
        self._map = mmap.mmap(fd, bytes_of(rows))
        self._words = memoryview(self._map).cast("q")
        self.header = self._words[:_HEADER]

    @classmethod
    def create(cls, rows: int, scheduled: bool = True) -> RequestLog:
        """A new request log of `rows` open rows. Without a schedule, a row counts from when it is
        written. Raises OSError when there is no memory for it."""
        fd = os.memfd_create("request-log")
        os.ftruncate(fd, bytes_of(rows))
        log = cls(fd, rows)
        log.header[ROWS] = rows if scheduled else 0
        if not scheduled:
            log.header[IN_FLIGHT_NS] = log.header[IN_FLIGHT_MAX] = NOT_YET
        return log

    @classmethod
    def attach(cls, fd: int) -> RequestLog:
        """The request log behind a descriptor that was inherited."""
        size = os.fstat(fd).st_size
        return cls(fd, (size // 8 - _HEADER) // _COLUMNS)

    def column(self, column: int) -> memoryview[int]:
        """One column; of length `rows`."""
        start = _HEADER + column * self.rows
        return self._words[start : start + self.rows]

    def close(self) -> None:
        """Close the descriptor; the memory lives until its last view is gone."""
        os.close(self.fd)


class PhaseLog:
    """The request logs of one phase: one for each process that sends, with the rows of its own
    clients."""

    def __init__(self, parts: Sequence[RequestLog]) -> None:
        self.parts = tuple(parts)

    @property
    def start_ns(self) -> int:
        """The window's start on the monotonic clock, the same for all."""
        return self.parts[0].header[START_NS]

    def close(self) -> None:
        """Close the descriptors; the memory lives until its last view is gone."""
        for part in self.parts:
            part.close()
