from __future__ import annotations

import pytest

from harness.drivers import request_log as L
from harness.drivers.response import classify

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKS = b'5\r\n{"acc\r\nA\r\nepted": 1}\r\n0\r\n\r\n'
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"accepted": 1}'


@pytest.mark.parametrize(
    ("data", "outcome", "status", "whole"),
    [
        (OK, L.OK, 202, True),
        (OK[:-1], L.BAD_RESPONSE, 202, False),
        (OK[:30], L.BAD_RESPONSE, None, False),
        (b"", L.RESET, 0, False),
        (b"hello", L.BAD_RESPONSE, None, False),
        (OK.replace(b"HTTP/1.1", b"HTTQ/1.1"), L.BAD_RESPONSE, None, False),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", L.REJECTED, 503, True),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", L.REJECTED, 429, True),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", L.HTTP_ERROR, 500, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", L.HTTP_ERROR, 200, True),
        (b"HTTP/1.0 202 OK\r\n\r\nuntil the end", L.OK, 202, True),
        # Issue 12, point 14: a chunked answer that is cut, and a cut one behind an interim one.
        (CHUNKED, L.OK, 202, True),
        *((CHUNKED[:-cut], L.BAD_RESPONSE, 202, False) for cut in range(1, len(CHUNKS) + 1)),
        (CONTINUE + OK, L.OK, 202, True),
        (CONTINUE + CONTINUE + CHUNKED, L.OK, 202, True),
        *((CONTINUE + OK[:-cut], L.BAD_RESPONSE, None, False) for cut in range(1, len(OK) + 1)),
        (CONTINUE[:-1], L.BAD_RESPONSE, None, False),
        (b"HTTP/1.1 204 No\r\n\r\n", L.HTTP_ERROR, 204, True),
    ],
)
def test_bytes_up_to_the_end_become_one_outcome(
    data: bytes, outcome: int, status: int | None, whole: bool
) -> None:
    code, is_whole = classify(data)
    assert (code % L.DETAIL, is_whole) == (outcome, whole)
    if status is not None:
        assert code // L.DETAIL == status
