"""What Locust reaches, and what the lab's recording costs it: `python -m benchmarks.locust_marks`.

Server on the first CPU, Locust on the last. As fast as it goes: 100 users who wait for nothing but
their answers, with the lab's raw recording, and without (the same user class under `locust
--headless`), alternating; the server's own count is what is compared. Then 500 RPS by the open loop
and by Locust, and one worker process against two. Exit status 0 when all marks are met, else 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.common import lab_settings, measured, met, print_table, run_trials
from harness.core.errors import LabError
from harness.core.record import Trial
from harness.studies.compare.comparison import build_cells
from harness.targets.control_client import ControlClient
from harness.targets.processes import ServerProcess

USERS = 100
# More than any user can send, so that each sends again as soon as it has its answer.
UNBOUNDED_RPS = 40_000
BARE = """
from harness.load.locustfile import MetricStreamSocketUser
from locust import constant


class User(MetricStreamSocketUser):
    wait_time = constant(0)
"""


def recorded(seconds: float, workers: int = 0) -> Trial:
    """As fast as it goes, by the lab."""
    settings = lab_settings(
        backends="thread-pool", rps=str(UNBOUNDED_RPS), rounds=1, duration_s=seconds,
        driver="locust", users=USERS, locust_workers=workers,
    )  # fmt: skip
    (trial,) = run_trials(settings)
    return trial


def bare_rps(seconds: float) -> float:
    """As fast as it goes, by Locust alone: answers a second by the server's count."""
    server_cpu, driver_cpu = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    arguments = ["thread-pool", "--rate-limit=0", f"--cpus={server_cpu}"]
    with tempfile.TemporaryDirectory() as scratch, ServerProcess(arguments) as server:
        file = Path(scratch) / "locustfile.py"
        file.write_text(BARE, encoding="utf-8")
        command = [
            "taskset", "-c", str(driver_cpu), sys.executable, "-m", "locust",
            "-f", str(file), "--headless", "--only-summary", "-u", str(USERS), "-r", str(USERS),
            "--host", f"http://127.0.0.1:{server.ready.port}",
        ]  # fmt: skip
        with (
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool,
            ControlClient("127.0.0.1", server.ready.control_port) as control,
        ):
            try:
                while not control.report().counters.answered:
                    if tool.poll() is not None:
                        raise LabError("locust ended without a request")
                    time.sleep(0.05)  # until it has started, which it tells nobody
                time.sleep(1.0)  # its warm-up, as long as the lab's
                before = control.report()
                time.sleep(seconds)
                after = control.report()
            finally:
                tool.terminate()
        answered = after.counters.answered - before.counters.answered
        return answered * 1e9 / (after.monotonic_ns - before.monotonic_ns)


def peaks(runs: int, seconds: float) -> list[tuple[str, str, str, str]]:
    """The peak with recording and without, alternating."""
    with_it: list[float] = []
    without: list[float] = []
    for number in range(runs):
        for side in ("with", "without") if number % 2 == 0 else ("without", "with"):
            if side == "with":
                trial = recorded(seconds)
                outcomes = trial.client.outcomes
                assert trial.server is not None
                if not trial.client.scheduled == outcomes.ok == trial.server.account.answered:
                    raise LabError(f"the accounts differ: {outcomes}, {trial.server.requests}")
                with_it.append(trial.client.achieved_rps)
            else:
                without.append(bare_rps(seconds))
        print(f"run {number + 1}: {with_it[-1]:,.0f} with, {without[-1]:,.0f} without", flush=True)
    rate = median(with_it)
    cost = median(1 - one / other for one, other in zip(with_it, without, strict=True))
    return [
        ("socket users, one process, raw recording on", f"{rate:,.0f}/s", "at least 10,000/s",
         met(rate, 10_000, at_most=False)),
        ("recording, against Locust without it", f"{cost:+.1%}", "at most 10 %",
         met(cost, 0.10, at_most=True)),
    ]  # fmt: skip


def equality(rounds: int) -> list[tuple[str, str, str, str]]:
    """Whether both drivers see the same server at 500 RPS: a trial of each in every round, in
    alternating order."""
    trials: dict[str, list[Trial]] = {"open-loop": [], "locust": []}
    for number in range(1, rounds + 1):
        for driver in sorted(trials, reverse=number % 2 == 0):
            settings = lab_settings(backends="thread-pool", rps="500", rounds=1, driver=driver,
                                    arrivals="constant", seed=number)  # fmt: skip
            (trial,) = run_trials(settings)
            trials[driver].append(msgspec.structs.replace(trial, round=number))
    cells = [build_cells(settings, found)[0] for found in trials.values()]
    rows = []
    for name in ("server.cpu_us_per_request.total", "client.success_rate"):
        one, other = (cell.metrics[name] for cell in cells)
        texts = [
            f"{measured(m.median):.4g} ({measured(m.ci_low):.4g} to {measured(m.ci_high):.4g})"
            for m in (one, other)
        ]
        overlap = measured(one.ci_low) <= measured(other.ci_high) and measured(
            other.ci_low
        ) <= measured(one.ci_high)
        rows.append((f"500 RPS, {name}: open loop, Locust", "; ".join(texts), "intervals overlap",
                     "met" if overlap else "MISSED"))  # fmt: skip
    return rows


def spread(seconds: float) -> list[tuple[str, str, str, str]]:
    """One worker process against two."""
    rows = []
    for workers in (1, 2):
        trial = recorded(seconds, workers)
        assert trial.server is not None
        counts = (trial.client.scheduled, trial.client.outcomes.ok,
                  trial.server.account.accepted, trial.server.account.answered)  # fmt: skip
        exact = len(set(counts)) == 1
        rows.append((f"{workers} worker(s): requests, and a second",
                     f"{counts[0]:,}; {trial.client.achieved_rps:,.0f}/s", "counts exact",
                     "met" if exact else f"MISSED: {counts}"))  # fmt: skip
    return rows


def main() -> int:
    """Exit status 0 when all marks are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=("peaks", "equality", "spread"))
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], list[tuple[str, str, str, str]]]] = {
        "peaks": lambda: peaks(chosen.runs, chosen.seconds),
        "equality": lambda: equality(chosen.rounds),
        "spread": lambda: spread(chosen.seconds),
    }
    rows = [row for name, part in parts.items() if chosen.only in (None, name) for row in part()]
    print_table("Locust", ("what", "found", "mark", ""), rows)
    return 0 if all(row[3] == "met" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
