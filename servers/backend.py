"""Protocol of a backend: a way of getting an accepted connection to a thread.

A backend changes `dispatch` and what it needs for it; accepting, the request path, counting and
stopping are the same for all. To write one of your own, subclass `Backend`, fill in the hooks,
and name it as `module:Class`; docs/plugins.md has a whole example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic_ns, thread_time_ns
from typing import ClassVar

from servers.acceptor import Acceptor, Overloaded, turn_away
from servers.connection import Connection, Steps
from servers.options import ServerOptions
from servers.report import Gauges
from servers.request_path import RequestPath
from servers.telemetry import Recorder, Telemetry

__all__ = ["Backend", "Overloaded", "Peak"]


class Backend(ABC):
    """Base of all backends. Banners say which thread may call what."""

    name: ClassVar[str]
    forked: ClassVar[bool] = False  # a master has processes of it: see `servers/prefork.py`

    def __init__(self, options: ServerOptions, path: RequestPath, telemetry: Telemetry) -> None:
        self.options = options
        self.telemetry = telemetry
        self.keeping = path.keeping  # the rules of connections that stay; None: they do not
        self._path = path

    # ---- main thread, before the first connection -------------------------------------------

    def start(self) -> None:
        """Create what must exist before the first connection."""

    # ---- acceptor (main) thread -------------------------------------------------------------

    def serve(self, acceptor: Acceptor) -> None:
        """Accept until the acceptor stops, and then what the backlog holds. One that waits for more
        than new connections on this thread has a loop of its own."""
        acceptor.run(self.dispatch)

    @abstractmethod
    def dispatch(self, connection: Connection) -> None:
        """Get `connection` to a thread that calls `handle` with it; never block.

        Raises `Overloaded` when there is no thread or no room. Whatever else it raises is a mistake
        of the backend: the client gets 500, and the acceptor goes on.
        """

    def let_go(self) -> None:
        """Before `drain`: whoever waits for the next request of a connection waits no longer."""
        for connection in self.telemetry.idle.copy().values():
            connection.end_reading()

    @abstractmethod
    def drain(self, timeout_s: float) -> bool:
        """Finish what was dispatched; True when all of it was, within `timeout_s` seconds."""

    def abandon(self) -> list[Connection]:
        """After a drain that ran out of time: give up what no thread has begun, and return it."""
        return []

    # ---- handler threads --------------------------------------------------------------------

    def handle(self, connection: Connection) -> None:
        """Take `connection` through the request path, on the calling thread; where connections
        stay, request after request until it is closed."""
        if not connection.claim():  # `dispatch` raised after all, and the acceptor has answered
            return
        if self.keeping is None:
            self._serve(connection)
        else:
            self.handle_all(connection)

    def handle_all(self, connection: Connection) -> None:
        """Take the requests of a connection that stays, which the calling thread has, through the
        request path until it is closed."""
        while self._waited(connection):
            self._serve(connection, began_here=True)
            if not connection.stays:
                return
            connection.rest()

    def handle_one(self, connection: Connection) -> None:
        """Take one request, which has begun, through the request path. Afterwards
        `connection.stays` tells whether there may be more on its connection."""
        if connection.claim():
            self._serve(connection)

    def _serve(self, connection: Connection, began_here: bool = False) -> None:
        """One request. `began_here`: nobody has counted it yet."""
        recorder = self.telemetry.lend()
        recorder.connection = connection
        if began_here:
            self.count_begun(recorder, connection)
        cpu_started_ns = thread_time_ns()
        steps = self._path.serve(connection, recorder)
        try:
            for wait in steps:
                connection.wait(wait)
        except BaseException as error:  # this thread is being killed, perhaps while it waited
            steps.throw(error)
        finally:
            recorder.handler_cpu_ns += thread_time_ns() - cpu_started_ns
            self.telemetry.give_back(recorder)

    def _waited(self, connection: Connection) -> bool:
        """Wait on the calling thread for the next request; False where there is none to come, and
        the connection is closed."""
        for wait in self.next_request(connection):
            connection.wait(wait)
        return bool(connection.received)

    def next_request(self, connection: Connection) -> Steps[None]:
        """Wait for the first bytes of the next request. Without any, close the connection."""
        assert self.keeping is not None
        descriptor = connection.sock.fileno()
        self.telemetry.idle[descriptor] = connection
        try:
            yield from connection.next_request(self.keeping)
        finally:
            self.telemetry.idle.pop(descriptor, None)
            if not connection.received:
                self.close_idle(connection)

    def count_begun(self, recorder: Recorder, connection: Connection) -> None:
        """A request has begun on a connection that stays."""
        recorder.begun += 1
        recorder.idle_ns += connection.accepted_ns - connection.idle_ns

    def close_idle(self, connection: Connection) -> None:
        """Close a connection that has no request, and count how long it had none."""
        recorder = self.telemetry.lend()
        recorder.idle_closed += connection.overdue
        recorder.idle_ns += monotonic_ns() - connection.idle_ns
        self.telemetry.give_back(recorder)
        connection.sock.close()

    def refuse(self, connection: Connection, limit: Overloaded) -> None:
        """Answer 503 instead of handling it, and count which limit it was."""
        if not connection.claim():
            return
        recorder = self.telemetry.lend()
        recorder.connection = connection
        try:
            turn_away(connection, recorder, limit, self._path.linger)
        finally:
            self.telemetry.give_back(recorder)

    # ---- any thread -------------------------------------------------------------------------

    @abstractmethod
    def gauges(self) -> Gauges:
        """Threads and queue at this moment."""

    @abstractmethod
    def step_peaks(self) -> tuple[int, int | None]:
        """Peaks of threads and of queue depth since this was last called (None: no queue)."""

    @abstractmethod
    def open_window(self) -> None:
        """Forget the peaks so far: a measured window begins."""


class Peak:
    """A number, and how high it has been since the window opened and since the last step.

    One thread calls `note`; the housekeeper resets. A race between them can lose one reading
    of a peak at its reset, which no figure depends on.
    """

    __slots__ = ("step", "window")

    def __init__(self) -> None:
        self.window = 0
        self.step = 0

    def note(self, value: int) -> None:
        if value > self.step:
            self.step = value
            if value > self.window:
                self.window = value

    def take_step(self, current: int) -> int:
        """The peak since the last call; `current` is where the next step starts."""
        peak, self.step = max(self.step, current), current
        return peak

    def reset(self, current: int) -> None:
        self.window = self.step = current
