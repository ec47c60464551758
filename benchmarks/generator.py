"""How punctual is the generator? `python -m benchmarks.generator [--quick]`

Lag at the rates of the marks, median of five runs each against the thread pool, and the highest
constant rate with a lag p99 of at most 1 ms.
"""

from __future__ import annotations

import statistics
import sys

from benchmarks.common import lab_settings, measured, met, print_table, run_trials, with_rate
from harness.core.record import Settings, Trial

# rate, arrivals, marks for lag p50 and p99 in microseconds
MARKS = (
    (500.0, "poisson", 5.0, 100.0),
    (2000.0, "poisson", 5.0, 100.0),
    (10_000.0, "constant", 5.0, 100.0),
    (10_000.0, "poisson", 5.0, 300.0),
)
HIGHEST = (12_000, 13_500, 15_000, 16_500, 18_000)


def lag_rows(settings: Settings) -> list[list[str]]:
    """A row for each mark: medians over the rounds, and the worst round."""
    rows = []
    for rps, arrivals, mark_p50, mark_p99 in MARKS:
        trials = run_trials(with_rate(settings, rps, arrivals))
        p50s = [measured(t.client.lag_us.p50) for t in trials]
        p99s = [measured(t.client.lag_us.p99) for t in trials]
        unsent = sum(t.client.outcomes.unsent for t in trials)
        p50, p99 = statistics.median(p50s), statistics.median(p99s)
        rows.append(
            [
                f"{rps:,.0f} {arrivals}",
                f"{p50:.1f} ({mark_p50:g}: {met(p50, mark_p50, True)})",
                f"{p99:.0f} ({mark_p99:g}: {met(p99, mark_p99, True)})",
                f"{min(p99s):.0f} to {max(p99s):.0f}",
                f"{unsent}",
            ]
        )
    return rows


def highest_rows(settings: Settings) -> list[list[str]]:
    """A row for each rate, up to the first that the generator cannot hold."""
    rows = []
    for rps in HIGHEST:
        trials = run_trials(with_rate(settings, float(rps), "constant"))
        p99s = [measured(t.client.lag_us.p99) for t in trials]
        p99 = statistics.median(p99s)
        rows.append([f"{rps:,}", f"{p99:.0f}", _classes(trials), met(p99, 1000.0, True)])
        if p99 > 20_000:
            break
    return rows


def _classes(trials: list[Trial]) -> str:
    return ", ".join(sorted({t.class_ for t in trials}))


def main() -> int:
    """Print both tables."""
    quick = "--quick" in sys.argv
    settings = lab_settings(
        backends="thread-pool", rounds=2 if quick else 5, duration_s=2.0 if quick else 4.0
    )
    print_table(
        "Lag of the generator, us: median of the runs (mark: result)",
        ("RPS", "p50", "p99", "p99 of the runs", "unsent"),
        lag_rows(settings),
    )
    print_table(
        "Highest constant rate with lag p99 <= 1 ms (mark 15,000, stretch 18,000)",
        ("RPS", "lag p99, us", "trials", ""),
        highest_rows(settings),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
