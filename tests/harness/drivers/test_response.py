"""Responses are classified by the end of the connection, or by their own framing, however they are
cut into pieces."""

from __future__ import annotations

import pytest

from harness.drivers import request_log as L
from harness.drivers.response import ResponseReader, classify

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKS = b'5\r\n{"acc\r\nA\r\nepted": 1}\r\n0\r\n\r\n'
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"accepted": 1}'
IN_CHUNKS = b'HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"acc\r\n1\r\n}\r\n0\r\n\r\n'
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
TO_THE_END = b"HTTP/1.0 202 Accepted\r\n\r\nuntil the end"


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


def read(data: bytes, size: int, expected: tuple[int, ...] = (202,), head: bool = False) -> int:
    """The code of a response that comes in pieces of `size` bytes, and then the end; -1 where it
    was over before its last byte."""
    reader = ResponseReader(expected, head)
    for start in range(0, len(data), size):
        if reader.feed(data[start : start + size]):
            return reader.code if start + size >= len(data) else -1
    reader.end()
    return reader.code


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "outcome", "status"),
    [
        (OK, L.OK, 202),
        (IN_CHUNKS, L.OK, 202),
        (INTERIM[0] + OK, L.OK, 202),
        (INTERIM[1] + INTERIM[0] + IN_CHUNKS, L.OK, 202),
        (TO_THE_END, L.OK, 202),
        (b"HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n", L.OK, 202),
        (b"HTTP/1.1 202 A\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, L.OK, 202),
        (b"HTTP/1.1 204 None\r\n\r\n", L.HTTP_ERROR, 204),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", L.REJECTED, 503),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", L.REJECTED, 429),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", L.HTTP_ERROR, 404),
    ],
)
def test_its_last_byte_is_its_end(data: bytes, outcome: int, status: int, size: int) -> None:
    if size == 1 and len(data) > 1000:
        size = 1000
    assert read(data, size) == outcome + L.DETAIL * status


@pytest.mark.parametrize("data", [OK, IN_CHUNKS, INTERIM[0] + OK])
def test_one_that_is_cut_short_anywhere_is_bad(data: bytes) -> None:
    for cut in range(1, len(data)):
        assert read(data[:-cut], 10_000) % L.DETAIL == L.BAD_RESPONSE


def test_nothing_at_all_is_a_reset_and_what_is_no_http_is_bad_at_once() -> None:
    assert read(b"", 1) == L.RESET
    assert ResponseReader((202,)).feed(b"SSH-2.0-OpenSSH_9.6\r\n")
    assert read(b"SSH-2.0-OpenSSH_9.6\r\n", 100) == L.BAD_RESPONSE


def test_a_status_that_is_expected_is_ok_whatever_it_is() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    assert read(answer, 9, expected=(200, 503)) == L.OK + L.DETAIL * 503
    assert read(OK, 9, expected=(200,)) == L.HTTP_ERROR + L.DETAIL * 202


def test_an_answer_to_a_head_ends_with_its_head() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    assert read(answer, 9, expected=(200,), head=True) == L.OK + L.DETAIL * 200
    assert read(answer, 9, expected=(200,)) == L.BAD_RESPONSE + L.DETAIL * 200


def test_a_change_of_protocol_is_no_answer() -> None:
    answer = b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    assert read(answer, 10_000) % L.DETAIL == L.BAD_RESPONSE


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (OK, True),
        (CHUNKED, True),
        (CONTINUE + OK, True),
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (OK.replace(b"\r\nC", b"\r\nConnection: close\r\nC"), False),
        (OK.replace(b"\r\nC", b"\r\nConnection: Upgrade, Close\r\nC"), False),
        (OK.replace(b"\r\nC", b"\r\nConnection: Upgrade\r\nC"), True),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (b"HTTP/1.0 202 A\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", True),
        (OK[:-1], False),
        (OK + b"x", False),
        (OK + OK, False),
        (TO_THE_END, False),
        (TO_THE_END.replace(b"1.0", b"1.1"), False),
        (b"this is not HTTP", False),
        (b"", False),
    ],
)
def test_a_connection_stays_after_a_response_that_ends_by_itself(data: bytes, stays: bool) -> None:
    reader = ResponseReader((202,))
    if not data or not reader.feed(data):
        reader.end()
    assert reader.stays is stays
