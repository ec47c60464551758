"""The engine: sends at intended times over non-blocking sockets, one connection a request.

One thread, one epoll. Three things make it punctual enough to measure microseconds:

* It spins. While anything is in flight or the next send is near it asks epoll again and again
  instead of sleeping; a sleeping process wakes tens of microseconds late, and Python's epoll
  sleeps in whole milliseconds. On a CPU shared with the server it sleeps after all, in select(),
  which takes microseconds.
* Sends come first. A response is timed when epoll reports it; reading it and closing the socket,
  the dearest call of all, wait for a gap between two sends in which there is time for that.
* A request needs few system calls. Sockets are created and bound ahead of time, in idle
  moments. On loopback the handshake is over when connect() returns, so the request is sent at
  once. epoll reports a request only when the server has closed (EPOLLRDHUP): by then the whole
  response has come in, and one recv() takes it.

The end of a response is the end of the connection, as lab.md has it: connect, send, read to the
end, close.
"""

from __future__ import annotations

import errno
import select
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import Final

from harness.drivers import request_log as L
from harness.drivers.response import classify

_SOCKET_TYPE: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
# Linux: choose the port at connect(), when the whole 4-tuple is known. bind() would take a port
# of its own for each connection, and 28,000 of them are all there are.
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_PREPARED: Final = 16  # sockets made ahead of time
_TIME_TO_PREPARE_NS: Final = 10_000
_TIME_TO_CLOSE_NS: Final = 30_000
_UNCLOSED: Final = 256  # so many responses wait for a gap; more than that do not
_CLOSED: Final = select.EPOLLRDHUP | select.EPOLLET  # once: it is dealt with later
_BURST: Final = 4  # sends in a row before responses are looked at
_RESPONSE_BYTES: Final = 64 * 1024
_NEAR_NS: Final = 2_000_000  # a send that is closer than this is spun for
_TIGHT_NS: Final = 50_000  # a send that is closer than this is waited for without a system call
_SLACK_NS: Final = 1_000_000  # how much earlier a sleep ends
_SHARED_CPU_SLACK_NS: Final = 60_000
_STRAGGLERS_NS: Final = 10_000_000_000  # closed loop: how long clients may be behind at the end
# Two readings of the clock in a row are some 100 ns apart. Where they are far apart the process
# stood still between them, or one is wrong: no more than this is believed, which is little if it
# happens now and then, and shows if it happens each time.
STOOD_STILL_NS: Final = 100_000

