"""Made-up blocks with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.record import Block, CpuPerRequest, OtherWork, Quantiles, Run, Trial
from harness.studies.compare.planner import ComparePlanner
from tests.support.made import make_run, make_settings, make_trial

IN_BLOCKS: dict[str, Any] = {"design": "blocks", "block_s": 0.5, "duration_s": 3.5, "rounds": 8}


def block(pair: int, p50_us: float = 100.0, cpu_us: float = 100.0, **changes: Any) -> Block:
    times: dict[str, float | None] = dict.fromkeys(
        ("mean", "p50", "p90", "p95", "p99", "p999", "max"), p50_us
    )
    record: dict[str, Any] = {
        "pair": pair, "place": 0, "began_s": 0.0, "scheduled": 1000, "ok": 1000,
        "response_us": Quantiles(**times), "lag_us_p99": 1.0, "accepted": 1000, "answered": 1000,
        "cpu_us_per_request": CpuPerRequest(total=cpu_us, handler=10.0, overhead=cpu_us - 10),
        "context_switches_per_request": 1.0, "context_switches_per_s": 100.0,
        "threads_created": 0, "idle_after_ms": 0.0, "late": False, "others_cpu_share": 0.0,
        "steal_ms": 0.0,
    }  # fmt: skip
    return Block(**(record | changes))


def with_and_without_other_work(folder: Path) -> list[Run]:
    """Two runs that are alike, the blocks of the first alone saying who else had the CPU."""
    planner = ComparePlanner(make_settings(**IN_BLOCKS))
    nobody = OtherWork(cpu_ms=0.0, name=None)
    return [
        planner.conclude(make_run(trials, **IN_BLOCKS), folder)
        for trials in (trials_of(other_work=nobody), trials_of())
    ]


def trials_of(**second: Any) -> list[Trial]:
    """Eight restarts of seven pairs; the machine gets slower from restart to restart, for both."""

    def blocks(slot: int, number: int) -> list[Block]:
        cpu_us = 100.0 * number * (1.1 if slot else 1.0)
        return [block(pair, cpu_us=cpu_us, **(second if slot else {})) for pair in range(1, 8)]

    return [
        make_trial(slot, number, blocks=blocks(slot, number))
        for number in range(1, 9)
        for slot in (0, 1)
    ]
