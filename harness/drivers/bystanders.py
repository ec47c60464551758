"""Clients beside those that are measured: slow ones, and connections that only stay open.

`python -m harness.drivers.bystanders`, started by the lab for one server. It reads one JSON line
(`BystanderConfig`), opens all, and says a `Count`. Then it answers each line that it gets with one:
`count`; `hold`, from which on it begins nothing and sends nothing; `go`, which ends that. It ends
when standard input closes.

A slow client sends a byte a second of its request (every even one), or sends it whole and reads its
answer by a byte a second. Whatever the server closes is opened again, a second after it was opened
at the earliest. None of it is in any figure of the generator's.

It counts requests as the server does: one with a connection of its own begins with that, and where
connections stay with its first byte. It has ended once its answer, or its end without one, is there
to be read.
"""

from __future__ import annotations

import errno
import heapq
import os
import resource
import select
import socket
import sys
from time import monotonic_ns

import msgspec

_SOCKET_TYPE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_STEP_NS = 1_000_000_000  # between two bytes of a slow client, and two tries to connect
_OPENED_AT_ONCE = 200  # then what came in has its turn
_IP_BIND_ADDRESS_NO_PORT = 24
_SMALLEST_BUFFER = 1  # the kernel makes it the least that it can do with


class BystanderConfig(msgspec.Struct, frozen=True):
    """How many of each, where, and what the slow ones send; `keeps`: connections stay, so that one
    without a request is none."""

    host: str
    port: int
    slow: int
    idle: int
    request: str
    keeps: bool
    cpus: list[int]


class KindCount(msgspec.Struct, frozen=True):
    """Of one kind: connections that were made, and that could not be; requests begun, their answers
    by status, and how many ended without one; how long those that ended took in all; how many
    connections are open."""

    connections: int = 0
    refused: int = 0
    begun: int = 0
    answered: dict[str, int] = {}
    unanswered: int = 0
    held_ns: int = 0
    open: int = 0

    @property
    def in_progress(self) -> int:
        """Requests that have begun and not ended."""
        return self.begun - sum(self.answered.values()) - self.unanswered


class Count(msgspec.Struct, frozen=True):
    """All so far."""

    slow: KindCount = KindCount()
    idle: KindCount = KindCount()

    @property
    def in_progress(self) -> int:
        return self.slow.in_progress + self.idle.in_progress


class _Counting:
    """A `KindCount` in the making."""

    def __init__(self) -> None:
        self.connections = self.refused = self.begun = self.unanswered = self.held_ns = 0
        self.open = 0
        self.answered: dict[str, int] = {}

    def told(self) -> KindCount:
        return KindCount(
            self.connections, self.refused, self.begun, dict(self.answered), self.unanswered,
            self.held_ns, self.open,
        )  # fmt: skip


class Bystander:
    """One of them. `request`: what it sends (empty: nothing); `whole`: at once, and then it reads
    slowly."""

    def __init__(self, number: int, counting: _Counting, request: bytes, whole: bool) -> None:
        self.number = number
        self.counting = counting
        self.request = request
        self.whole = whole
        self.sock: socket.socket | None = None
        self.connected = False
        self.sent = 0
        self.began_ns: int | None = None  # of a request in progress
        self.opened_ns = 0

    def begin(self) -> None:
        """A request has begun."""
        if self.began_ns is None:
            self.counting.begun += 1
            self.began_ns = monotonic_ns()

    def end(self, status: str | None) -> None:
        """The request has ended, with an answer or without; one that never began and is answered
        all the same was turned away as it came."""
        counting = self.counting
        if self.began_ns is None:
            if status is None:
                return
            self.begin()
        counting.held_ns += monotonic_ns() - (self.began_ns or 0)
        self.began_ns = None
        if status is None:
            counting.unanswered += 1
        else:
            counting.answered[status] = counting.answered.get(status, 0) + 1


