"""Which design can tell more in the same time? `python -m benchmarks.designs [--runs 10]`

Whole trials (5 rounds of 5 s) and blocks (8 restarts of 3.5 s), in alternating runs, so that both
see the same hour: a backend against another, then against itself. Printed: the half-width of each
95 % interval, sqrt(high / low) - 1, its median over the runs, and the ratio of the two designs'
medians; in runs of a backend against itself, how many verdicts there were, all of them false. The
mark is a ratio of 0.5 for the median response time and CPU, and 0.35 for the p99 (of a typical
block, over that of all requests).
"""

from __future__ import annotations

import argparse
import statistics
import sys

from benchmarks.common import lab_settings, print_table
from harness.core.errors import LabError
from harness.core.record import Comparison, Settings
from harness.designs.precision import half_width
from harness.session.aa import measure_control
from harness.session.settings import design_options

BOTH, SAME = "thread-per-request,thread-pool", "thread-pool,thread-pool"
# What is put beside each other: of whole trials, of blocks, and the mark for their ratio.
FIGURES = (
    ("median response", "client.response_us.p50", "client.block_response_us.p50", 0.5),
    ("p99", "client.response_us.p99", "client.block_response_us.p99", 0.35),
    ("p99 of all requests", "client.response_us.p99", "client.response_us.p99", None),
    ("CPU per request", *(2 * ("server.cpu_us_per_request.total",)), 0.5),
    ("overhead CPU", *(2 * ("server.cpu_us_per_request.overhead",)), None),
    ("context switches", *(2 * ("server.context_switches.per_s",)), None),
)


def settings_of(design: str, backends: str, seed: int, rps: str) -> Settings:
    """Those of `labrun compare --design`."""
    options = design_options(design, None, None, None, None, "open-loop", None)
    return lab_settings(rps=rps, backends=backends, seed=seed, **options)


def measured(backends: str, runs: int, rps: str) -> dict[str, list[list[Comparison]]]:
    """The headline comparisons of each run, by design; the designs take turns."""
    found: dict[str, list[list[Comparison]]] = {"trials": [], "blocks": []}
    for number in range(1, runs + 1):
        for design in ("trials", "blocks") if number % 2 else ("blocks", "trials"):
            print(f"{backends}, run {number} of {runs}: {design}", file=sys.stderr, flush=True)
            run = measure_control(settings_of(design, backends, number, rps))
            found[design].append(run.comparisons)
    return found


def widths(runs: list[list[Comparison]], metric: str) -> list[float]:
    """The half-width in each run that has an interval."""
    found = [half_width(c) for run in runs for c in run if c.metric == metric]
    return [width for width in found if width is not None]


def verdicts(runs: list[list[Comparison]], metric: str) -> int:
    """How often the two arms were told apart."""
    undecided = ("cannot-tell", "not-comparable")
    return sum(c.verdict not in undecided for run in runs for c in run if c.metric == metric)


def show(title: str, found: dict[str, list[list[Comparison]]], same: bool) -> None:
    """A row for each figure."""
    rows = []
    for name, of_trials, of_blocks, mark in FIGURES:
        whole, blocks = widths(found["trials"], of_trials), widths(found["blocks"], of_blocks)
        medians = [statistics.median(each) if each else None for each in (whole, blocks)]
        known = None not in medians
        rows.append(
            [
                name,
                *(" ".join(f"{width:.1%}" for width in each) for each in (whole, blocks)),
                *("-" if median is None else f"{median:.1%}" for median in medians),
                f"{(medians[1] or 0) / (medians[0] or 1):.2f}" if known else "-",
                "-" if mark is None else f"{mark}",
                f"{verdicts(found['trials'], of_trials)} | {verdicts(found['blocks'], of_blocks)}",
            ]
        )
    told = "false verdicts" if same else "verdicts"
    print_table(title, ("figure", "trials", "blocks", "median", "median", "ratio", "mark",
                        f"{told}, trials | blocks"), rows)  # fmt: skip


def main() -> int:
    """Exit status 0, 2 when it could not be run, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.designs", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=10, help="of each design (default 10)")
    parser.add_argument("--rps", default="2000", help="one level (default 2000)")
    asked = parser.parse_args()
    try:
        for backends in (BOTH, SAME):
            found = measured(backends, max(1, asked.runs // 2), asked.rps)
            show(f"{backends} at {asked.rps} RPS, half-widths", found, backends == SAME)
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
