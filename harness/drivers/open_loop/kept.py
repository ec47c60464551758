"""The engine for connections that stay: a client sends on a connection of its own that is free, and
opens another when none is.

A connection is free once its response is over, unless its server closes it. One that the server
closed before any byte of the response was stale: the request is sent once more, on a new
connection, and that is counted (RFC 9110, 9.2.2 leaves it to the client; what is sent here may be
sent twice). Connections outlive a phase of load: those of one target wait in `Connections` for the
next phase, as a client's would.
"""

from __future__ import annotations

import errno
import select
import socket
from dataclasses import dataclass, field
from time import monotonic_ns

from harness.drivers import request_log as L
from harness.drivers.open_loop.engine import STOOD_STILL_NS, Rules, Target
from harness.drivers.open_loop.framed import FramedEngine

_GOING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


@dataclass(slots=True)
class Connections:
    """The free connections of one target's clients, the last used last."""

    of_client: dict[int, list[socket.SocketType]] = field(default_factory=dict)
    client_of: dict[int, int] = field(default_factory=dict)  # by descriptor, the oldest first

    def take(self, client: int) -> socket.SocketType | None:
        """A free connection of that client, if it has one: the one that was used last."""
        free = self.of_client.get(client)
        if not free:
            return None
        sock = free.pop()
        del self.client_of[sock.fileno()]
        return sock

    def give(self, client: int, sock: socket.SocketType) -> None:
        """It is free from now on."""
        self.of_client.setdefault(client, []).append(sock)
        self.client_of[sock.fileno()] = client

    def drop(self, descriptor: int) -> None:
        """Close a free connection."""
        free = self.of_client[self.client_of.pop(descriptor)]
        (sock,) = [sock for sock in free if sock.fileno() == descriptor]
        free.remove(sock)
        sock.close()

    def close(self) -> None:
        """Close all."""
        for descriptor in list(self.client_of):
            self.drop(descriptor)


class KeptEngine(FramedEngine):
    """Sends the requests of one request log over connections that stay. `opened`: how many were
    opened; `reused`: how many requests went over one that was there; `retried`: how many of those
    were sent once more."""

    def __init__(
        self,
        log: L.RequestLog,
        target: Target,
        rules: Rules,
        watch_fd: int | None,
        connections: Connections,
    ) -> None:
        super().__init__(log, target, rules, watch_fd)
        self._connections = connections
        self._old: set[int] = set()  # rows on a connection that was there, and not yet answered
        self._going = False  # the event that is dealt with says that the server has closed
        self.opened = self.reused = self.retried = 0
        for descriptor in connections.client_of:
            self._epoll.register(descriptor, self.events)

    # ---- sending ----------------------------------------------------------------------------

    def _start(self, row: int, allowed: int, now: int) -> None:
        sock = self._connections.take(self._client[row])
        if sock is None:
            self._make_room()
            super()._start(row, allowed, now)
            self.opened += row in self._sockets
            return
        in_flight = len(self._sockets) + 1
        if self._kept_back(row, allowed, now, in_flight):
            self._connections.give(self._client[row], sock)
            return
        sent, read = monotonic_ns(), monotonic_ns()
        self._sent[row] = self._connected[row] = sent - self._start_ns
        self._in_flight_ns -= min(read, sent + STOOD_STILL_NS)
        self._deadlines.append((allowed + self._rules.timeout_ns, row))
        self._sockets[row] = sock
        self._row_of[sock.fileno()] = row
        if in_flight > self._in_flight_max:
            self._in_flight_max = self._header[L.IN_FLIGHT_MAX] = in_flight
        self.reused += 1
        self._old.add(row)
        try:
            sock.send(self._requests[self._client[row]])
        except BlockingIOError:  # there is no room in its buffer: when there is
            self._epoll.modify(sock.fileno(), select.EPOLLOUT)
        except OSError as error:
            self._cut(row, error, monotonic_ns(), monotonic_ns())

    def _make_room(self) -> None:
        """Where descriptors are short, the connection that has been free for longest goes."""
        free = self._connections.client_of
        if free and len(self._sockets) + len(free) >= self._rules.max_in_flight:
            self._connections.drop(next(iter(free)))

    def _prepare(self, cursor: int) -> bool:
        """No socket ahead of time: most requests need none."""
        return False

    def _connection_made(self, row: int, descriptor: int, now: int, read: int) -> None:
        connected = self._connected[row]
        super()._connection_made(row, descriptor, now, read)
        if connected != L.NOT_YET and self._connected[row] != L.NOT_YET:
            self._connected[row] = connected  # it was connected long ago

    # ---- receiving --------------------------------------------------------------------------

    def _handle(self, events: list[tuple[int, int]], now: int, read: int) -> None:
        for one in events:
            descriptor, event = one
            if descriptor in self._connections.client_of:
                # Closed by the server while it was free; or bytes that nobody asked for.
                self.closed_by_server += bool(event & _GOING)
                self._connections.drop(descriptor)
                continue
            self._going = bool(event & _GOING)
            super()._handle([one], now, read)

    def _cut(self, row: int, error: OSError | None, now: int, read: int) -> None:
        """Of a connection that was there, and of which no byte came, the request is sent again."""
        if row not in self._old:
            super()._cut(row, error, now, read)
            return
        self._old.discard(row)
        self.retried += 1
        self.closed_by_server += 1
        sock = self._sockets.pop(row)
        del self._row_of[sock.fileno()]
        sock.close()
        try:
            self._again(row)
        except OSError:
            self._in_flight_ns += min(read, now + STOOD_STILL_NS)
            self._end(row, L.RESET, now)

    def _again(self, row: int) -> None:
        """Send `row` once more, on a new connection. Raises OSError where none can be had."""
        sock = self._make_socket(row)
        failure = sock.connect_ex(self._address)
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            raise OSError(failure, "no connection")
        try:
            sock.send(self._requests[self._client[row]])
        except BlockingIOError:
            events = select.EPOLLOUT
        except OSError:
            sock.close()
            raise
        else:
            events = self.events
        self.opened += 1
        self._sockets[row] = sock
        self._row_of[sock.fileno()] = row
        self._epoll.register(sock.fileno(), events)

    def _read(self, row: int, descriptor: int, now: int, read: int) -> None:
        super()._read(row, descriptor, now, read)
        if row in self._readers:  # some of the response is there, so it is not stale
            self._old.discard(row)

    def _answered(
        self, row: int, descriptor: int, code: int, stays: bool, now: int, read: int
    ) -> None:
        self._old.discard(row)
        if not stays or self._going:
            super()._answered(row, descriptor, code, stays, now, read)
            return
        del self._row_of[descriptor]
        self._connections.give(self._client[row], self._sockets.pop(row))
        self._in_flight_ns += read
        self._end(row, code, now)

    def _expire(self, now: int, read: int) -> None:
        super()._expire(now, read)
        self._old &= self._sockets.keys()
