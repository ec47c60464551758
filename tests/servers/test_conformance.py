"""One corpus of raw requests, run against every backend."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.corpus import (
    GOOD_BODY,
    Case,
    check_case,
    check_final,
    converse,
    load_cases,
    parse_responses,
    post,
    read_to_end,
)
from tests.support.serving import (
    BACKENDS,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    servers,
)

CASES = load_cases()
GOOD = post(GOOD_BODY)


@pytest.fixture(scope="module", params=BACKENDS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """One server for all cases: each must leave it as it was."""
    with servers() as start:
        # A deadline of 408 is the subject of other tests.
        yield start(request.param, "--rate-limit=0", "--request-deadline=60")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_case_has_its_answer(server: RunningServer, case: Case) -> None:
    interim = len(case.statuses) - 1
    check_case(case, converse(server.port, case.writes, case.half_close, interim))


def test_after_all_that_a_good_request_is_answered_and_the_counts_agree(
    server: RunningServer,
) -> None:
    assert exchange(server.port, metric_request()).status == 202
    counters = server.reconciled()
    assert counters.handler_errors == 0
    assert "500" not in counters.answered_by_status


@pytest.mark.parametrize("cut", [1, 7, 23, 40, 60])
def test_a_request_may_come_in_pieces(server: RunningServer, cut: int) -> None:
    writes = [GOOD[start : start + cut] for start in range(0, len(GOOD), cut)]
    (response,) = parse_responses(converse(server.port, writes))
    assert check_final(response) == {"accepted": 1}


def test_a_client_that_waits_for_100_continue_gets_it(server: RunningServer) -> None:
    head, _, body = GOOD.partition(b"\r\n\r\n")
    with connect(server.port) as sock:
        sock.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        (response,) = parse_responses(read_to_end(sock))
    assert check_final(response) == {"accepted": 1}


@pytest.mark.parametrize("case", [c for c in CASES if len(c.statuses) > 1], ids=lambda c: c.name)
def test_a_machine_that_stands_still_changes_no_answer(server: RunningServer, case: Case) -> None:
    """Seen twice in the suite: the final answer came and no 100, since a server that stood still
    between two writes found the body there. Whoever waits for 100 gets it all the same."""
    server.stand_still()
    goes_on = threading.Timer(0.2, server.go_on)
    goes_on.start()
    try:
        raw = converse(server.port, case.writes, case.half_close, len(case.statuses) - 1)
    finally:
        goes_on.join()
    check_case(case, raw)


def test_a_body_that_was_not_awaited_costs_the_answer_nothing(server: RunningServer) -> None:
    """The client sends on for 1 MB after the server has answered: no reset destroys that."""
    head = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"
    with connect(server.port) as sock:
        sock.sendall(head)
        for _ in range(16):
            sock.sendall(b"x" * 65536)
        sock.shutdown(socket.SHUT_WR)
        (response,) = parse_responses(read_to_end(sock))
    assert response.status == 413


def test_a_client_over_its_rate_is_told_when_to_come_back(
    start_server: StartServer, backend: str
) -> None:
    server = start_server(backend, "--rate-limit=3")
    answers = [exchange(server.port, metric_request("greedy")) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 202]
    # A token comes back each third of a second: a machine that stands still gives some more.
    while (answer := exchange(server.port, metric_request("greedy"))).status == 202:
        pass
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert exchange(server.port, metric_request("modest")).status == 202
    assert server.reconciled().rejected_rate == 1


def test_what_a_client_sent_is_nowhere_unescaped(start_server: StartServer, backend: str) -> None:
    server = start_server(backend)
    evil = b'{"name":"a","value":1,"tags":{"\\u001b[31m\\u202e":1}}'
    answer = exchange(server.port, metric_request(body=evil))
    assert answer.status == 422
    assert answer.body.isascii()
    assert b"\x1b" not in answer.body
    assert server.log().isascii()
