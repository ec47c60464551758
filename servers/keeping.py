"""Connections that stay: for how long without a request, and where one request ends and the next
begins (RFC 9112, 9.3). For `--connections keep-alive`; without it none of this is used.
"""

from __future__ import annotations

import re

import httptools

from servers.message import Message
from servers.problem import Problem

# Old clients send one behind a body (RFC 9112, 2.2): no request begins with it.
EMPTY_LINE = b"\r\n"
# Where the end of a chunked body may be: after an empty line, of which a read may have cut off the
# beginning.
_MAYBE_THE_END = re.compile(rb"\A\r?\n|\r\n\r\n")


class Keeping:
    """The rules for connections that stay. `idle_ns`: how long one may be without a request;
    `request_ns`: how long a request may take, from its first bytes. `closing`: set once, when the
    server is to stop: an answer then ends its connection, and who waits for no answer is let go."""

    __slots__ = ("closing", "idle_ns", "request_ns")

    def __init__(self, idle_s: float, request_s: float) -> None:
        self.idle_ns = int(idle_s * 1e9)
        self.request_ns = int(request_s * 1e9)
        self.closing = False


def feed_one(message: Message, parser: httptools.HttpRequestParser, data: bytes) -> bytes:
    """Feed `message` what was received, and no byte beyond its end; the bytes that are left. Raises
    `Problem` as `Message.feed` does."""
    message.parsing = parser  # only now: a parser holds its message, and a cycle would stay
    try:
        while data and not message.complete:
            end = _next_piece(message, data)
            message.feed(parser, data[:end])
            data = data[end:]
    except Problem:
        message.persistent = False  # nobody knows where the next one begins
        raise
    finally:
        message.parsing = None
    return data


def _next_piece(message: Message, data: bytes) -> int:
    """How many of these bytes may be fed without one beyond the end of the message."""
    if not message.headers_complete:
        return message.until_end_of_head(data)
    if not message.chunked:
        return message.body_left
    found = _MAYBE_THE_END.search(data)
    return found.end() if found else len(data)
