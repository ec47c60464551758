"""Whatever queue a pool has: nothing is lost, nobody sleeps while something waits, and all end."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

import pytest

from benchmarks.pool_queue import ConditionQueue, StackQueue
from servers.connection import Connection
from servers.thread_pool import WorkQueue

WORKERS = 16
MANY = 5_000
IN_TIME_S = 60.0

pytestmark = pytest.mark.parametrize("queue_class", [WorkQueue, ConditionQueue, StackQueue])


@pytest.fixture
def connection() -> Iterator[Connection]:
    client, server = socket.socketpair()
    with client, server:
        yield Connection(server, "127.0.0.1", time.monotonic_ns(), 1 << 62)


@pytest.fixture(params=[None, 1e-6], ids=["usual switch interval", "1 us"])
def _switch_interval(request: pytest.FixtureRequest) -> Iterator[None]:
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(request.param or usual_s)
    yield
    sys.setswitchinterval(usual_s)


class Workers:
    """Threads that take from `queue` until it is closed, and note what they took."""

    def __init__(self, queue: WorkQueue) -> None:
        self.took: deque[Connection] = deque()
        self.taken = threading.Semaphore(0)
        self._queue = queue
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(WORKERS)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (connection := self._queue.get()) is not None:
            self.took.append(connection)
            self.taken.release()

    def all_ended(self) -> bool:
        for thread in self._threads:
            thread.join(IN_TIME_S)
        return not any(thread.is_alive() for thread in self._threads)


@pytest.mark.usefixtures("_switch_interval")
def test_each_is_taken_once_and_a_closed_queue_ends_every_worker(
    queue_class: type[WorkQueue], connection: Connection
) -> None:
    queue = queue_class(size=MANY)
    workers = Workers(queue)
    for _ in range(MANY):
        assert queue.put(connection)
    queue.close(WORKERS)
    assert workers.all_ended()
    assert len(workers.took) == MANY
    assert len(queue) == 0


@pytest.mark.usefixtures("_switch_interval")
@pytest.mark.parametrize("burst", [1, 3, WORKERS])
def test_nothing_waits_while_a_worker_sleeps(
    queue_class: type[WorkQueue], burst: int, connection: Connection
) -> None:
    """After each burst everybody is asleep or about to be: a wake-up that is lost would leave
    something in the queue for ever."""
    queue = queue_class(size=MANY)
    workers = Workers(queue)
    for _ in range(600 // burst):
        for _ in range(burst):
            assert queue.put(connection)
        for _ in range(burst):
            assert workers.taken.acquire(timeout=IN_TIME_S)
    queue.close(WORKERS)
    assert workers.all_ended()


def test_each_of_a_burst_finds_a_worker_though_none_of_them_comes_back(
    queue_class: type[WorkQueue], connection: Connection
) -> None:
    """Handlers that wait take no second connection."""
    queue, together = queue_class(size=WORKERS), threading.Barrier(WORKERS, timeout=IN_TIME_S)

    def work() -> None:
        while queue.get() is not None:
            together.wait()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        while len(queue):
            time.sleep(0)
        for _ in range(WORKERS):
            assert queue.put(connection)
    queue.close(WORKERS)
    for thread in threads:
        thread.join(IN_TIME_S)
    assert not any(thread.is_alive() for thread in threads)
    assert not together.broken


def test_it_has_a_bound_and_gives_back_what_nobody_took(
    queue_class: type[WorkQueue], connection: Connection
) -> None:
    queue = queue_class(size=2)
    assert [queue.put(connection) for _ in range(3)] == [True, True, False]
    assert len(queue) == 2
    assert queue.take_all() == [connection, connection]
    assert len(queue) == 0
