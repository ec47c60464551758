"""What a response means: bytes up to the end of a connection, to an outcome."""

from __future__ import annotations

import httptools

from harness.load import ledger as L

_REJECTIONS = (429, 503)


class _Collector:
    """Callbacks of the response parser."""

    def __init__(self) -> None:
        self.complete = False

    def on_message_complete(self) -> None:
        self.complete = True


def classify(data: bytes) -> tuple[int, bool]:
    """(code, whole) of everything that came in before the server closed.

    The code is outcome + 16 x status as in the ledger. Nothing at all is `reset`: the server
    closed without an answer. What is not HTTP, or shorter than its Content-Length, is
    `bad_response`.
    """
    if not data:
        return L.RESET, False
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(data)
        status = parser.get_status_code()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return L.BAD_RESPONSE, False
    if not collector.complete and b"content-length" in data.partition(b"\r\n\r\n")[0].lower():
        return L.BAD_RESPONSE + L.DETAIL * status, False
    if not collector.complete and b"\r\n\r\n" not in data:
        return L.BAD_RESPONSE, False
    if status == 202:
        return L.OK + L.DETAIL * status, True
    outcome = L.REJECTED if status in _REJECTIONS else L.HTTP_ERROR
    return outcome + L.DETAIL * status, True
