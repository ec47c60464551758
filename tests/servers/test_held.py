"""What Little's law asks of a server (point 4 of "no figure that flatters"): how long it held what
came in, by its own clock, so that the account does not come from the columns it is to check.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.serving import (
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
)

PATIENT = "--request-deadline=60"


@contextmanager
def watched(server: RunningServer) -> Iterator[list[int]]:
    """What the server adds to its account during this block, in ns."""
    before = server.reconciled().held_ns
    held_ns: list[int] = []
    yield held_ns
    after = server.reconciled().held_ns
    assert before is not None
    assert after is not None
    held_ns.append(after - before)


def test_each_request_is_held_for_as_long_as_it_takes_and_no_longer_than_its_client_saw(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT, "--workload=io:100ms")
    seen_ns = 0
    with watched(server) as held_ns:
        for _ in range(3):
            began_ns = time.monotonic_ns()
            assert exchange(server.port, metric_request()).status == 202
            seen_ns += time.monotonic_ns() - began_ns
    assert 300_000_000 <= held_ns[0] <= seen_ns


def test_waiting_for_a_worker_is_held_too(start_server: StartServer) -> None:
    server = start_server("thread-pool", PATIENT, "--workers=1", "--workload=io:100ms")
    with watched(server) as held_ns, ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(3)]
        # All are accepted before the first is worked on, so the third waits for two of them.
        server.until(lambda report: report.counters.accepted == 3)
        for sock in clients:
            sock.sendall(metric_request())
        assert [read_answer(sock).status for sock in clients] == [202] * 3
    assert held_ns[0] >= (100 + 200 + 300) * 1_000_000


def test_what_ends_without_an_answer_or_with_another_was_held_as_well(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, "--request-deadline=0.2")
    with watched(server) as held_ns:
        assert exchange(server.port, b"").status == 408
    assert held_ns[0] >= 200_000_000
    server = start_server(backend, PATIENT)
    with watched(server) as held_ns:
        with connect(server.port):
            server.until(lambda report: report.counters.in_progress == 1)
            first, second = server.report(), server.report()
        assert server.reconciled().reset == 1
    assert held_ns[0] >= second.monotonic_ns - first.monotonic_ns


def test_prometheus_gets_it_in_seconds(backend: str, start_server: StartServer) -> None:
    server = start_server(backend)
    assert exchange(server.port, metric_request()).status == 202
    held_ns = server.reconciled().held_ns
    assert held_ns is not None
    assert server.metrics()["metricstream_held_seconds_total"] == held_ns / 1e9
