"""From what was measured in one trial to its record and its raw rows. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.causes import failure_causes
from harness.experiment.plan import PlannedTrial
from harness.load import ledger as L
from harness.load.worker import Summary
from harness.observe.sampler import Observation
from harness.record import (
    Client,
    ContextSwitches,
    CpuPerRequest,
    Kernel,
    Lag,
    Memory,
    Outcomes,
    Quantiles,
    Requests,
    Sampling,
    Server,
    Stage,
    Stages,
    Trial,
    TrialClass,
)
from servers.report import Report

# A generator that is this late at p99, or did not get this share off at all, was the limit.
LAG_LIMIT_US = 1000.0
UNSENT_LIMIT = 0.001
# Below this share of ok the server did not keep up with the offered load.
SATURATED_BELOW = 0.99
# Little's law holds exactly for complete accounts; a gap beyond this is an error in them.
LITTLE_TOLERANCE = 0.05

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The ledger's columns, copied: int64 nanoseconds from the window's start, -1 where never."""

    start_ns: int
    intended: Ints
    client: Ints
    allowed: Ints
    sent: Ints
    connected: Ints
    ended: Ints
    code: Ints
    in_flight_max: int

    @property
    def outcome(self) -> Ints:
        """0 open, else the outcome's number in the ledger."""
        return self.code % L.DETAIL

    @property
    def detail(self) -> Ints:
        """HTTP status, or the cause of an unsent request."""
        return self.code // L.DETAIL


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """The server's reports: when the window opened, when the generator was done, and when the
    server had come to rest; and what the sampler saw in between."""

    opened: Report
    closed: Report
    rested: Report
    observations: Sequence[Observation]


def copy_rows(ledger: L.Ledger) -> Rows:
    """The ledger as it stands now."""

    def column(index: int) -> Ints:
        return np.frombuffer(ledger.column(index), dtype=np.int64).copy()

    return Rows(
        start_ns=ledger.header[L.START_NS],
        intended=column(L.INTENDED),
        client=column(L.CLIENT),
        allowed=column(L.ALLOWED),
        sent=column(L.SENT),
        connected=column(L.CONNECTED),
        ended=column(L.ENDED),
        code=column(L.CODE),
        in_flight_max=ledger.header[L.IN_FLIGHT_MAX],
    )


def quantiles(times_us: Floats) -> Quantiles:
    """Mean and quantiles (the value that at least that share of the samples do not exceed)."""
    if len(times_us) == 0:
        return Quantiles(mean=None, p50=None, p90=None, p95=None, p99=None, p999=None, max=None)
    shares = (0.5, 0.9, 0.95, 0.99, 0.999)
    p50, p90, p95, p99, p999 = np.quantile(times_us, shares, method="inverted_cdf").tolist()
    return Quantiles(
        mean=float(times_us.mean()),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        p999=p999,
        max=float(times_us.max()),
    )


def client_figures(rows: Rows, duration_s: float, summary: Summary | None) -> Client:
    """What the generator saw."""
    outcome = rows.outcome
    counts = np.bincount(outcome, minlength=len(L.OUTCOME_NAMES))
    # A row that is still open was in flight when the generator was stopped.
    unsent = int(counts[L.UNSENT] + counts[0])
    ok, sent = outcome == L.OK, rows.sent >= 0
    response_us = (rows.ended - rows.intended) / 1e3
    service_us = (rows.ended - rows.sent) / 1e3
    lag_us = (rows.sent - rows.allowed)[sent] / 1e3
    connected = rows.connected >= 0
    scheduled = len(outcome)
    window_s = window_length_s(rows, duration_s)
    by_outcome = {
        L.OUTCOME_NAMES[code]: quantiles(response_us[outcome == code])
        for code in range(L.OK, L.UNSENT)
        if counts[code]
    }
    causes = np.bincount(rows.detail[outcome == L.UNSENT], minlength=len(L.UNSENT_CAUSES))
    lag = np.quantile(lag_us, (0.5, 0.99), method="inverted_cdf") if len(lag_us) else None
    return Client(
        scheduled=scheduled,
        outcomes=Outcomes(
            **{
                name: int(counts[code]) for code, name in enumerate(L.OUTCOME_NAMES) if 0 < code < 8
            },
            unsent=unsent,
        ),
        success_rate=int(counts[L.OK]) / scheduled if scheduled else None,
        achieved_rps=int(counts[L.OK]) / window_s,
        lag_us=Lag(
            p50=None if lag is None else float(lag[0]),
            p99=None if lag is None else float(lag[1]),
            max=float(lag_us.max()) if len(lag_us) else None,
        ),
        response_us=quantiles(response_us[ok]),
        service_us=quantiles(service_us[ok]),
        connect_us=quantiles((rows.connected - rows.sent)[connected] / 1e3),
        response_us_by_outcome=by_outcome,
        unsent_causes={
            name: int(count) for name, count in zip(L.UNSENT_CAUSES, causes, strict=True) if count
        },
        in_flight_mean=in_flight_mean(rows, window_s),
        in_flight_max=rows.in_flight_max,
        generator_cpu_share=None if summary is None else summary.cpu_ns / summary.window_ns,
    )


