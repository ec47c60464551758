"""The raw rows of one trial: one for each scheduled request, one for each step of 100 ms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.core.record import Block, Trial
from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.machine.outside.look import Look
from harness.targets.sampler import Observation

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The request log's columns, copied: int64 nanoseconds from the window's start, -1 where never.

    `in_flight_ns`: the number in flight integrated over time, by an account of the generator's own
    beside the rows; None where it keeps none (Locust).
    """

    start_ns: int
    intended: Ints
    client: Ints
    allowed: Ints
    sent: Ints
    connected: Ints
    ended: Ints
    code: Ints
    in_flight_max: int
    in_flight_ns: int | None = None

    @property
    def outcome(self) -> Ints:
        """0 open, else the outcome's number in the request log."""
        return self.code % L.DETAIL

    @property
    def detail(self) -> Ints:
        """HTTP status, or the cause of an unsent request."""
        return self.code // L.DETAIL


def most_in_flight(sent: Ints, ended: Ints) -> int:
    """The most requests that were on their way at the same time; times in nanoseconds."""
    flown = (sent >= 0) & (ended >= 0)
    if not flown.any():
        return 0
    moments = np.sort(sent[flown])
    begun = np.arange(1, len(moments) + 1)
    return int((begun - np.searchsorted(np.sort(ended[flown]), moments, side="right")).max())


def copy_rows(log: L.RequestLog) -> Rows:
    """The rows of the request log that count, as they stand now."""
    count, most = log.header[L.ROWS], log.header[L.IN_FLIGHT_MAX]
    held_ns = log.header[L.IN_FLIGHT_NS]

    def column(index: int) -> Ints:
        return np.frombuffer(log.column(index), dtype=np.int64)[:count].copy()

    sent, ended = column(L.SENT), column(L.ENDED)
    return Rows(
        start_ns=log.header[L.START_NS],
        intended=column(L.INTENDED),
        client=column(L.CLIENT),
        allowed=column(L.ALLOWED),
        sent=sent,
        connected=column(L.CONNECTED),
        ended=ended,
        code=column(L.CODE),
        in_flight_max=most_in_flight(sent, ended) if most == L.NOT_YET else most,
        in_flight_ns=None if held_ns in (0, L.NOT_YET) else held_ns,
    )


def phase_rows(log: L.PhaseLog) -> Rows:
    """The rows of one phase, as they stand now, in the order of their intended times: of several
    processes all together."""
    parts = [copy_rows(part) for part in log.parts]
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.intended for part in parts]), kind="stable")

    def column(name: str) -> Ints:
        joined: Ints = np.concatenate([getattr(part, name) for part in parts])[order]
        return joined

    held = [part.in_flight_ns for part in parts if part.in_flight_ns is not None]
    names = ("intended", "client", "allowed", "sent", "connected", "ended", "code")
    columns = {name: column(name) for name in names}
    return Rows(
        start_ns=log.start_ns,
        in_flight_max=most_in_flight(columns["sent"], columns["ended"]),
        in_flight_ns=sum(held) if held else None,
        **columns,
    )


def requests_frame(planned: PlannedTrial, rows: Rows) -> pd.DataFrame:
    """One row a scheduled request; times in microseconds from the intended time or the send."""
    sent, ended, connected = rows.sent >= 0, rows.ended >= 0, rows.connected >= 0
    outcome = np.where(rows.outcome == 0, L.UNSENT, rows.outcome)
    names = pd.Categorical.from_codes(outcome - 1, categories=pd.Index(L.OUTCOME_NAMES[1:]))
    size = len(outcome)
    return pd.DataFrame(
        {
            "backend": pd.Categorical.from_codes(
                np.zeros(size, np.int8), categories=pd.Index([planned.backend])
            ),
            "slot": np.full(size, planned.slot, np.int8),
            "level": np.full(size, planned.rps),
            "round": np.full(size, planned.round, np.int32),
            "client": rows.client.astype(np.int32),
            "intended_us": rows.intended / 1e3,
            "lag_us": np.where(sent, (rows.sent - rows.allowed) / 1e3, np.nan),
            "connect_us": np.where(connected, (rows.connected - rows.sent) / 1e3, np.nan),
            "response_us": np.where(ended, (rows.ended - rows.intended) / 1e3, np.nan),
            "outcome": names,
            "status": np.where(outcome == L.UNSENT, 0, rows.detail).astype(np.int16),
        }
    )


