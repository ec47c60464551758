"""Too much is refused at once, whole and counted; the server lives."""

from __future__ import annotations

import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.serving import (
    PATIENCE_S,
    Gate,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    needs_compiler,
    read_answer,
)

MIB = 1024 * 1024
PATIENT = "--request-deadline=60"
FULL_POOL = ("--workers=1", "--queue-size=2")
ONE_THREAD = ("--max-threads=1",)


def fill(server: RunningServer, requests: int, stack: ExitStack) -> list[socket.socket]:
    """Send `requests` good requests one by one, each accepted before the next."""
    clients: list[socket.socket] = []
    for number in range(1, requests + 1):
        clients.append(stack.enter_context(connect(server.port)))
        clients[-1].sendall(metric_request())
        server.until(lambda report: report.counters.accepted == len(clients))
        if number == 1:  # it must be with its worker, or it would take a place in the queue
            server.until(lambda report: not report.gauges.queue_depth)
    return clients


def test_a_full_queue_is_503_at_once_and_never_longer_than_its_size(
    start_server: StartServer, gate: Gate
) -> None:
    server = start_server("faulty:Pool", *FULL_POOL, PATIENT, env=gate.env)
    with ExitStack() as stack:
        waiting = fill(server, 3, stack)
        refused = [exchange(server.port, metric_request()) for _ in range(10)]
        report = server.report()
        # Nobody has been served yet: the refusals did not wait for a worker.
        assert report.counters.answered_by_status == {"503": 10}
        assert report.gauges.queue_depth == 2
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.headers["content-type"] for answer in refused} == {
            "application/problem+json"
        }
        server.process.send_signal(signal.SIGTERM)  # nor does a drain make the queue longer
        report = server.until(lambda report: report.draining)
        assert report.gauges.queue_depth_max == 2
        assert report.gauges.queue_depth is not None
        assert report.gauges.queue_depth <= 2
        gate.open()
        assert [read_answer(sock).status for sock in waiting] == [202, 202, 202]
    assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    "pool", ["thread-pool", pytest.param("native-thread-pool", marks=needs_compiler)]
)
def test_a_flood_gets_answers_alone(pool: str, start_server: StartServer) -> None:
    server = start_server(pool, *FULL_POOL, "--workload=io:5ms", "--rate-limit=0")
    with ThreadPoolExecutor(16) as clients:
        answers = list(
            clients.map(lambda _: exchange(server.port, metric_request()).status, range(1000))
        )
    counters = server.reconciled()
    assert counters.answered_by_status == {
        str(status): answers.count(status) for status in sorted(set(answers))
    }
    assert set(answers) == {202, 503}
    assert counters.rejected_queue_full == answers.count(503)
    assert server.report().gauges.queue_depth_max == 2


@pytest.mark.parametrize(
    ("limited", "limits", "taken"),
    [("faulty:Pool", FULL_POOL, 3), ("faulty:Threads", ONE_THREAD, 1)],
)
def test_a_503_reaches_a_client_that_is_still_sending(
    limited: str, limits: tuple[str, ...], taken: int, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(limited, *limits, PATIENT, env=gate.env)
    with ExitStack() as stack:
        fill(server, taken, stack)
        for _ in range(5):
            # The server has answered and half-closed long before this has been sent.
            answer = exchange(server.port, metric_request(body=b" " * MIB))
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
        gate.open()
    assert server.reconciled().answered_by_status["503"] == 5


def test_a_413_reaches_a_client_that_is_still_sending(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend)
    for _ in range(5):
        assert exchange(server.port, metric_request(body=b" " * (MIB + MIB // 2))).status == 413
    assert server.reconciled().reset == 0


def test_threads_that_cannot_be_started_are_503_and_not_tracked(
    start_server: StartServer, gate: Gate
) -> None:
    # Stacks of 64 MiB in little address space: the kernel itself refuses the fourth thread or so.
    server = start_server(
        "faulty:Threads", "--stack-size=64MiB", PATIENT,
        env={"MALLOC_ARENA_MAX": "1"} | gate.env,
    )  # fmt: skip
    status = Path(f"/proc/{server.pid}/status").read_text()
    used = int(status.partition("VmSize:")[2].split()[0]) * 1024
    server.limit(resource.RLIMIT_AS, used + 3 * 64 * MIB + 32 * MIB)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(12)]
        for sock in clients:
            sock.sendall(metric_request())
        server.until(lambda report: report.counters.rejected_no_thread
                     + report.gauges.threads_created == len(clients))  # fmt: skip
        gate.open()
        answers = [read_answer(sock) for sock in clients]
    served = sum(answer.status == 202 for answer in answers)
    refused = [answer for answer in answers if answer.status == 503]
    assert 1 <= served <= 4
    assert served + len(refused) == 12
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert server.reconciled().rejected_no_thread == len(refused)
    gauges = server.until(lambda report: report.gauges.threads_active == 0).gauges
    assert gauges.threads_created == served
    assert gauges.threads_peak <= served
    server.limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
    assert exchange(server.port, metric_request()).status == 202


def test_a_cap_on_live_threads_is_kept_and_told(start_server: StartServer, gate: Gate) -> None:
    server = start_server("faulty:Threads", "--max-threads=2", PATIENT, env=gate.env)
    with ExitStack() as stack:
        served = fill(server, 2, stack)
        refused = exchange(server.port, metric_request())
        assert server.report().counters.answered == 1  # while the two are still served
        assert refused.status == 503
        assert b"all of its 2 threads are busy" in refused.body
        gate.open()
        assert [read_answer(sock).status for sock in served] == [202, 202]
    report = server.report()
    assert report.settings["max_threads"] == 2
    assert report.gauges.threads_peak == 2
    assert server.reconciled().rejected_no_thread == 1


def test_there_is_no_cap_unless_it_is_asked_for(start_server: StartServer) -> None:
    server = start_server("thread-per-request")
    assert "max_threads" not in server.report().settings
