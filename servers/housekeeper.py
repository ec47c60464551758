"""The housekeeper: one thread, not counted among a backend's, for what must not hold a handler.

It serves the control port, sees half-closed connections out (so that a reset cannot cut off an
error response), notices when the parent process is gone, and watches what else it is asked to.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import resource
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from servers.access import Access
from servers.control import ControlConnection, Respond

log = logging.getLogger("servers")

LINGER_S = 2.0
MAX_LINGERING = 1024
MAX_CONTROL_CONNECTIONS = 32
_ACCEPT_BACKOFF_S = 0.1
_MAX_DRAIN_BYTES = 2 * 1024 * 1024
_DRAIN_READ_BYTES = 64 * 1024


class _Lingering:
    """A half-closed connection: what still comes in is thrown away, until its end or ours."""

    __slots__ = ("deadline_s", "drained_bytes", "sock")

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self.sock = sock
        self.deadline_s = deadline_s
        self.drained_bytes = 0


class Control(NamedTuple):
    """A control port: where it listens, what answers there, and who is answered."""

    listener: socket.socket
    respond: Respond
    access: Access


class Housekeeper:
    """Runs its loop on a daemon thread of its own from `start` to `stop`; or, of a process that has
    nothing else to do, on the thread that calls `run`."""

    def __init__(
        self,
        control: Control | None,
        on_parent_gone: Callable[[], None] | None = None,
    ) -> None:
        self._control = control
        self._on_parent_gone = on_parent_gone
        self._selector = selectors.EpollSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._handed_over: deque[socket.socket] = deque()
        self._lingering: dict[socket.socket, _Lingering] = {}  # oldest deadline first
        self._connections: dict[socket.socket, ControlConnection] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []  # when, number, what
        self._numbers = itertools.count()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="housekeeper", daemon=True)
        self.cpu_us = 0
        self.switches = 0

    # ---- main thread ------------------------------------------------------------------------

    def start(self) -> None:
        self._open()
        self._thread.start()

    def run(self) -> None:
        """The loop on the calling thread, until `end`."""
        self._open()
        self._loop()

    def _open(self) -> None:
        if self._control is not None:
            self._control.listener.setblocking(False)
            self.watch(self._control.listener, self._accept_control)
        self.watch(self._wake, self._woken)
        if self._on_parent_gone is not None:
            self.watch(0, self._parent_speaks)

    def stop(self) -> None:
        """See the lingering connections out, and end the thread."""
        self.end()
        self._thread.join(LINGER_S + 1)

    def close_copies(self) -> None:
        """In a process that was forked: close the copies of what is the other process's, which goes
        on with it. (Nothing is unregistered: it is one and the same epoll.)"""
        self._selector.close()
        os.close(self._wake)
        for sock in (*self._connections, *self._lingering):
            sock.close()
        if self._control is not None:
            self._control.listener.close()

    # ---- before the start, and its own thread -----------------------------------------------

    def watch(self, source: int | socket.socket, call: Callable[[], object]) -> None:
        """Call whenever there is something to read."""
        self._selector.register(source, selectors.EVENT_READ, call)

    def unwatch(self, source: int | socket.socket) -> None:
        self._selector.unregister(source)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, when so much time has passed."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call))

    # ---- any thread -------------------------------------------------------------------------

    def end(self) -> None:
        """Let the loop end, once the lingering connections have."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def linger(self, sock: socket.socket) -> None:
        """Half-close `sock`, drain it for a bounded time, close it. Does not block."""
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # the client is gone already
            return
        self._handed_over.append(sock)
        os.eventfd_write(self._wake, 1)

    # ---- housekeeping thread ----------------------------------------------------------------

    def _loop(self) -> None:
        while not (self._stopping and not self._lingering and not self._handed_over):
            for key, _ in self._selector.select(self._timeout_s()):
                key.data()
            self._end_overdue()
            self._call_due()
            usage = resource.getrusage(resource.RUSAGE_THREAD)
            self.cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
            self.switches = usage.ru_nvcsw + usage.ru_nivcsw
        for connection in list(self._connections):
            self._end_control(connection)

    def _timeout_s(self) -> float | None:
        """Until the next thing that is due by itself; None when nothing is."""
        due_s = [self._timers[0][0]] if self._timers else []
        if self._lingering:
            due_s.append(next(iter(self._lingering.values())).deadline_s)
        return max(0.0, min(due_s) - time.monotonic()) if due_s else None

    def _woken(self) -> None:
        os.eventfd_read(self._wake)
        while self._handed_over:
            sock = self._handed_over.popleft()
            if len(self._lingering) >= MAX_LINGERING:
                self._end_lingering(next(iter(self._lingering)))
            sock.setblocking(False)
            self._lingering[sock] = _Lingering(sock, time.monotonic() + LINGER_S)
            self.watch(sock, lambda s=sock: self._drain(s))  # type: ignore[misc]

    def _drain(self, sock: socket.socket) -> None:
        lingering = self._lingering.get(sock)
        if lingering is None:  # ended earlier in this same round
            return
        try:
            data = sock.recv(_DRAIN_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        lingering.drained_bytes += len(data)
        if not data or lingering.drained_bytes > _MAX_DRAIN_BYTES:
            self._end_lingering(sock)

    def _end_overdue(self) -> None:
        now_s = time.monotonic()
        while self._lingering:
            oldest = next(iter(self._lingering.values()))
            if oldest.deadline_s > now_s:
                return
            self._end_lingering(oldest.sock)

    def _end_lingering(self, sock: socket.socket) -> None:
        del self._lingering[sock]
        self.unwatch(sock)
        sock.close()

    def _parent_speaks(self) -> None:
        """Standard input is a pipe from the parent: its end is the parent's end."""
        if not os.read(0, 4096) and self._on_parent_gone is not None:
            self.unwatch(0)
            self._on_parent_gone()

    def _call_due(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _accept_control(self) -> None:
        assert self._control is not None
        listener, respond, access = self._control
        try:
            sock, _ = listener.accept()
        except OSError as error:
            # Out of descriptors: whoever is connected is served on, and looking away from the
            # listener for a moment keeps this thread from spinning. The acceptor logs it.
            log.debug("the control port could not accept: %s", error.strerror)
            self.unwatch(listener)
            self.later(_ACCEPT_BACKOFF_S, lambda: self.watch(listener, self._accept_control))
            return
        if len(self._connections) >= MAX_CONTROL_CONNECTIONS and not self._make_room():
            sock.close()
            return
        sock.setblocking(False)
        self._connections[sock] = ControlConnection(sock, respond, access)
        self.watch(sock, lambda: self._serve_control(sock))

    def _make_room(self) -> bool:
        """End the oldest control connection that has never got an answer; False without one."""
        for sock, connection in self._connections.items():
            if not connection.trusted:
                self._end_control(sock)
                return True
        return False

    def _serve_control(self, sock: socket.socket) -> None:
        connection = self._connections.get(sock)
        # None: it was ended earlier in this same round.
        if connection is not None and not connection.readable():
            self._end_control(sock)

    def _end_control(self, sock: socket.socket) -> None:
        del self._connections[sock]
        self.unwatch(sock)
        sock.close()
