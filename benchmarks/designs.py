"""Which design can tell more in the same time? `python -m benchmarks.designs [--runs 10]`

    python -m benchmarks.designs --step 4             # four more runs, then the table so far
    python -m benchmarks.designs --known burn:10% --runs 20 --step 5
    python -m benchmarks.designs --known delay:2ms
    python -m benchmarks.designs --lengths 0.25,0.5,1 --duration 4 --runs 12

Whole trials (5 rounds of 5 s) and blocks (8 restarts of 3.5 s), in alternating runs, so that both
see the same hour: a backend against another, then against itself. Printed: the half-width of each
95 % interval, sqrt(high / low) - 1, its median over the runs, and the ratio of the two designs'
medians; in runs of a backend against itself, how many verdicts there were, all of them false. The
mark is a ratio of 0.5 for the median response time and CPU, and 0.35 for the p99 (of a typical
block, over that of all requests). And the ratios themselves, with the verdicts and how far the two
designs are apart, by the interval of two samples.

`--known`: a pool against the same pool with a known effect, in blocks: its handler burns so much of
a request's CPU more (burn:3%, burn:10%, burn:30%), or delays one request in fifty (delay:2ms). How
often does the interval have what was put in (mark: 19 of 20), and how often is worse said?

`--lengths`: a backend against another in blocks of these lengths, in turn, as many runs of each as
`--runs` has. Printed: the ratio of each figure, its median over the runs and the range.

Each run is a line of `results/control/designs.jsonl` once it has ended. What is there of this
machine at these settings is not measured again, so `--step N` makes N runs now and the rest another
time. Each line says whether the machine was busy with other work: take such out to make them again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path

from benchmarks import known_effects
from benchmarks.common import lab_settings, print_table
from benchmarks.kept import Kept
from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99
from harness.core.record import Comparison, Settings
from harness.designs.stopping import half_width
from harness.session.run import whole_run
from harness.session.settings import design_options
from harness.stats.paired import unpaired_ratio

BOTH, SAME = "thread-per-request,thread-pool", "thread-pool,thread-pool"
KEPT_FILE = Path("control") / "designs.jsonl"
# What is put beside each other: of whole trials, of blocks, and the mark for their ratio.
FIGURES = (
    ("median response", "client.response_us.p50", "client.block_response_us.p50", 0.5),
    ("median of all requests", *(2 * ("client.response_us.p50",)), None),
    ("p99", "client.response_us.p99", BLOCK_P99, 0.35),
    ("p99 of all requests", "client.response_us.p99", "client.response_us.p99", None),
    ("CPU per request", *(2 * ("server.cpu_us_per_request.total",)), 0.5),
    ("overhead CPU", *(2 * ("server.cpu_us_per_request.overhead",)), None),
    ("context switches", *(2 * ("server.context_switches.per_s",)), None),
)


def settings_of(
    design: str,
    backends: str,
    seed: int,
    rps: str,
    rounds: int | None,
    duration_s: float | None,
    block_s: float | None = None,
) -> Settings:
    """Those of `labrun compare --design`."""
    options = design_options(design, rounds, duration_s, None, block_s, "open-loop", None)
    return lab_settings(rps=rps, backends=backends, seed=seed, **options)


def measured(
    backends: str, asked: argparse.Namespace, kept: Kept
) -> dict[str, list[list[Comparison]]]:
    """The headline comparisons of each run, by design; the designs take turns."""
    found: dict[str, list[list[Comparison]]] = {"trials": [], "blocks": []}
    runs = max(1, asked.runs // 2)
    for number in range(1, runs + 1):
        for design in ("trials", "blocks") if number % 2 else ("blocks", "trials"):
            settings = settings_of(
                design, backends, number, asked.rps, asked.rounds, asked.duration
            )
            found[design] += made(settings, kept, f"{backends}, run {number} of {runs}: {design}")
    return found


def made(settings: Settings, kept: Kept, told: str) -> list[list[Comparison]]:
    """The comparisons of a run that is on record, or is made now; none where this step is over."""
    line = kept.find("designs", settings)
    if line is None and kept.may_go_on():
        print(told, file=sys.stderr, flush=True)
        line = kept.add("designs", whole_run(settings, "benchmark").run, {})
    return [] if line is None else [line.comparisons]


def lengths(asked: argparse.Namespace, kept: Kept) -> None:
    """The runs with blocks of several lengths, and their table."""
    found: dict[float, list[list[Comparison]]] = {block_s: [] for block_s in asked.lengths}
    every = list(found)
    for number in range(max(1, asked.runs // len(every))):
        turn = number % len(every)
        for block_s in every[turn:] + every[:turn]:
            settings = settings_of(
                "blocks", BOTH, number + 1, asked.rps, asked.rounds, asked.duration, block_s
            )
            found[block_s] += made(settings, kept, f"run {number + 1}: blocks of {block_s:g} s")
    title = f"{BOTH} at {asked.rps} RPS, ratios: median of the runs (range)"
    rows = [
        [name, *(spread(ratios(runs, metric)) for runs in found.values())]
        for name, _, metric, _ in FIGURES
    ]
    print_table(title, ("figure", *(f"{block_s:g} s" for block_s in found)), rows)


def ratios(runs: list[list[Comparison]], metric: str) -> list[float]:
    """The ratio in each run that has one."""
    return [c.ratio for run in runs for c in run if c.metric == metric and c.ratio is not None]


def spread(found: list[float]) -> str:
    """`0.780 (0.760 to 0.800)`: the median and the range."""
    if not found:
        return "-"
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def known(asked: argparse.Namespace, kept: Kept) -> None:
    """The runs with a known effect, and their table."""
    with known_effects.backends(asked.known, asked.rps) as put_in:
        settings = [
            settings_of("blocks", known_effects.BACKENDS, seed, asked.rps, asked.rounds,
                        asked.duration)
            for seed in range(1, asked.runs + 1)
        ]  # fmt: skip
        lines = known_effects.study(asked.known, settings, kept, put_in)
    known_effects.show(asked.known, lines, asked.runs)


def _lengths(text: str) -> list[float]:
    return [float(each) for each in text.split(",")]


def widths(runs: list[list[Comparison]], metric: str) -> list[float]:
    """The half-width in each run that has an interval."""
    found = [half_width(c) for run in runs for c in run if c.metric == metric]
    return [width for width in found if width is not None]


def verdicts(runs: list[list[Comparison]], metric: str) -> int:
    """How often the two arms were told apart."""
    undecided = ("cannot-tell", "not-comparable")
    return sum(c.verdict not in undecided for run in runs for c in run if c.metric == metric)


def told(runs: list[list[Comparison]], metric: str) -> str:
    """`10 better`: how often each verdict was given."""
    counts = Counter(c.verdict for run in runs for c in run if c.metric == metric)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))


def show_ratios(title: str, found: dict[str, list[list[Comparison]]]) -> None:
    """Whether the designs agree, figure by figure: in one a server rests between its loads."""
    rows = []
    for name, _, metric, _ in FIGURES:
        trials, blocks = ratios(found["trials"], metric), ratios(found["blocks"], metric)
        apart = unpaired_ratio(trials, blocks, 0.95)
        ends = "-" if apart is None or apart.low is None or apart.high is None else (
            f"{apart.value:.3f} ({apart.low:.3f} to {apart.high:.3f})"
        )  # fmt: skip
        rows.append([name, spread(trials), spread(blocks), ends,
                     told(found["trials"], metric), told(found["blocks"], metric)])  # fmt: skip
    print_table(title, ("figure", "trials", "blocks", "blocks / trials", "told in trials",
                        "told in blocks"), rows)  # fmt: skip


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
    parser.add_argument("--known", help="burn:3%% or delay:2ms: coverage on known truth")
    parser.add_argument("--lengths", type=_lengths, help="0.25,0.5,1: blocks of these seconds")
    parser.add_argument("--step", type=int, help="at most so many runs now (default: all)")
    parser.add_argument("--rounds", type=int, help="of each run (blocks 8, trials 5)")
    parser.add_argument("--duration", type=float, help="seconds (blocks 3.5, trials 5)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="default: results")
    asked = parser.parse_args()
    try:
        kept = Kept(asked.out / KEPT_FILE, asked.step)
        if asked.known is not None:
            known(asked, kept)
            return 0
        if asked.lengths is not None:
            lengths(asked, kept)
            return 0
        for backends in (BOTH, SAME):
            found = measured(backends, asked, kept)
            show(f"{backends} at {asked.rps} RPS, half-widths", found, backends == SAME)
            show_ratios(f"{backends} at {asked.rps} RPS, ratios: median of the runs (range)", found)
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
