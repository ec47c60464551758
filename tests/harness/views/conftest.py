"""Made-up trials for the charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from harness.core.record import Trial
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from tests.support.made import SETTINGS


@pytest.fixture(scope="session")
def environment() -> dict[str, Any]:
    """This machine's environment, and settings."""
    return {"environment": read_environment(plan_cpus()), "settings": SETTINGS}


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    """A trial with what the charts read of it."""

    def build(
        *, backend: str, slot: int, rps: float, number: int, valid: bool, ok_share: float,
        cpu_us: float,
    ) -> Trial:  # fmt: skip
        time = None if ok_share == 0 else 100.0 + number
        times = dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max"), time)
        none = dict.fromkeys(
            ("refused", "reset", "rejected", "http_error", "bad_response", "unsent"), 0
        )
        ok = round(300 * ok_share)
        record: dict[str, Any] = {
            "backend": backend, "rps": rps, "round": number, "order": 0, "slot": slot,
            "class": "sound" if valid else "generator-limited", "valid": valid,
            "invalid_reason": None if valid else "it was late", "started": "", "window_s": 1.0,
            "client": {
                "scheduled": 300, "outcomes": none | {"ok": ok, "timeout": 300 - ok},
                "success_rate": ok_share, "achieved_rps": float(ok),
                "lag_us": {"p50": 1.0, "p99": 2.0, "max": 3.0},
                "response_us": times, "service_us": times, "connect_us": times,
            },
            "kernel": dict.fromkeys(
                ("listen_overflows", "listen_drops", "retransmits", "time_wait_peak"), 0
            ),
            "server": {
                "threads_created": 0, "threads_created_per_s": 200.0 - 200 * slot,
                "threads_active_mean": 1.0, "threads_peak": 16, "threads_seen_by_os_peak": 18,
                "queue_depth_mean": None, "queue_depth_max": None,
                "context_switches": {
                    "voluntary": 1, "involuntary": 1, "per_s": 2000.0, "per_request": 2.0
                },
                "cpu_us_per_request": {
                    "total": cpu_us, "handler": cpu_us / 2, "overhead": cpu_us / 2
                },
                "efficiency": 0.5,
                "memory": {
                    "rss_peak_bytes": 1, "rss_mean_bytes": 1.0, "vms_peak_bytes": 1,
                    "stack_reserved_bytes": 1,
                },
                "stages_us": None, "requests": {"accepted": 300, "answered": 300},
            },
        }  # fmt: skip
        return msgspec.convert(record, Trial)

    return build
