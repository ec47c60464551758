"""A pool without a fault, for the tests of what examines pools."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class Pool:
    """`workers` threads hand what is submitted to `handle`; at most `size` wait."""

    def __init__(self, workers: int, size: int, handle: Callable[[Any], None]) -> None:
        self.size, self.handle = size, handle
        self.queue: deque[Any] = deque()
        self.changed, self.closing = threading.Condition(), False
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def submit(self, connection: Any) -> bool:
        """Take one, or say at once that there is no room."""
        with self.changed:
            if len(self.queue) >= self.size:
                return False
            self.queue.append(connection)
            self.changed.notify()
        return True

    def work(self) -> None:
        """Each worker: the next one, until there are no more."""
        while (connection := self.take()) is not None:
            try:
                self.handle(connection)  # outside of the lock
            except Exception:
                log.exception("a handler went wrong; its worker goes on")

    def take(self) -> Any:
        """Wait for one; None means that there will be no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.queue or self.closing)
            return self.queue.popleft() if self.queue else None

    def close(self, timeout: float) -> bool:
        """Finish what is queued, within `timeout` seconds in all; whether that was everything."""
        until_s = time.monotonic() + timeout
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    def __len__(self) -> int:
        return len(self.queue)