class Bystanders:
    """All of them, on one thread and one epoll."""

    def __init__(self, config: BystanderConfig) -> None:
        self._config = config
        self._epoll = select.epoll()
        self._by_fd: dict[int, Bystander] = {}
        self._due: list[tuple[int, int]] = []  # when somebody's next step is, and whose
        self._slow, self._idle = _Counting(), _Counting()
        request = config.request.encode("latin-1")
        slow = [Bystander(n, self._slow, request, n % 2 == 1) for n in range(config.slow)]
        idle = [Bystander(n, self._idle, b"", False) for n in range(config.slow, self._all)]
        self._everybody = [*slow, *idle]
        self._held = False

    @property
    def _all(self) -> int:
        return self._config.slow + self._config.idle

    def run(self) -> None:
        """Until standard input closes."""
        self._open_all()
        self._say()
        self._epoll.register(0, select.EPOLLIN)
        while True:
            for descriptor, _ in self._epoll.poll(self._wait_s(), 256):
                if descriptor == 0:
                    if not self._obey():
                        return
                elif (one := self._by_fd.get(descriptor)) is not None:
                    self._ready(one)
            self._take_steps()

    def count(self) -> Count:
        """All so far."""
        return Count(self._slow.told(), self._idle.told())

    def _obey(self) -> bool:
        line = os.read(0, 4096)
        if not line:
            return False
        self._held = self._held if line == b"count\n" else line == b"hold\n"
        self._look_at_all()
        self._say()
        return True

    def _look_at_all(self) -> None:
        """What has come in by now is counted before it is told."""
        while events := self._epoll.poll(0, 4096):
            found = [self._by_fd[fd] for fd, _ in events if fd in self._by_fd]
            for one in found:
                self._ready(one)
            if not found:
                return

    def _say(self) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(self.count()) + b"\n")
        sys.stdout.buffer.flush()

    # ---- opening ----------------------------------------------------------------------------

    def _open_all(self) -> None:
        """Everybody's first connection, some at a time, so that no backlog overflows; they have a
        while for it."""
        until_ns = monotonic_ns() + 10 * _STEP_NS
        for start in range(0, self._all, _OPENED_AT_ONCE):
            some = self._everybody[start : start + _OPENED_AT_ONCE]
            for one in some:
                self._open(one)
            while not all(one.connected for one in some) and monotonic_ns() < until_ns:
                for descriptor, _ in self._epoll.poll(0.05, 256):
                    self._ready(self._by_fd[descriptor])
                self._take_steps()

    def _open(self, one: Bystander) -> None:
        one.opened_ns = monotonic_ns()
        try:
            sock = socket.socket(socket.AF_INET, _SOCKET_TYPE)
        except OSError:
            one.counting.refused += 1
            self._step(one, _STEP_NS)
            return
        if one.whole:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALLEST_BUFFER)
        if self._config.host.startswith("127."):
            sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.200.{one.number // 250}.{1 + one.number % 250}", 0))
        failure = sock.connect_ex((self._config.host, self._config.port))
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            one.counting.refused += 1
            self._step(one, _STEP_NS)
            return
        one.sock, one.connected, one.sent = sock, False, 0
        self._by_fd[sock.fileno()] = one
        self._epoll.register(sock.fileno(), select.EPOLLOUT)

    def _connected(self, one: Bystander, sock: socket.socket) -> None:
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            one.counting.refused += 1
            self._close(one, sock)
            return
        one.connected = True
        one.counting.connections += 1
        one.counting.open += 1
        if not self._config.keeps:
            one.begin()
        self._epoll.modify(sock.fileno(), select.EPOLLIN)
        if one.request:
            # Spread over a second, so that they do not all send at once.
            self._step(one, 0 if one.whole else one.number % 97 * _STEP_NS // 97)

    # ---- going on ---------------------------------------------------------------------------

    def _ready(self, one: Bystander) -> None:
        """Something has happened on its connection."""
        sock = one.sock
        if sock is None:
            return
        if not one.connected:
            self._connected(one, sock)
            return
        if one.whole and one.sent and one.began_ns is None:  # reset, while it reads
            self._gone(one, sock)
            return
        try:
            data = sock.recv(64, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            one.end(None)
            self._gone(one, sock)
            return
        words = data.split(b" ", 2)
        one.end(words[1].decode("latin-1") if len(words) > 1 else "?")
        if one.whole:  # it reads on by the second, and the kernel keeps the rest
            self._epoll.modify(sock.fileno(), 0)
            self._step(one, _STEP_NS)
        else:
            self._gone(one, sock)

    def _gone(self, one: Bystander, sock: socket.socket) -> None:
        one.counting.open -= 1
        self._close(one, sock)

    def _close(self, one: Bystander, sock: socket.socket) -> None:
        del self._by_fd[sock.fileno()]
        sock.close()
        one.sock, one.connected = None, False
        self._step(one, max(0, one.opened_ns + _STEP_NS - monotonic_ns()))

    def _step(self, one: Bystander, in_ns: int) -> None:
        heapq.heappush(self._due, (monotonic_ns() + in_ns, one.number))

    def _wait_s(self) -> float:
        if not self._due or self._held:
            return 60.0
        return max(0.0, (self._due[0][0] - monotonic_ns()) / 1e9)

    def _take_steps(self) -> None:
        now_ns = monotonic_ns()
        while not self._held and self._due and self._due[0][0] <= now_ns:
            _, number = heapq.heappop(self._due)
            one = self._everybody[number]
            if one.sock is None:
                self._open(one)
            elif one.connected:
                self._slowly(one, one.sock)

    def _slowly(self, one: Bystander, sock: socket.socket) -> None:
        """The next byte of its request, or of its answer."""
        try:
            if one.sent < len(one.request):
                one.begin()
                end = len(one.request) if one.whole else one.sent + 1
                one.sent += sock.send(one.request[one.sent : end])
                if not one.whole and one.sent < len(one.request):
                    self._step(one, _STEP_NS)
            elif one.whole:
                if sock.recv(1):
                    self._step(one, _STEP_NS)
                else:
                    self._gone(one, sock)
        except BlockingIOError:
            self._step(one, _STEP_NS)
        except OSError:
            one.end(None)
            self._gone(one, sock)


def main() -> int:
    """Exit status 0."""
    with open(0, "rb", buffering=0, closefd=False) as told:  # which keeps nothing back
        config = msgspec.json.decode(told.readline(), type=BystanderConfig)
    if config.cpus:
        os.sched_setaffinity(0, config.cpus)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Bystanders(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
