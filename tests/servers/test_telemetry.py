"""What threads record at the same time adds up, whoever looks meanwhile (point 27 of "no figure
that flatters": why that is so with the GIL and without it is the table in docs/servers.md)."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from servers.connection import Connection
from servers.report import STAGES
from servers.telemetry import ROW, Telemetry, count_rows, stage_figures
from tests.support.serving import StartServer, connect, metric_request

THREADS = 8
KEPT = 4096 * 64


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def record(telemetry: Telemetry, requests: int, connection: Connection) -> None:
    """What a handler does, without the handling."""
    for number in range(requests):
        recorder = telemetry.lend()
        recorder.connection = connection
        recorder.answered(202, connection)
        recorder.rows.append(ROW.pack(*[number] * len(STAGES)))
        telemetry.give_back(recorder)


def answered(telemetry: Telemetry) -> int:
    """How many responses were sent, counted as the server's report counts them."""
    return sum(sum(recorder.statuses.copy().values()) for recorder in telemetry.recorders())


def look(telemetry: Telemetry, stop: threading.Event) -> None:
    """What the control port and a drain do meanwhile: every row must be whole."""
    while not stop.is_set():
        pieces = telemetry.stage_rows()
        assert all(len(piece) % ROW.size == 0 for piece in pieces)
        figures = stage_figures(pieces)
        assert all(figures[stage] == figures["read"] for stage in figures)
        assert all(connection is not None for connection in telemetry.in_progress())
        assert answered(telemetry) >= 0


@pytest.mark.usefixtures("often_switched")
def test_what_threads_record_at_once_adds_up_whoever_looks_meanwhile() -> None:
    telemetry, stop = Telemetry(), threading.Event()
    with socket.socket() as sock, ThreadPoolExecutor(THREADS + 1) as threads:
        connection = Connection(sock, "127.0.0.1", 0, 0)
        looking = threads.submit(look, telemetry, stop)
        working = [threads.submit(record, telemetry, 3_000, connection) for _ in range(THREADS)]
        for work in working:
            work.result()
        stop.set()
        looking.result()
    assert count_rows(telemetry.stage_rows()) == THREADS * 3_000
    assert telemetry.rows_dropped() == 0
    assert answered(telemetry) == THREADS * 3_000
    assert len(telemetry.recorders()) <= THREADS
    assert telemetry.in_progress() == []


def test_a_window_begins_with_the_requests_that_begin_in_it() -> None:
    telemetry = Telemetry()
    with socket.socket() as sock:
        connection = Connection(sock, "127.0.0.1", 0, 0)
        record(telemetry, 1_000, connection)
        straddling = telemetry.lend()
        telemetry.open_window()
        straddling.rows.append(ROW.pack(*[1] * len(STAGES)))
        telemetry.give_back(straddling)
        assert telemetry.stage_rows() == []
        assert stage_figures(telemetry.stage_rows()) == {}
        record(telemetry, 1_000, connection)
    assert count_rows(telemetry.stage_rows()) == 1_000
    assert telemetry.rows_dropped() == 0


def test_rows_that_are_no_longer_kept_are_counted() -> None:
    telemetry = Telemetry()
    with socket.socket() as sock:
        connection = Connection(sock, "127.0.0.1", 0, 0)
        record(telemetry, KEPT + 1_000, connection)
    kept = count_rows(telemetry.stage_rows())
    assert KEPT <= kept < KEPT + 64
    assert telemetry.rows_dropped() == KEPT + 1_000 - kept
    telemetry.open_window()
    assert telemetry.rows_dropped() == 0


def test_workers_that_are_killed_at_once_are_all_replaced(start_server: StartServer) -> None:
    server = start_server("faulty:Pool", "--workers=8", env={"FAULT": "exit", "FAULTS": "40"})
    clients = [connect(server.port) for _ in range(40)]
    for sock in clients:
        sock.sendall(metric_request())
    for sock in clients:
        with sock:
            assert sock.recv(1000) == b""
    assert server.until(lambda report: report.gauges.threads_replaced == 40)
    assert server.report().gauges.threads_created == 48
    assert server.reconciled().abandoned == 40
