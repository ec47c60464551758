"""Who is served next by a pool, and who is not served any more."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from servers.connection import Connection
from servers.patience import Patience
from servers.thread_pool import WorkQueue
from tests.support.serving import Gate, StartServer, connect, exchange, metric_request, read_answer

PATIENT = "--request-deadline=60"


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    """Three accepted connections, in the order in which they came."""
    with ExitStack() as stack:
        made = []
        for _ in range(3):
            client, server = socket.socketpair()
            stack.enter_context(client)
            stack.enter_context(server)
            made.append(Connection(server, "127.0.0.1", time.monotonic_ns(), 1 << 62))
        yield made


@pytest.mark.parametrize(("newest_first", "order"), [(False, [0, 1, 2]), (True, [2, 1, 0])])
def test_the_oldest_is_taken_next_or_the_newest(
    newest_first: bool, order: list[int], connections: list[Connection]
) -> None:
    queue = WorkQueue(size=3, newest_first=newest_first)
    assert [queue.put(connection) for connection in connections] == [True] * 3
    assert not queue.put(connections[0])  # it is full
    queue.close(workers=2)
    assert len(queue) == 3
    assert [queue.get() for _ in range(3)] == [connections[place] for place in order]
    assert [queue.get(), queue.get()] == [None, None]


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_nobody_has_taken_is_given_back(
    newest_first: bool, connections: list[Connection]
) -> None:
    queue = WorkQueue(size=3, newest_first=newest_first)
    for connection in connections:
        queue.put(connection)
    queue.close(workers=1)
    taken = queue.get()
    assert {taken, *queue.take_all()} == set(connections)
    assert len(queue) == 0


def test_patience_is_over_when_what_is_left_is_less_than_serving_takes(
    connections: list[Connection],
) -> None:
    patience = Patience(60.0)
    for _ in range(100):
        patience.learn(40_000_000)
    connection = connections[0]
    for age_ms, over in [(0, False), (59_970, True), (100_000, True)]:
        connection.accepted_ns = time.monotonic_ns() - age_ms * 1_000_000
        assert patience.is_over(connection) is over


def test_who_has_just_come_is_served_however_long_that_took_before(
    connections: list[Connection],
) -> None:
    patience = Patience(60.0)
    patience.learn(3_600_000_000_000)
    connections[0].accepted_ns = time.monotonic_ns()
    assert not patience.is_over(connections[0])


def test_who_has_waited_too_long_gets_503_and_the_next_is_served(
    start_server: StartServer, gate: Gate
) -> None:
    server = start_server(
        "faulty:Pool", "--workers=1", "--queue-policy=drop-expired", "--patience=4s", PATIENT,
        env=gate.env,
    )  # fmt: skip
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(2)]
        for sock in clients:
            sock.sendall(metric_request())
        accepted = server.until(lambda report: report.counters.accepted == 2)
        server.until(lambda report: report.monotonic_ns - accepted.monotonic_ns > 4_000_000_000)
        gate.open()
        assert read_answer(clients[0]).status == 202
        refused = read_answer(clients[1])
        assert refused.status == 503
        assert b"it waited too long" in refused.body
        assert refused.headers["retry-after"] == "1"
    assert exchange(server.port, metric_request()).status == 202
    counters = server.reconciled()
    assert counters.rejected_by_backend == {"expired": 1}
    assert counters.answered_by_status == {"202": 2, "503": 1}
    assert server.report().settings["queue_policy"] == "drop-expired"
    assert server.stop() == 0
    assert server.last_account() == (3, 3, 0, 0, 0)


@pytest.mark.parametrize(
    ("pool", "arguments", "said"),
    [
        ("thread-pool", ["--queue-policy=random"], "is one of fifo, lifo, drop-expired: 'random'"),
        ("thread-pool", ["--patience=soon"], "a time from 10ms to 1h, like 1s or 250ms: 'soon'"),
        ("thread-pool", ["--patience=0s"], "a time from 10ms to 1h, like 1s or 250ms: '0s'"),
        ("native-thread-pool", ["--queue-policy=lifo"], "serves the oldest first"),
    ],
)
def test_what_cannot_be_is_one_sentence(pool: str, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "servers", pool, "--port=0", *arguments],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
