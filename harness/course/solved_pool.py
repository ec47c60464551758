"""The pool of notebook 3, finished. Whoever takes the course should not read on."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from harness.course.pool_adapter import LearnersPool

log = logging.getLogger(__name__)


class BoundedQueue:
    """At most `size` items wait here. Any thread may call any method."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: deque[Any] = deque()
        self.changed = threading.Condition()
        self.closed = False

    def put(self, item: Any) -> bool:
        """Take an item, or say at once that there is no room."""
        with self.changed:
            if len(self.items) >= self.size:
                return False
            self.items.append(item)
            self.changed.notify()
            return True

    def get(self) -> Any:
        """The oldest item, as soon as there is one; None when there will be no more."""
        with self.changed:
            while not self.items and not self.closed:
                self.changed.wait()
            return self.items.popleft() if self.items else None

    def close(self) -> None:
        """No more items will come."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def __len__(self) -> int:
        return len(self.items)


class Pool:
    """`workers` threads take from a queue and call `handle` with each item."""

    def __init__(self, workers: int, size: int, handle: Callable[[Any], None]) -> None:
        self.queue = BoundedQueue(size)
        self.handle = handle
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, item: Any) -> bool:
        """Take an item, or say at once that there is no room."""
        return self.queue.put(item)

    def work(self) -> None:
        """Each worker: take, handle, again, until there are no more."""
        while (item := self.queue.get()) is not None:
            try:
                self.handle(item)
            except Exception:
                log.exception("a handler went wrong; its worker goes on")

    def close(self, timeout: float) -> bool:
        """Finish what was taken, within `timeout` seconds in all; whether that was everything."""
        until_s = time.monotonic() + timeout
        self.queue.close()
        for thread in self.threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    def __len__(self) -> int:
        return len(self.queue)


class Backend(LearnersPool):
    """The pool as a server of the lab."""

    name, pool_class = "solved-pool", Pool
