"""Connections that stay (`--connections keep-alive`): where one request ends and the next begins,
who closes when, and accounts that are of requests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.corpus import GOOD_BODY, Case, check_case, load_cases, post, read_to_end
from tests.support.serving import (
    IN_PYTHON,
    PATIENCE_S,
    Answer,
    Gate,
    RunningServer,
    StartServer,
    connect,
    exchange,
    metric_request,
    parse_answer,
    read_answer,
    servers,
)

KEEP = ("--connections=keep-alive", "--rate-limit=0")
PATIENT = (*KEEP, "--request-deadline=60", "--idle-deadline=60")
GOOD = post(GOOD_BODY)
LAST = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# Cases that send more than one request, or bytes behind it.
_MORE = ("behind", "pipelined", "longer than", "a second request")
CASES = load_cases()


class Reader:
    """Takes one response after the other from a connection that stays."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""

    def one(self, head: bool = False) -> bytes:
        """The next response as it came, with the interim ones before it."""
        raw = b""
        while True:
            part = self._until_blank_line()
            raw += part
            if not part.startswith(b"HTTP/1.1 1"):
                break
        length = 0 if head else int(part.lower().partition(b"content-length: ")[2].split()[0])
        while len(self._rest) < length:
            self._receive()
        body, self._rest = self._rest[:length], self._rest[length:]
        return raw + body

    def answer(self) -> Answer:
        return parse_answer(self.one())

    def _until_blank_line(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        head, blank, self._rest = self._rest.partition(b"\r\n\r\n")
        return head + blank

    def _receive(self) -> None:
        data = self._sock.recv(65536)
        assert data, f"closed after {self._rest!r}"
        self._rest += data


@pytest.fixture(params=IN_PYTHON)
def python_backend(request: pytest.FixtureRequest) -> str:
    """Each backend in Python; those in C++ close after each answer."""
    return str(request.param)


@pytest.fixture(scope="module", params=IN_PYTHON)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """One server for all cases: each must leave it as it was."""
    with servers() as start:
        yield start(request.param, *PATIENT)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_case_has_its_answer_and_the_next_request_begins_where_it_ends(
    server: RunningServer, case: Case
) -> None:
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Reader(sock)
        raw = b""
        try:
            for number, data in enumerate(case.writes):
                if number == 1 and len(case.statuses) > 1:
                    raw = reader._until_blank_line()
                sock.sendall(data)
            if case.half_close:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = reader.one(case.head)
        stays = b"\r\nConnection: close\r\n" not in answer
        # What is told of the connection is looked at here, the rest as of every server.
        closing = answer.replace(b"\r\nDate:", b"\r\nConnection: close\r\nDate:", 1)
        closing = closing.replace(b"Connection: keep-alive\r\n", b"", 1)
        check_case(case, raw + (closing if stays else answer))
        if stays and not case.half_close and not any(word in case.name for word in _MORE):
            sock.sendall(LAST)
            assert parse_answer(reader._rest + read_to_end(sock)).status == 200


def test_the_account_of_all_that_reconciles(server: RunningServer) -> None:
    assert exchange(server.port, LAST).status == 200
    counters = server.reconciled()
    assert counters.handler_errors == 0
    assert "500" not in counters.answered_by_status


@pytest.mark.parametrize("cut", [1, 7, 23, 40, 60, 150])
def test_pipelined_requests_in_pieces_are_all_answered_in_order(
    server: RunningServer, cut: int
) -> None:
    chunked = (
        b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"b\r\n" + GOOD_BODY[:11] + b"\r\nb\r\n" + GOOD_BODY[11:] + b"\r\n0\r\nT: x\r\n\r\n"
    )
    nothing = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    stream = GOOD + chunked + nothing + b"\r\n" + GOOD + chunked + LAST
    with connect(server.port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(stream), cut):
            sock.sendall(stream[start : start + cut])
        reader = Reader(sock)
        answers = [reader.answer().status for _ in range(6)]
        assert read_to_end(sock) == b""
    assert answers == [202, 202, 404, 202, 202, 200]


def test_a_thousand_requests_in_one_write_keep_nobody_else_out(server: RunningServer) -> None:
    many = 1000
    with connect(server.port) as sock:
        sock.sendall(metric_request() * many)
        assert exchange(server.port, LAST).status == 200
        reader = Reader(sock)
        assert {reader.answer().status for _ in range(many)} == {202}


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (GOOD, None),
        (post(GOOD_BODY, "Connection: close"), "close"),
        (post(GOOD_BODY, "Connection: Upgrade, Close"), "close"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", "close"),
        (b"GET /healthz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "keep-alive"),
        (b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (post(b"{"), None),
        (post(b"{}"), None),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
         "close"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", "close"),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "close"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "close"),
    ],
)  # fmt: skip
def test_who_may_keep_a_connection_is_told(
    server: RunningServer, request_: bytes, told: str | None
) -> None:
    with connect(server.port) as sock:
        sock.sendall(request_)
        head = Reader(sock).one(request_.startswith(b"HEAD")).partition(b"\r\n\r\n")[0]
        lines = [line for line in head.decode().split("\r\n") if line.startswith("Connection: ")]
        assert lines == ([] if told is None else [f"Connection: {told}"])
        if told == "close":
            assert read_to_end(sock) == b""


def test_an_idle_connection_is_closed_without_a_word_and_counted(
    start_server: StartServer, python_backend: str
) -> None:
    server = start_server(python_backend, *KEEP, "--idle-deadline=0.2")
    with connect(server.port) as silent, connect(server.port) as used:
        used.sendall(metric_request())
        assert Reader(used).answer().status == 202
        assert silent.recv(100) == b""
        assert used.recv(100) == b""
    counters = server.until(lambda report: report.counters.idle_closed == 2).counters
    assert (counters.connections, counters.idle_connections, counters.accepted) == (2, 0, 1)
    assert server.reconciled().answered == 1


def test_the_deadline_of_a_request_counts_from_its_first_byte(
    start_server: StartServer, python_backend: str
) -> None:
    server = start_server(python_backend, *KEEP, "--request-deadline=0.3", "--idle-deadline=60")
    with connect(server.port) as sock:
        idle_since_s = time.monotonic()
        server.until(lambda report: time.monotonic() - idle_since_s > 0.5)
        assert server.report().counters.in_progress == 0
        sock.sendall(b"POST /metrics HTTP/1.1\r\n")
        assert read_answer(sock).status == 408
    counters = server.reconciled()
    assert (counters.deadlines_missed, counters.answered) == (1, 1)


def test_idle_connections_hold_no_worker(start_server: StartServer) -> None:
    server = start_server("thread-pool", *PATIENT, "--workers=1")
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connect(server.port))
        kept = [stack.enter_context(connect(server.port)) for _ in range(3)]
        for sock in kept * 2:
            sock.sendall(metric_request())
            assert Reader(sock).answer().status == 202
        counters = server.until(lambda r: r.counters.idle_connections == 23).counters
        assert (counters.accepted, counters.connections, counters.in_progress) == (6, 23, 0)


def test_a_signal_lets_idle_connections_go_at_once(
    start_server: StartServer, python_backend: str
) -> None:
    server = start_server(python_backend, *PATIENT)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.port)) for _ in range(20)]
        for sock in clients[:10]:
            sock.sendall(metric_request())
            assert Reader(sock).answer().status == 202
        server.until(lambda report: report.counters.idle_connections == 20)
        assert server.stop() == 0  # waits for much less than any of the deadlines
        assert {sock.recv(100) for sock in clients} == {b""}
    assert server.last_account() == (10, 10, 0, 0, 0)


