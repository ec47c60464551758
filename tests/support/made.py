"""Made-up trials and runs with known answers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from harness.core.record import Client, Comparison, Run, Server, Settings, Trial
from harness.drivers import request_log as L
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.measure.build_trial import client_figures
from harness.measure.request_rows import Rows
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import sentences

REJECTED = L.REJECTED + L.DETAIL * 503
UNSENT = L.UNSENT + L.DETAIL * L.UNSENT_PORTS
P50, P99 = "client.response_us.p50", "client.response_us.p99"
SUCCESS = "client.success_rate"
SETTINGS: dict[str, Any] = {
    "rps": [2000.0], "backends": ["thread-per-request", "thread-pool"], "rounds": 5,
    "duration_s": 1.0, "warmup_s": 0.0, "clients": 100, "timeout_s": 1.0, "arrivals": "poisson",
    "workload": "ingest", "driver": "open-loop", "workers": 16, "queue_size": 10_000,
    "stack_size_bytes": 2 << 20, "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False,
    "switch_interval_s": None, "seed": 1,
}  # fmt: skip


def make_settings(**changes: Any) -> Settings:
    """Settings of a comparison at 2,000 RPS."""
    return msgspec.convert(SETTINGS | changes, Settings)


def make_trial(
    slot: int,
    number: int,
    *,
    cpu_us: float | None = 100.0,
    client: Client | None = None,
    server: Server | None = None,
    **changes: Any,
) -> Trial:
    """A sound trial of one side in one round; the first backend makes threads, the second none."""
    times = dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max"), 100.0)
    outcomes = dict.fromkeys(
        ("timeout", "refused", "reset", "rejected", "http_error", "bad_response", "unsent"), 0
    )
    record: dict[str, Any] = {
        "backend": SETTINGS["backends"][min(slot, 1)], "rps": 2000.0, "round": number, "order": 0,
        "slot": slot, "class": "sound", "valid": True, "invalid_reason": None, "started": "",
        "window_s": 1.0,
        "client": {
            "scheduled": 10, "outcomes": outcomes | {"ok": 10}, "success_rate": 1.0,
            "achieved_rps": 10.0, "lag_us": {"p50": 1.0, "p99": 2.0, "max": 3.0},
            "response_us": times, "service_us": times, "connect_us": times,
        },
        "kernel": dict.fromkeys(
            ("listen_overflows", "listen_drops", "retransmits", "time_wait_peak"), 0
        ),
        "server": {
            "threads_created": 10 - 10 * (slot == 1),
            "threads_created_per_s": 10.0 - 10 * (slot == 1),
            "threads_active_mean": 1.0, "threads_peak": 4, "threads_seen_by_os_peak": 6,
            "queue_depth_mean": None, "queue_depth_max": None,
            "context_switches": {
                "voluntary": 1, "involuntary": 1, "per_s": 2.0, "per_request": 0.2
            },
            "cpu_us_per_request": {
                "total": cpu_us, "handler": 10.0,
                "overhead": None if cpu_us is None else cpu_us - 10,
            },
            "efficiency": 0.5,
            "memory": {
                "rss_peak_bytes": 1, "rss_mean_bytes": 1.0, "vms_peak_bytes": 1,
                "stack_reserved_bytes": 1,
            },
            "stages_us": None,
            "requests": {"accepted": 10, "answered": 10},
        },
    }  # fmt: skip
    trial = msgspec.convert(record | changes, Trial)
    return msgspec.structs.replace(
        trial, client=client or trial.client, server=server or trial.server
    )


def make_run(trials: list[Trial], schema: int = 2, **changes: Any) -> Run:
    """A complete run of these trials, summed up."""
    settings = make_settings(**changes)
    return Run(
        schema=schema, id="made", created="2026-11-24T00:00:00+00:00", complete=True,
        command="labrun compare", environment=read_environment(plan_cpus()), settings=settings,
        trials=trials, cells=build_cells(settings, trials),
        comparisons=build_comparisons(settings, trials),
    )  # fmt: skip


def client_of(codes: list[int], fastest_us: float = 100.0) -> Client:
    """What the generator saw: row k was answered, rejected or given up after `fastest_us` + k."""
    size = len(codes)
    code = np.array(codes, dtype=np.int64)
    unsent = code % L.DETAIL == L.UNSENT
    intended = np.arange(size, dtype=np.int64) * 1000
    sent = np.where(unsent, L.NOT_YET, intended)
    took = (fastest_us * 1000 + np.arange(size) * 1000).astype(np.int64)
    return client_figures(
        Rows(
            start_ns=0, intended=intended, client=np.zeros(size, dtype=np.int64),
            allowed=intended.copy(), sent=sent, connected=np.where(unsent, L.NOT_YET, intended + 1),
            ended=np.where(unsent, L.NOT_YET, intended + took), code=code, in_flight_max=1,
        ),
        1.0,
        None,
    )  # fmt: skip


def rounds_of(*sides: list[Client]) -> list[Trial]:
    """A trial for each side's client in each round."""
    return [
        make_trial(slot, number, client=client)
        for slot, clients in enumerate(sides)
        for number, client in enumerate(clients, start=1)
    ]


def compared(trials: list[Trial], metric: str, slot: int = 1, **changes: Any) -> Comparison:
    """The comparison of one metric over these trials."""
    found = build_comparisons(make_settings(**changes), trials)
    (one,) = (c for c in found if c.metric == metric and c.slot == slot)
    return one


def rounds_with(*failures: int, scheduled: int = 10_000) -> list[Client]:
    """Clients of rounds with so many time-outs each."""
    return [client_of([L.OK] * (scheduled - n) + [L.TIMEOUT] * n) for n in failures]


def said(trials: list[Trial], **changes: Any) -> str:
    """The sentence about these trials."""
    settings = make_settings(**changes)
    cells = build_cells(settings, trials)
    return " ".join(sentences(2000.0, settings, build_comparisons(settings, trials), cells, trials))


def old_run(clients: list[Client], others: list[Client]) -> Run:
    """A record as the first edition made it: quantiles of the answered requests alone."""
    survivors = [
        [
            msgspec.structs.replace(
                c,
                response_us=c.response_us_by_outcome.get("ok", c.response_us),
                service_us=c.response_us_by_outcome.get("ok", c.service_us),
                beyond=[],
            )
            for c in side
        ]
        for side in (clients, others)
    ]
    return make_run(rounds_of(*survivors), schema=1)
