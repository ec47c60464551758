"""Intervals of ratios at any confidence, for paired rounds and for two separate runs.

The lab's usual intervals (`harness.stats.intervals`) are order statistics at 95 %. A check that
looks at a dozen figures needs each at a higher confidence, and there they run out of rounds. Here:

* Paired (old and new in the same round): Wilcoxon's signed-rank interval, from Walsh averages of
  the log ratios (Tukey 1949; Hodges and Lehmann 1963, "Estimates of location based on rank
  tests"). Under equal code, old and new are interchangeable within a round (their order
  alternates), so the log ratios are symmetric about 0 whatever the machine does: no other
  assumption is needed. The exact null distribution is used.
* Unpaired (two separate runs): the Hodges-Lehmann shift of the logs with the exact Mann-Whitney
  interval (Moses 1965; Hollander, Wolfe and Chicken 2014, sections 4.2 and 4.3).
* Where there are too few values for the confidence (2^(1-n), or 2 / C(n+m, n), is above the error
  rate): Student's t on the log ratios, and Welch's t (1947) for two samples. These lean on the
  logs being near normal; a disturbed round makes them wide, not wrong. Where a ratio is 0 or
  infinite they say nothing.

Values may be infinite (a response time that lies among the failures) and take part in the ordering:
the ratio is infinite where the new value alone is, or the old one is 0, and 0 the other way round.
Where both are infinite, or both 0, or one is NaN (a round that answered nothing which could be
counted), it may be anything, and widens the interval at both ends. Ratios that are all the same
give that point. The success rate, which is a share, has `harness.stats.shares` instead.

The typical ratio of two arms that were loaded in turns: pairs of blocks within restarts.

A process is born once: its memory layout, its place among the CPU's caches and its threads stay as
they are for all of its blocks. So blocks of one restart resemble one another more than those of
two, and an interval over all blocks is too narrow; restarts are what is independent (Kalibera and
Jones, Rigorous benchmarking in reasonable time, ISMM 2013). Therefore two steps:

* Within a restart, the median of the log ratios of its pairs: a neighbour that wakes up spoils a
  pair or two and moves it little. A tail it moves more, and seldom leaves both blocks of a pair
  alone; so what a tail is on top of its own block's median is compared over the blocks that were
  left alone, each of one side with each of the other, in no pairs (the median of all differences,
  Hodges and Lehmann 1963), and added to the median's log ratio over all pairs.
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
from functools import cache
from typing import NamedTuple

from harness.stats.intervals import LEAST_ROUNDS, Estimate, from_log

LEAST_PAIRS = LEAST_SAMPLE = LEAST_ROUNDS  # as everywhere: fewer give no verdict
Pair = tuple[float, float]


def paired_ratio(
    baseline: Sequence[float], contender: Sequence[float], confidence: float
) -> Estimate | None:
    """The typical ratio contender/baseline of paired values, with a two-sided interval.

    None if no pair has a ratio; no interval where there are fewer than five pairs. The value is NaN
    where the typical ratio lies between 0 and infinite ones.
    """
    logs = [log_ratio(b, c) for b, c in zip(baseline, contender, strict=True)]
    known = [log for log in logs if not math.isnan(log)]
    if not known:
        return None
    n, unknown = len(logs), len(logs) - len(known)
    value = _centre(_walsh(known, -math.inf), _walsh(known, math.inf))
    if n < LEAST_PAIRS:
        return _back(value, None, None, n)
    depth = _depth(_signed_rank_counts(n), 2**n, confidence)
    if depth is not None:
        least = _walsh([-math.inf] * unknown + known, -math.inf)
        most = _walsh(known + [math.inf] * unknown, math.inf)
        return _back(value, least[depth], most[-1 - depth], n)
    if not unknown and min(known) == max(known):
        return _back(value, known[0], known[0], n)
    if unknown or not all(map(math.isfinite, known)):
        return _back(value, None, None, n)
    centre, half = _student(known, confidence)
    return _back(value, min(value, centre - half), max(value, centre + half), n)


def unpaired_ratio(
    baseline: Sequence[float], contender: Sequence[float], confidence: float
) -> Estimate | None:
    """The typical ratio contender/baseline of two samples, with a two-sided interval.

    None where no two values have a ratio; no interval where a side has fewer than five
    values.
    The value is NaN where the typical ratio lies between 0 and infinite ones.
    """
    shifts = [log_ratio(b, c) for b in baseline for c in contender]
    known = sorted(shift for shift in shifts if not math.isnan(shift))
    if not known:
        return None
    value, n = _centre(known, known), min(len(baseline), len(contender))
    if n < LEAST_SAMPLE:
        return _back(value, None, None, n)
    unknown = len(shifts) - len(known)
    counts = _mann_whitney_counts(len(baseline), len(contender))
    depth = _depth(counts, math.comb(len(baseline) + len(contender), len(baseline)), confidence)
    if depth is not None:
        least, most = [-math.inf] * unknown + known, known + [math.inf] * unknown
        return _back(value, least[depth], most[-1 - depth], n)
    if not unknown and known[0] == known[-1]:
        return _back(value, known[0], known[0], n)
    if unknown or not all(map(math.isfinite, known)):
        return _back(value, None, None, n)
    centre, half = _welch([math.log(v) for v in baseline], [math.log(v) for v in contender],
                          confidence)  # fmt: skip
    return _back(value, min(value, centre - half), max(value, centre + half), n)


def sign_test(one: int, other: int) -> float:
    """Of `one` + `other` pairs in which a single side has something: the chance that of two sides
    that are alike the rarer has it so seldom. Exact and two-sided (McNemar 1947)."""
    throws = one + other
    tail = sum(math.comb(throws, k) for k in range(min(one, other) + 1))
    return min(1.0, 2 * tail / (1 << throws))


def log_ratio(baseline: float, contender: float) -> float:
    """The log of contender/baseline, infinite ones included; NaN where it may be anything."""
    if math.isnan(baseline) or math.isnan(contender):
        return math.nan
    below, above = max(baseline, 0.0), max(contender, 0.0)
    if below == above and (below == 0 or math.isinf(below)):
        return math.nan
    if below == 0 or math.isinf(above):
        return math.inf
    return -math.inf if above == 0 or math.isinf(below) else math.log(above / below)


def _walsh(logs: Sequence[float], unclear: float) -> list[float]:
    """Sorted means of all pairs of logs, each with itself included; `unclear` is that of minus and
    plus infinity, which may be anything."""
    return sorted(
        unclear if math.isinf(a) and a == -b else (a + b) / 2
        for i, a in enumerate(logs)
        for b in logs[i:]
    )


def _centre(least: Sequence[float], most: Sequence[float]) -> float:
    """The median of sorted values, of which some may be anything: in `least` and in `most` they
    stand at the two ends. NaN where it is among those, or between infinite ones."""
    half = len(least) // 2
    middle = [
        ordered[half] if len(ordered) % 2 or ordered[half - 1] == ordered[half]
        else (ordered[half - 1] + ordered[half]) / 2
        for ordered in (least, most)
    ]  # fmt: skip
    return middle[0] if middle[0] == middle[1] else math.nan


def _back(value: float, low: float | None, high: float | None, n: int) -> Estimate:
    return Estimate(
        from_log(value),
        None if low is None else from_log(low),
        None if high is None else from_log(high),
        n,
    )


def _depth(counts: Sequence[int], total: int, confidence: float) -> int | None:
    """How many ordered values may be cut off at each end: the largest d with
    2 P(statistic <= d - 1) <= 1 - confidence. None when not even one is allowed."""
    allowed, below, depth = (1 - confidence) / 2 * total, 0, 0
    for count in counts:
        below += count
        if below > allowed * (1 + 1e-12):
            break
        depth += 1
    return depth - 1 if depth else None


@cache
def _signed_rank_counts(n: int) -> tuple[int, ...]:
    """In how many of 2^n sign patterns the positive ranks add up to 0, 1, 2, ..."""
    counts = [1]
    for rank in range(1, n + 1):
        longer = counts + [0] * rank
        for place, count in enumerate(counts):
            longer[place + rank] += count
        counts = longer
    return tuple(counts)


@cache
def _mann_whitney_counts(n: int, m: int) -> tuple[int, ...]:
    """In how many of C(n+m, n) orders U is 0, 1, 2, ...: Gaussian binomial coefficients."""
    counts = [1]
    for step in range(1, n + 1):
        longer = counts + [0] * (m + step)
        for place in range(len(counts)):  # times (1 - q^(m+step))
            longer[place + m + step] -= counts[place]
        for place in range(step, len(longer)):  # divided by (1 - q^step)
            longer[place] += longer[place - step]
        while longer and longer[-1] == 0:
            longer.pop()
        counts = longer
    return tuple(counts)


def _student(logs: Sequence[float], confidence: float) -> tuple[float, float]:
    """Mean and half-width of Student's interval."""
    from scipy.stats import t

    n = len(logs)
    centre = math.fsum(logs) / n
    variance = math.fsum((x - centre) ** 2 for x in logs) / (n - 1)
    return centre, float(t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(variance / n)


def _welch(a: Sequence[float], b: Sequence[float], confidence: float) -> tuple[float, float]:
    """Difference of means b - a and half-width, degrees of freedom by Welch and Satterthwaite."""
    from scipy.stats import t

    means = [math.fsum(x) / len(x) for x in (a, b)]
    errors = [
        math.fsum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x)
        for x, mean in zip((a, b), means, strict=True)
    ]
    total = sum(errors)
    if total == 0:
        return means[1] - means[0], 0.0
    freedom = total**2 / sum(e**2 / (len(x) - 1) for e, x in zip(errors, (a, b), strict=True))
    return means[1] - means[0], float(t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(total)


class Restart(NamedTuple):
    """What is compared of one restart: values of the baseline and of the contender. `pairs`: of
    blocks that stand in one pair. `factors`: what comes on top of them, a pair for each two blocks
    of the two sides."""

    pairs: Sequence[Pair]
    factors: Sequence[Pair] = ((1.0, 1.0),)


@dataclass(frozen=True, slots=True)
class Hierarchical:
    """A typical ratio contender/baseline with its interval, and the standard deviations of the log
    ratio: within a restart, of a pair with the factor on top of it, and of the restarts' typical
    ones. None where there are too few finite values."""

    estimate: Estimate
    sd_within: float | None
    sd_between: float | None


def hierarchical_ratio(
    restarts: Sequence[Restart], confidence: float = 0.95
) -> Hierarchical | None:
    """`restarts`: their values in any unit; infinite is a time among the failures. A restart
    without a pair, or without a factor, may be anything, and widens the interval. None where no
    restart has a ratio."""
    logs = [[[log_ratio(*pair) for pair in part] for part in restart] for restart in restarts]
    typical = [sum(_median(part) for part in parts) for parts in logs]
    estimate = paired_ratio(
        [1.0] * len(typical), [from_log(value) for value in typical], confidence
    )
    if estimate is None:
        return None
    within = [variance for parts in logs if (variance := _variance(parts)) is not None]
    between = [value for value in typical if math.isfinite(value)]
    return Hierarchical(
        estimate,
        math.sqrt(statistics.fmean(within)) if within else None,
        statistics.stdev(between) if len(between) > 1 else None,
    )


def _variance(parts: Sequence[Sequence[float]]) -> float | None:
    """That of the sum of a restart's pair and its factor; None where neither has two values."""
    finite = [[value for value in part if math.isfinite(value)] for part in parts]
    known = [statistics.variance(part) for part in finite if len(part) > 1]
    return sum(known) if known else None


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
