"""How sure are we? Robust intervals for a handful of paired rounds, and the verdicts they allow.

Every metric gives one value per round and backend. The effect is the typical (median) within-round
ratio contender/baseline; its interval is an order-statistic interval on the log ratios, with two
departures that small numbers of disturbed rounds call for. In terms of the sorted log ratios
x1 <= ... <= xn:

* n < 5: no interval. With two machine states all of four rounds fall on the same side of the truth
  one time in eight (three: one in four), so no interval inside the data can cover 95 %.
* n = 5: [x1, xn] covers the median with exactly 1 - 2^(1-5) = 93.75 %, whatever the distribution
  (Thompson 1936, "On confidence ranges for the median"); 6 % of the range is added at each end.
* n = 7: [min(x2, (x1 + x3) / 2), mirrored]: the Wilcoxon signed-rank interval by Walsh averages
  (Tukey 1949; Hodges and Lehmann 1963), exactly 61/64 = 95.3 % for every symmetric distribution.
  Interpolation is optimistic at this n alone (x1..x7 covers 98.4 %, x2..x6 only 87.5 %).
* any other n: order statistics interpolated between the two exact coverages around the target by
  Hettmansperger and Sheather 1986 ("Confidence intervals based on interpolated order statistics").
  The target is 96 % for a nominal 95 %: the interpolation loses about a point between two states.
* n = 5 to 8: these intervals have no slack to leave out a disturbed round. One end value whose gap
  to the rest exceeds 11 - n ranges of the rest is left out of the interval (not of the median, nor
  of n): a gap-to-range test after Dixon 1950, stricter than its 1 % point (at n = 5 a gap of 4.6
  ranges). The interval is then the range of the rest, with 30 % (n = 5), 25 % (6 and 7) or nothing
  (8) of it added at each end.

What is covered is the median of the rounds as they come, delays included: of a side that is delayed
in three rounds of ten, that is 0.6 s above the undisturbed ratio. The plain order statistics need
no distribution for that. The rest leans on something: interpolation on smoothness, Walsh averages
on symmetry, leaving out on a lone far round's being a disturbance. So coverage is simulated, also
where that fails. The constants (6, 30 and 25 %, 11 - n, 96 %) were chosen by simulation, which
`python -m benchmarks.interval_coverage` repeats. Coverage in percent, 40,000 runs a cell or more; s
is the standard deviation of the core or of one state; * outside 93 to 97. Disturbed: 20 % of rounds
by a factor 1.1 to 2 or 1.5 to 4 (3 to 46 s), on either side, or that share of rounds on one side
alone; of the two factors the worse is shown. Log-normal: the noise of the log ratio is, with that
sigma. 3 s and on: bimodal, two equally likely states that far apart:

====  ======  =====  =========  =========  =========  =========  ======  =====  =====
n     normal  t(3)   disturbed  one-sided  one-sided  one-sided  log-normal
..                   20 %       20 %       30 %       40 %       0.5     1      2
====  ======  =====  =========  =========  =========  =========  ======  =====  =====
5     95.2    95.5   96.8       94.8       93.4       90.2*      94.7    93.4   89.9*
6     96.1    96.1   96.8       94.9       93.5       90.3*      95.8    95.0   92.5*
7     95.1    95.5   96.7       95.1       93.6       92.1*      94.8    94.2   92.8*
8     95.4    95.7   96.9       95.0       94.2       93.5       95.2    95.0   94.6
9-20  96      96     96         96         96         96         96      96     96
====  ======  =====  =========  =========  =========  =========  ======  =====  =====

====  =====  =====  =====  =====  =====  =====
n     3 s    4 s    5 s    6 s    8 s    10 s
====  =====  =====  =====  =====  =====  =====
5     94.3   93.2   92.3*  91.0*  88.0*  84.4*
6     96.0   96.0   96.0   95.5   93.9   91.5*
7     95.3   95.0   95.0   94.5   93.6   92.0*
8     94.9   94.3   93.5   93.2   93.0   92.7*
9-20  95-96  95-96  94-97  93-97  93-97  93-97
====  =====  =====  =====  =====  =====  =====

So what misses is n = 5 with two states 5 s or more apart, by 1 to 9 points, and n = 5 to 7 with
two rounds in five delayed on one side alone, or noise as skewed as log-normal with sigma 2, by up
to 3 points. Four rounds in one far state and one in the other are the same five numbers as one
disturbed round in five, and no rule can call both right: never leaving one out can cover 94 to 97
at n = 5 in all columns, but with a half-width of 36 instead of 5 % (at s = 3 %) where one round in
five is disturbed. Six rounds settle two states up to 8 s, eight the one-sided and the skewed.
False alarms of an A/A run are the rest to 100 %: below 5 % in the first three columns, up to 7 %
between two states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Literal

Verdict = Literal["better", "worse", "more", "fewer", "cannot-tell", "not-comparable"]

LEAST_ROUNDS = 5  # fewer give no interval of 95 %
# n: an end value is disturbed when its gap to the rest exceeds this many ranges of the rest.
# From 9 rounds on the order statistics leave one disturbed round out by themselves.
_DISTURBED_GAP = {5: 6.0, 6: 5.0, 7: 4.0, 8: 3.0}
_WIDENING = 0.06  # n = 5: share of the range added at each end of [x1, x5]
# n: the same, of the range of what is left when a disturbed value is left out.
_WIDENING_OF_REST = {5: 0.3, 6: 0.25, 7: 0.25, 8: 0.0}
_CUSHION = 0.2  # share of the error rate held back for the interpolation: 95 % aims at 96 %
_SHORTFALL = 0.25  # [x1, xn] may miss the nominal by this share of the error rate: 93.75 for 95 %
_SIGNED_RANK_7 = 61 / 64  # exact coverage of the third Walsh averages of seven values
_ROUNDING = 1e-9  # a ratio this close to 1 is 1: 0.3 / (3 * 0.1) is not a regression


class Direction(Enum):
    """Which way a metric improves."""

    LOWER_IS_BETTER = "lower-is-better"
    HIGHER_IS_BETTER = "higher-is-better"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A typical value and its interval, in the unit of the values (a ratio has none).

    `low` and `high` are None together, where `n`, the number of values used, is too small (or the
    values too odd) to say anything: an unknown interval is never a zero-width or an infinite one.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def half_width(self) -> float | None:
        """Of an interval of ratios, as below."""
        return half_width(self.low, self.high)


def half_width(low: float | None, high: float | None) -> float | None:
    """Of an interval of ratios, as a share: sqrt(high / low) - 1. None where it has not both ends,
    or the lower is 0; infinite where the upper is."""
    return None if not low or high is None else math.sqrt(high / low) - 1


def ratio_estimate(
    baseline: Sequence[float], contender: Sequence[float], confidence: float = 0.95
) -> Estimate | None:
    """The typical within-round ratio contender/baseline; both sequences hold one value per round.

    The value is the median of the log ratios, taken back (for an even n the geometric mean of the
    middle two), so that swapping the two sides inverts value and interval. Method and coverage:
    see the module.

    A value may be infinite: a response time that lies among the failures. Such pairs, and those
    with a side of 0 (or below), take part in the ordering that gives median and interval:

    * contender infinite, or baseline 0: the ratio is infinite;
    * baseline infinite, or contender 0: the ratio is 0;
    * both infinite, or both 0: the ratio may be anything. The pair counts as 0 for the lower end
      and as infinite for the upper one, so that it widens the interval at both ends; the value is
      the median of the others.

    So ends may be 0 or infinite, and so may the value; it is NaN where the middle two are 0 and
    infinite. A pair with a NaN is left out. None if that leaves no pair with a ratio. Ratios that
    are all the same give that point as the interval.

    Raises ValueError if the lengths differ, or if confidence is not between 0 and 1.
    """
    if len(baseline) != len(contender):
        raise ValueError(
            f"one value per round and side: {len(baseline)} baseline values, "
            f"{len(contender)} contender values"
        )
    pairs = zip(baseline, contender, strict=True)
    there = [(b, c) for b, c in pairs if not (math.isnan(b) or math.isnan(c))]
    ratios = [_pair_ratio(b, c) for b, c in there]
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return None
    unknown = len(ratios) - len(known)
    if min(known) == max(known) and not unknown:
        return _estimate(known, confidence)  # exactly that point: no trip through the logs
    return _exponential(_estimate([_log(ratio) for ratio in known], confidence, unknown))


def _pair_ratio(baseline: float, contender: float) -> float | None:
    """The ratio of one pair, 0 and infinite included; None where it may be anything."""
    below, above = max(baseline, 0.0), max(contender, 0.0)
    if below == above and (below == 0 or math.isinf(below)):
        return None
    if below == 0 or math.isinf(above):
        return math.inf
    return above / below


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def location_estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """The median of one cell's values (one per round, any unit), with an interval for the median.

    Infinite values (what lies among the failures) take part in the ordering, so that the value and
    the ends may be infinite. A NaN is left out; None if that leaves none. The interval is that of
    `ratio_estimate` without the logs; where no value is negative it ends at 0.

    Raises ValueError if confidence is not between 0 and 1.
    """
    there = [value for value in values if not math.isnan(value)]
    if not there:
        return None
    estimate = _estimate(there, confidence)
    if estimate.low is not None and estimate.low < 0 <= min(there):
        return Estimate(estimate.value, 0.0, estimate.high, estimate.n)
    return estimate


def verdict(estimate: Estimate | None, direction: Direction, judged: bool = True) -> Verdict:
    """The verdict on the contender, one word, from the ratio contender/baseline.

    not-comparable: there is no ratio. cannot-tell: no interval, or one that includes 1 (to within
    rounding). Otherwise better or worse, by the direction in which the metric improves; or, where
    it is not `judged` since neither is good or bad, more or fewer.
    """
    if estimate is None:
        return "not-comparable"
    if estimate.low is None or estimate.high is None:
        return "cannot-tell"
    if estimate.low <= 1 + _ROUNDING and estimate.high >= 1 - _ROUNDING:
        return "cannot-tell"
    lower = estimate.high < 1
    if not judged:
        return "fewer" if lower else "more"
    return "better" if lower == (direction is Direction.LOWER_IS_BETTER) else "worse"


def excluded_effect(estimate: Estimate | None) -> float | None:
    """The relative difference above which the interval of a ratio rules a difference out: the
    record's `ruled_out`.

    max(high, 1 / low) - 1, so 0.12 reads "a difference above 12 %, either way, is ruled out".
    None where nothing is: no estimate, no interval, or one that reaches to 0 or is infinite.
    """
    if estimate is None or not _bounded(estimate):
        return None
    assert estimate.low is not None
    assert estimate.high is not None
    return max(estimate.high, 1 / estimate.low) - 1


def minimum_detectable_effect(estimate: Estimate | None) -> float | None:
    """The smallest relative difference that a ratio with an interval this wide tells from none: the
    record's `smallest_difference`.

    The interval excludes 1 as soon as the ratio is further from it, in logs, than the interval's
    longer arm: max(high / value, value / low) - 1. None without an interval, or with one that
    reaches to 0 or is infinite.
    """
    if estimate is None or not _bounded(estimate):
        return None
    assert estimate.low is not None
    assert estimate.high is not None
    return max(estimate.high / estimate.value, estimate.value / estimate.low) - 1


def _bounded(estimate: Estimate) -> bool:
    """Whether there is an interval of ratios with two ends that say something."""
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and low > 0 and math.isfinite(high)


def _exponential(estimate: Estimate) -> Estimate:
    """An estimate of logs, taken back."""
    low = None if estimate.low is None else from_log(estimate.low)
    high = None if estimate.high is None else from_log(estimate.high)
    return Estimate(from_log(estimate.value), low, high, estimate.n)


def from_log(log: float) -> float:
    """The ratio of a log, infinite where it is too large for a float; a NaN stays one."""
    return math.inf if log >= 709 else math.exp(log)


def _estimate(values: Sequence[float], confidence: float, unknown: int = 0) -> Estimate:
    """Median and interval of values that may be infinite; the steps are in the module's docstring.

    `unknown` more values may be anything: they count as the least for the lower end, and as the
    most for the upper one.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a share between 0 and 1, not {confidence}")
    ordered = sorted(values)
    n, middle = len(ordered) + unknown, _median(ordered)
    if _sample_range_coverage(n) < confidence - _SHORTFALL * (1 - confidence) - _ROUNDING:
        return Estimate(middle, None, None, n)
    target = confidence + _CUSHION * (1 - confidence)
    rest: Sequence[float] = ordered
    if n in _DISTURBED_GAP and not unknown and all(map(math.isfinite, ordered)):
        rest = _undisturbed(ordered, _DISTURBED_GAP[n])
    if len(rest) < len(ordered):
        widening = _WIDENING_OF_REST[n] * (rest[-1] - rest[0])
        low, high = rest[0] - widening, rest[-1] + widening
    else:
        # The upper end is the mirror image of the lower one, computed by the same code.
        least = [-math.inf] * unknown
        low = _lower_end([*least, *ordered], confidence, target)
        high = -_lower_end([*least, *(-value for value in reversed(ordered))], confidence, target)
    if math.isnan(middle):
        return Estimate(middle, low, high, n)
    return Estimate(middle, min(low, middle), max(high, middle), n)  # min, max: rounding alone