def window_length_s(rows: Rows, duration_s: float) -> float:
    """From the window's start to its planned end, or to the last request's end if that is later."""
    last_end_ns = int(rows.ended.max()) if len(rows.ended) else 0
    return max(duration_s, last_end_ns / 1e9)


def in_flight_mean(rows: Rows, window_s: float) -> float | None:
    """Mean number of requests in flight, by looking at 10,000 evenly spaced moments.

    Deliberately not computed from the durations: it is one side of the check by Little's law.
    """
    flown = (rows.sent >= 0) & (rows.ended >= 0)
    if not flown.any():
        return None
    moments = (np.arange(10_000) + 0.5) * (window_s * 1e9 / 10_000)
    begun = np.searchsorted(np.sort(rows.sent[flown]), moments, side="right")
    ended = np.searchsorted(np.sort(rows.ended[flown]), moments, side="right")
    return float((begun - ended).mean())


def little_gap(rows: Rows, client: Client, window_s: float) -> float | None:
    """By what share mean in flight differs from rate x mean service time (Little, 1961)."""
    flown = (rows.sent >= 0) & (rows.ended >= 0)
    if client.in_flight_mean is None or not flown.any():
        return None
    expected = float((rows.ended - rows.sent)[flown].sum()) / 1e9 / window_s
    # Where almost nothing is in flight, 10,000 looks see too few requests to tell.
    if expected * 10_000 < 500:
        return None
    return abs(client.in_flight_mean - expected) / expected


def server_figures(window: ServerWindow) -> Server:
    """What the server said of itself over the window."""
    opened, closed, rested = window.opened, window.closed, window.rested
    elapsed_ns = closed.monotonic_ns - opened.monotonic_ns
    elapsed_s = elapsed_ns / 1e9
    gauges, before = closed.gauges, opened.gauges
    answered = closed.counters.answered - opened.counters.answered
    created = gauges.threads_created - before.threads_created
    threads_ns = gauges.threads_active_ns - before.threads_active_ns
    waited_ns = (gauges.queue_wait_ns or 0) - (before.queue_wait_ns or 0)
    seen = [o.threads_seen_by_os for o in window.observations if o.threads_seen_by_os is not None]
    cpu = _cpu_per_request(opened, closed, answered)
    return Server(
        threads_created=created,
        threads_created_per_s=created / elapsed_s,
        threads_active_mean=threads_ns / elapsed_ns,
        threads_peak=rested.gauges.threads_peak,
        threads_seen_by_os_peak=max(seen, default=None),
        queue_depth_mean=None if gauges.queue_wait_ns is None else waited_ns / elapsed_ns,
        queue_depth_max=rested.gauges.queue_depth_max,
        context_switches=_switches(opened, closed, answered, elapsed_s),
        cpu_us_per_request=cpu,
        efficiency=None if not cpu.total or cpu.handler is None else cpu.handler / cpu.total,
        memory=_memory(window),
        stages_us=_stages(rested),
        requests=_requests(opened, rested),
        sampling=_sampling(opened, closed, len(window.observations)),
        pid=closed.pid,
    )


def _cpu_per_request(opened: Report, closed: Report, answered: int) -> CpuPerRequest:
    if answered == 0:
        return CpuPerRequest(total=None, handler=None, overhead=None)
    total = (closed.process.cpu_us - opened.process.cpu_us) / answered
    handler = (closed.process.handler_cpu_us - opened.process.handler_cpu_us) / answered
    return CpuPerRequest(total=total, handler=handler, overhead=total - handler)


def _switches(opened: Report, closed: Report, answered: int, elapsed_s: float) -> ContextSwitches:
    voluntary = closed.process.voluntary_switches - opened.process.voluntary_switches
    involuntary = closed.process.involuntary_switches - opened.process.involuntary_switches
    both = voluntary + involuntary
    return ContextSwitches(
        voluntary=voluntary,
        involuntary=involuntary,
        per_s=both / elapsed_s,
        per_request=both / answered if answered else None,
    )


