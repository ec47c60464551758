"""Which estimate of two servers' times tells most, and is seldom wrong? All, on the same runs.

    for seed in $(seq 20); do
        labrun compare --backends thread-pool,thread-pool --seed $seed --out build/aa
    done
    python -m benchmarks.estimators build/aa/* [--delay 0.3]

RUN: folders of runs in blocks, a backend against itself at one level. For the median and the p99 of
each run, every estimate's interval: its half-width, sqrt(high / low) - 1, and whether it excludes
none, which is false. Then one request in fifty of the second arm is said to have taken `--delay`
milliseconds more, and how often is the p99 called worse?

* pairs: the median over pairs of the log ratio of a block's quantile;
* pooled: the quantile of all requests of an arm and restart;
* beyond: the share of an arm's requests in a restart that lie beyond the p99 (or the median) of all
  requests of the run; a ratio of shares, which is farther from 1 than one of times;
* quiet pairs: as pairs, of those in which neither block was disturbed; restarts without one do not
  count;
* quiet blocks: each undisturbed block of one arm with each of the other;
* quiet tails: the median by pairs, and p99 over p50 by quiet blocks, which is what is compared.

All have the same interval over restarts (`harness.stats.paired`).
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from benchmarks.common import print_table
from benchmarks.known_backends import DELAYED_SHARE
from harness.core.errors import LabError
from harness.reading.runs import load_run
from harness.stats.intervals import Estimate
from harness.stats.paired import Pair, Restart, hierarchical_ratio

Times: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"


@dataclass(frozen=True, slots=True)
class Arm:
    """The blocks of one arm in one restart: response times in microseconds by pair, infinite of
    what failed, and the pairs whose block was left alone."""

    blocks: dict[int, Times]
    quiet: list[int]

    def all(self) -> Times:
        return np.concatenate([*self.blocks.values()])


@dataclass(frozen=True, slots=True)
class Both:
    """One restart; `share`: of the quantile that is asked for. `limit_us`: of all requests."""

    baseline: Arm
    contender: Arm
    share: float
    limit_us: float

    def values(
        self, pairs: Sequence[tuple[int, int]], figure: Callable[[Times], float]
    ) -> list[Pair]:
        one, other = self.baseline.blocks, self.contender.blocks
        return [(figure(one[a]), figure(other[b])) for a, b in pairs]

    def quantile(self, times: Times) -> float:
        return quantile(times, self.share)

    def tail(self, times: Times) -> float:
        return self.quantile(times) / quantile(times, 0.5)

    def beyond(self, times: Times) -> float:
        return float(np.mean(times > self.limit_us))


def quantile(times: Times, share: float) -> float:
    return float(np.quantile(times, share, method="inverted_cdf"))


def _pairs(both: Both) -> list[tuple[int, int]]:
    return [(pair, pair) for pair in both.baseline.blocks if pair in both.contender.blocks]


def _quiet_pairs(both: Both) -> list[tuple[int, int]]:
    return [(pair, pair) for pair in both.baseline.quiet if pair in both.contender.quiet]


def _quiet(both: Both) -> list[tuple[int, int]]:
    """Where an arm has none, all of both, as the lab does."""
    if not both.baseline.quiet or not both.contender.quiet:
        return list(product(both.baseline.blocks, both.contender.blocks))
    return list(product(both.baseline.quiet, both.contender.quiet))


def _of_all(both: Both, figure: Callable[[Times], float]) -> Restart:
    return Restart([(figure(both.baseline.all()), figure(both.contender.all()))])


ESTIMATES: dict[str, Callable[[Both], Restart | None]] = {
    "pairs": lambda both: Restart(both.values(_pairs(both), both.quantile)),
    "pooled": lambda both: _of_all(both, both.quantile),
    "beyond": lambda both: _of_all(both, both.beyond),
    "quiet pairs": lambda both: (
        Restart(both.values(found, both.quantile)) if (found := _quiet_pairs(both)) else None
    ),
    "quiet blocks": lambda both: Restart(both.values(_quiet(both), both.quantile)),
    "quiet tails": lambda both: Restart(
        both.values(_pairs(both), lambda times: quantile(times, 0.5)),
        both.values(_quiet(both), both.tail),
    ),
}


def arms_of(folder: Path) -> list[dict[int, Arm]]:
    """The two arms of a run, by restart. Raises `LabError` where it is no such run."""
    run = load_run(folder)
    same = len(run.settings.backends) == 2 and len({*run.settings.backends}) == 1
    if not same or len(run.settings.rps) != 1 or not all(trial.blocks for trial in run.trials):
        raise LabError(f"{folder} is no run of a backend against itself in blocks at one level")
    rows = pd.read_parquet(folder / "requests.parquet")
    rows["response_us"] = rows["response_us"].where(rows["outcome"] == "ok", math.inf)
    times = {
        place: found.to_numpy(dtype=float)
        for place, found in rows.groupby(["slot", "round", "block"])["response_us"]
    }
    arms: list[dict[int, Arm]] = [{}, {}]
    for trial in run.trials:
        arms[trial.slot][trial.round] = Arm(
            {block.pair: times[trial.slot, trial.round, block.pair] for block in trial.blocks},
            [block.pair for block in trial.blocks if not block.disturbed],
        )
    return arms


def delayed(arm: Arm, delay_us: float, draw: np.random.Generator) -> Arm:
    """The same, had one request in fifty taken so much longer."""
    late = {
        pair: times + delay_us * (draw.random(len(times)) < DELAYED_SHARE)
        for pair, times in arm.blocks.items()
    }
    return Arm(late, arm.quiet)


def restarts_of(arms: Sequence[dict[int, Arm]], share: float) -> Iterator[Both]:
    every = np.concatenate([arm.all() for one in arms for arm in one.values()])
    limit_us = quantile(every, share)
    for number in sorted(arms[0].keys() & arms[1].keys()):
        yield Both(arms[0][number], arms[1][number], share, limit_us)


def estimate_of(name: str, restarts: Sequence[Both]) -> Estimate | None:
    values = [value for both in restarts if (value := ESTIMATES[name](both)) is not None]
    found = hierarchical_ratio(values) if values else None
    return None if found is None else found.estimate


def row(
    name: str, runs: Sequence[Sequence[dict[int, Arm]]], share: float, delay_us: float
) -> list[str]:
    """Of one estimate: half-widths, false verdicts, and how often the delay is called worse."""
    found: list[Estimate | None] = []
    late: list[Estimate | None] = []
    draw = np.random.default_rng(1)
    for arms in runs:
        found.append(estimate_of(name, list(restarts_of(arms, share))))
        slower = [arms[0], {n: delayed(arm, delay_us, draw) for n, arm in arms[1].items()}]
        late.append(estimate_of(name, list(restarts_of(slower, share))))
    told = [each for each in found if each is not None and each.low is not None]
    widths = [math.inf if (width := each.half_width) is None else width for each in told]
    false = sum(not (each.low or 0.0) <= 1.0 <= (each.high or 0.0) for each in told)
    worse = sum(each is not None and each.low is not None and each.low > 1 for each in late)
    ends = ["-", "-"] if not widths else [_share(f(widths)) for f in (statistics.median, max)]
    return [name, *ends, f"{len(widths)}", f"{false}", f"{worse}" if share > 0.5 else "-"]


def _share(width: float) -> str:
    return f"{width:.1%}" if math.isfinite(width) else "open"


def main() -> int:
    """Exit status 0, 2 when a folder cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.estimators", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs")
    parser.add_argument("--delay", type=float, default=0.3, help="milliseconds (default 0.3)")
    asked = parser.parse_args()
    try:
        runs = [arms_of(folder) for folder in asked.runs]
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    for title, share in (("median of a block", 0.5), ("p99 of a block", 0.99)):
        print_table(
            f"{title}, {len(runs)} runs of a backend against itself",
            ("estimate", "half-width, median", "most", "intervals", "false",
             f"worse by {asked.delay:g} ms"),
            [row(name, runs, share, asked.delay * 1e3) for name in ESTIMATES],
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
