"""Event loop: one thread serves every connection, and never waits for one of them alone.

    the one thread
    --------------
    select()                       sleep until somebody is ready, or something is due
      the listener is ready -----> accept, and read, parse, ... close, unless something has to wait
      a connection is ready -----> go on with its request
      a time has come -----------> go on with what slept until then, or is at its deadline
    select()
    ...

A connection that waits costs its state and no thread, so a thousand slow clients hold up nobody,
nor do as many connections that stay (`--connections keep-alive`) without a request.
The price: whatever computes in a handler, or blocks where the loop does not know of it, holds up
everybody.
Compare `thread_per_request.py` and `thread_pool.py`: the steps of a request are the same generator
(`request_path.py`), which yields where it has to wait. There its thread waits; here the loop goes
on with another request.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import selectors
import time
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns, thread_time_ns
from typing import ClassVar

from servers.acceptor import ACCEPT_BACKOFF_S, Accepted, Acceptor
from servers.backend import Backend
from servers.connection import Connection, Pause, Steps, Wait
from servers.report import Gauges
from servers.telemetry import Recorder

log = logging.getLogger("servers")

_ACCEPTS_IN_A_TURN = 64  # of those that wait; then the others have their turn
_LISTENER = 0  # its number among the timers


@dataclass(slots=True, eq=False)
class Request:
    """A request in progress. Between two of its steps, this is all that there is of it. Where its
    connection stays it becomes the wait for the next one, which has no recorder."""

    number: int
    connection: Connection
    recorder: Recorder | None
    steps: Steps[None]
    watched: bool = False  # whether the selector has its socket
    due_ns: int = 0  # when it goes on at the latest
    timer_ns: int = 0  # when the loop looks at it next, if nothing happens


class EventLoop(Backend):
    """One thread, a selector, and a state for each connection."""

    name: ClassVar[str] = "event-loop"

    def start(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._requests: dict[int, Request] = {}  # by number
        self._numbers = itertools.count(_LISTENER + 1)
        # When, and whose number: the next first. An entry of a request that has gone on is stale.
        self._timers: list[tuple[int, int]] = []

    # ---- the one thread: new connections ----------------------------------------------------

    def serve(self, acceptor: Acceptor) -> None:
        """The loop, until the acceptor stops."""
        self._acceptor = acceptor
        acceptor.listener.setblocking(False)
        self._selector.register(acceptor.stopped, selectors.EVENT_READ, lambda: None)
        self._watch_listener()
        while not acceptor.stopping:
            self._turn()
        self._selector.unregister(acceptor.stopped)
        if acceptor.listener in self._selector.get_map():
            self._selector.unregister(acceptor.listener)
        acceptor.empty_backlog(self.dispatch, self._turn)

    def dispatch(self, connection: Connection) -> None:
        connection.claim()
        if self.keeping is None:
            recorder = self.telemetry.lend()
            recorder.connection = connection
            steps = self._path.serve(connection, recorder)
            request = Request(next(self._numbers), connection, recorder, steps)
        else:
            steps = self.next_request(connection)
            request = Request(next(self._numbers), connection, None, steps)
        self._requests[request.number] = request
        self._go_on(request)

    def _watch_listener(self) -> None:
        self._selector.register(self._acceptor.listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        """The listener is ready: take those that wait."""
        for _ in range(_ACCEPTS_IN_A_TURN):
            outcome = self._acceptor.accept(self.dispatch)
            if outcome is Accepted.NO_ROOM:  # descriptors come back as requests end
                self._selector.unregister(self._acceptor.listener)
                again_ns = monotonic_ns() + int(ACCEPT_BACKOFF_S * 1e9)
                heapq.heappush(self._timers, (again_ns, _LISTENER))
            if outcome is not Accepted.ONE:
                return

    # ---- the one thread: requests in progress -----------------------------------------------

    def _turn(self, at_most_s: float | None = None) -> None:
        """Wait until somebody is ready or due, and go on with them all."""
        if self._timers:
            due_s = max(0.0, (self._timers[0][0] - monotonic_ns()) / 1e9)
            at_most_s = due_s if at_most_s is None else min(at_most_s, due_s)
        for key, _ in self._selector.select(at_most_s):
            key.data()
        now_ns = monotonic_ns()
        while self._timers and self._timers[0][0] <= now_ns:
            self._due(*heapq.heappop(self._timers))

    def _due(self, due_ns: int, number: int) -> None:
        if number == _LISTENER:
            if not self._acceptor.stopping:
                self._watch_listener()
            return
        request = self._requests.get(number)
        if request is None or request.timer_ns != due_ns:
            return
        request.timer_ns = 0
        if request.due_ns <= due_ns:
            self._go_on(request)
        else:  # it has gone on since, and is due later
            self._look_at(request, request.due_ns)

    def _go_on(self, request: Request) -> None:
        """The next steps of a request, as far as they go without waiting."""
        self._unwatch(request)
        cpu_started_ns = thread_time_ns()
        try:
            wait = next(request.steps, None)
        except BaseException:  # what would kill a thread of its own; this one is everybody's
            log.exception("a handler tried to end the event loop, which goes on")
            wait = None
        if request.recorder is not None:
            request.recorder.handler_cpu_ns += thread_time_ns() - cpu_started_ns
        if wait is not None:
            self._suspend(request, wait)
        elif self.keeping is None or not self._following(request):
            self._ended(request)

    def _suspend(self, request: Request, wait: Wait) -> None:
        """Until its socket is ready or its deadline is over; or, of a pause, until that is."""
        if isinstance(wait, Pause):
            due_ns = wait.until_ns
        else:
            due_ns = request.connection.deadline_ns
            self._selector.register(request.connection.sock, wait, partial(self._go_on, request))
            request.watched = True
        request.due_ns = due_ns
        self._look_at(request, due_ns)

    def _look_at(self, request: Request, due_ns: int) -> None:
        """Go on with it then, unless the loop looks at it earlier anyway."""
        if not request.timer_ns or due_ns < request.timer_ns:
            request.timer_ns = due_ns
            heapq.heappush(self._timers, (due_ns, request.number))

    def _following(self, request: Request) -> bool:
        """Go on with its connection, which stays: after the wait its request, after that the next
        wait. False where it is closed."""
        connection = request.connection
        if request.recorder is None:
            if not connection.received:
                return False
            request.recorder = self.telemetry.lend()
            request.recorder.connection = connection
            self.count_begun(request.recorder, connection)
            request.steps = self._path.serve(connection, request.recorder)
        else:
            if not connection.stays:
                return False
            connection.rest()
            self.telemetry.give_back(request.recorder)
            request.recorder, request.steps = None, self.next_request(connection)
            if connection.received:  # sent behind the last one: the others have their turn before
                request.due_ns = monotonic_ns()
                self._look_at(request, request.due_ns)
                return True
        self._go_on(request)
        return True

    def _unwatch(self, request: Request) -> None:
        if request.watched:
            self._selector.unregister(request.connection.sock)
            request.watched = False

    def _ended(self, request: Request) -> None:
        del self._requests[request.number]
        if request.recorder is not None:
            self.telemetry.give_back(request.recorder)

    # ---- the one thread: the end ------------------------------------------------------------

    def drain(self, timeout_s: float) -> bool:
        until_s = time.monotonic() + timeout_s
        while self._requests and (left_s := until_s - time.monotonic()) > 0:
            self._turn(left_s)
        return not self._requests

    def abandon(self) -> list[Connection]:
        for request in list(self._requests.values()):
            self._unwatch(request)
            request.steps.close()  # which counts it and closes its connection
            self._ended(request)
        return []

    # ---- housekeeper ------------------------------------------------------------------------

    def gauges(self) -> Gauges:
        return Gauges(
            threads_created=1,
            threads_active=1,
            threads_peak=1,
            threads_active_ns=time.monotonic_ns() - self.telemetry.started_ns,
        )

    def step_peaks(self) -> tuple[int, int | None]:
        return 1, None

    def open_window(self) -> None:
        """There is one thread, always."""
