"""What the lab itself costs: `python -m benchmarks.costs`

Sampling at 10 Hz, as a share of the server's CPU, at each level of the sweep (the server's
housekeeping thread answers the sampler and does next to nothing else); how long `labrun --help`
and `labrun compare --rps 2000` take.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from time import perf_counter

from benchmarks.common import lab_settings, measured, met, print_table, run_trials

LABRUN = [sys.executable, "-P", "-m", "harness.cli"]


def sampling_rows() -> list[list[str]]:
    """The sampler's share of the server's CPU, by level and backend."""
    rows = []
    settings = lab_settings(rps="500,2000,10000", rounds=2, duration_s=3.0)
    trials = run_trials(settings)
    for rps in settings.rps:
        for backend in settings.backends:
            shares = [
                measured(t.server.sampling.cpu_share)
                for t in trials
                if (t.rps, t.backend) == (rps, backend) and t.server and t.server.sampling
            ]
            share = statistics.median(shares)
            rows.append([f"{rps:,.0f} {backend}", f"{share:.2%}", met(share, 0.01, True)])
    return rows


def seconds(arguments: list[str], runs: int) -> float:
    """Median wall-clock seconds of a command."""
    taken = []
    for _ in range(runs):
        began = perf_counter()
        subprocess.run([*LABRUN, *arguments], capture_output=True, check=True, timeout=300)
        taken.append(perf_counter() - began)
    return statistics.median(taken)


def main() -> int:
    """Print both tables."""
    print_table("Sampling at 10 Hz, of the server's CPU (mark 1 %)", ("", "share", ""),
                sampling_rows())  # fmt: skip
    help_s = seconds(["--help"], 5)
    with tempfile.TemporaryDirectory() as folder:
        compare_s = seconds(["compare", "--rps", "2000", "--out", folder], 1)
    print_table(
        "Commands",
        ("command", "seconds", "mark", ""),
        [
            ["labrun --help", f"{help_s:.2f}", "0.3", met(help_s, 0.3, True)],
            ["labrun compare --rps 2000", f"{compare_s:.1f}", "90", met(compare_s, 90, True)],
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
