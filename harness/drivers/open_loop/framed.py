"""The engine for servers of any kind, which may leave it to the client to close.

A response is read as it comes in and ends by its own framing (`harness.drivers.response`):
timed when epoll reports the event by which its last byte is there. Reading cannot wait for a gap
between two sends here, since whether a response is over is known only when it is read; closing
waits as it does in the engine for our own servers.
"""

from __future__ import annotations

import select
import socket
from typing import Final

from harness.drivers import request_log as L
from harness.drivers.open_loop.engine import STOOD_STILL_NS, Engine, Rules, Target
from harness.drivers.response import ResponseReader

_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_AT_ONCE: Final = 256 * 1024
_USUAL_BUFFER: Final = 16 * 1024  # what a fresh socket takes at once, whatever the system's limits


class FramedEngine(Engine):
    """Sends the requests of one request log to a server of any kind."""

    events = _READABLE

    def __init__(
        self, log: L.RequestLog, target: Target, rules: Rules, watch_fd: int | None
    ) -> None:
        super().__init__(log, target, rules, watch_fd)
        self._expected = frozenset(target.expect)
        self._head = target.requests[0].startswith(b"HEAD ") if target.requests else False
        self._buffer = max((len(text) for text in target.requests), default=0)
        self._readers: dict[int, ResponseReader] = {}  # row -> its response so far
        self._codes: dict[int, int] = {}  # row -> of a response that is read, until it is closed
        self._good_code = 0
        self._good_stays = False
        self.closed_by_server = 0

    def _make_socket(self, row: int) -> socket.SocketType:
        sock = super()._make_socket(row)
        if self._buffer > _USUAL_BUFFER:  # a request leaves whole or not at all
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * self._buffer)
        return sock

    def _handle(self, events: list[tuple[int, int]], now: int, read: int) -> None:
        if read - now > STOOD_STILL_NS:
            read = now + STOOD_STILL_NS
        for descriptor, event in events:
            row = self._row_of.get(descriptor)
            if row is None:
                # The parent's pipe, or a connection whose response is over.
                self.parent_gone = self.parent_gone or descriptor == self._watch_fd
            elif event & select.EPOLLOUT:
                self._connection_made(row, descriptor, now, read)
            else:
                self._read(row, descriptor, now, read)

    def _read(self, row: int, descriptor: int, now: int, read: int) -> None:
        """Take what is there of a response; it is over, or there is more to come."""
        sock, reader = self._sockets[row], self._readers.get(row)
        while True:
            try:
                data = sock.recv(_AT_ONCE)
            except BlockingIOError:
                return
            except OSError as error:
                self._readers.pop(row, None)
                self._cut(row, error, now, read)
                return
            if reader is None and data and data == self._good:
                self._answered(row, descriptor, self._good_code, self._good_stays, now, read)
                return
            first = reader is None
            if reader is None:
                reader = self._readers[row] = ResponseReader(self._expected, self._head)
            if not data:
                reader.end()
            elif not reader.feed(data):
                continue
            elif first and reader.code % L.DETAIL == L.OK:
                self._good, self._good_code, self._good_stays = data, reader.code, reader.stays
            del self._readers[row]
            if first and not data:
                self._cut(row, None, now, read)
            else:
                self._answered(row, descriptor, reader.code, reader.stays, now, read)
            return

    def _cut(self, row: int, error: OSError | None, now: int, read: int) -> None:
        """The connection ended with an error, or (None) before any byte of a response."""
        if error is not None:
            self._broken(row, error, now, read)
        else:
            self._answered(row, self._sockets[row].fileno(), L.RESET, False, now, read)

    def _answered(
        self, row: int, descriptor: int, code: int, stays: bool, now: int, read: int
    ) -> None:
        """The response is over, and its connection is closed when there is time. `stays`: it could
        carry another."""
        self._codes[row] = code
        del self._row_of[descriptor]
        self._responded.append((row, self._sockets.pop(row), now))
        self._in_flight_ns += read

    def _take_response(self) -> None:
        """Close the connection whose response came first of those that are still open."""
        row, sock, ended = self._responded.popleft()
        try:
            closed = not sock.recv(1)
        except BlockingIOError:
            closed = False
        except OSError:
            closed = True
        self.closed_by_server += closed
        sock.close()  # which takes it out of epoll, too
        self._end(row, self._codes.pop(row), ended)

    def _expire(self, now: int, read: int) -> None:
        super()._expire(now, read)
        for row in [row for row in self._readers if row not in self._sockets]:
            del self._readers[row]
