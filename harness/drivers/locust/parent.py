"""What the lab that started a Locust process has of it: lines to and fro, its end with the lab's,
and the request log, written as the rows of its processes come in."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable

import gevent
import msgspec
from gevent.os import tp_read
from gevent.queue import Queue

from harness.drivers import request_log as L
from harness.drivers.locust.config import ROW, Stopped, next_due_ns
from harness.drivers.open_loop.worker import Summary


class ParentChannel:
    """Reads standard input from now on; when that ends, so does this process, whatever it does.
    `leave`: what it does before."""

    def __init__(self) -> None:
        self.leave: Callable[[], None] = lambda: None
        self._lines: Queue[bytes] = Queue()
        gevent.spawn(self._listen)

    def _listen(self) -> None:
        unread = b""
        while data := tp_read(0, 65_536):
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                self._lines.put(line)
        try:
            self.leave()
        finally:
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


class LogWriter:
    """Writes the request log as rows come in. `interval_ns`: between two requests of a user."""

    def __init__(self, fd: int, interval_ns: int) -> None:
        log = L.RequestLog.attach(fd)
        self._header, self._rows = log.header, log.rows
        self._columns = [log.column(c) for c in (L.CLIENT, L.INTENDED, L.SENT, L.CONNECTED,
                                                    L.ENDED, L.CODE, L.ALLOWED)]  # fmt: skip
        self._interval_ns = interval_ns
        self._due_ns: dict[int, int] = {}
        self.written = 0

    def open(self, start_ns: int) -> None:
        """The window has begun."""
        self._header[L.START_NS] = start_ns

    def add(self, rows: bytes, first_client: int) -> None:
        """Rows of a `Window` whose users come after `first_client` others."""
        values = array("q", rows)
        for place in range(0, len(values), ROW):
            user, intended_ns, sent_ns, connected_ns, ended_ns, code = values[place : place + ROW]
            client = first_client + user
            self._write(client, intended_ns, sent_ns, connected_ns, ended_ns, code)
            self._due_ns[client] = next_due_ns(intended_ns, ended_ns, self._interval_ns)

    def add_lost(self, clients: range, users: int, duration_s: float) -> int:
        """How many requests these clients of `users` were still to send, as far as is known."""
        before, code = self.written, L.UNSENT + L.DETAIL * L.UNSENT_WORKER_LOST
        for client in clients:
            first_ns = client * (self._interval_ns // users)
            for due_ns in range(self._due_ns.get(client, first_ns), int(duration_s * 1e9),
                                self._interval_ns):  # fmt: skip
                self._write(client, due_ns, L.NOT_YET, L.NOT_YET, L.NOT_YET, code)
        return self.written - before

    def _write(self, client: int, intended_ns: int, *rest: int) -> None:
        at = self.written
        if at == self._rows:
            raise Stopped("there were more requests than the users could have sent")
        # A closed loop: what is due while its user waits is due when it is free.
        for column, value in zip(
            self._columns, (client, intended_ns, *rest, intended_ns), strict=True
        ):
            column[at] = value
        self.written = at + 1
        self._header[L.CURSOR] = self._header[L.ROWS] = self.written