def _median(ordered: Sequence[float]) -> float:
    """The median; NaN where the middle two are infinite either way."""
    half = len(ordered) // 2
    if len(ordered) % 2 or ordered[half - 1] == ordered[half]:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def _undisturbed(ordered: Sequence[float], limit: float) -> Sequence[float]:
    """The values without the one end value more than `limit` ranges of the rest away from it.

    A rest without any range (counters that agree exactly) gives no scale to judge by: all stay.
    """
    first, last = ordered[1] - ordered[0], ordered[-1] - ordered[-2]
    for rest, gap in ((ordered[1:], first), (ordered[:-1], last)):
        scale = rest[-1] - rest[0]
        if 1e-6 * gap < scale and gap > limit * scale:
            return rest
    return ordered


def _lower_end(ordered: Sequence[float], confidence: float, target: float) -> float:
    """The lower end of the interval of sorted values, at least five of them.

    Between a value and an infinite one there is nothing to interpolate: the lower of them counts.
    """
    n = len(ordered)
    if target > _sample_range_coverage(n):
        finite = [value for value in ordered if math.isfinite(value)]
        spread = finite[-1] - finite[0] if finite else 0.0
        return ordered[0] - (_WIDENING * spread if n == LEAST_ROUNDS else 0.0)
    depth, weight = _interpolation(n, target)
    outer, inner = ordered[depth - 1], ordered[depth]
    if n == 7 and depth == 1 and confidence <= _SIGNED_RANK_7:
        if not all(math.isfinite(value) for value in ordered[:3]):
            return outer
        return min(ordered[1], (ordered[0] + ordered[2]) / 2)
    if math.isinf(outer) or math.isinf(inner):
        return outer
    return (1 - weight) * outer + weight * inner


