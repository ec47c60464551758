"""Does watching cost anything? `python -m benchmarks.live [--quick]`

The generator's lag and the server's CPU with the live view on a terminal (a pseudo-terminal that
is read all the time) and without, in alternating order. On two CPUs the view runs on the server's.
"""

from __future__ import annotations

import os
import pty
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from benchmarks.common import lab_settings, measured, print_table
from harness.core.record import Settings, Trial
from harness.designs.trials import PlannedTrial, plan_trials
from harness.machine.cpus import CpuPlan, plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.trial import run_trial
from harness.terminal.live import make_watcher

RATES = (2000.0, 10_000.0)


@contextmanager
def terminal() -> Iterator[Console]:
    """A console on a real terminal of 80 columns, whose other side is read to its end."""
    ours, theirs = pty.openpty()

    def drain() -> None:
        while True:
            try:
                if not os.read(ours, 65_536):
                    return
            except OSError:  # the other side was closed
                return

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(theirs, "w") as file:
        yield Console(file=file, force_terminal=True, width=80, height=24)
    reader.join()
    os.close(ours)


def one_trial(
    planned: PlannedTrial, settings: Settings, cpus: CpuPlan, descriptors: int, watched: bool
) -> Trial:
    """A trial with the view, or without; this process keeps off the generator's CPU."""
    os.sched_setaffinity(0, cpus.observers)
    if not watched:
        return run_trial(planned, settings, cpus, descriptors).trial
    with terminal() as console, make_watcher(console, settings) as watcher:
        watcher.trial_begins(planned, 1, 1)
        return run_trial(planned, settings, cpus, descriptors, watcher.progress).trial


def rows(settings: Settings) -> list[list[str]]:
    """A row for each rate, with the view and without."""
    cpus, descriptors = plan_cpus(), raise_descriptor_limit()
    found: dict[tuple[float, bool], list[Trial]] = {}
    for planned in plan_trials(settings):
        order = (False, True) if planned.round % 2 else (True, False)
        for watched in order:
            trial = one_trial(planned, settings, cpus, descriptors, watched)
            found.setdefault((planned.rps, watched), []).append(trial)
    return [
        [
            f"{rps:,.0f}",
            "live" if watched else "not watched",
            _median([measured(t.client.lag_us.p50) for t in trials]),
            _median([measured(t.client.lag_us.p99) for t in trials]),
            _median([measured(t.client.response_us.p50) for t in trials]),
            _median([measured(t.server.cpu_us_per_request.total) for t in trials if t.server]),
        ]
        for (rps, watched), trials in sorted(found.items())
    ]


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> int:
    """Print the table."""
    quick = "--quick" in sys.argv
    settings = lab_settings(
        rps=",".join(f"{rps:g}" for rps in RATES), backends="thread-pool",
        rounds=2 if quick else 7, duration_s=1.5 if quick else 4.0,
    )  # fmt: skip
    columns = ("RPS", "", "lag p50", "lag p99", "response p50", "server CPU/request")
    print_table("Microseconds: median of the rounds (lowest to highest)", columns, rows(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
