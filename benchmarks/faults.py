"""Clients that misbehave, each in its own way: what the soak mixes with its good load.

A fault is a function of a server's port; it returns when its connection is closed. Fast faults
take a millisecond, slow ones hold a thread of the server until its deadline.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable

Fault = Callable[[int], None]

_HEAD = b"POST /metrics HTTP/1.1\r\nHost: soak\r\nX-Client-Id: fault\r\n"
_GOOD = _HEAD + b"Content-Length: 27\r\n\r\n" + b'{"name":"a.b","value":0.25}'
_TIMEOUT_S = 30.0  # more than any server's deadline: a fault that meets it found a server hanging


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)


def _say(port: int, data: bytes) -> None:
    """Send `data`, read to the end."""
    with _connect(port) as sock:
        sock.sendall(data)
        while sock.recv(65536):
            pass


def no_http(port: int) -> None:
    """Bytes that are no HTTP."""
    _say(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")


def no_json(port: int) -> None:
    """A body that is no JSON."""
    _say(port, _HEAD + b"Content-Length: 4\r\n\r\n{'a'")


def no_metric(port: int) -> None:
    """JSON that is no metric."""
    _say(port, _HEAD + b"Content-Length: 13\r\n\r\n" + b'{"name": "1"}')


def two_lengths(port: int) -> None:
    """What request smuggling lives on."""
    _say(port, _HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def long_headers(port: int) -> None:
    """Headers over their limit."""
    _say(port, _HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n")


def large_body(port: int) -> None:
    """A body over its limit, sent for as long as the server lets it."""
    _say(port, _HEAD + b"Content-Length: 1200000\r\n\r\n" + b" " * 1_200_000)


def endless_chunk_extension(port: int) -> None:
    """A chunk whose extension never ends."""
    with _connect(port) as sock:
        try:
            sock.sendall(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 3_000_000)
        except ConnectionError:
            pass  # the server has said no and closed, as it should


def half_close(port: int) -> None:
    """Half a request, then no more."""
    with _connect(port) as sock:
        sock.sendall(_GOOD[:60])
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def reset(port: int) -> None:
    """Half a request, then a reset."""
    with _connect(port) as sock:
        sock.sendall(_GOOD[:60])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(port: int) -> None:
    """Connect and leave."""
    _connect(port).close()


def deaf(port: int) -> None:
    """A good request, whose answer nobody reads."""
    with _connect(port) as sock:
        sock.sendall(_GOOD)


def never_sends(port: int) -> None:
    """Connect, and wait for the server to lose patience."""
    _say(port, b"")


def trickle(port: int) -> None:
    """A byte at a time, until the server loses patience."""
    with _connect(port) as sock:
        sock.settimeout(0.2)
        end_s = time.monotonic() + _TIMEOUT_S
        for byte in _GOOD:
            sock.send(bytes([byte]))
            try:
                sock.recv(65536)
            except TimeoutError:
                if time.monotonic() > end_s:
                    raise
            else:
                return


_FAST_CLIENTS = 8
FAST: tuple[Fault, ...] = (
    no_http, no_json, no_metric, two_lengths, long_headers, half_close, reset, silent, deaf,
)  # fmt: skip
HEAVY: tuple[Fault, ...] = (large_body, endless_chunk_extension)
SLOW: tuple[Fault, ...] = (never_sends, trickle)


class FaultyClients:
    """Threads that commit faults against one server, from `start` to `stop`.

    `per_s` fast faults a second are aimed at; a slow machine commits fewer, and `committed` says
    how many. At most `slow` clients at once hold a thread of the server, which must be fewer than
    a pool has workers: with all of them held, good requests wait for the deadline.
    """

    def __init__(self, port: int, per_s: float, slow: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self._counts: list[Counter[str]] = []
        pause_s = _FAST_CLIENTS / per_s
        plans = [
            ((*FAST, *FAST, *FAST, *FAST, HEAVY[i % len(HEAVY)]), pause_s)
            for i in range(_FAST_CLIENTS)
        ]
        plans += [((SLOW[i % len(SLOW)],), 0.0) for i in range(slow)]
        self._threads = [threading.Thread(target=self._run, args=plan) for plan in plans]

    def start(self) -> None:
        """Begin to misbehave."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client come to its end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def committed(self) -> Counter[str]:
        """How often each fault was committed; what `hung` counts found no end in time."""
        return sum(self._counts, Counter())

    def _run(self, faults: tuple[Fault, ...], pause_s: float) -> None:
        counts: Counter[str] = Counter()
        self._counts.append(counts)
        next_s = time.monotonic()
        while not self._stop.is_set():
            for fault in faults:
                try:
                    fault(self._port)
                except ConnectionError:
                    pass  # a server may well hang up on such a client
                except TimeoutError:
                    counts["hung"] += 1
                counts[fault.__name__] += 1
                # Behind schedule: no catching up in a burst, which would be another experiment.
                next_s = max(next_s + pause_s, time.monotonic() - 0.1)
                if self._stop.wait(max(0.0, next_s - time.monotonic())):
                    return
