"""Protocol of a backend: a way of getting an accepted connection to a thread.

A backend changes `dispatch` and what it needs for it; accepting, the request path, counting and
stopping are the same for all. To write one of your own, subclass `Backend`, fill in the hooks,
and name it as `module:Class`; docs/plugins.md has a whole example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import thread_time_ns
from typing import ClassVar

from servers.acceptor import Acceptor, Overloaded, turn_away
from servers.connection import Connection
from servers.options import ServerOptions
from servers.report import Gauges
from servers.request_path import RequestPath
from servers.telemetry import Telemetry

__all__ = ["Backend", "Overloaded", "Peak"]


class Backend(ABC):
    """Base of all backends. Banners say which thread may call what."""

    name: ClassVar[str]
    forked: ClassVar[bool] = False  # a master has processes of it: see `servers/prefork.py`

    def __init__(self, options: ServerOptions, path: RequestPath, telemetry: Telemetry) -> None:
        self.options = options
        self.telemetry = telemetry
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

    @abstractmethod
    def drain(self, timeout_s: float) -> bool:
        """Finish what was dispatched; True when all of it was, within `timeout_s` seconds."""

    def abandon(self) -> list[Connection]:
        """After a drain that ran out of time: give up what no thread has begun, and return it."""
        return []

    # ---- handler threads --------------------------------------------------------------------

    def handle(self, connection: Connection) -> None:
        """Take `connection` through the request path, on the calling thread."""
        if not connection.claim():  # `dispatch` raised after all, and the acceptor has answered
            return
        recorder = self.telemetry.lend()
        recorder.connection = connection
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
