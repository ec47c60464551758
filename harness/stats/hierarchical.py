"""The typical ratio of two arms that were loaded in turns: pairs of blocks within restarts.

A process is born once: its memory layout, its place among the CPU's caches and its threads stay as
they are for all of its blocks. So blocks of one restart resemble one another more than those of
two, and an interval over all blocks is too narrow; restarts are what is independent (Kalibera and
Jones, Rigorous benchmarking in reasonable time, ISMM 2013). Therefore two steps:

* Within a restart, the median of the log ratios of its pairs: a neighbour that wakes up spoils a
  pair or two and moves it little.
* Over the restarts, the signed-rank interval of `harness.stats.paired`. It asks for log ratios that
  are symmetric about their centre; under equal arms they are, since the order within pairs is
  balanced and random.

The standard deviations of both levels are told beside it: where the one between restarts is hardly
more than the pairs explain (within / sqrt(pairs)), processes differ little by luck.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.stats.intervals import Estimate
from harness.stats.paired import log_ratio, paired_ratio

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Hierarchical:
    """A typical ratio contender/baseline with its interval, and the standard deviations of the log
    ratio: from pair to pair within a restart, and of the restarts' typical ones. None where there
    are too few finite values."""

    estimate: Estimate
    sd_within: float | None
    sd_between: float | None


def hierarchical_ratio(
    restarts: Sequence[Sequence[Pair]], confidence: float = 0.95
) -> Hierarchical | None:
    """`restarts`: of each, the values of its pairs (baseline's, contender's), in any unit; infinite
    is a time among the failures. A restart without a pair may be anything, and widens the interval.
    None where no restart has a ratio."""
    logs = [[log_ratio(*pair) for pair in pairs] for pairs in restarts]
    typical = [_median(values) for values in logs]
    estimate = paired_ratio([1.0] * len(typical), [_exp(value) for value in typical], confidence)
    if estimate is None:
        return None
    finite = [[value for value in values if math.isfinite(value)] for values in logs]
    within = [statistics.variance(values) for values in finite if len(values) > 1]
    between = [value for value in typical if math.isfinite(value)]
    return Hierarchical(
        estimate,
        math.sqrt(statistics.fmean(within)) if within else None,
        statistics.stdev(between) if len(between) > 1 else None,
    )


def _median(logs: Sequence[float]) -> float:
    """The median, NaN (it may be anything) where half of the values are, or there is none. Pairs
    that may be anything count as the least and as the most: only what both say is said."""
    if not logs:
        return math.nan
    least = sorted(-math.inf if math.isnan(value) else value for value in logs)
    most = sorted(math.inf if math.isnan(value) else value for value in logs)
    ends = [statistics.median_low(least), statistics.median_high(most)]
    known = [value for value in logs if not math.isnan(value)]
    if not known or (math.isinf(ends[0]) and math.isinf(ends[1]) and ends[0] != ends[1]):
        return math.nan
    half = sorted(known)
    middle = half[(len(half) - 1) // 2], half[len(half) // 2]
    return middle[0] if middle[0] == middle[1] else (middle[0] + middle[1]) / 2


def _exp(log: float) -> float:
    if math.isnan(log):
        return math.nan
    return math.inf if log >= 709 else math.exp(log)
