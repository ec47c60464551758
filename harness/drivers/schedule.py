"""When each client means to send: a pure function of rate, clients, arrivals and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.core.checks import MAX_REQUESTS
from harness.drivers import request_log as L


@dataclass(frozen=True, slots=True)
class Schedule:
    """Intended times of one trial, in order.

    `intended_ns`: int64, nanoseconds from the start of the window, ascending; `client`: int64,
    the client of each, from 0. Both of the same length.
    """

    intended_ns: npt.NDArray[np.int64]
    client: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.intended_ns)


def make_schedule(
    rps: float, duration_s: float, clients: int, arrivals: str, seed: int
) -> Schedule:
    """The schedule of `clients` clients at `rps / clients` requests a second each.

    `poisson`: each client's gaps are exponential and independent, so that all together are a
    Poisson stream of `rps`. `constant`: each client sends at equal gaps; the clients start
    staggered, so that all together are equally spaced too. Equal arguments give equal schedules.
    Raises ValueError when it would be too long to hold.
    """
    if rps * duration_s > MAX_REQUESTS:
        raise ValueError(
            f"{rps:g} RPS for {duration_s:g} s are {rps * duration_s:,.0f} requests; "
            f"a trial can schedule at most {MAX_REQUESTS:,}: lower the rate or the duration"
        )
    if arrivals == "constant":
        times_s, owner = _constant(rps, duration_s, clients)
    else:
        times_s, owner = _poisson(rps, duration_s, clients, seed)
    order = np.argsort(times_s, kind="stable")
    return Schedule(np.rint(times_s[order] * 1e9).astype(np.int64), owner[order])


def phase_log_of(schedule: Schedule, processes: int) -> L.PhaseLog:
    """That schedule in a log for each of so many processes: client k's requests are in that of
    process k modulo `processes`. Raises OSError when there is no memory for it."""
    whose = schedule.client % processes
    return L.PhaseLog(
        [
            request_log_of(
                Schedule(schedule.intended_ns[whose == number], schedule.client[whose == number])
            )
            for number in range(processes)
        ]
    )


def request_log_of(schedule: Schedule) -> L.RequestLog:
    """A request log with that schedule in it. Raises OSError when there is no memory for it."""
    log = L.RequestLog.create(len(schedule))
    for column, values in ((L.INTENDED, schedule.intended_ns), (L.CLIENT, schedule.client)):
        np.frombuffer(log.column(column), dtype=np.int64)[:] = values
    for column in (L.ALLOWED, L.SENT, L.CONNECTED, L.ENDED):
        np.frombuffer(log.column(column), dtype=np.int64)[:] = L.NOT_YET
    return log


def _constant(
    rps: float, duration_s: float, clients: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    index = np.arange(round(rps * duration_s), dtype=np.int64)
    return index / rps, index % clients


def _poisson(
    rps: float, duration_s: float, clients: int, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    # Given their number, the points of a Poisson stream are independent and uniform (Kingman,
    # Poisson Processes, 1993, section 2.4): one draw for the number, one for the places.
    random = np.random.default_rng(seed)
    counts = random.poisson(rps / clients * duration_s, size=clients)
    times_s = random.uniform(0.0, duration_s, size=int(counts.sum()))
    return times_s, np.repeat(np.arange(clients, dtype=np.int64), counts)
