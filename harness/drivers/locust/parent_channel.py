"""Whoever started a Locust process: lines from it, and the process's end with it."""

from __future__ import annotations

import os
import sys

import gevent
import msgspec
from gevent.os import tp_read
from gevent.queue import Queue

from harness.drivers.open_loop.worker import Summary


class ParentChannel:
    """Reads standard input from now on; when that ends, so does this process, whatever it does."""

    def __init__(self) -> None:
        self._lines: Queue[bytes] = Queue()
        gevent.spawn(self._listen)

    def _listen(self) -> None:
        unread = b""
        while data := tp_read(0, 65_536):
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                self._lines.put(line)
        os._exit(1)

    def line(self) -> bytes:
        """The next line; waits for it."""
        line: bytes = self._lines.get()
        return line

    def say_warm(self) -> None:
        """The warm-up is over; returns when the window may begin."""
        print("warm", flush=True)
        self.line()

    def say(self, summary: Summary) -> None:
        """The last line."""
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
        sys.stdout.flush()
