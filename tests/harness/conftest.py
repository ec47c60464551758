"""Fixtures of the laboratory's tests: real sockets, real servers, real request logs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic_ns

import pytest

from harness.core.record import Run
from harness.drivers.open_loop.engine import Engine, Rules, Target
from harness.drivers.schedule import make_schedule, request_log_of
from harness.measure.request_rows import Rows, copy_rows
from harness.report.source import Source, load_source
from tests.support.labrun import Labrun, run_lab
from tests.support.reference import reference_level, write_reference_level

REQUEST = b"POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: 2\r\n\r\n{}"

Serve = Callable[[socket.socket], None]
Drive = Callable[..., Rows]


@pytest.fixture
def serve_with() -> Iterator[Callable[[Serve], int]]:
    """Start a small real server that treats each connection as told; gives its port."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept_loop(listener: socket.socket, treat: Serve) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            treat(connection)

    def start(treat: Serve) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listeners.append(listener)
        thread = threading.Thread(target=accept_loop, args=(listener, treat))
        threads.append(thread)
        thread.start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def drive() -> Drive:
    """Run the engine in this process against a port; the request log's rows afterwards."""

    def run(
        port: int,
        *,
        rps: float = 200,
        duration_s: float = 0.5,
        clients: int = 10,
        timeout_s: float = 1.0,
        max_in_flight: int = 1000,
        closed_loop: bool = False,
        own_cpu: bool = True,
        request: bytes = REQUEST,
        arrivals: str = "poisson",
        engine: type[Engine] = Engine,
    ) -> Rows:
        schedule = make_schedule(rps, duration_s, clients, arrivals, seed=7)
        log = request_log_of(schedule)
        sources: list[str | None] = [f"127.9.0.{client % 250 + 1}" for client in range(clients)]
        target = Target("127.0.0.1", port, [request] * clients, sources)
        rules = Rules(int(timeout_s * 1e9), max_in_flight, closed_loop, own_cpu)
        engine(log, target, rules, watch_fd=None).run(monotonic_ns() + 1_000_000)
        log.close()
        return copy_rows(log)

    return run


@pytest.fixture
def labrun(tmp_path: Path) -> Labrun:
    """Run `labrun` with these arguments in an empty folder."""
    return partial(run_lab, tmp_path)


@pytest.fixture(scope="session")
def reference() -> Run:
    """A real run of both backends, five rounds at one level."""
    return reference_level()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A level of the reference run. Not to be changed."""
    folder = tmp_path_factory.mktemp("reference")
    write_reference_level(folder)
    return folder


@pytest.fixture(scope="session")
def source(run_folder: Path) -> Source:
    """The same, read."""
    return load_source(run_folder)
