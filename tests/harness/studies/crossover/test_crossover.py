"""`labrun crossover`: its logic on simulated servers, its planner, and one small real search."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.core.record import Settings, Trial, Vary
from harness.designs.stopping import Budget
from harness.designs.trials import PlannedTrial
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.crossover.estimate import (
    CANNOT_TELL,
    EVEN,
    RANGES,
    RowSearch,
    advantage,
    build_crossover,
    pairs_of,
    predicted,
)
from harness.studies.crossover.search import CrossoverPlanner
from harness.targets.arm import Arm
from tests.support.labrun import Labrun, assert_measured
from tests.support.schemas import assert_is_a_run

COMMAND = [sys.executable, "-P", "-m", "harness.cli", "crossover"]
SETTINGS: dict[str, Any] = {
    "rps": [250.0, 1000.0], "backends": ["thread-per-request", "thread-pool"], "rounds": 1,
    "duration_s": 1.0, "warmup_s": 0.0, "clients": 100, "timeout_s": 1.0, "arrivals": "poisson",
    "workload": "ingest", "driver": "open-loop", "workers": 16, "queue_size": 10_000,
    "stack_size_bytes": 2 << 20, "backlog": 4096, "rate_limit_per_s": 1000, "lock_stacks": False,
    "switch_interval_s": None, "seed": 1,
}  # fmt: skip


def settings(**changes: Any) -> Settings:
    return msgspec.convert(SETTINGS | changes, Settings)


def trial_of(
    planned: PlannedTrial, *, success: float = 1.0, p99_us: float = 1000.0, valid: bool = True
) -> Trial:
    """The record of a planned trial with these figures."""
    times = dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max"), p99_us)
    none = dict.fromkeys(
        ("timeout", "refused", "reset", "rejected", "http_error", "bad_response", "unsent"), 0
    )
    record: dict[str, Any] = {
        "backend": planned.backend, "rps": planned.rps, "round": planned.round,
        "order": planned.order, "slot": planned.slot,
        "class": "sound" if valid else "generator-limited", "valid": valid,
        "invalid_reason": None if valid else "it was late", "started": "", "window_s": 1.0,
        "client": {
            "scheduled": 10, "outcomes": none | {"ok": 10}, "success_rate": success,
            "achieved_rps": 10.0, "lag_us": {"p50": 1.0, "p99": 2.0, "max": 3.0},
            "response_us": times, "service_us": times, "connect_us": times,
        },
        "kernel": dict.fromkeys(
            ("listen_overflows", "listen_drops", "retransmits", "time_wait_peak"), 0
        ),
        "server": None, "workload": planned.arm.workload, "workers": planned.arm.workers,
    }  # fmt: skip
    return msgspec.convert(record, Trial)


def planned(slot: int) -> PlannedTrial:
    arm = Arm(SETTINGS["backends"][slot], slot, workload="io:20ms")
    return PlannedTrial(arm, 1000.0, 1, slot, 2, 3)


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ({"success": 1.0}, {"success": 0.9}, "thread-per-request"),
        ({"success": 0.5}, {"success": 0.9}, "thread-pool"),
        ({"p99_us": 40_000}, {"p99_us": 90_000}, "thread-per-request"),
        ({"p99_us": 90_000}, {"p99_us": 40_000}, "thread-pool"),
        ({"p99_us": 100}, {"p99_us": 900}, EVEN),  # under a millisecond: nobody would notice
        ({"p99_us": 100_000}, {"p99_us": 110_000}, EVEN),
        ({"success": 1.0, "p99_us": 90_000}, {"success": 0.9, "p99_us": 40_000},
         "thread-per-request"),
        ({"valid": False}, {"success": 0.1}, CANNOT_TELL),
    ],
)  # fmt: skip
def test_who_is_better(first: dict[str, Any], second: dict[str, Any], better: str) -> None:
    assert advantage(trial_of(planned(0), **first), trial_of(planned(1), **second)) == better


@pytest.mark.parametrize(("vary", "truth"), [("io", 0.016), ("cpu", 0.004), ("workers", 40.0)])
def test_the_line_covers_a_known_change(vary: Vary, truth: float) -> None:
    random = np.random.default_rng(8)
    runs, covered = 300, 0
    sign = -1 if vary == "workers" else 1
    for _ in range(runs):
        change = truth * math.exp(random.uniform(-1, 1))
        search = RowSearch(vary, *RANGES[vary])
        for _ in range(10):
            value = search.next_value()
            if value is None:
                break
            distance = sign * (math.log(value) - math.log(change)) / 0.05
            better = random.random() < 1 / (1 + math.exp(-max(-700.0, min(700.0, distance))))
            search.add(value, bool(better))
        bound, _, low, high, _ = search.found()
        assert bound == "interval"
        assert low is not None
        assert high is not None
        covered += low <= change <= high
    assert covered / runs >= 0.92


@pytest.mark.parametrize(
    ("vary", "better", "bound"),
    [("io", False, "at-least"), ("io", True, "at-most"),
     ("workers", False, "at-most"), ("workers", True, "at-least")],
)  # fmt: skip
def test_no_change_within_what_is_tried_is_a_bound_and_ends_early(
    vary: Vary, better: bool, bound: str
) -> None:
    search = RowSearch(vary, *RANGES[vary])
    pairs = 0
    while (value := search.next_value()) is not None and pairs < 30:
        assert RANGES[vary][0] <= value <= RANGES[vary][1]
        search.add(value, better)
        pairs += 1
    found = search.found()
    assert found[0] == bound
    assert found[1] is None
    assert pairs < 30


def test_a_load_that_the_generator_cannot_send_is_given_up() -> None:
    search = RowSearch("io", *RANGES["io"])
    for _ in range(6):
        value = search.next_value()
        assert value is not None
        search.add(value, None)
    assert search.next_value() is None
    assert search.found() == ("unknown", None, None, None, "no pair was valid")


def test_the_prediction_is_littles_law() -> None:
    assert predicted("io", 400, settings()) == pytest.approx(0.040)
    assert predicted("workers", 400, settings(workload="io:40ms")) == pytest.approx(16)
    assert predicted("cpu", 500, settings(workers=16)) == pytest.approx(0.002)


def plan_all(made: Settings, vary: Vary, seconds: int) -> list[Trial]:
    """All trials of a planner whose every trial takes two seconds; the pool loses beyond
    Little's law."""
    now = [0.0]
    budget = Budget(seconds, 4.0, clock=lambda: now[0])
    planner = CrossoverPlanner(made, vary, *RANGES[vary], budget)
    trials: list[Trial] = []
    while (found := planner.next_trial(trials)) is not None:
        limit = made.workers / found.rps
        wait_s = float((found.arm.workload or "io:0ms")[3:-2]) / 1e3
        loses = found.slot == 1 and wait_s > limit
        trials.append(trial_of(found, success=0.5 if loses else 1.0))
        now[0] += 2.0
    assert now[0] <= seconds
    return trials


