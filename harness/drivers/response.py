"""From the bytes of a response to an outcome of the request log.

Our own servers close first, so the end of the connection is enough for them (`classify`); another
server may do as it likes, and its response ends by its own framing, as it comes in
(`ResponseReader`): with its last byte by Content-Length or with its last chunk, or, where it names
neither, with the connection. Interim answers (1xx) are no end.
"""

from __future__ import annotations

from collections.abc import Collection

import httptools

from harness.drivers import request_log as L

REJECTIONS = (429, 503)
_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")
_SWITCHING_PROTOCOLS = 101


class _Collector:
    """Callbacks of the response parser."""

    def __init__(self) -> None:
        self.complete = False

    def on_message_complete(self) -> None:
        self.complete = True


def classify(data: bytes) -> tuple[int, bool]:
    """(code, whole) of everything that came in before the server closed.

    The code is outcome + 16 x status as in the request log. Nothing at all is `reset`: the server
    closed without an answer. What is not HTTP, or ends before its own end, is `bad_response`:
    before its Content-Length or its last chunk is there, or after an interim answer (1xx) alone.
    """
    if not data:
        return L.RESET, False
    while data.startswith(_INTERIM):
        data = data.partition(b"\r\n\r\n")[2]
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(data)
        status = parser.get_status_code()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return L.BAD_RESPONSE, False
    if not collector.complete:
        head, end, _ = data.partition(b"\r\n\r\n")
        if not end:
            return L.BAD_RESPONSE, False
        head = head.lower()
        if b"\r\ncontent-length:" in head or b"\r\ntransfer-encoding:" in head:
            return L.BAD_RESPONSE + L.DETAIL * status, False
    if status == 202:
        return L.OK + L.DETAIL * status, True
    outcome = L.REJECTED if status in REJECTIONS else L.HTTP_ERROR
    return outcome + L.DETAIL * status, True


class ResponseReader:
    """Reads one response. `expected`: the statuses that are `ok`; `head`: it answers a HEAD, so it
    has no body whatever it says."""

    def __init__(self, expected: Collection[int], head: bool = False) -> None:
        self._expected = expected
        self._head = head
        self._parser = httptools.HttpResponseParser(self)
        self._begun = self._headers = self._framed = self._whole = self._broken = False
        self._stays: bool | None = None  # as it says itself
        self._spoilt = False
        self._status = 0

    @property
    def status(self) -> int:
        """The status; 0 before the head is whole."""
        return self._status

    @property
    def stays(self) -> bool:
        """Of a response that is over: whether its connection can carry another. It ended by its own
        framing and nothing came behind it, and its server does not close (RFC 9112, 9.3)."""
        if not self._whole or self._broken or self._spoilt:
            return False
        said = self._stays
        return self._parser.get_http_version() == "1.1" if said is None else said

    @property
    def code(self) -> int:
        """Outcome + 16 x status, as in the request log, of what is whole by now or never will be:
        `reset` where nothing came, `bad_response` where it is not HTTP or was cut short."""
        if not self._begun:
            return L.RESET
        if self._broken or not self._whole:
            return L.BAD_RESPONSE + L.DETAIL * self._status
        if self._status in self._expected:
            return L.OK + L.DETAIL * self._status
        outcome = L.REJECTED if self._status in REJECTIONS else L.HTTP_ERROR
        return outcome + L.DETAIL * self._status

    def feed(self, data: bytes) -> bool:
        """Take what came in; whether the response is over, whole or beyond hope."""
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = True
        except httptools.HttpParserError:
            self._broken = not self._whole  # what follows a whole response is none of it
            self._spoilt = True
        return self._whole or self._broken

    def end(self) -> None:
        """The connection is over."""
        self._spoilt = True
        if self._headers and not self._framed:
            self._whole = True

    # ---- called by the parser ----

    def on_message_begin(self) -> None:
        if self._whole:
            self._spoilt = True
        else:
            self._headers = self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._whole:
            return
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
        elif name == b"connection":
            options = [option.strip() for option in value.lower().split(b",")]
            if b"close" in options:
                self._stays = False
            elif b"keep-alive" in options and self._stays is None:
                self._stays = True

    def on_headers_complete(self) -> None:
        if self._whole:
            return
        self._status = self._parser.get_status_code()
        self._headers = self._status >= 200
        if self._headers and self._head:
            self._whole = True

    def on_message_complete(self) -> None:
        if self._status >= 200 or self._status == _SWITCHING_PROTOCOLS:
            self._whole = True
