"""A token bucket for each client, in a bounded table under one lock."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CLIENTS = 10_000  # least recently seen go first; a forgotten client starts with a full bucket


class TokenBuckets:
    """Lets each client have `rate_per_s` requests a second, in bursts of as many.

    Any thread may call any method. The lock is the one that all threads of either backend
    compete for: the design document's "contention" is here.
    """

    def __init__(
        self,
        rate_per_s: int,
        max_clients: int = MAX_CLIENTS,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._rate_per_ns = rate_per_s / 1e9
        self._burst = float(rate_per_s)
        self._max_clients = max_clients
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        # client -> [tokens, when they were counted in ns], least recently seen first
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, client: str) -> float:
        """Take a token of `client`: 0.0, or the seconds until it will have one."""
        if self._burst == 0:
            return 0.0
        with self._lock:
            now_ns = self._clock_ns()
            bucket = self._buckets.get(client)
            if bucket is None:
                self._make_room()
                self._buckets[client] = [self._burst - 1.0, now_ns]
                return 0.0
            self._buckets.move_to_end(client)
            refilled = bucket[0] + (now_ns - bucket[1]) * self._rate_per_ns
            tokens = min(self._burst, refilled)
            bucket[1] = now_ns
            if tokens >= 1.0:
                bucket[0] = tokens - 1.0
                return 0.0
            bucket[0] = tokens
            return (1.0 - tokens) / self._rate_per_ns / 1e9

    def _make_room(self) -> None:
        while len(self._buckets) >= self._max_clients:
            self._buckets.popitem(last=False)