def blocks_frame(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a block of each trial, with what `blocks` of the record has; times of quantiles that
    lie among the failures are infinite."""
    rows = [_block_row(trial, block) for trial in trials for block in trial.blocks]
    return pd.DataFrame(rows)


_NESTED = (
    "pair", "response_us", "beyond", "cpu_us_per_request", "settled_response_us", "other_work",
)  # fmt: skip


def _block_row(trial: Trial, block: Block) -> dict[str, object]:
    times = {
        f"response_us_{name}": math.inf if name in block.beyond else value
        for name, value in msgspec.structs.asdict(block.response_us).items()
    }
    settled = block.settled_response_us
    if settled is not None:
        times |= {
            f"settled_response_us_{name}": math.inf if name in settled.beyond else value
            for name, value in msgspec.structs.asdict(settled).items()
            if name != "beyond"
        }
    cpu = {
        f"cpu_us_per_request_{name}": value
        for name, value in msgspec.structs.asdict(block.cpu_us_per_request).items()
    }
    other = block.other_work
    beside = {
        "other_work_cpu_ms": None if other is None else other.cpu_ms,
        "other_work_name": None if other is None else other.name,
    }
    plain = {
        name: value for name, value in msgspec.structs.asdict(block).items() if name not in _NESTED
    }
    place = {"backend": trial.backend, "slot": trial.slot, "level": trial.rps,
             "round": trial.round, "block": block.pair}  # fmt: skip
    return place | plain | beside | times | cpu


def timeline_frame(
    planned: PlannedTrial, start_ns: int, observations: Sequence[Observation]
) -> pd.DataFrame:
    """One row each 100 ms step: what happened between one look at the server and the next."""
    steps = [
        _step(planned, start_ns, before, after)
        for before, after in pairwise(observations)
        if after.server.monotonic_ns > start_ns
    ]
    frame = pd.DataFrame(steps, columns=list(_STEP_TYPES))
    return frame.astype(_STEP_TYPES)


def looks_frame(planned: PlannedTrial, loads: Sequence[tuple[int, Sequence[Look]]]) -> pd.DataFrame:
    """The same of a server that was seen from outside: for each time of load when it began, on the
    clock of its looks and less the load before it, and the looks. No row where it cannot be
    looked at."""
    steps = [
        _seen_step(planned, start_ns, before, after)
        for start_ns, looks in loads
        for before, after in pairwise(looks)
        if before.processes and after.processes
    ]
    frame = pd.DataFrame(steps, columns=list(_STEP_TYPES))
    return frame.astype(_SEEN_TYPES)


_STEP_TYPES = {
    "backend": "category",
    "slot": "int8",
    "level": "float64",
    "round": "int32",
    "t_ms": "int64",
    "threads_created": "int64",
    "threads_active": "int64",
    "threads_step_peak": "int64",
    "threads_seen_by_os": "Int64",
    "queue_depth": "Int64",
    "queue_step_max": "Int64",
    "accepted": "int64",
    "cpu_us": "int64",
    "context_switches": "int64",
    "rss_bytes": "Int64",
    "vms_bytes": "Int64",
}
_NEVER_NULL = ("backend", "slot", "level", "round", "t_ms")
_SEEN_TYPES = {name: kind if name in _NEVER_NULL else "Int64" for name, kind in _STEP_TYPES.items()}


def _step(
    planned: PlannedTrial, start_ns: int, before: Observation, after: Observation
) -> dict[str, str | float | int | None]:
    old, new = before.server, after.server
    return {
        "backend": planned.backend,
        "slot": planned.slot,
        "level": planned.rps,
        "round": planned.round,
        "t_ms": round((new.monotonic_ns - start_ns) / 1e8) * 100,
        "threads_created": new.threads_created - old.threads_created,
        "threads_active": new.threads_active,
        "threads_step_peak": new.threads_step_peak,
        "threads_seen_by_os": after.threads_seen_by_os,
        "queue_depth": new.queue_depth,
        "queue_step_max": new.queue_step_max,
        "accepted": new.accepted - old.accepted,
        "cpu_us": new.cpu_us - old.cpu_us,
        "context_switches": new.voluntary_switches
        + new.involuntary_switches
        - old.voluntary_switches
        - old.involuntary_switches,
        "rss_bytes": after.rss_bytes,
        "vms_bytes": after.vms_bytes,
    }


def _seen_step(
    planned: PlannedTrial, start_ns: int, before: Look, after: Look
) -> dict[str, str | float | int | None]:
    """What only the server could say, and what is counted in a load of its own, is None."""
    known = before.cpu_ns is not None and after.cpu_ns is not None
    return dict.fromkeys(_STEP_TYPES) | {
        "backend": planned.backend,
        "slot": planned.slot,
        "level": planned.rps,
        "round": planned.round,
        "t_ms": round((after.t_ns - start_ns) / 1e8) * 100,
        "threads_seen_by_os": after.threads,
        "cpu_us": round(((after.cpu_ns or 0) - (before.cpu_ns or 0)) / 1e3) if known else None,
        "rss_bytes": after.rss_bytes,
    }
