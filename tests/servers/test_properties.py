"""Arbitrary and nearly valid bytes, cut and delayed anywhere: an answer or a close, never more."""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.serving import (
    BACKENDS,
    RunningServer,
    connect,
    exchange,
    metric_request,
    parse_answer,
    servers,
)

GOOD = metric_request()
TOKENS = st.sampled_from(
    [
        b"GET", b"POST", b"HEAD", b" ", b"/metrics", b"/healthz", b"*", b" HTTP/1.1", b" HTTP/1.0",
        b" HTTP/2.0", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: a", b"Host:", b":",
        b"Content-Length: ", b"Content-Length: 5", b"Content-Length: 99999999", b"-1", b"0",
        b"Transfer-Encoding: chunked", b"2\r\n{}\r\n", b"0\r\n\r\n", b"Expect: 100-continue",
        b"Connection: upgrade\r\nUpgrade: h2c", b"{", b"}", b'{"name":"a","value":1}', b"[", b"]",
        b"\x00", b"\xff", b"\t", b"X-Client-Id: ", b"a" * 5000,
    ]
)  # fmt: skip
NEARLY = st.lists(TOKENS, max_size=30).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request with some bytes changed, taken out or put in."""
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        kind = draw(st.sampled_from(["change", "remove", "insert", "double"]))
        if kind == "change":
            data[place] = draw(st.integers(0, 255))
        elif kind == "remove":
            del data[place : place + draw(st.integers(1, 5))]
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        else:
            data[place:place] = data[place : place + 20]
        if not data:
            break
    return bytes(data)


@pytest.fixture(scope="module", params=BACKENDS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with servers() as start:
        yield start(request.param, "--rate-limit=0", "--request-deadline=60")


def send_in_pieces(sock: socket.socket, data: bytes, cuts: list[int]) -> None:
    """Send with a cut at each place; the server may have closed long before the end."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for first, last in itertools.pairwise(places):
        try:
            sock.sendall(data[first:last])
        except (BrokenPipeError, ConnectionResetError):
            return
        # A moment for the server to take the piece by itself, over at once when it answers.
        select.select([sock], [], [], 0.001)


def read_all(sock: socket.socket) -> bytes:
    raw = b""
    try:
        while data := sock.recv(65536):
            raw += data
    except ConnectionResetError:
        pass
    return raw


@given(
    data=st.one_of(st.binary(max_size=400), NEARLY, damaged()),
    cuts=st.lists(st.integers(0, 10_000), max_size=4),
)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_comes_it_answers_in_http_or_closes_and_still_serves(
    server: RunningServer, data: bytes, cuts: list[int]
) -> None:
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send_in_pieces(sock, data, cuts)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed already
        raw = read_all(sock)
    while raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
        raw = raw.partition(b"\r\n\r\n")[2]
    if raw and not raw.endswith(b"\r\n\r\n"):  # an answer to HEAD has a length and no body
        assert parse_answer(raw).status in (200, 202, 400, 404, 405, 413, 422, 431)
    assert exchange(server.port, GOOD).status == 202


def test_after_all_of_it_no_handler_has_raised_and_the_counts_agree(server: RunningServer) -> None:
    counters = server.reconciled()
    assert counters.handler_errors == 0
    assert counters.abandoned == 0
