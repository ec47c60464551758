"""Thread per request: every connection gets a new thread, which ends with it.

    main thread                         one new thread for each connection
    -----------                         ----------------------------------
    accept()
      start a thread  ----------------> read, parse, rate limit, decode,
    accept()                            validate, write, close
      start a thread  ----------------> ...            (the thread ends)
    ...

Where connections stay (`--connections keep-alive`) a thread has its connection until that closes,
and sleeps in between: a thread per connection.
Nothing limits how many threads there are but the operating system (or `--max-threads`): under
overload they pile up, and compete for the same CPUs, the same interpreter lock and memory.
Compare `thread_pool.py`, which differs from this file in dispatch alone.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import ClassVar

from servers.backend import Backend, Overloaded, Peak
from servers.connection import Connection
from servers.report import Gauges


class ThreadPerRequest(Backend):
    """One detached thread for each connection, as `std::thread(...).detach()` does it."""

    name: ClassVar[str] = "thread-per-request"

    def start(self) -> None:
        threading.stack_size(self.options.stack_size_bytes)
        # One for each thread, and None once it drains. Adding and discarding are atomic.
        self._live: set[Connection | None] = set()
        self._most = self.options.max_threads or sys.maxsize
        self._created = 0
        self._peak = Peak()
        self._idle = threading.Event()

    # ---- acceptor thread --------------------------------------------------------------------

    def dispatch(self, connection: Connection) -> None:
        if len(self._live) >= self._most:
            raise Overloaded(f"all of its {self._most} threads are busy", "no_thread")
        self._live.add(connection)
        live = len(self._live)
        try:
            # Not threading.Thread: that one waits until the new thread has begun to run.
            _thread.start_new_thread(self._run, (connection,))
        except (RuntimeError, MemoryError) as error:
            self._live.discard(connection)
            raise Overloaded("no thread can be started", "no_thread") from error
        self._created += 1
        self._peak.note(live)

    def drain(self, timeout_s: float) -> bool:
        self._live.add(None)  # whoever leaves after this, and leaves it alone, was the last
        return len(self._live) == 1 or self._idle.wait(timeout_s)

    # ---- the new thread ---------------------------------------------------------------------

    def _run(self, connection: Connection) -> None:
        try:
            self.handle(connection)
        finally:
            self._live.discard(connection)
            if len(self._live) == 1 and None in self._live:
                self._idle.set()

    # ---- any thread -------------------------------------------------------------------------

    def gauges(self) -> Gauges:
        # A thread lives as long as its request: from accept until the handler is done with it; and
        # where connections stay, while its own has none.
        lived_ns = sum(r.waited_ns + r.handled_ns for r in self.telemetry.recorders())
        if self.keeping is not None:
            lived_ns += self.telemetry.idle_ns()
        return Gauges(
            threads_created=self._created,
            threads_active=self._threads(),
            threads_peak=self._peak.window,
            threads_active_ns=lived_ns,
        )

    def step_peaks(self) -> tuple[int, int | None]:
        return self._peak.take_step(self._threads()), None

    def open_window(self) -> None:
        self._peak.reset(self._threads())

    def _threads(self) -> int:
        return len(self._live) - (None in self._live)
