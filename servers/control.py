"""The control port: the server's own report as JSON, and for Prometheus.

GET  /report    everything, stage times included
GET  /sample    the light report, for asking ten times a second
POST /window    begin a measured window: forget peaks and stage times; answers with the report
POST /restart   end, drained, and start afresh on the same ports; only with --allow-restart
GET  /metrics   Prometheus text format

On loopback everybody on the machine may ask, but no page of a browser (`servers.access`): what
changes something needs `X-Lab-Control: 1`, and so does /sample, which begins a new step. Beyond
loopback a token is needed with each request: `Authorization: Bearer` and what LABRUN_TOKEN was in
the server's environment.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from http import HTTPStatus

import httptools
import msgspec

from servers.access import Access
from servers.problem import PROBLEM_TYPE, Problem

log = logging.getLogger("servers")

# What answers a request: (method, path, body) -> (status, content type, body)
Respond = Callable[[bytes, bytes, bytes], tuple[int, str, bytes]]

_MAX_REQUEST_BYTES = 16 * 1024
# The sampler sends exactly this, over one kept connection; parsing it ten times a second would
# cost the server more than answering it. No browser can: it would add headers. Unchanged since the
# first version, so that servers of older commits cost as little.
SAMPLE_REQUEST = b"GET /sample HTTP/1.1\r\nHost: control\r\n\r\n"


class ControlConnection:
    """One kept connection to the control port. Housekeeping thread only.

    `access` says who is answered; `trusted` is whether this one has been, so that who only connects
    cannot keep others out.
    """

    def __init__(self, sock: socket.socket, respond: Respond, access: Access) -> None:
        self.trusted = False
        self._sock = sock
        self._respond = respond
        self._access = access
        self._begin()

    def _begin(self) -> None:
        """Ready for the next request."""
        self._url = b""
        self._body = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._received = 0
        self._complete = False
        self._keep = False
        self._parser = httptools.HttpRequestParser(self)

    def readable(self) -> bool:
        """Take in what has come and answer it; False when the connection is to be closed."""
        try:
            data = self._sock.recv(_MAX_REQUEST_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data == SAMPLE_REQUEST and self._received == 0 and self._access.token is None:
            return self._answer(b"GET", b"/sample", b"", keep=True)
        self._received += len(data)
        if not data or self._received > _MAX_REQUEST_BYTES:
            return False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        if not self._complete:
            return True
        keep = self._keep
        method, path = self._parser.get_method(), self._url.partition(b"?")[0]
        sent = self._body
        try:
            self._access.check(method, path, self._headers, self._sock.getsockname()[0])
        except Problem as problem:
            lines = "".join(f"{name}: {value}\r\n" for name, value in problem.headers)
            self._send(problem.status, PROBLEM_TYPE, problem.body(), False, lines)
            return False
        self._begin()
        return self._answer(method, path, sent, keep)

    def _answer(self, method: bytes, path: bytes, sent: bytes, keep: bool) -> bool:
        self.trusted = True
        try:
            status, content_type, body = self._respond(method, path, sent)
        except Exception:  # a backend's own gauges are asked here; the thread must outlive them
            log.exception("the control port could not answer %r", path)
            status, content_type, body = 500, "text/plain", b"see the server's log\n"
        return self._send(status, content_type, body, keep) and keep

    def _send(
        self, status: int, content_type: str, body: bytes, keep: bool, header: str = ""
    ) -> bool:
        """False when the client did not take it."""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{header}"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self._sock.settimeout(1.0)  # a report is small; whoever does not take it is cut off
        try:
            self._sock.sendall(head.encode("ascii") + body)
        except OSError:
            return False
        self._sock.setblocking(False)
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep = self._parser.should_keep_alive()  # it knows until the next message begins


def encode(record: msgspec.Struct) -> bytes:
    """A record as JSON."""
    return msgspec.json.encode(record)