@cache
def _interpolation(n: int, target: float) -> tuple[int, float]:
    """Depth d and weight w of the bound (1 - w) * x_d + w * x_(d+1) that covers with `target`.

    Hettmansperger and Sheather 1986, equation for lambda: with c_d the exact coverage of
    [x_d, x_(n+1-d)] and I = (c_d - target) / (c_d - c_(d+1)), w = (n - d) I / (d + (n - 2 d) I).
    """
    coverages = _order_statistic_coverages(n)
    for depth, (wider, narrower) in enumerate(pairwise(coverages), start=1):
        if narrower <= target:
            share = (wider - target) / (wider - narrower)
            return depth, (n - depth) * share / (depth + (n - 2 * depth) * share)
    raise AssertionError("the last coverage is 0")


def _order_statistic_coverages(n: int) -> list[float]:
    """Coverage of [x_d, x_(n+1-d)] for the median, d = 1, 2, ...: 1 - 2 P(Binomial(n, 1/2) < d).

    The last one is 0: the interval that has closed to a point.
    """
    outside, coverages = 0, []
    for depth in range(1, n // 2 + 1):
        outside += math.comb(n, depth - 1)
        coverages.append(1 - 2 * outside / 2**n)
    return [*coverages, 0.0]


def _sample_range_coverage(n: int) -> float:
    """Coverage of [x1, xn] for the median of any continuous distribution: 1 - 2^(1 - n)."""
    return 1 - 2.0 ** (1 - n)
