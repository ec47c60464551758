"""From a learner's pool to a backend of the lab: notebook 3 fills in the pool, this does the rest.

class Pool:
    def __init__(self, workers, size, handle): ...
    def submit(self, connection): ...   # False, at once, when the queue is full
    def close(self, timeout): ...       # finish what was taken; True when all of it was
    def __len__(self): ...              # how many wait

class Backend(LearnersPool):
    name = "my-pool"
    pool_class = Pool
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from servers.backend import Backend, Overloaded, Peak
from servers.connection import Connection
from servers.report import Gauges


class Pool(Protocol):
    """The methods that the adapter calls on a pool."""

    def __init__(self, workers: int, size: int, handle: Callable[[Any], None]) -> None: ...

    def submit(self, connection: Any) -> bool:
        """Take a connection, or say at once that there is no room."""

    def close(self, timeout: float) -> bool:
        """Finish what was taken within `timeout` seconds; whether that was all."""

    def __len__(self) -> int: ...


class LearnersPool(Backend):
    """A backend whose pool is somebody's own."""

    name: ClassVar[str] = "learners-pool"
    pool_class: ClassVar[type[Pool]]

    def start(self) -> None:
        """Before the first connection: the pool, and its threads."""
        threading.stack_size(self.options.stack_size_bytes)
        self._pool = self.pool_class(self.options.workers, self.options.queue_size, self.handle)
        self._peak = Peak()

    def dispatch(self, connection: Connection) -> None:
        """Acceptor: into the pool, or a 503."""
        if not self._pool.submit(connection):
            raise Overloaded("the queue is full", "queue_full")
        self._peak.note(len(self._pool))

    def drain(self, timeout_s: float) -> bool:
        """Acceptor: no more is to come."""
        return self._pool.close(timeout_s)

    def gauges(self) -> Gauges:
        """The threads are those that the pool was asked for."""
        workers = self.options.workers
        elapsed_ns = time.monotonic_ns() - self.telemetry.started_ns
        return Gauges(
            threads_created=workers,
            threads_active=workers,
            threads_peak=workers,
            threads_active_ns=workers * elapsed_ns,
            threads_replaced=0,
            queue_depth=len(self._pool),
            queue_depth_max=self._peak.window,
            queue_wait_ns=sum(r.waited_ns for r in self.telemetry.recorders()),
        )

    def step_peaks(self) -> tuple[int, int | None]:
        """Since the last step."""
        return self.options.workers, self._peak.take_step(len(self._pool))

    def open_window(self) -> None:
        """A measured window begins."""
        self._peak.reset(len(self._pool))
