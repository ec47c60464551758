"""Does tracing cost anything? `python -m benchmarks.trace_cost [--quick]`

The server's CPU for each request, and the median response time, with `--trace` and without, in
alternating order. What it costs is why a traced run is compared with nothing; without it the
servers run another request path (`servers/tracing.py`).
"""

from __future__ import annotations

import statistics
import sys

from benchmarks.common import lab_settings, measured, print_table
from harness.core.record import Trial
from harness.designs.trials import plan_trials
from harness.machine.cpus import plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.trial import run_trial

RPS = "2000"


def trials(rounds: int, duration_s: float) -> dict[tuple[str, bool], list[Trial]]:
    """Every trial, by its backend and whether it was traced."""
    cpus, descriptors = plan_cpus(), raise_descriptor_limit()
    found: dict[tuple[str, bool], list[Trial]] = {}
    settings = {
        traced: lab_settings(rps=RPS, rounds=rounds, duration_s=duration_s, traced=traced)
        for traced in (False, True)
    }
    for planned in plan_trials(settings[False]):
        for traced in (False, True) if planned.round % 2 else (True, False):
            trial = run_trial(planned, settings[traced], cpus, descriptors).trial
            found.setdefault((planned.backend, traced), []).append(trial)
    return found


def main() -> int:
    """Print the table."""
    quick = "--quick" in sys.argv
    found = trials(2 if quick else 7, 1.0 if quick else 2.0)
    rows = [
        [
            backend,
            "traced" if traced else "plain",
            _median([measured(t.server.cpu_us_per_request.total) for t in made if t.server]),
            _median([measured(t.client.response_us.p50) for t in made]),
        ]
        for (backend, traced), made in sorted(found.items())
    ]
    title = f"Microseconds at {RPS} RPS: median of the rounds (lowest to highest)"
    print_table(title, ("", "", "server CPU/request", "response p50"), rows)
    return 0


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    sys.exit(main())
