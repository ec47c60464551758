"""Small real servers that a test starts by command, each odd in its own way.

`python any_server.py BEHAVIOUR PORT`. They know nothing of the lab.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
LARGE = 1 << 20


class _Good(BaseHTTPRequestHandler):
    """202 to `POST /metrics`, 200 to `GET /healthz`, else 404. Closes first, as HTTP/1.0 does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(202 if self.path == "/metrics" else 404)

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/healthz" else 404)

    def _answer(self, status: int) -> None:
        body = b'{"accepted": 1}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None: ...


class _Backlogged(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


def make_good(port: int = 0) -> ThreadingHTTPServer:
    """A server that answers as ours do; listening, and not yet served."""
    return _Backlogged(("127.0.0.1", port), _Good)


def good(port: int) -> None:
    make_good(port).serve_forever()


def answering(
    answer: bytes,
    then: Callable[[socket.socket], None],
    listening: Callable[[], None] = lambda: None,
) -> Callable[[int], None]:
    """Read a request, say `answer`, and deal with the connection. `listening` is called once."""

    def serve(port: int) -> None:
        with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
            listening()
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=treat, args=(connection,), daemon=True).start()

    def treat(connection: socket.socket) -> None:
        try:
            if connection.recv(65536):
                connection.sendall(answer)
                then(connection)
        except OSError:
            pass
        connection.close()

    return serve


def until_closed(connection: socket.socket) -> None:
    """Hang on to it until the other side closes."""
    while connection.recv(4096):
        pass


def at_once(connection: socket.socket) -> None:
    """Leave it to be closed."""


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def exits(port: int) -> None:
    print("first line")
    sys.exit("\x1b[31mno database at 10.0.0.9\x1b[0m")


def never_listens(port: int) -> None:
    print("loading", flush=True)
    signal.pause()


def elsewhere(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        signal.pause()


def from_environment(port: int) -> None:
    good(int(os.environ["PORT"]))


def goes_away(port: int) -> None:
    """Go on in the background, as daemons do."""
    if os.fork() == 0:
        os.setsid()
        good(port)
    os._exit(0)


def stubborn(port: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    good(port)


def loud(port: int) -> None:
    """Print more than anybody keeps, then serve."""
    line = b"x" * 99_999 + b"\n"
    for _ in range(1000):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    good(port)


def dies(port: int) -> None:
    """Answer a few, then end."""
    threading.Thread(target=good, args=(port,), daemon=True).start()
    time.sleep(2.0)
    print("out of memory", flush=True)
    os._exit(3)


def forgets(port: int) -> None:
    """Answer well when started for the first time; each time after that, 404 to everything."""
    started_before = Path(os.environ["MARKER"])
    behaviour = "not-found" if started_before.exists() else "good"
    started_before.touch()
    BEHAVIOURS[behaviour](port)


BEHAVIOURS: dict[str, Callable[[int], None]] = {
    "good": good,
    "hangs-on": answering(ANSWER, until_closed),
    "chunked": answering(
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        until_closed,
    ),
    "continue": answering(b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, until_closed),
    "http10": answering(b"HTTP/1.0 202 Accepted\r\n\r\nuntil the end", at_once),
    "large": answering(
        b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE), until_closed
    ),
    "not-found": answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", at_once),
    "redirects": answering(
        b"HTTP/1.1 301 Moved\r\nLocation: /v2/metrics\r\nContent-Length: 0\r\n\r\n", at_once
    ),
    "fine": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", at_once),
    "tls": answering(b"\x15\x03\x01\x00\x02\x02\x16", at_once),
    "http2": answering(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", at_once),
    "silent": answering(b"", at_once),
    "resets": answering(b"", reset),
    "babbles": answering(b"\x1b[31mhello\r\n\r\n", at_once),
    "exits": exits,
    "never-listens": never_listens,
    "elsewhere": elsewhere,
    "from-environment": from_environment,
    "goes-away": goes_away,
    "stubborn": stubborn,
    "loud": loud,
    "dies": dies,
    "forgets": forgets,
}

if __name__ == "__main__":
    BEHAVIOURS[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 0)
