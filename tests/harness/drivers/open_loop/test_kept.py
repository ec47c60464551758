"""The engine for connections that stay, against real sockets that close when they like."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pytest

from harness.drivers import request_log as L
from harness.drivers.open_loop.engine import Rules, Target
from harness.drivers.open_loop.kept import Connections, KeptEngine
from harness.measure.request_rows import Rows

Drive = Callable[..., Rows]
PATIENCE_S = 20.0
ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass
class Server:
    """Answers on each connection as `answers` has it: the n-th request with the n-th, where None
    closes without an answer; then it begins again with the last one. `closes_after`: it closes
    after so many answers."""

    answers: tuple[bytes | None, ...] = (ANSWER,)
    closes_after: int | None = None
    requests: list[int] = field(default_factory=list)  # of each connection that was accepted

    def start(self) -> int:
        """Listen; the port."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        port: int = self._listener.getsockname()[1]
        return port

    def stop(self) -> None:
        """Accept no more; who is connected ends with its client."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE_S)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.requests.append(0)
            number = len(self.requests) - 1
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock:
            try:
                while sock.recv(65536):
                    self.requests[number] += 1
                    nth = self.requests[number] - 1
                    answer = self.answers[min(nth, len(self.answers) - 1)]
                    if answer is None:
                        return
                    sock.sendall(answer)
                    if self.requests[number] == self.closes_after:
                        return
            except OSError:
                return  # the client has given up


@dataclass
class Driven:
    """Engines that share the connections of one target, as phases of one generator do."""

    drive: Drive
    port: int
    connections: Connections = field(default_factory=Connections)

    def phase(self, **load: object) -> tuple[Rows, KeptEngine]:
        engines: list[KeptEngine] = []
        connections = self.connections

        class Kept(KeptEngine):
            def __init__(
                self, log: L.RequestLog, target: Target, rules: Rules, watch_fd: int | None
            ) -> None:
                super().__init__(log, target, rules, watch_fd, connections)
                engines.append(self)

        rows = self.drive(self.port, **{"timeout_s": PATIENCE_S, "engine": Kept, **load})
        return rows, engines[0]


@pytest.fixture
def driven(drive: Drive) -> Iterator[Callable[[Server], Driven]]:
    """Starts a server, to be driven; all ends with the test."""
    with ExitStack() as stack:

        def start(server: Server) -> Driven:
            found = Driven(drive, server.start())
            stack.callback(server.stop)
            stack.callback(found.connections.close)
            return found

        yield start


def outcomes(rows: Rows) -> dict[str, int]:
    values, counts = np.unique(rows.outcome, return_counts=True)
    return {L.OUTCOME_NAMES[value]: int(n) for value, n in zip(values, counts, strict=True)}


def test_a_client_sends_on_its_own_connection_again(driven: Callable[[Server], Driven]) -> None:
    server = Server()
    rows, engine = driven(server).phase(clients=10)
    size = len(rows.code)
    assert outcomes(rows) == {"ok": size}
    assert engine.opened + engine.reused == size
    assert engine.opened == len(server.requests)
    assert sum(server.requests) == size
    assert len(set(rows.client.tolist())) <= engine.opened < size
    assert (engine.retried, engine.closed_by_server) == (0, 0)
    old = rows.connected == rows.sent
    assert int(old.sum()) >= engine.reused


def test_another_is_opened_while_none_is_free(driven: Callable[[Server], Driven]) -> None:
    silent = Server(answers=(b"",))  # so that no connection is ever free
    rows, engine = driven(silent).phase(clients=1, rps=40, timeout_s=0.3)
    sent = int((rows.sent >= 0).sum())
    assert (engine.opened, engine.reused) == (sent, 0)
    assert outcomes(rows).keys() <= {"timeout", "unsent"}


def test_connections_stay_from_one_phase_to_the_next(driven: Callable[[Server], Driven]) -> None:
    server = Server()
    two = driven(server)
    _, first = two.phase(clients=4)
    rows, second = two.phase(clients=4)
    assert first.opened >= len(set(rows.client.tolist()))
    assert first.opened + second.opened == len(server.requests)
    assert second.opened <= max(0, second._in_flight_max)


def test_a_server_that_says_that_it_closes_is_counted(driven: Callable[[Server], Driven]) -> None:
    rows, engine = driven(Server((CLOSING,), closes_after=1)).phase()
    assert outcomes(rows) == {"ok": len(rows.code)}
    assert (engine.opened, engine.reused, engine.retried) == (len(rows.code), 0, 0)
    assert 0 < engine.closed_by_server <= len(rows.code)  # by whoever is first


def test_a_server_that_closes_after_each_answer_without_a_word_costs_no_request(
    driven: Callable[[Server], Driven],
) -> None:
    rows, engine = driven(Server(closes_after=1)).phase(clients=2, rps=400)
    size = len(rows.code)
    assert outcomes(rows) == {"ok": size}
    # What was sent on one that was being closed had to be sent again.
    assert engine.opened == size
    assert engine.retried == engine.reused
    assert engine.retried <= engine.closed_by_server <= size


def test_a_stale_one_is_retried_once(driven: Callable[[Server], Driven]) -> None:
    server = Server(answers=(ANSWER, None))
    rows, engine = driven(server).phase(clients=1, rps=100)
    size = len(rows.code)
    assert outcomes(rows) == {"ok": size}
    assert engine.retried == engine.reused > 0
    assert sum(server.requests) == size + engine.retried


def test_a_new_connection_that_is_closed_is_not_retried(
    driven: Callable[[Server], Driven],
) -> None:
    rows, engine = driven(Server(answers=(None,))).phase()
    assert outcomes(rows) == {"reset": len(rows.code)}
    assert engine.retried == 0


def test_one_of_which_some_bytes_came_is_not_retried(driven: Callable[[Server], Driven]) -> None:
    cut = ANSWER[:-1]
    rows, engine = driven(Server(answers=(ANSWER, cut), closes_after=2)).phase(clients=1, rps=100)
    assert engine.retried == 0
    assert outcomes(rows)["bad_response"] == engine.reused > 0


def test_bytes_that_nobody_asked_for_end_a_connection(driven: Callable[[Server], Driven]) -> None:
    server = Server(answers=(ANSWER + b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n",))
    rows, engine = driven(server).phase()
    assert outcomes(rows) == {"ok": len(rows.code)}
    assert engine.reused == 0


def test_the_account_of_what_was_in_flight_agrees(driven: Callable[[Server], Driven]) -> None:
    for server in (Server(), Server(answers=(ANSWER, None)), Server(closes_after=1)):
        rows, _ = driven(server).phase()
        flown_ns = int((rows.ended - rows.sent).sum())
        assert rows.in_flight_ns is not None
        assert abs(rows.in_flight_ns - flown_ns) < 100_000 * len(rows.code)


def test_with_few_descriptors_a_free_one_makes_room(driven: Callable[[Server], Driven]) -> None:
    rows, engine = driven(Server()).phase(clients=50, max_in_flight=5, rps=400)
    assert outcomes(rows).keys() <= {"ok", "unsent"}
    assert len(engine._connections.client_of) <= 5


def test_a_closed_loop_uses_one_connection_a_client(driven: Callable[[Server], Driven]) -> None:
    rows, engine = driven(Server()).phase(clients=5, closed_loop=True)
    assert outcomes(rows) == {"ok": len(rows.code)}
    assert engine.opened == len(set(rows.client.tolist()))
