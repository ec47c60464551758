"""The deadline is for the whole request: no client holds a thread any longer."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from tests.support.serving import (
    PATIENCE_S,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    read_answer,
)

DEADLINE_S = 0.5
SLACK_S = 10.0  # far above what a busy machine adds, far below what the fault would take
QUICK = f"--request-deadline={DEADLINE_S}"
PATIENT = "--request-deadline=60"  # so that what ends early did not end by the deadline


def trickle(port: int, gap_s: float) -> tuple[int, float]:
    """Send a good request a byte at a time; status and seconds of the answer."""
    began_s = time.monotonic()
    with connect(port) as sock:
        sock.settimeout(gap_s)
        for byte in metric_request():
            sock.send(bytes([byte]))
            try:
                sock.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            sock.settimeout(PATIENCE_S)
            return read_answer(sock).status, time.monotonic() - began_s
    raise AssertionError("the whole request could be sent a byte at a time")


def test_a_byte_at_a_time_is_cut_off_at_the_deadline(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, QUICK)
    status, seconds = trickle(server.port, gap_s=0.1)
    assert status == 408
    assert seconds >= DEADLINE_S
    assert server.reconciled().deadlines_missed == 1


def test_who_never_sends_gets_408_at_the_deadline(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, QUICK)
    answer = exchange(server.port, b"")
    assert answer.status == 408
    assert b"0.5 s" in answer.body
    assert server.reconciled().deadlines_missed == 1


def test_a_server_that_is_stopped_again_and_again_keeps_to_the_deadline(
    backend: str, start_server: StartServer
) -> None:
    """As a debugger does it, or a profiler: the time of a call that was interrupted began anew."""
    server = start_server(backend, "--request-deadline=1")
    end_s = time.monotonic() + PATIENCE_S
    with connect(server.port) as sock:
        sock.settimeout(0.2)
        while time.monotonic() < end_s:
            server.stand_still()
            server.go_on()
            try:
                assert sock.recv(1000).startswith(b"HTTP/1.1 408 ")
                break
            except TimeoutError:
                pass
    assert server.reconciled().deadlines_missed == 1


def test_who_half_closes_in_the_middle_is_answered_at_once(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT)
    with connect(server.port) as sock:
        sock.sendall(metric_request()[:50])
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock).status == 400
    assert server.reconciled().deadlines_missed == 0


def test_who_half_closes_after_a_whole_request_is_served(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT)
    with connect(server.port) as sock:
        sock.sendall(metric_request())
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock).status == 202
    server.reconciled()


def test_who_leaves_without_a_word_counts_as_reset(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, PATIENT)
    connect(server.port).close()
    server.until(lambda report: report.counters.accepted == 1)
    assert server.reconciled().reset == 1


def test_clients_that_never_read_hold_no_thread(backend: str, start_server: StartServer) -> None:
    server = start_server(backend, PATIENT)
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(connect(server.port)).sendall(metric_request())
        server.until(lambda report: report.counters.answered == 50)
        assert exchange(server.port, metric_request()).status == 202
    assert server.reconciled().answered == 51


def test_an_answer_that_nobody_takes_is_given_up_at_the_deadline(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, QUICK, env={"FAT": "1"})
    with server.asked():
        server.until(lambda report: report.counters.timed_out == 1)
    server.reconciled()


def test_an_answer_that_is_taken_slowly_is_sent_whole(
    faulty_backend: str, start_server: StartServer
) -> None:
    server = start_server(faulty_backend, PATIENT, env={"FAT": "1"})
    with connect(server.port) as sock:
        sock.sendall(metric_request())
        received = 0
        while data := sock.recv(1 << 20):
            received += len(data)
    assert received > 64 * 1024 * 1024
    assert server.reconciled().answered == 1


def test_200_slow_clients_hold_up_a_good_one_no_longer_than_the_deadline(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, QUICK)
    stop = threading.Event()
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(server.port)) for _ in range(200)]
        drip = threading.Thread(target=drip_on, args=(slow, stop))
        drip.start()
        try:
            began_s = time.monotonic()
            with server.asked() as (good,):
                assert read_answer(good).status == 202
            assert time.monotonic() - began_s < DEADLINE_S + SLACK_S
            server.until(lambda report: report.counters.deadlines_missed == 200)
        finally:
            stop.set()
            drip.join()
    counters = server.reconciled()
    assert counters.answered_by_status == {"202": 1, "408": 200}


def drip_on(clients: list[socket.socket], stop: threading.Event) -> None:
    """A byte from each client every now and then, for as long as somebody listens."""
    request = metric_request()
    for position in range(len(request)):
        for sock in clients:
            try:
                sock.send(request[position : position + 1])
            except OSError:
                pass  # this one has been cut off
        if stop.wait(0.1):
            return


def test_the_deadline_counts_from_accept_for_who_waits_in_the_queue(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool", "--workers=1", QUICK)
    began_s = time.monotonic()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(40)]
        assert [read_answer(sock).status for sock in clients] == [408] * 40
    # One after the other each with a deadline of its own would take forty of them.
    assert time.monotonic() - began_s < DEADLINE_S + SLACK_S < 40 * DEADLINE_S
    assert server.reconciled().deadlines_missed == 40


def test_a_request_that_came_whole_is_served_however_long_it_had_to_wait(
    start_server: StartServer,
) -> None:
    server = start_server("thread-pool", "--workers=1", "--workload=io:700ms", QUICK)
    with server.asked(2) as (first, second):
        assert [read_answer(first).status, read_answer(second).status] == [202, 202]
    server.reconciled()


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"1;" + b"x" * 4_000_000, id="chunk extension"),
        pytest.param(b"0\r\n" + b"X-Trailer: 1\r\n" * 300_000, id="trailers"),
    ],
)
def test_what_has_no_length_of_its_own_is_cut_off_before_the_deadline(
    endless: bytes, backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT)
    with connect(server.port) as sock:
        sock.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            sock.sendall(endless)
        except ConnectionError:
            pass  # the server said no and closed while this was still coming
    server.until(lambda report: report.counters.accepted == 1)
    counters = server.reconciled()
    assert counters.answered + counters.reset == 1
    assert not counters.handler_errors


def test_a_refused_client_that_goes_on_sending_is_closed_in_the_end(
    backend: str, start_server: StartServer
) -> None:
    server = start_server(backend, PATIENT)
    before = server.descriptors()
    with connect(server.port) as sock:
        sock.sendall(b"no http\r\n\r\n")
        assert read_answer(sock).status == 400
        assert wait_for_descriptors(server, before)
    server.reconciled()


def wait_for_descriptors(server: RunningServer, count: int) -> bool:
    """Whether the server comes back to `count` open descriptors."""
    end_s = time.monotonic() + PATIENCE_S
    while server.descriptors() > count and time.monotonic() < end_s:
        time.sleep(0.02)
    return server.descriptors() <= count
