"""A request log from one machine to another as bytes: its schedule there, and what came of it back.

All is int64 in the byte order of the machine; those of a run are alike (README, "What it runs on").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.drivers import request_log as L
from harness.drivers.schedule import Schedule, request_log_of

_HEADER = (L.CURSOR, L.IN_FLIGHT_NS, L.IN_FLIGHT_MAX)
_RESULTS = (L.ALLOWED, L.SENT, L.CONNECTED, L.ENDED, L.CODE)


def schedule_bytes(log: L.RequestLog) -> bytes:
    """Intended times of all rows, then their clients."""
    return log.column(L.INTENDED).tobytes() + log.column(L.CLIENT).tobytes()


def log_of(schedule: bytes) -> L.RequestLog:
    """A request log with that schedule. Raises OSError when there is no memory for it."""
    intended_ns, client = np.frombuffer(schedule, np.int64).reshape(2, -1)
    return request_log_of(Schedule(intended_ns, client))


class Outgoing:
    """What has come of the rows of a log that somebody else writes, each row once."""

    def __init__(self, log: L.RequestLog) -> None:
        self._header = log.header
        self._results = [_array(log, column) for column in _RESULTS]
        self._code = self._results[_RESULTS.index(L.CODE)]
        self._left = np.ones(log.rows, bool)

    def take(self, ended: bool = True) -> bytes:
        """The header as it stands, and the rows that have ended since the last call, or, without
        `ended`, all that are left. A row's outcome is written last, so who has one is whole."""
        chosen = self._left & (self._code != 0) if ended else self._left
        places = np.flatnonzero(chosen)
        self._left[places] = False
        header = np.array([self._header[word] for word in _HEADER], np.int64)
        results = [column[places] for column in self._results]
        return np.concatenate([header, places, *results]).tobytes()


def take_in(log: L.RequestLog, taken: bytes) -> int:
    """Write what `Outgoing` gave into a log of the same schedule; how many rows it was."""
    words = np.frombuffer(taken, np.int64)
    for word, value in zip(_HEADER, words.tolist(), strict=False):
        log.header[word] = value
    places, *results = words[len(_HEADER) :].reshape(1 + len(_RESULTS), -1)
    for column, values in zip(_RESULTS, results, strict=True):
        _array(log, column)[places] = values
    return len(places)


def write_off(log: L.RequestLog) -> int:
    """Whatever has no outcome yet was lost with the worker that was to send it; how many rows. The
    worker's own account of what was in flight was lost too: that of the rows takes its place."""
    code, sent, ended = (_array(log, column) for column in (L.CODE, L.SENT, L.ENDED))
    lost = code == 0
    flown = (sent >= 0) & (ended >= 0)
    log.header[L.IN_FLIGHT_NS] = int((ended[flown] - sent[flown]).sum())
    code[lost] = L.UNSENT + L.DETAIL * L.UNSENT_WORKER_LOST
    log.header[L.CURSOR] = log.rows
    return int(lost.sum())


def _array(log: L.RequestLog, column: int) -> npt.NDArray[np.int64]:
    """A column, to be read and written in place."""
    return np.frombuffer(log.column(column), np.int64)
