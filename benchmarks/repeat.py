"""Do two runs agree? `python -m benchmarks.repeat [--runs 5] [--rps 2000]`

Makes the same comparison (same seed, so the same schedule) again and again, and says for each
headline metric in how many of all pairs of runs the intervals of the ratio overlap (mark: 9 of 10),
and how wide they are: the half-width in percent of the ratio, whose median is to be at most 10 %
for the overhead CPU. Two 95 % intervals of the same thing overlap in about 99 of 100 pairs; fewer
overlaps mean that something changes from run to run which no round within a run shows.

The record, `results/control/repeat-<RPS>.json`, is written after each run; started again with
the same options it goes on where it stopped. Exit status as of `benchmarks.aa`.
"""

from __future__ import annotations

import statistics
import sys
from itertools import combinations
from pathlib import Path

import msgspec

from benchmarks.aa import options, settings_of
from benchmarks.common import met, print_table
from harness.core.errors import LabError
from harness.core.metrics import HEADLINES, Metric
from harness.core.record import Comparison, Settings
from harness.machine.cpus import plan_cpus
from harness.machine.environment import read_environment
from harness.session.run import measure_control
from harness.store import write_whole
from harness.studies.compare.aa_control import ControlRun, Machine

OVERLAP_MARK, HALF_WIDTH_MARK = 0.9, 0.10
WIDTH_METRIC = "server.cpu_us_per_request.overhead"


class RepeatRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file: runs of the same settings on one machine."""

    machine: Machine
    settings: Settings
    runs: list[ControlRun]


def of(run: ControlRun, metric: Metric) -> Comparison | None:
    """The comparison of one metric, where it has an interval."""
    found = [c for c in run.comparisons if c.metric == metric.path and c.ci_low is not None]
    return found[0] if found else None


def overlap(one: Comparison, other: Comparison) -> bool:
    """Whether the intervals of two comparisons have a ratio in common."""
    assert one.ci_low is not None
    assert one.ci_high is not None
    assert other.ci_low is not None
    assert other.ci_high is not None
    return one.ci_low <= other.ci_high and other.ci_low <= one.ci_high


def half_width(comparison: Comparison) -> float | None:
    """Half of the interval's width as a share of the ratio; None for a ratio of 0."""
    if not comparison.ratio or comparison.ci_low is None or comparison.ci_high is None:
        return None
    return (comparison.ci_high - comparison.ci_low) / 2 / comparison.ratio


def make_runs(settings: Settings, wanted: int, file: Path) -> list[ControlRun]:
    """The runs on record, and those that are missing. Raises `LabError`."""
    machine = Machine.of(read_environment(plan_cpus()))
    runs: list[ControlRun] = []
    if file.exists():
        try:
            record = msgspec.json.decode(file.read_bytes(), type=RepeatRecord)
        except msgspec.DecodeError as error:
            raise LabError(f"{file} cannot be read ({error}); move it out of the way") from error
        if (record.machine, record.settings) != (machine, settings):
            raise LabError(f"{file} is of another machine or other settings; move it away")
        runs = list(record.runs)
    while len(runs) < wanted:
        print(f"run {len(runs) + 1} of {wanted} ...", file=sys.stderr, flush=True)
        runs.append(measure_control(settings))
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = RepeatRecord(machine=machine, settings=settings, runs=runs)
        write_whole(file, msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    return runs


def show(runs: list[ControlRun]) -> bool:
    """The table; whether the marks are met."""
    rows, every = [], True
    for metric in HEADLINES:
        found = [c for run in runs if (c := of(run, metric)) is not None]
        pairs = [overlap(a, b) for a, b in combinations(found, 2)]
        widths = [width for c in found if (width := half_width(c)) is not None]
        ratios = [c.ratio for c in found if c.ratio is not None]
        share = sum(pairs) / len(pairs) if pairs else None
        verdict = "-" if share is None else met(share, OVERLAP_MARK, at_most=False)
        width = statistics.median(widths) if widths else None
        wide = "-" if width is None else f"{width:.1%}"
        if metric.path == WIDTH_METRIC and width is not None:
            wide += f" (mark 10 %: {met(width, HALF_WIDTH_MARK, at_most=True)})"
            every = every and width <= HALF_WIDTH_MARK
        every = every and share is not None and share >= OVERLAP_MARK
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-"
        rows.append([metric.title, spread, f"{sum(pairs)} of {len(pairs)}", verdict, wide])
    print_table(
        f"{len(runs)} runs of the same comparison",
        ("headline", "ratios", "pairs overlap", "mark 9 in 10", "half-width (median)"),
        rows,
    )
    return every


def main() -> int:
    """Exit status as above."""
    parser = options("python -m benchmarks.repeat", __doc__)
    parser.add_argument("--runs", type=int, default=5, help="5 runs are 10 pairs (default 5)")
    parser.add_argument("--backends", default="thread-per-request,thread-pool")
    found = parser.parse_args()
    file = found.out / "control" / f"repeat-{found.rps}.json"
    try:
        held = show(make_runs(settings_of(found, found.backends), found.runs, file))
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; start it again to go on", file=sys.stderr)
        return 130
    print(f"Record: {file}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
