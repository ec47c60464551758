"""What a process has counted, in memory that outlives it.

A child of `prefork` keeps its counts here as it goes, in memory that its master mapped before it
forked it. However the child ends, the master finds them: what was counted does not vanish with it.
"""

from __future__ import annotations

import itertools
import mmap
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from servers.acceptor import Acceptor, Dispatch, Linger
from servers.connection import Connection
from servers.report import Counters
from servers.server import count
from servers.telemetry import Recorder

_CELLS = ("accepted", "connections", "dispatch_errors", "accept_errors", "descriptor_episodes")
_CELL_BYTES = 8 * len(_CELLS)
# A row is a byte that says which of its two pages is whole, and these. A process that is killed
# while it writes one leaves the other.
_PAGE_BYTES = 1024
_ROW_BYTES = 8 + 2 * _PAGE_BYTES
_LENGTH = struct.Struct("=H")
_SPARE_ROWS = 64  # beyond the acceptor's and the handlers', should a thread be killed with one
_KEPT = (
    "statuses", "rejected", "metrics", "timed_out", "reset", "abandoned", "deadlines_missed",
    "handler_errors", "handler_cpu_ns", "waited_ns", "held_ns", "begun", "idle_closed", "idle_ns",
)  # fmt: skip


class Ledger:
    """The counts of one process. `handlers`: how many requests it handles at once."""

    def __init__(self, handlers: int) -> None:
        self._rows = handlers + _SPARE_ROWS
        self._memory = mmap.mmap(-1, _CELL_BYTES + self._rows * _ROW_BYTES)
        self.cells = memoryview(self._memory)[:_CELL_BYTES].cast("q")
        self._numbers = itertools.count()

    # ---- the process whose it is ------------------------------------------------------------

    def recorder(self, window: int = 0) -> Recorder:
        """One whose counts are kept. Beyond what there is room for they are not."""
        row = next(self._numbers)
        return KeptRecorder(self, row, window) if row < self._rows else Recorder(window)

    def write(self, row: int, kept: bytes) -> None:
        """Holder of that row's recorder: this is what it has now."""
        if len(kept) > _PAGE_BYTES - _LENGTH.size:
            return  # the one before stays: more names of refusals than any backend of ours has
        start = _CELL_BYTES + row * _ROW_BYTES
        page = 1 - self._memory[start]
        at = start + 8 + page * _PAGE_BYTES
        self._memory[at : at + _LENGTH.size + len(kept)] = _LENGTH.pack(len(kept)) + kept
        self._memory[start] = page

    # ---- whoever comes after it -------------------------------------------------------------

    def counters(self) -> Counters:
        """Of the process that has ended."""
        acceptor = _Cells(self.cells.tolist())
        return count(acceptor, self.recorders(), 0)

    def recorders(self) -> list[Recorder]:
        """All of that process, as they were at its end."""
        return [found for row in range(self._rows) if (found := self._read(row)) is not None]

    def _read(self, row: int) -> Recorder | None:
        start = _CELL_BYTES + row * _ROW_BYTES
        at = start + 8 + self._memory[start] * _PAGE_BYTES
        (length,) = _LENGTH.unpack_from(self._memory, at)
        if not length:
            return None
        kept = self._memory[at + _LENGTH.size : at + _LENGTH.size + length]
        recorder = Recorder()
        for name, value in zip(_KEPT, msgspec.msgpack.decode(kept, strict=False), strict=True):
            setattr(recorder, name, value)
        return recorder


class _Cells:
    """What an acceptor counted that is no more; what its recorder had is among the others."""

    accepted: int
    connections: int
    dispatch_errors: int
    accept_errors: int
    descriptor_episodes: int

    def __init__(self, cells: list[int]) -> None:
        for name, cell in zip(_CELLS, cells, strict=True):
            setattr(self, name, cell)
        self.recorder = Recorder()


class KeptRecorder(Recorder):
    """Writes what it has into a ledger: before an answer is sent, counted as sent (were it counted
    afterwards, a process killed in between would have answered somebody whom nobody counted), and
    at the end of a request without one."""

    __slots__ = ("_ledger", "_row")

    def __init__(self, ledger: Ledger, row: int, window: int) -> None:
        super().__init__(window)
        self._ledger = ledger
        self._row = row

    def answering(self, status: int, metrics: int = 0) -> None:
        statuses = self.statuses | {status: self.statuses.get(status, 0) + 1}
        self._write(statuses, self.metrics + metrics)

    def unanswered(
        self, connection: Connection, how: Literal["reset", "timed_out", "abandoned"]
    ) -> None:
        super().unanswered(connection, how)
        self.keep()

    def keep(self) -> None:
        """Its holder, or anybody once there is none: write what it has."""
        self._write(self.statuses, self.metrics)

    def _write(self, statuses: dict[int, int], metrics: int) -> None:
        kept = (
            statuses, self.rejected, metrics, self.timed_out, self.reset, self.abandoned,
            self.deadlines_missed, self.handler_errors, self.handler_cpu_ns, self.waited_ns,
            self.held_ns, self.begun, self.idle_closed, self.idle_ns,
        )  # fmt: skip
        self._ledger.write(self._row, msgspec.msgpack.encode(kept))


def _cell(name: str) -> property:
    """A count of an acceptor that is in its ledger."""
    index = _CELLS.index(name)

    def read(acceptor: KeptAcceptor) -> int:
        return acceptor.cells[index]

    def write(acceptor: KeptAcceptor, value: int) -> None:
        acceptor.cells[index] = value

    return property(read, write)


class KeptAcceptor(Acceptor):
    """An acceptor of which the counts are kept, on a socket that other processes accept on too.

    Whether that one blocks is the same for all of them. So it is their master who makes it
    non-blocking, when all are to stop. Where one alone is, it waits for its accept() to come to its
    end, a quarter of a second at most, and leaves the backlog to the others.
    """

    accepted = _cell("accepted")
    connections = _cell("connections")
    dispatch_errors = _cell("dispatch_errors")
    accept_errors = _cell("accept_errors")
    descriptor_episodes = _cell("descriptor_episodes")

    def __init__(
        self,
        ledger: Ledger,
        listener: socket.socket,
        backlog: int,
        deadline_ns: int,
        linger: Linger,
        keeps: bool,
    ) -> None:
        self.cells = ledger.cells
        super().__init__(listener, backlog, deadline_ns, linger, keeps, ledger.recorder())

    def interrupt(self) -> None:
        pass

    def empty_backlog(self, dispatch: Dispatch, rest: Callable[[float], None] = time.sleep) -> None:
        if not os.get_blocking(self.listener.fileno()):
            super().empty_backlog(dispatch, rest)
