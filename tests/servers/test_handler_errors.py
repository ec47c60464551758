"""A handler that goes wrong costs one request at most; the server tells and goes on."""

from __future__ import annotations

import pytest

from tests.support.serving import StartServer, connect, exchange, metric_request


def test_a_handler_that_raises_is_500_and_its_thread_lives_on(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, "--workers=2", env={"FAULT": "raise", "FAULTS": "20"})
    answers = [exchange(server.port, metric_request()) for _ in range(25)]
    assert [answer.status for answer in answers] == [500] * 20 + [202] * 5
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert b"red" not in answers[0].body  # what went wrong is for the log alone
    counters = server.reconciled()
    assert counters.handler_errors == 20
    assert counters.answered_by_status == {"500": 20, "202": 5}
    assert server.report().gauges.threads_replaced == 0
    log = server.log()
    assert log.count("a handler raised") == 20
    assert log.count("Traceback (most recent call last)") == 20
    assert 'faulty.py", line' in log


def test_what_a_client_sent_cannot_forge_the_log(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, env={"FAULT": "raise"})
    exchange(server.port, metric_request())
    log = server.log()
    assert r"\x1b[31mred" in log
    assert "\n    stopped: a forged line\\r\\u202e" in log
    assert log.isascii()
    assert all(character.isprintable() or character == "\n" for character in log)
    # Only what the server itself says starts a line.
    starts = [line for line in log.splitlines() if not line.startswith(" ")]
    assert len(starts) == 2, starts
    assert starts[1] == "a handler raised; the client gets 500"


@pytest.mark.parametrize("fault", ["exit", "async"])
def test_a_killed_thread_is_replaced_and_its_request_counts_as_abandoned(
    fault: str, backend: str, faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, "--workers=2", env={"FAULT": fault, "FAULTS": "5"})
    for _ in range(5):
        with connect(server.port) as sock:
            sock.sendall(metric_request())
            assert sock.recv(1000) == b""  # nobody is left to answer
    assert [exchange(server.port, metric_request()).status for _ in range(4)] == [202] * 4
    counters = server.reconciled()
    assert counters.abandoned == 5
    assert counters.answered == 4
    replaced = (
        5 if backend in ("thread-pool", "prefork") else 0
    )  # the others need none in its place
    processes = len(server.serving())
    alive = {"thread-per-request": 0, "thread-pool": 2, "event-loop": 1, "prefork": 2 * processes}
    # The client of a thread that is killed hears of it first.
    server.until(lambda report: report.gauges.threads_replaced == replaced
                 and report.gauges.threads_active == alive[backend])  # fmt: skip
    assert server.metrics()["metricstream_threads_replaced_total"] == replaced
    assert server.log().count("a thread was killed in its handler") == 5
    assert server.stop() == 1  # five requests were abandoned
    assert server.last_account() == (9, 4, 0, 0, 5)
