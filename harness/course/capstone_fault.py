"""The release of notebook 8, with its fault. Whoever takes the course should not read on."""

from __future__ import annotations

from pathlib import Path

_RELEASE = '''\
"""The new release."""

import threading
import time

from servers.thread_pool import ThreadPoolBackend


class CarefulLimiter:
    """Looks at a client's rate more carefully than before: one thread at a time."""

    def __init__(self, limiter):
        self._limiter = limiter
        self._lock = threading.Lock()

    def __getattr__(self, name):
        return getattr(self._limiter, name)

    def wait_s(self, client):
        with self._lock:
            time.sleep(0.001)  # "to be fair to the others"
            return self._limiter.wait_s(client)


class Backend(ThreadPoolBackend):
    name = "release"

    def __init__(self, options, path, telemetry):
        path._limiter = CarefulLimiter(path._limiter)
        super().__init__(options, path, telemetry)
'''


def write_release(path: str) -> None:
    """Write the release's file where the notebook is."""
    Path(path).write_text(_RELEASE, encoding="utf-8")
