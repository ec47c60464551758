"""Two pools that differ in one known thing, for `benchmarks.designs --known`.

It is copied into a folder of its own, so that a server finds it and nothing else of the lab's. What
`More` does beside its work is in the environment: CPU burnt by every handler in microseconds, or
how many milliseconds one request in fifty is delayed.
"""

from __future__ import annotations

import os
import random
import time

from servers.connection import Connection
from servers.thread_pool import ThreadPoolBackend

BURN_US, DELAY_MS = "KNOWN_BURN_US", "KNOWN_DELAY_MS"
DELAYED_SHARE = 0.02


class Base(ThreadPoolBackend):
    """The same code as `More`, with nothing to do."""

    name = "known-base"
    burn_ns = 0
    delay_s = 0.0

    def handle(self, connection: Connection) -> None:
        """Burn, wait, then what the pool does."""
        end_ns = time.thread_time_ns() + self.burn_ns
        while time.thread_time_ns() < end_ns:
            pass
        if self.delay_s and random.random() < DELAYED_SHARE:
            time.sleep(self.delay_s)
        super().handle(connection)


class More(Base):
    """With the known effect."""

    name = "known-more"
    burn_ns = int(float(os.environ.get(BURN_US, "0")) * 1e3)
    delay_s = float(os.environ.get(DELAY_MS, "0")) / 1e3
