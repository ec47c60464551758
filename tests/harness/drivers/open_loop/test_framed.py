"""The engine for servers of any kind, against real sockets that close as they like."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import numpy as np
import pytest

from harness.drivers import request_log as L
from harness.drivers.open_loop.framed import FramedEngine
from harness.measure.request_rows import Rows
from tests.support.any_server import ANSWER, LARGE, answering, at_once, reset, until_closed

Drive = Callable[..., Rows]
PATIENCE_S = 20.0
CHUNKED = b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
LARGE_ANSWER = b"HTTP/1.1 202 A\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE)


def outcomes(rows: Rows) -> dict[str, int]:
    values, counts = np.unique(rows.outcome, return_counts=True)
    return {L.OUTCOME_NAMES[value]: int(n) for value, n in zip(values, counts, strict=True)}


def serving(answer: bytes, then: Callable[[socket.socket], None]) -> int:
    """The port of a server in this process, which ends with it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    listening = threading.Event()
    serve = answering(answer, then, listening.set)
    threading.Thread(target=serve, args=(port,), daemon=True).start()
    assert listening.wait(PATIENCE_S)
    return port


@pytest.mark.parametrize(
    ("answer", "then", "expected"),
    [
        (ANSWER, until_closed, "ok"),
        (ANSWER, at_once, "ok"),
        (CHUNKED, until_closed, "ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER, until_closed, "ok"),
        (b"HTTP/1.0 202 A\r\n\r\nuntil the end", at_once, "ok"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", until_closed, "rejected"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", until_closed, "http_error"),
        (b"this is not HTTP", until_closed, "bad_response"),
        (ANSWER[:-1], at_once, "bad_response"),
        (b"", at_once, "reset"),
        (b"", reset, "reset"),
    ],
    ids=["held open", "closed", "chunks", "100 first", "HTTP/1.0", "503", "404", "no HTTP",
         "cut short", "nothing", "reset"],
)  # fmt: skip
def test_each_way_of_answering_has_its_outcome(
    drive: Drive, answer: bytes, then: Callable[[socket.socket], None], expected: str
) -> None:
    rows = drive(serving(answer, then), timeout_s=PATIENCE_S, engine=FramedEngine)
    assert outcomes(rows) == {expected: len(rows.code)}
    assert (rows.ended >= rows.sent).all()


def test_a_large_answer_is_read_to_its_end(drive: Drive) -> None:
    port = serving(LARGE_ANSWER, until_closed)
    rows = drive(port, rps=40, timeout_s=PATIENCE_S, engine=FramedEngine)
    assert outcomes(rows) == {"ok": len(rows.code)}


def test_one_that_never_ends_its_answer_is_timed_out(drive: Drive) -> None:
    port = serving(b"HTTP/1.1 202 A\r\n\r\nno end", until_closed)
    rows = drive(port, rps=40, timeout_s=0.3, engine=FramedEngine)
    assert outcomes(rows).keys() <= {"timeout", "unsent"}
    assert (rows.outcome == L.TIMEOUT).any()


def test_the_accounts_of_what_was_in_flight_agree(drive: Drive) -> None:
    rows = drive(serving(ANSWER, until_closed), timeout_s=PATIENCE_S, engine=FramedEngine)
    flown_ns = int((rows.ended - rows.sent).sum())
    assert rows.in_flight_ns is not None
    assert abs(rows.in_flight_ns - flown_ns) < 100_000 * len(rows.code)


@pytest.mark.parametrize(("then", "by_server"), [(until_closed, False), (at_once, True)])
def test_who_closed_is_counted(
    drive: Drive, then: Callable[[socket.socket], None], by_server: bool
) -> None:
    engines: list[FramedEngine] = []

    class Kept(FramedEngine):
        def run(self, start_ns: int) -> None:
            engines.append(self)
            super().run(start_ns)

    rows = drive(serving(ANSWER, then), timeout_s=PATIENCE_S, engine=Kept)
    (engine,) = engines
    if by_server:  # whoever is first: it may be the generator, now and then
        assert 0 < engine.closed_by_server <= len(rows.code)
    else:
        assert engine.closed_by_server == 0
