"""The engine against real sockets: every scheduled request ends in exactly one outcome.

On a machine that stands still for a moment requests are late, so timeouts are long where nothing is
to time out, and where something is, what was too late to be sent is counted with it.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import numpy as np
import pytest

from harness.drivers import request_log as L
from harness.measure.request_rows import Rows

Serve = Callable[[socket.socket], None]
Drive = Callable[..., Rows]
ServeWith = Callable[[Serve], int]
PATIENCE_S = 20.0
OK = b'HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{"accepted": 1}'


def outcomes(rows: Rows) -> dict[str, int]:
    values, counts = np.unique(rows.outcome, return_counts=True)
    return {L.OUTCOME_NAMES[value]: int(n) for value, n in zip(values, counts, strict=True)}


def answering(answer: bytes) -> Serve:
    def treat(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    return treat


def resetting(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("own_cpu", [True, False], ids=["spinning", "sleeping"])
def test_every_request_that_is_answered_is_ok_and_its_times_are_in_order(
    drive: Drive, serve_with: ServeWith, own_cpu: bool
) -> None:
    rows = drive(serve_with(answering(OK)), own_cpu=own_cpu, timeout_s=PATIENCE_S)
    assert outcomes(rows) == {"ok": len(rows.code)}
    assert (rows.allowed == rows.intended).all()
    assert (rows.sent >= rows.allowed).all()
    assert (rows.connected >= rows.sent).all()
    assert (rows.ended >= rows.connected).all()
    assert set(rows.detail.tolist()) == {202}


@pytest.mark.parametrize(
    ("treat", "expected"),
    [
        (answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "rejected"),
        (answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), "http_error"),
        (answering(b"this is not HTTP"), "bad_response"),
        (answering(OK[:-3]), "bad_response"),
        (answering(b""), "reset"),
        (resetting, "reset"),
    ],
    ids=["503", "404", "not HTTP", "cut short", "closed", "reset"],
)
def test_each_way_of_failing_has_its_outcome(
    drive: Drive, serve_with: ServeWith, treat: Serve, expected: str
) -> None:
    rows = drive(serve_with(treat), timeout_s=PATIENCE_S)
    assert outcomes(rows) == {expected: len(rows.code)}


def test_a_port_on_which_nobody_listens_refuses(drive: Drive, closed_port: int) -> None:
    rows = drive(closed_port, timeout_s=PATIENCE_S)
    assert outcomes(rows) == {"refused": len(rows.code)}
    assert (rows.sent >= 0).all()


def test_a_server_that_never_answers_times_out_after_the_timeout(
    drive: Drive, serve_with: ServeWith
) -> None:
    held: list[socket.socket] = []
    rows = drive(serve_with(held.append), timeout_s=0.2)
    for connection in held:
        connection.close()
    in_time = rows.code != L.UNSENT + L.DETAIL * L.UNSENT_LATE
    assert in_time.any()
    assert (rows.outcome[in_time] == L.TIMEOUT).all()
    assert ((rows.ended - rows.allowed)[in_time] >= 200_000_000).all()


def test_what_the_cap_on_flight_refuses_is_unsent_and_named(
    drive: Drive, serve_with: ServeWith
) -> None:
    held: list[socket.socket] = []
    rows = drive(serve_with(held.append), timeout_s=0.8, max_in_flight=5)
    for connection in held:
        connection.close()
    counts = outcomes(rows)
    assert counts["timeout"] + counts["unsent"] == len(rows.code)
    assert counts["timeout"] >= 5
    assert rows.in_flight_max == 5
    unsent = rows.outcome == L.UNSENT
    assert L.UNSENT_IN_FLIGHT in rows.detail[unsent]
    assert set(rows.detail[unsent].tolist()) <= {L.UNSENT_IN_FLIGHT, L.UNSENT_LATE}
    assert (rows.sent[unsent] == L.NOT_YET).all()


def test_an_overflowing_backlog_shows_as_timeouts_or_late_answers_not_as_errors(
    drive: Drive,
) -> None:
    # Nobody accepts: the kernel completes two connections (backlog 1) and drops further SYNs.
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        rows = drive(listener.getsockname()[1], timeout_s=0.5)
    assert outcomes(rows).keys() <= {"timeout", "unsent"}
    timed_out = rows.outcome == L.TIMEOUT
    assert ((rows.connected >= 0) & timed_out).sum() <= 2
    assert ((rows.connected < 0) & timed_out).any()


def test_in_a_closed_loop_each_client_has_one_request_in_flight(
    drive: Drive, serve_with: ServeWith
) -> None:
    lock, served = threading.Lock(), threading.Semaphore(0)

    def slowly(connection: socket.socket) -> None:
        with connection, lock:
            connection.recv(4096)
            served.acquire(timeout=0.02)  # never released: 20 ms for each request, one at a time
            connection.sendall(OK)

    rows = drive(serve_with(slowly), rps=100, clients=3, closed_loop=True, timeout_s=PATIENCE_S)
    assert outcomes(rows) == {"ok": len(rows.code)}
    for client in range(3):
        mine = np.flatnonzero(rows.client == client)
        mine = mine[np.argsort(rows.sent[mine])]
        assert (rows.sent[mine][1:] >= rows.ended[mine][:-1]).all()
    # The server is slower than the schedule: clients are held up, and that is not called lag.
    held_up = rows.allowed > rows.intended
    assert held_up.sum() > len(rows.code) // 2
    response, service = rows.ended - rows.intended, rows.ended - rows.sent
    assert response.mean() > 2 * service.mean()


def test_in_a_closed_loop_a_server_that_is_gone_ends_every_request_without_recursion(
    drive: Drive, closed_port: int
) -> None:
    rows = drive(closed_port, rps=6000, clients=1, closed_loop=True, timeout_s=PATIENCE_S)
    assert outcomes(rows).keys() <= {"refused"}
    assert len(rows.code) > 1500
