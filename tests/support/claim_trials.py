"""Made-up trials and runs for the tests of claims: values with known answers."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.core.record import SCHEMA_VERSION, Run, Settings, Trial
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment

THREAD, POOL = "thread-per-request", "thread-pool"
SETTINGS: dict[str, Any] = {
    "rps": [2000.0], "backends": [THREAD, POOL], "rounds": 5, "duration_s": 1.0,
    "warmup_s": 0.0, "clients": 100, "timeout_s": 1.0, "arrivals": "poisson",
    "workload": "ingest", "driver": "open-loop", "workers": 16, "queue_size": 10_000,
    "stack_size_bytes": 2 << 20, "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False,
    "switch_interval_s": None, "seed": 1,
}  # fmt: skip


def make_trial(
    *,
    backend: str,
    slot: int = 0,
    rps: float = 2000.0,
    number: int = 1,
    valid: bool = True,
    ok: int = 2000,
    median_us: float = 100.0,
    overhead_us: float = 50.0,
    steps_us: float = 5.0,
    switches_per_s: float = 2000.0,
) -> Trial:
    """A trial of one second; each of the seven steps takes `steps_us`, dispatch ten times that.
    All that were answered took `median_us`; the others timed out."""
    scheduled = int(rps)
    places = {"mean": 1, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1}
    beyond = [name for name, place in places.items() if ok < place * scheduled]
    times = {name: None if name in beyond else median_us for name in places}
    none = dict.fromkeys(
        ("timeout", "refused", "reset", "rejected", "http_error", "bad_response", "unsent"), 0
    )
    stage = {"mean": steps_us, "p50": steps_us, "p99": steps_us * 3}
    names = ("read", "parse", "rate_limit", "decode", "validate", "write", "close")
    stages = dict.fromkeys(names, stage)
    stages["dispatch"] = {key: value * 10 for key, value in stage.items()}
    record: dict[str, Any] = {
        "backend": backend, "rps": rps, "round": number, "order": 0, "slot": slot,
        "class": "sound" if valid else "generator-limited", "valid": valid,
        "invalid_reason": None if valid else "the generator was late", "started": "",
        "window_s": 1.0,
        "client": {
            "scheduled": scheduled,
            "outcomes": none | {"ok": ok, "timeout": scheduled - ok},
            "success_rate": ok / scheduled, "achieved_rps": float(ok),
            "lag_us": {"p50": 1.0, "p99": 2.0, "max": 3.0},
            "response_us": times, "service_us": times, "connect_us": times, "beyond": beyond,
            "connect_beyond": beyond,
        },
        "kernel": dict.fromkeys(
            ("listen_overflows", "listen_drops", "retransmits", "time_wait_peak"), 0
        ),
        "server": {
            "threads_created": 0, "threads_created_per_s": 0.0 if backend == POOL else rps,
            "threads_active_mean": 16.0 if backend == POOL else 4.0, "threads_peak": 16,
            "threads_seen_by_os_peak": 18,
            "queue_depth_mean": None, "queue_depth_max": 7 if backend == POOL else None,
            "context_switches": {
                "voluntary": 1, "involuntary": 1, "per_s": switches_per_s, "per_request": 2.0
            },
            "cpu_us_per_request": {
                "total": overhead_us * 2, "handler": overhead_us, "overhead": overhead_us
            },
            "efficiency": 0.5,
            "memory": {
                "rss_peak_bytes": 32 << 20, "rss_mean_bytes": 1.0, "vms_peak_bytes": 1,
                "stack_reserved_bytes": 32 << 20,
            },
            "stages_us": stages if ok else None,
            "requests": {"accepted": scheduled, "answered": ok},
        },
    }  # fmt: skip
    return msgspec.convert(record, Trial)


def make_run(trials: list[Trial], **changes: Any) -> Run:
    """A run of these trials, on this machine; `changes` are of the settings."""
    return Run(
        schema=SCHEMA_VERSION,
        id="made-up",
        created="",
        complete=True,
        command="labrun compare",
        environment=read_environment(plan_cpus()),
        settings=msgspec.convert(SETTINGS | changes, Settings),
        trials=trials,
        cells=[],
        comparisons=[],
    )


def both(rounds: int = 5, **changes: Any) -> list[Trial]:
    """Trials of both backends, `rounds` each; a pair `name=(thread, pool)` sets each side."""
    trials = []
    for number in range(1, rounds + 1):
        for slot, backend in enumerate((THREAD, POOL)):
            here = {k: v[slot] if isinstance(v, tuple) else v for k, v in changes.items()}
            trials.append(make_trial(backend=backend, slot=slot, number=number, **here))
    return trials
