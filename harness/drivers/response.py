"""Classifies a response: bytes up to the end of a connection, to an outcome."""

from __future__ import annotations

import httptools

from harness.drivers import request_log as L

REJECTIONS = (429, 503)
_INTERIM = (b"HTTP/1.1 1", b"HTTP/1.0 1")


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