_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_PORTS: Final = (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Target:
    """Where and what to send. `requests[k]` are the bytes that client k sends each time and
    `sources[k]` the address that it sends from (None: the system's choice). `expect`: the statuses
    that are `ok`, where the engine is the one for servers of any kind."""

    host: str
    port: int
    requests: Sequence[bytes]
    sources: Sequence[str | None]
    expect: Sequence[int] = (202,)


@dataclass(frozen=True, slots=True)
class Rules:
    """How to send: `timeout_ns` from the moment at which a request was allowed; at most
    `max_in_flight` at once; `closed_loop`: one request in flight a client; `own_cpu`: nobody
    else needs this CPU, so the engine may spin."""

    timeout_ns: int
    max_in_flight: int
    closed_loop: bool = False
    own_cpu: bool = True


class Engine:
    """Sends the requests of one request log. Used once; not thread-safe."""

    events = _CLOSED  # what epoll reports of a request that is sent

    def __init__(
        self, log: L.RequestLog, target: Target, rules: Rules, watch_fd: int | None
    ) -> None:
        self._header = log.header
        self._rows = log.rows
        self._intended = log.column(L.INTENDED)
        self._client = log.column(L.CLIENT).tolist()
        self._allowed = log.column(L.ALLOWED)
        self._sent = log.column(L.SENT)
        self._connected = log.column(L.CONNECTED)
        self._ended = log.column(L.ENDED)
        self._code = log.column(L.CODE)
        self._address = (target.host, target.port)
        self._requests = target.requests
        self._sources = target.sources
        self._rules = rules
        self._watch_fd = watch_fd
        self._epoll = select.epoll()
        self._row_of: dict[int, int] = {}  # descriptor -> row, of what is in flight
        self._sockets: dict[int, socket.SocketType] = {}  # row -> socket, of what is in flight
        self._responded: deque[tuple[int, socket.SocketType, int]] = deque()  # (row, socket, when)
        self._prepared: dict[int, socket.SocketType] = {}  # row -> socket made ahead
        self._prepare_next = 0
        self._deadlines: deque[tuple[int, int]] = deque()  # (when, row), in order of sending
        self._busy: set[int] = set()  # closed loop: clients with a request in flight
        self._waiting: dict[int, deque[int]] = {}  # closed loop: rows behind their client's last
        self._waiting_count = 0
        self._ready: deque[tuple[int, int]] = deque()  # closed loop: (row, allowed) to send now
        self._good: bytes | None = (
            None  # the last whole 202 response: others are compared with it first
        )
        self._in_flight_max = 0
        # What is in flight, integrated over time: less the moment at which each request begins to
        # fly, plus that at which it no longer does. An account beside the rows, by readings of the
        # clock for it alone, taken next to those that rows are stamped with.
        self._in_flight_ns = 0
        self.parent_gone = False

    def run(self, start_ns: int) -> None:
        """Send every row and see each to its end. `start_ns` is the log's time zero, on the
        monotonic clock. Returns early, rows left open, when the watched descriptor speaks."""
        if self._watch_fd is not None:
            self._epoll.register(self._watch_fd, select.EPOLLIN)
        self._header[L.START_NS] = start_ns
        self._start_ns = start_ns
        cursor, rows, intended = 0, self._rows, self._intended
        poll = self._epoll.poll
        give_up_ns = start_ns + (intended[rows - 1] if rows else 0) + _STRAGGLERS_NS
        while not self.parent_gone:
            now = monotonic_ns()
            burst = 0
            while cursor < rows and start_ns + intended[cursor] <= now and burst < _BURST:
                self._header[L.CURSOR] = cursor + 1
                self._due(cursor, now)
                cursor += 1
                burst += 1
                now = monotonic_ns()
            while self._ready:
                row, allowed = self._ready.popleft()
                self._start(row, allowed, monotonic_ns())
            if self._deadlines and self._deadlines[0][0] <= now:
                self._expire(monotonic_ns(), monotonic_ns())
            if self._waiting_count and now > give_up_ns:
                self._give_up_waiting()
            nothing_flies = not self._sockets and not self._ready and not self._responded
            if cursor == rows and nothing_flies and not self._waiting_count:
                break
            events = poll(0, 64)
            if events:
                self._handle(events, monotonic_ns(), monotonic_ns())
            elif burst == 0 and not self._ready:
                self._idle(cursor, now)
            if len(self._responded) > _UNCLOSED:
                self._take_response()
        self._finish()

    # ---- sending ----------------------------------------------------------------------------

    def _due(self, row: int, now: int) -> None:
        """The intended time of `row` has come."""
        if self._rules.closed_loop:
            client = self._client[row]
            if client in self._busy:
                self._waiting.setdefault(client, deque()).append(row)
                self._waiting_count += 1
                return
            self._busy.add(client)
        self._start(row, self._start_ns + self._intended[row], now)

    def _start(self, row: int, allowed: int, now: int) -> None:
        """Send `row`, which the driver's rule has allowed since `allowed`."""
        start_ns = self._start_ns
        in_flight = len(self._sockets) + 1
        if self._kept_back(row, allowed, now, in_flight):
            return
        sock = self._prepared.pop(row, None)
        try:
            if sock is None:
                sock = self._make_socket(row)
            sent, read = monotonic_ns(), monotonic_ns()
            failure = sock.connect_ex(self._address)
        except OSError as error:
            self._prepared.pop(row, None)
            self._not_started(row, error.errno or 0)
            return
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            if failure == errno.ECONNREFUSED:
                self._refused_at_once(row, sent, read)
            else:
                self._not_started(row, failure)
            return
        self._sent[row] = sent - start_ns
        self._sockets[row] = sock
        descriptor = sock.fileno()
        self._row_of[descriptor] = row
        self._deadlines.append((allowed + self._rules.timeout_ns, row))
        if in_flight > self._in_flight_max:
            self._in_flight_max = self._header[L.IN_FLIGHT_MAX] = in_flight
        failed: OSError | None = None
        connected = monotonic_ns()
        try:
            sock.send(self._requests[self._client[row]])
        except BlockingIOError:  # still connecting: the backlog is full, or the server is remote
            self._epoll.register(descriptor, select.EPOLLOUT)
        except OSError as error:
            failed = error
        else:
            self._connected[row] = connected - start_ns
            self._epoll.register(descriptor, self.events)
        self._in_flight_ns -= read if read - sent < STOOD_STILL_NS else sent + STOOD_STILL_NS
        if failed is not None:
            self._broken(row, failed, monotonic_ns(), monotonic_ns())

    def _kept_back(self, row: int, allowed: int, now: int, in_flight: int) -> bool:
        """Whether it is too late for `row`, or too many are in flight."""
        self._allowed[row] = allowed - self._start_ns
        if now - allowed > self._rules.timeout_ns:
            self._unsent(row, L.UNSENT_LATE)
            return True
        if in_flight > self._rules.max_in_flight:
            self._unsent(row, L.UNSENT_IN_FLIGHT)
            return True
        return False

    def _make_socket(self, row: int) -> socket.SocketType:
        # SocketType is the C class beneath socket.socket, and half as dear to make.
        sock = socket.SocketType(socket.AF_INET, _SOCKET_TYPE, 0)
        source = self._sources[self._client[row]]
        if source is not None:
            sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        return sock

    def _not_started(self, row: int, failure: int) -> None:
        if failure in _NO_DESCRIPTORS:
            self._unsent(row, L.UNSENT_DESCRIPTORS)
        elif failure in _NO_PORTS:
            self._unsent(row, L.UNSENT_PORTS)
        else:  # no route, not allowed: the connection was refused by somebody on the way
            self._refused_at_once(row, monotonic_ns(), monotonic_ns())

    def _refused_at_once(self, row: int, sent: int, read: int) -> None:
        """It was in flight since `sent`, and never among the sockets."""
        now, read_again = monotonic_ns(), monotonic_ns()
        self._in_flight_ns += min(read_again, now + STOOD_STILL_NS)
        self._in_flight_ns -= min(read, sent + STOOD_STILL_NS)
        self._sent[row] = sent - self._start_ns
        self._end(row, L.REFUSED, now)

    def _unsent(self, row: int, cause: int) -> None:
        self._code[row] = L.UNSENT + L.DETAIL * cause
        prepared = self._prepared.pop(row, None)
        if prepared is not None:
            prepared.close()
        self._client_is_free(row, monotonic_ns())

    # ---- receiving --------------------------------------------------------------------------

    def _handle(self, events: list[tuple[int, int]], now: int, read: int) -> None:
        """Deal with what epoll reported at `now`; `read` is the reading next to it."""
        if read - now > STOOD_STILL_NS:
            read = now + STOOD_STILL_NS
        for descriptor, event in events:
            row = self._row_of.get(descriptor)
            if row is None:
                # The parent's pipe, or the descriptor of a row that ended in this very round.
                self.parent_gone = self.parent_gone or descriptor == self._watch_fd
            elif event & select.EPOLLOUT:
                self._connection_made(row, descriptor, now, read)
            else:
                # EPOLLRDHUP: the server has closed, so all that it will say is here.
                del self._row_of[descriptor]
                self._responded.append((row, self._sockets.pop(row), now))
                self._in_flight_ns += read

    def _connection_made(self, row: int, descriptor: int, now: int, read: int) -> None:
        try:
            self._sockets[row].send(self._requests[self._client[row]])
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(row, error, now, read)
        else:
            self._connected[row] = now - self._start_ns
            self._epoll.modify(descriptor, self.events)

    def _take_response(self) -> None:
        """Read and judge the response that came first of those not yet read; close."""
        row, sock, ended = self._responded.popleft()
        try:
            data = sock.recv(_RESPONSE_BYTES)
        except OSError as error:
            code = self._code_of(row, error)
        else:
            if data == self._good:
                code = L.OK + L.DETAIL * 202
            else:
                code, whole = classify(data)
                if code == L.OK + L.DETAIL * 202 and whole:
                    self._good = data
        sock.close()  # which takes it out of epoll, too
        self._end(row, code, ended)

    def _broken(self, row: int, error: OSError, now: int, read: int) -> None:
        self._close(row, read)
        self._end(row, self._code_of(row, error), now)

    def _code_of(self, row: int, error: OSError) -> int:
        refused = error.errno == errno.ECONNREFUSED and self._connected[row] == L.NOT_YET
        return L.REFUSED if refused else L.RESET

    def _close(self, row: int, read: int) -> None:
        self._in_flight_ns += read
        sock = self._sockets.pop(row)
        del self._row_of[sock.fileno()]
        sock.close()  # which takes it out of epoll, too

    def _end(self, row: int, code: int, now: int) -> None:
        self._ended[row] = now - self._start_ns
        self._code[row] = code
        self._client_is_free(row, now)

    def _client_is_free(self, row: int, now: int) -> None:
        """Closed loop: the client's next request, if it is overdue, is allowed now."""
        if not self._rules.closed_loop:
            return
        client = self._client[row]
        waiting = self._waiting.get(client)
        if waiting:
            self._waiting_count -= 1
            # Not at once: a row that ends as it starts would come back here, ever deeper. And not
            # before its own time, which may have come after the answer did.
            row = waiting.popleft()
            self._ready.append((row, max(now, self._start_ns + self._intended[row])))
        else:
            self._busy.discard(client)

    def _give_up_waiting(self) -> None:
        """Closed loop: the schedule is long over and clients are still behind it, so what they
        have not been allowed to send they never will."""
        for rows in self._waiting.values():
            for row in rows:
                self._code[row] = L.UNSENT + L.DETAIL * L.UNSENT_NEVER_ALLOWED
        self._waiting.clear()
        self._waiting_count = 0

    def _expire(self, now: int, read: int) -> None:
        deadlines, sockets = self._deadlines, self._sockets
        if read - now > STOOD_STILL_NS:
            read = now + STOOD_STILL_NS
        while deadlines and deadlines[0][0] <= now:
            _, row = deadlines.popleft()
            if row in sockets:
                self._close(row, read)
                self._end(row, L.TIMEOUT, now)

    # ---- when there is nothing to do --------------------------------------------------------

    def _idle(self, cursor: int, now: int) -> None:
        """Take a response, make a socket ahead of time, sleep, or spin, by how near the next
        send is."""
        due_ns = 1_000_000_000
        if cursor < self._rows:
            due_ns = self._start_ns + self._intended[cursor] - now
        if self._responded:
            if due_ns > _TIME_TO_CLOSE_NS:
                self._take_response()
            return
        if cursor < self._rows and due_ns > _TIME_TO_PREPARE_NS and self._prepare(cursor):
            return
        if not self._rules.own_cpu:
            wait_ns = due_ns - _SHARED_CPU_SLACK_NS
        elif not self._sockets and due_ns < _TIGHT_NS:
            due = now + due_ns  # nobody is there to answer, so epoll need not be asked
            while monotonic_ns() < due:
                pass
            return
        elif not self._sockets and due_ns > _NEAR_NS:
            wait_ns = due_ns - _SLACK_NS
        else:
            return
        if self._deadlines:
            wait_ns = min(wait_ns, self._deadlines[0][0] - now)
        if wait_ns > 0:
            select.select([self._epoll], [], [], wait_ns / 1e9)

    def _prepare(self, cursor: int) -> bool:
        """Make the socket of one of the next rows; False when they all have theirs."""
        row = max(self._prepare_next, cursor)
        if row >= min(self._rows, cursor + _PREPARED):
            return False
        self._prepare_next = row + 1
        try:
            self._prepared[row] = self._make_socket(row)
        except OSError:
            return False  # it is tried again when the row is due, and accounted for there
        return True

    def _finish(self) -> None:
        left = [sock for _, sock, _ in self._responded]
        for sock in [*left, *self._sockets.values(), *self._prepared.values()]:
            sock.close()
        if not self._sockets:
            self._header[L.IN_FLIGHT_NS] = self._in_flight_ns
        for row in range(self._rows):
            if self._code[row] == 0 and not self.parent_gone:
                self._code[row] = L.UNSENT + L.DETAIL * L.UNSENT_STOPPED
        self._epoll.close()