def test_a_signal_lets_requests_in_service_finish_and_then_ends_their_connections(
    faulty_backend: str, start_server: StartServer, gate: Gate
) -> None:
    server = start_server(faulty_backend, *PATIENT, env=gate.env)
    with server.asked(3) as clients:
        server.until(lambda report: report.counters.in_progress == 3)
        server.process.terminate()
        server.until(lambda report: report.draining)
        gate.open()
        answers = [read_answer(sock) for sock in clients]
    assert [answer.status for answer in answers] == [202] * 3
    assert {answer.headers.get("connection") for answer in answers} == {"close"}
    assert server.process.wait(PATIENCE_S) == 0
    assert server.last_account() == (3, 3, 0, 0, 0)


def test_a_full_queue_says_no_and_closes(start_server: StartServer, gate: Gate) -> None:
    server = start_server("faulty:Pool", *PATIENT, "--workers=1", "--queue-size=1", env=gate.env)
    with server.asked(3) as clients:
        server.until(lambda report: report.counters.accepted == 3)  # nobody else looks first
        gate.open()
        statuses = [Reader(sock).answer().status for sock in clients]
    refused = server.reconciled().rejected_queue_full
    assert 1 <= refused <= 2  # by whether the worker had begun with the first
    assert sorted(statuses) == [202] * (3 - refused) + [503] * refused


def test_a_server_in_cpp_says_that_it_cannot() -> None:
    command = [sys.executable, "-P", "-m", "servers", "native-thread-pool", "--port=0", *KEEP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "python -m servers: native-thread-pool closes each connection after its answer; leave out "
        "--connections keep-alive, or take a backend in Python\n"
    )


def test_threads_live_as_long_as_their_connections(start_server: StartServer) -> None:
    server = start_server("thread-per-request", *PATIENT)
    with connect(server.port) as one, connect(server.port) as other:
        for sock in (one, other):
            sock.sendall(metric_request())
            assert Reader(sock).answer().status == 202
        first = server.until(lambda report: report.counters.idle_connections == 2)
        last = server.until(lambda r: r.monotonic_ns - first.monotonic_ns > 200_000_000)
        elapsed_ns = last.monotonic_ns - first.monotonic_ns
        grown_ns = last.gauges.threads_active_ns - first.gauges.threads_active_ns
        assert last.gauges.threads_active == 2
    # A report is made in a moment, and its gauges and its time at two places of that.
    assert grown_ns == pytest.approx(2 * elapsed_ns, rel=0.5)
    server.until(lambda report: report.gauges.threads_active == 0)
