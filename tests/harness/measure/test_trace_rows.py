"""Which traced request belongs to which row of the generator's, on machines that stand still."""

from __future__ import annotations

import numpy as np

from harness.drivers import request_log as L
from harness.drivers.open_loop.driver import source_address
from harness.measure.request_rows import Rows
from harness.measure.trace_rows import matched
from servers.tracing import Trace, TracedRequest

START_NS = 1_000_000_000
HOST = "127.0.0.1"
OK = L.OK + L.DETAIL * 202


def rows_of(*requests: tuple[int, int, int, int], client: int = 0) -> Rows:
    """Rows of one client: milliseconds of sent, connected and ended, and the outcome's code."""
    sent, connected, ended, codes = (
        np.array(each, np.int64) for each in zip(*requests, strict=True)
    )
    sent_ns, connected_ns, ended_ns = (each * 1_000_000 for each in (sent, connected, ended))
    return Rows(START_NS, sent_ns, np.full_like(sent, client), sent_ns, sent_ns, connected_ns,
                ended_ns, codes, 1)  # fmt: skip


def accepted_at(*times_ms: int, client: int = 0) -> Trace:
    address = source_address(client, HOST)
    assert address is not None
    at = [START_NS + ms * 1_000_000 for ms in times_ms]
    return Trace([], [TracedRequest(address, 7, ns, ns, ns, 202, []) for ns in at], 0)


def found(rows: Rows, trace: Trace) -> dict[int, int]:
    """The millisecond at which each row's request was accepted."""
    return {
        row: (request.accepted_ns - START_NS) // 1_000_000
        for row, request in matched(rows, 3, HOST, trace).items()
    }


def test_each_has_its_own() -> None:
    rows = rows_of((10, 10, 12, OK), (20, 20, 22, OK), client=2)
    assert found(rows, accepted_at(11, 21, client=2)) == {0: 11, 1: 21}
    assert found(rows, accepted_at(11, 21, client=1)) == {}


def test_a_connection_that_is_noted_late_is_its_own_all_the_same() -> None:
    """The generator stood still between making it and noting that: 14 where 11 was accepted."""
    rows = rows_of((10, 14, 15, OK), (20, 20, 22, OK))
    assert found(rows, accepted_at(11, 21)) == {0: 11, 1: 21}


def test_what_came_before_the_first_is_nobodys() -> None:
    assert found(rows_of((10, 10, 12, OK)), accepted_at(3, 11)) == {0: 11}


def test_one_that_the_server_does_not_tell_of_takes_no_others() -> None:
    rows = rows_of((10, 10, 12, OK), (20, 20, 22, OK), (30, 30, 33, OK))
    assert found(rows, accepted_at(11, 31)) == {0: 11, 2: 31}


def test_one_that_gave_up_may_be_accepted_long_after() -> None:
    rows = rows_of((10, 10, 15, L.TIMEOUT), (20, 20, 42, OK))
    assert found(rows, accepted_at(40, 41)) == {0: 40, 1: 41}
