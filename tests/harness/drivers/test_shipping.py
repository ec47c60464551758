"""A request log that is shipped is whole on the other side, each row once, when it has ended."""

from __future__ import annotations

import numpy as np

from harness.drivers import request_log as L
from harness.drivers.schedule import make_schedule, request_log_of
from harness.drivers.shipping import (
    Outgoing,
    log_of,
    schedule_bytes,
    take_in,
    write_off,
)
from harness.measure.request_rows import copy_rows

ROWS = 40


def scheduled() -> L.RequestLog:
    return request_log_of(make_schedule(ROWS, 1.0, 4, "constant", 1))


def end(log: L.RequestLog, row: int) -> None:
    """As the engine does: the code last."""
    for column, value in ((L.ALLOWED, row), (L.SENT, row + 1), (L.CONNECTED, row + 2),
                          (L.ENDED, row + 3), (L.CODE, L.OK + L.DETAIL * 202)):  # fmt: skip
        log.column(column)[row] = value


def test_the_schedule_arrives_as_it_was_drawn() -> None:
    ours = scheduled()
    theirs = log_of(schedule_bytes(ours))
    for column in range(7):
        assert theirs.column(column).tolist() == ours.column(column).tolist()
    assert theirs.header[L.ROWS] == ROWS


def test_each_row_arrives_once_when_it_has_ended_and_the_rest_at_the_end() -> None:
    ours = scheduled()
    theirs = log_of(schedule_bytes(ours))
    outgoing = Outgoing(theirs)
    assert take_in(ours, outgoing.take()) == 0
    for row in (3, 0, 7):
        end(theirs, row)
    theirs.column(L.SENT)[1] = 5  # in flight
    assert take_in(ours, outgoing.take()) == 3
    assert ours.column(L.CODE).tolist().count(0) == ROWS - 3
    assert ours.column(L.SENT)[1] == L.NOT_YET
    end(theirs, 8)
    theirs.header[L.IN_FLIGHT_NS], theirs.header[L.IN_FLIGHT_MAX] = 77, 2
    theirs.header[L.CURSOR] = 9
    assert take_in(ours, outgoing.take(ended=False)) == ROWS - 3
    assert take_in(ours, outgoing.take(ended=False)) == 0
    for column in range(7):
        assert ours.column(column).tolist() == theirs.column(column).tolist()
    copied = copy_rows(ours)
    assert (copied.in_flight_ns, copied.in_flight_max) == (77, 2)


def test_what_did_not_arrive_was_lost_with_its_worker() -> None:
    log = scheduled()
    end(log, 5)
    assert write_off(log) == ROWS - 1
    codes = np.array(log.column(L.CODE).tolist())
    assert (codes == L.UNSENT + L.DETAIL * L.UNSENT_WORKER_LOST).sum() == ROWS - 1
    assert codes[5] == L.OK + L.DETAIL * 202
    assert write_off(log) == 0


def test_a_log_without_rows_can_be_shipped() -> None:
    ours = request_log_of(make_schedule(1, 0.1, 1, "constant", 1))
    theirs = log_of(schedule_bytes(ours))
    assert theirs.rows == ours.rows == 0
    assert take_in(ours, Outgoing(theirs).take(ended=False)) == 0
