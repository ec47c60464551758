"""From what was measured in one trial to its record. Pure: no I/O."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from harness.core.record import (
    QUANTILE_SHARES,
    Bystanders,
    Client,
    Connections,
    Died,
    DriverName,
    GeneratorShare,
    Kernel,
    Lag,
    Outcomes,
    Quantiles,
    Server,
    Trial,
    TrialClass,
)
from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.driver import driver_of
from harness.drivers.open_loop.worker import Summary
from harness.measure.accounts import account_warnings, failure_causes, in_flight_mean, little_gap_us
from harness.measure.request_rows import Floats, Rows
from harness.measure.server_metrics import ServerWindow, process_warnings, server_figures

STALE = (
    "the server's process was not started for this trial, so its memory and threads are those of "
    "all that it has served"
)


def quantiles(times_us: Floats, failed: int = 0) -> Quantiles:
    """Mean, quantiles (the value that at least that share does not exceed) and maximum of the times
    of those that came to an end, among whom `failed` more took longer than any: what lies among
    those is None, and so are mean and maximum if there are any."""
    ordered = np.sort(times_us)
    size = len(ordered) + failed
    found: dict[str, float | None] = {}
    for name, share in QUANTILE_SHARES.items():
        rank = max(1, math.ceil(share * size - 1e-9))
        found[name] = float(ordered[rank - 1]) if rank <= len(ordered) else None
    whole = len(ordered) > 0 and failed == 0
    return Quantiles(
        mean=float(ordered.mean()) if whole else None,
        max=float(ordered[-1]) if whole else None,
        **found,
    )


def beyond(figures: Quantiles, failed: int) -> list[str]:
    """The names of the figures that lie among the failures."""
    named = msgspec.structs.asdict(figures)
    return [name for name, value in named.items() if value is None] if failed else []


def client_figures(rows: Rows, duration_s: float, summary: Summary | None) -> Client:
    """Figures as seen by the generator."""
    outcome = rows.outcome
    counts = np.bincount(outcome, minlength=len(L.OUTCOME_NAMES))
    # A row that is still open was in flight when the generator was stopped.
    unsent = int(counts[L.UNSENT] + counts[0])
    ok, sent = outcome == L.OK, rows.sent >= 0
    response_us = (rows.ended - rows.intended) / 1e3
    service_us = (rows.ended - rows.sent) / 1e3
    lag_us = (rows.sent - rows.allowed)[sent] / 1e3
    connected = sent & (rows.connected >= 0)
    # Everybody who was sent or refused counts, and whoever failed is slower than any answer. So is
    # who was never allowed to send, since earlier answers did not come.
    never_allowed = int((rows.code == L.UNSENT + L.DETAIL * L.UNSENT_NEVER_ALLOWED).sum())
    failed = len(outcome) - unsent + never_allowed - int(counts[L.OK])
    unconnected = int(sent.sum() - connected.sum())
    response = quantiles(response_us[ok], failed)
    connect = quantiles((rows.connected - rows.sent)[connected] / 1e3, unconnected)
    scheduled = len(outcome)
    by_outcome = {
        L.OUTCOME_NAMES[code]: quantiles(response_us[outcome == code])
        for code in range(L.OK, L.UNSENT)
        if counts[code]
    }
    return Client(
        scheduled=scheduled,
        outcomes=Outcomes(
            **{
                name: int(counts[code]) for code, name in enumerate(L.OUTCOME_NAMES) if 0 < code < 8
            },
            unsent=unsent,
        ),
        success_rate=int(counts[L.OK]) / scheduled if scheduled else None,
        achieved_rps=achieved_rps(rows, duration_s),
        lag_us=lag_figures(lag_us),
        response_us=response,
        service_us=quantiles(service_us[ok], failed),
        connect_us=connect,
        beyond=beyond(response, failed),
        connect_beyond=beyond(connect, unconnected),
        response_us_by_outcome=by_outcome,
        unsent_causes=_unsent_causes(rows),
        in_flight_mean=in_flight_mean(rows, window_length_s(rows, duration_s)),
        little_gap_us=little_gap_us(rows),
        in_flight_max=rows.in_flight_max,
        generator_cpu_share=None if summary is None else summary.cpu_ns / summary.window_ns,
        closed_by_server=None if summary is None else summary.closed_by_server,
        connections=_connections(summary),
        generators=_generators(rows, summary),
    )


def _generators(rows: Rows, summary: Summary | None) -> list[GeneratorShare]:
    """Each of several processes that sent: client k was that of process k modulo their number."""
    costs = [] if summary is None else summary.processes
    lag_us = (rows.sent - rows.allowed) / 1e3
    found = []
    for number, cost in enumerate(costs):
        own = rows.client % len(costs) == number
        found.append(
            GeneratorShare(
                scheduled=int(own.sum()),
                lag_us=lag_figures(lag_us[own & (rows.sent >= 0)]),
                cpu_share=cost.cpu_ns / cost.window_ns if cost.window_ns else None,
                start_late_us=cost.start_late_ns / 1e3,
                machine=cost.machine,
                clock_ahead_us=None if cost.clock_ahead_ns is None else cost.clock_ahead_ns / 1e3,
                clock_error_us=None if cost.clock_error_ns is None else cost.clock_error_ns / 1e3,
            )
        )
    return found


def _connections(summary: Summary | None) -> Connections | None:
    kept = None if summary is None else summary.connections
    if kept is None:
        return None
    return Connections(opened=kept.opened, reused=kept.reused, retried=kept.retried)


def _unsent_causes(rows: Rows) -> dict[str, int]:
    """How many requests were not sent, by what kept them back."""
    details = rows.detail[rows.outcome == L.UNSENT]
    causes = np.bincount(details, minlength=len(L.UNSENT_CAUSES))
    return {name: int(count) for name, count in zip(L.UNSENT_CAUSES, causes, strict=True) if count}


def lag_figures(lag_us: Floats) -> Lag:
    """How late the generator was, in microseconds; all None where nothing was sent."""
    if not len(lag_us):
        return Lag(p50=None, p99=None, max=None)
    p50, p99 = np.quantile(lag_us, (0.5, 0.99), method="inverted_cdf")
    return Lag(p50=float(p50), p99=float(p99), max=float(lag_us.max()))


def window_length_s(rows: Rows, duration_s: float) -> float:
    """From the window's start to its planned end, or to the last request's end if that is later."""
    last_end_ns = int(rows.ended.max()) if len(rows.ended) else 0
    return max(duration_s, last_end_ns / 1e9)


def achieved_rps(rows: Rows, duration_s: float) -> float:
    """Good answers a second, over a window as long as the planned one.

    It begins when the fastest of them was there, so that of a server that keeps up all are counted,
    however long it takes; and it does not wait for the slowest. Otherwise one timeout in 5,000
    requests turns 1,000 a second into 833 (vegeta divides by the time to the last end, whatever it
    was). What comes after it is in no rate: a server in overload answers on when the load is over,
    and to divide all of that by the planned duration would make it faster than it is (wrk2 does not
    count what comes after its end either).
    """
    ok = rows.outcome == L.OK
    if not ok.any():
        return 0.0
    fastest_ns = int((rows.ended - rows.intended)[ok].min())
    return int((rows.ended[ok] <= fastest_ns + round(duration_s * 1e9)).sum()) / duration_s


def _server_warnings(window: ServerWindow | None, server: Server | None, fresh: bool) -> list[str]:
    """What is odd about the server: its window, its process, that it ran before the trial."""
    return [
        *window_warnings(window),
        *(() if server is None else process_warnings(server)),
        *(() if fresh else (STALE,)),
    ]


def build_trial(
    planned: PlannedTrial,
    started: str,
    duration_s: float,
    rows: Rows,
    summary: Summary | None,
    kernel: Kernel,
    window: ServerWindow | None,
    failure: str | None,
    driven_by: DriverName = "open-loop",
    fresh: bool = True,
    died: Died | None = None,
    outside: Server | None = None,
    bystanders: Bystanders | None = None,
) -> Trial:
    """The record of a trial. `failure` says what ended it early, if anything did, and `died` whose
    process that was; `fresh`: whether the server's process was started for this trial; `outside`:
    its figures where it was seen from outside and has no window of its own."""
    client = client_figures(rows, duration_s, summary)
    driver, asked = driver_of(driven_by), planned.rps * duration_s
    gap = None if summary is None else summary.failure
    said = driver.classify(client, asked, gap)
    kind, reason = said if failure is None else (_class_of_failure(died), failure)
    server = outside if window is None else server_figures(window, fresh)
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
        window_s=window_length_s(rows, duration_s),
        client=client,
        kernel=kernel,
        server=server,
        warnings=[
            *account_warnings(rows, client, kernel, server, gap is None),
            *_server_warnings(window, server, fresh or outside is not None),
            *failure_causes(rows, client, kernel),
            *driver.warnings(client, asked),
        ],
        died=died,
        workload=planned.arm.workload,
        workers=planned.arm.workers,
        arm=planned.arm.name,
        bystanders=bystanders,
    )


def _class_of_failure(died: Died | None) -> TrialClass:
    """A silent server is the server's fault; a dead generator or sampler is not."""
    return "server-saturated" if died in ("server", None) else "generator-limited"


def window_warnings(window: ServerWindow | None) -> list[str]:
    """Warnings on requests that the server's window misses, or holds though they are another's."""
    if window is None:
        return []
    told = []
    whens = "the window was opened", "it was asked for its final count"
    for in_progress, when in zip(window.in_progress, whens, strict=True):
        if in_progress > 0:
            told.append(
                f"{in_progress:,} requests were still in progress in the server when {when}"
            )
    dropped, kept = window.rested.stage_rows_dropped, window.rested.stage_rows
    if dropped:
        told.append(
            f"stage times cover the newest {kept:,} of {kept + dropped:,} requests that were "
            "answered 202: the server keeps no more of them"
        )
    return told
