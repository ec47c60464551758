"""The traced requests of one trial, each beside its row of the generator's. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.open_loop.driver import source_address
from harness.measure.request_rows import Rows
from servers.report import STAGES
from servers.tracing import Trace, TracedRequest

_TIMES = ("accepted_us", "started_us", "ended_us")


def matched(rows: Rows, clients: int, host: str, trace: Trace) -> dict[int, TracedRequest]:
    """Which traced request each row of the generator's is, by the row's number.

    Each client has an address of its own, and the kernel hands its connections over in the order in
    which they were made. A connection is accepted after its client began to make it and before it
    has its answer. (When it was established tells nothing: a generator that stands still notes that
    milliseconds late.)
    """
    client_at = {source_address(client, host): client for client in range(clients)}
    waiting: dict[int, deque[int]] = {}
    for row in np.argsort(rows.sent, kind="stable"):
        if rows.connected[row] >= 0:
            waiting.setdefault(int(rows.client[row]), deque()).append(int(row))
    outcome = rows.outcome
    found: dict[int, TracedRequest] = {}
    for request in sorted(trace.requests, key=lambda r: r.accepted_ns):
        queue = waiting.get(client_at.get(request.address, -1), deque())
        accepted_ns = request.accepted_ns - rows.start_ns
        while queue and outcome[queue[0]] == L.OK and rows.ended[queue[0]] < accepted_ns:
            queue.popleft()  # the server tells nothing of it
        if queue and rows.sent[queue[0]] <= accepted_ns:
            found[queue.popleft()] = request
    return found


def trace_frame(
    planned: PlannedTrial, rows: Rows, found: dict[int, TracedRequest], trace: Trace
) -> pd.DataFrame:
    """One row a request, in the order of intended times, which are microseconds from the window's
    start like all others; stages are microseconds long. Of a trace that was cut short, up to the
    last request that is in it. NaN, and thread 0, where the server tells nothing."""
    last = max(found, default=-1, key=lambda row: int(rows.intended[row]))
    until_ns = int(rows.intended[last]) if last >= 0 else 0
    chosen = [
        int(row)
        for row in np.argsort(rows.intended, kind="stable")
        if not trace.dropped or rows.intended[row] <= until_ns
    ]
    seen = [found.get(row) for row in chosen]
    outcome = np.where(rows.outcome == 0, L.UNSENT, rows.outcome)[chosen]
    frame = {
        "slot": np.full(len(chosen), planned.slot, np.int8),
        "level": np.full(len(chosen), planned.rps),
        "round": np.full(len(chosen), planned.round, np.int32),
        "client": rows.client[chosen].astype(np.int32),
        "outcome": pd.Categorical.from_codes(outcome - 1, categories=pd.Index(L.OUTCOME_NAMES[1:])),
        "intended_us": rows.intended[chosen] / 1e3,
        "sent_us": _microseconds(rows.sent[chosen]),
        "connected_us": _microseconds(rows.connected[chosen]),
        "answered_us": _microseconds(rows.ended[chosen]),
        "thread": np.array([0 if r is None else r.thread for r in seen], np.int64),
        "status": np.array([0 if r is None else r.status for r in seen], np.int16),
    }
    for name in _TIMES:
        at_ns = [None if r is None else getattr(r, name.replace("_us", "_ns")) for r in seen]
        frame[name] = np.array([np.nan if ns is None else (ns - rows.start_ns) / 1e3
                                for ns in at_ns])  # fmt: skip
    return pd.DataFrame(frame | _stages(seen))


def _stages(seen: Sequence[TracedRequest | None]) -> dict[str, np.ndarray]:
    return {
        f"{name}_us": np.array(
            [np.nan if r is None or not r.stages_ns else r.stages_ns[place] / 1e3 for r in seen]
        )
        for place, name in enumerate(STAGES)
    }


def _microseconds(times_ns: np.ndarray) -> np.ndarray:
    return np.where(times_ns >= 0, times_ns / 1e3, np.nan)
