"""The releases of notebook 8, each with its fault. Whoever takes the course should not read on."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

_HEAD = '''\
"""The new release."""

import gc
import threading
import time
from dataclasses import replace

from servers.thread_pool import ThreadPoolBackend


class Limiter:
    """Looks at a client's rate, more carefully than before."""

    def __init__(self, limiter):
        self._limiter = limiter
        self._lock = threading.Lock()
        self._calls = 0

    def __getattr__(self, name):
        return getattr(self._limiter, name)

    def wait_s(self, client):
        {wait}


class Backend(ThreadPoolBackend):
    name = "release"

    def __init__(self, options, path, telemetry):
        {made}
        path._limiter = Limiter(path._limiter)
        super().__init__(options, path, telemetry)

    def handle(self, connection):
        {handle}
'''
_AS_BEFORE = {
    "wait": "return self._limiter.wait_s(client)",
    "made": "",
    "handle": "super().handle(connection)",
}
# By name, in the order of the numbers that the recorded runs have.
FAULTS = {
    "sleep": {"wait": "time.sleep(0.002)\n        return self._limiter.wait_s(client)"},
    "garbage collector": {
        "made": "self._held = [[] for _ in range(400_000)]",
        "handle": "self._count = getattr(self, '_count', 0) + 1\n"
        "        if self._count % 40 == 0:\n            gc.collect()\n"
        "        super().handle(connection)",
    },
    "lock": {
        "wait": "with self._lock:\n            time.sleep(0.002)\n"
        "            return self._limiter.wait_s(client)"
    },
    "leak": {
        "made": "self._seen = []",
        "handle": "self._seen.append(bytearray(60_000))\n        super().handle(connection)",
    },
    "retry storm": {
        "wait": "self._calls += 1\n        for attempt in range(8):\n"
        "            if self._ask(attempt):\n                break\n"
        "        return self._limiter.wait_s(client)\n\n"
        "    def _ask(self, attempt):\n"
        "        # a quota service that does not answer; again at once, without a pause\n"
        "        until = time.perf_counter() + 0.0003\n"
        "        while time.perf_counter() < until:\n            pass\n"
        "        return attempt > self._calls % 8"
    },
    "smaller pool": {"made": "options = replace(options, workers=2)"},
}


def fault_of(seed: int | str) -> str:
    """The fault that a seed draws."""
    return list(FAULTS)[hashlib.sha256(str(seed).encode()).digest()[0] % len(FAULTS)]


def write_release(path: str | Path, fault: str) -> None:
    """Write the release with that fault."""
    text = _HEAD.format(**(_AS_BEFORE | FAULTS[fault]))
    Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for number in sys.argv[1:]:
        print(f"{number}: {fault_of(number)}")