def test_the_planner_pairs_trials_alternates_their_order_and_ends_in_time() -> None:
    trials = plan_all(settings(), "io", 80)
    pairs = pairs_of(trials)
    assert len(trials) == 2 * len(pairs) > 20
    for first, second in pairs:
        assert (first.slot, second.slot) == (0, 1)
        assert (first.rps, first.workload, first.round) == (
            second.rps, second.workload, second.round
        )  # fmt: skip
    for rps in SETTINGS["rps"]:
        begins = [t.slot for t in trials if t.rps == rps and t.order == 0]
        assert all(a != b for a, b in pairwise(begins))


def test_the_line_found_through_the_planner_is_the_known_one() -> None:
    made = settings()
    found = build_crossover(made, plan_all(made, "io", 80), "io", *RANGES["io"])
    assert found.baseline == "thread-per-request"
    for point in found.line:
        assert point.bound == "interval"
        assert point.low is not None
        assert point.high is not None
        assert point.low <= point.predicted <= point.high
    assert {c.better for c in found.cells} == {"thread-per-request", EVEN}


def test_comparisons_never_mix_in_trials_with_a_workload_of_their_own() -> None:
    made = settings()
    trials = plan_all(made, "io", 80)
    assert all(cell.rounds == 0 for cell in build_cells(made, trials))
    assert {c.verdict for c in build_comparisons(made, trials)} == {"not-comparable"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A real search at one small load, with a pool of two."""
    folder = tmp_path_factory.mktemp("crossover")
    done = subprocess.run(
        [*COMMAND, "--rps", "60", "--workers", "2", "--duration", "0.5", "--warmup", "0.1",
         "--budget", "20", "--clients", "10"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert_measured(done.returncode, done.stderr)
    (run,) = (folder / "results").iterdir()
    return run, json.loads((run / "run.json").read_text("utf-8")), done.stdout


def test_the_record_has_every_pair_and_follows_the_schema(
    searched: tuple[Path, dict[str, Any], str],
) -> None:
    run, record, out = searched
    assert_is_a_run(record)
    crossover = record["crossover"]
    assert 2 * len(crossover["cells"]) == len(record["trials"])
    assert all(t["workload"].startswith("io:") for t in record["trials"])
    (point,) = crossover["line"]
    assert point["predicted"] == pytest.approx(2 / 60)
    assert point["pairs"] + point["invalid"] == len(crossover["cells"])
    assert {p.name for p in (run / "charts").iterdir()} == {"crossover.png", "crossover.svg"}
    assert "predicted" in out
    assert max(len(line) for line in out.splitlines() if run.name not in line) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "queue"], ["--vary", "io or cpu or workers"]),
        (["--vary", "workers", "--workload", "ingest"], ["--vary workers", "io:40ms"]),
        (["--backends", "thread-pool"], ["--backends", "name two"]),
        (["--backends", "thread-pool,thread-pool"], ["two different"]),
        (["--budget", "3"], ["--budget", "20"]),
        (["--rps", "0"], ["--rps", "above 0"]),
        (["--workers", "0"], ["--workers"]),
        (["--driver", "closed-loop"], ["--driver"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence(
    labrun: Labrun, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = labrun("crossover", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "results").exists()
