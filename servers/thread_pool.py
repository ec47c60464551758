"""Thread pool: a fixed number of threads take connections from a bounded queue.

    main thread            work queue (bounded)           16 workers, created at start
    -----------            --------------------           ----------------------------
    accept()
      put  ------------->  | c3 | c2 | c1 |  -----------> read, parse, rate limit, decode,
    accept()                                              validate, write, close
      put, or 503 when                                    (back to the queue for the next)
      the queue is full

The queue absorbs a burst, and what is more than it holds is refused at once instead of making
everybody wait (load shedding). The price: a worker that waits (on a slow client, on a
database) serves nobody else, and 16 of them are soon all waiting. Only the request's deadline
frees a worker from a slow client: `deadlines_missed` in the report counts how often it had to.
And a queue that is longer than its clients' patience makes the workers serve those that have left;
`--queue-policy` chooses what to do about it.
Where connections stay (`--connections keep-alive`) they wait for their next request before the
queue, at the acceptor's poller, and a worker has one for a request at a time (`poller.py`).
Compare `thread_per_request.py`, which differs from this file in dispatch alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import ClassVar

from servers.acceptor import Acceptor
from servers.backend import Backend, Overloaded, Peak
from servers.connection import Connection
from servers.patience import Patience
from servers.poller import Poller
from servers.report import Gauges

log = logging.getLogger("servers")


class WorkQueue:
    """At most `size` connections wait here. The oldest is taken next, or the newest.

    They are in a deque. A token for each is in a `SimpleQueue`, which has no bound of its own but
    is the fastest way of waiting that Python has. One thread alone puts, so nothing can get in
    between looking at the length and adding to it.
    """

    def __init__(self, size: int, newest_first: bool = False) -> None:
        self._size = size
        self._items: deque[Connection] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()  # True: an item; False: no more of them
        self._take = self._items.pop if newest_first else self._items.popleft

    def put(self, connection: Connection) -> bool:
        """Acceptor only: False, at once, when the queue is full."""
        if len(self._items) >= self._size:
            return False
        self._items.append(connection)
        self._tokens.put(True)
        return True

    def get(self) -> Connection | None:
        """Workers: wait for a connection; None means that there will be no more."""
        return self._take() if self._tokens.get() else None

    def close(self, workers: int) -> None:
        """Acceptor only: behind what is queued, tell each worker that there will be no more."""
        for _ in range(workers):
            self._tokens.put(False)

    def take_all(self) -> list[Connection]:
        """Any thread: whatever no worker has taken yet."""
        left: list[Connection] = []
        while True:
            try:
                if self._tokens.get_nowait():
                    left.append(self._take())
            except Empty:
                return left

    def __len__(self) -> int:
        return len(self._items)


class ThreadPool:
    """`workers` threads that hand each connection from `queue` to `handle`, over and over."""

    def __init__(
        self, workers: int, queue: WorkQueue, handle: Callable[[Connection], None]
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._threads: list[threading.Thread] = []
        self._adding = threading.Lock()  # workers that are killed replace themselves
        self.created = 0
        self.replaced = 0
        for _ in range(workers):
            self._add_worker()

    def _add_worker(self, replaces: int = 0) -> None:
        with self._adding:
            self.created += 1
            self.replaced += replaces
            worker = threading.Thread(target=self._work, name=f"worker-{self.created}", daemon=True)
            worker.start()
            self._threads.append(worker)  # started, since `join` waits for whatever is there

    def _work(self) -> None:
        """Each worker: the next connection, until there are no more."""
        try:
            while (connection := self._queue.get()) is not None:
                self._handle(connection)
        except BaseException:  # a handler's own errors end in a 500: this one killed the worker
            log.exception("a worker was killed; another takes its place")
            self._add_worker(replaces=1)

    def join(self, timeout_s: float) -> bool:
        """Main thread: wait for the workers to end; False when `timeout_s` was not enough."""
        deadline_s = time.monotonic() + timeout_s
        for worker in self._threads:
            worker.join(max(0.0, deadline_s - time.monotonic()))
        return not any(worker.is_alive() for worker in self._threads)


class ThreadPoolBackend(Backend):
    """A pool of workers behind a bounded queue."""

    name: ClassVar[str] = "thread-pool"
    queue_class: ClassVar[type[WorkQueue]] = WorkQueue  # a plugin may bring another

    def start(self) -> None:
        threading.stack_size(self.options.stack_size_bytes)
        policy = self.options.queue_policy
        self._queue = self.queue_class(self.options.queue_size, newest_first=policy == "lifo")
        self._patience = Patience(self.options.patience_s)
        self._handle = self.handle if self.keeping is None else self._handle_kept
        serve = self._handle_in_time if policy == "drop-expired" else self._handle
        if self.keeping is not None:
            idle = self.telemetry.idle
            self._poller = Poller(self.keeping, idle, self.dispatch, self.close_idle)
        self._pool = ThreadPool(self.options.workers, self._queue, serve)
        self._queue_peak = Peak()

    # ---- acceptor thread --------------------------------------------------------------------

    def serve(self, acceptor: Acceptor) -> None:
        if self.keeping is None:
            super().serve(acceptor)
        else:
            self._poller.serve(acceptor)

    def dispatch(self, connection: Connection) -> None:
        if not self._queue.put(connection):
            raise Overloaded("the queue is full", "queue_full")
        self._queue_peak.note(len(self._queue))

    def drain(self, timeout_s: float) -> bool:
        self._queue.close(self.options.workers)
        return self._pool.join(timeout_s)

    def abandon(self) -> list[Connection]:
        return self._queue.take_all()

    # ---- workers ----------------------------------------------------------------------------

    def _handle_in_time(self, connection: Connection) -> None:
        """Handle it, unless its client would have left before its answer."""
        if self._patience.is_over(connection):
            self.refuse(connection, Overloaded("it waited too long to be answered", "expired"))
        else:
            began_ns = time.monotonic_ns()
            self._handle(connection)
            self._patience.learn(time.monotonic_ns() - began_ns)

    def _handle_kept(self, connection: Connection) -> None:
        """Handle one request; then its connection is the poller's again."""
        self.handle_one(connection)
        if connection.stays and not self._poller.watch(connection):
            self.handle_all(connection)  # the server stops: what has come in, and no more

    # ---- any thread -------------------------------------------------------------------------

    def gauges(self) -> Gauges:
        # Workers live as long as the server: one that is killed is replaced.
        lived_ns = self.options.workers * (time.monotonic_ns() - self.telemetry.started_ns)
        return Gauges(
            threads_created=self._pool.created,
            threads_active=self.options.workers,
            threads_peak=self.options.workers,
            threads_active_ns=lived_ns,
            threads_replaced=self._pool.replaced,
            queue_depth=len(self._queue),
            queue_depth_max=self._queue_peak.window,
            queue_wait_ns=sum(r.waited_ns for r in self.telemetry.recorders()),
        )

    def step_peaks(self) -> tuple[int, int | None]:
        return self.options.workers, self._queue_peak.take_step(len(self._queue))

    def open_window(self) -> None:
        self._queue_peak.reset(len(self._queue))