def _memory(window: ServerWindow) -> Memory:
    process, gauges = window.rested.process, window.rested.gauges
    resident = [o.rss_bytes for o in window.observations if o.rss_bytes is not None]
    return Memory(
        rss_peak_bytes=process.rss_peak_bytes,
        rss_mean_bytes=float(np.mean(resident)) if resident else None,
        vms_peak_bytes=process.vms_peak_bytes,
        stack_reserved_bytes=gauges.threads_peak * process.stack_size_bytes,
    )


def _stages(report: Report) -> Stages | None:
    if not report.stages_us:
        return None
    found = {
        name: Stage(mean=figures.mean, p50=figures.p50, p99=figures.p99)
        for name, figures in report.stages_us.items()
    }
    return Stages(**found)


def _requests(opened: Report, rested: Report) -> Requests:
    before, after = opened.counters, rested.counters
    statuses = {
        status: count - before.answered_by_status.get(status, 0)
        for status, count in after.answered_by_status.items()
    }
    return Requests(
        accepted=after.accepted - before.accepted,
        answered=after.answered - before.answered,
        answered_by_status={status: count for status, count in statuses.items() if count},
        timed_out=after.timed_out - before.timed_out,
        reset=after.reset - before.reset,
        abandoned=after.abandoned - before.abandoned,
        in_progress=after.in_progress,
    )


def _sampling(opened: Report, closed: Report, samples: int) -> Sampling:
    spent = closed.process.housekeeping_cpu_us - opened.process.housekeeping_cpu_us
    total = closed.process.cpu_us - opened.process.cpu_us
    switches = closed.process.housekeeping_switches - opened.process.housekeeping_switches
    return Sampling(
        cpu_us=spent,
        cpu_share=spent / total if total else None,
        context_switches=switches,
        samples=samples,
    )


def classify(client: Client) -> tuple[TrialClass, str | None]:
    """The class of a trial, and in words why it is not sound."""
    unsent_share = client.outcomes.unsent / client.scheduled if client.scheduled else 0.0
    if unsent_share > UNSENT_LIMIT:
        why = ", ".join(f"{name}: {count}" for name, count in client.unsent_causes.items())
        return "generator-limited", (
            f"the generator did not send {unsent_share:.1%} of the requests ({why or 'stopped'})"
        )
    if client.lag_us.p99 is not None and client.lag_us.p99 > LAG_LIMIT_US:
        return "generator-limited", (
            f"the generator was {client.lag_us.p99 / 1e3:.1f} ms late at p99 "
            f"(limit {LAG_LIMIT_US / 1e3:g} ms)"
        )
    if client.success_rate is not None and client.success_rate < SATURATED_BELOW:
        return "server-saturated", None
    return "sound", None


def build_trial(
    planned: PlannedTrial,
    started: str,
    duration_s: float,
    rows: Rows,
    summary: Summary | None,
    kernel: Kernel,
    window: ServerWindow | None,
    failure: str | None,
) -> Trial:
    """The record of a trial. `failure` says what ended it early, if anything did."""
    client = client_figures(rows, duration_s, summary)
    window_s = window_length_s(rows, duration_s)
    kind, reason = classify(client)
    server = None if window is None else server_figures(window)
    if failure is not None:
        kind, reason = "server-saturated", failure
    return Trial(
        backend=planned.backend,
        rps=planned.rps,
        round=planned.round,
        order=planned.order,
        slot=planned.slot,
        class_=kind,
        valid=reason is None,
        invalid_reason=reason,
        started=started,
        window_s=window_s,
        client=client,
        kernel=kernel,
        server=server,
        warnings=[
            *trial_warnings(rows, client, window_s, server),
            *failure_causes(rows, client, kernel),
        ],
        workload=planned.workload,
        workers=planned.workers,
    )


def trial_warnings(rows: Rows, client: Client, window_s: float, server: Server | None) -> list[str]:
    warnings = []
    gap = little_gap(rows, client, window_s)
    if gap is not None and gap > LITTLE_TOLERANCE:
        warnings.append(
            f"Little's law is off by {gap:.0%}: requests in flight do not match rate x time; "
            "do not trust this trial's latencies before you know why"
        )
    if server is not None and server.requests.in_progress:
        warnings.append(
            f"{server.requests.in_progress} requests were still in progress when the server was "
            "asked for its final count"
        )
    return warnings


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
