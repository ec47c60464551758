"""How sure is a share? Intervals for a success rate, and for the ratio of two.

A share is taken over all requests of all rounds. Its interval is Wilson's (1927, "Probable
inference"; recommended by Brown, Cai and DasGupta 2001 for any sample but the smallest), which
never leaves 0 to 1. Where no request failed, or all did, only one side is open, and that end lies
where so clean a sample has a chance of 5 %: about 3 / n from the border (the rule of three, Hanley
and Lippman-Hand 1983).

Requests of one round fail together, so rounds may differ by more than independent requests would.
The variance is therefore also taken between the rounds, as of clusters (Cochran, Sampling
Techniques, 1977, section 3.12), and the wider interval counts: Wilson's for as many independent
requests as would vary so much (Korn and Graubard 1998), with Student's t for the number of rounds.

The ratio of two shares has the interval that their own give by the method of variance estimates
recovery on logs (Zou and Donner 2008). If the sides were alike, they would fail alike, and one of
them may have had no bad round by luck alone: both are taken as no more independent requests than
the side that varies more. Without that, one bad round of five on one side, and none on the other,
would be a verdict in a third of comparisons of equal servers. Fewer than five rounds give no
interval, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from harness.stats.intervals import LEAST_ROUNDS, Estimate


@dataclass(frozen=True, slots=True)
class Tally:
    """One round: how many requests succeeded, of how many that were scheduled."""

    ok: int
    scheduled: int


def share_estimate(rounds: Sequence[Tally], confidence: float = 0.95) -> Estimate | None:
    """The share of all requests that succeeded, with its interval within 0 and 1 (no interval from
    fewer than five rounds). None where nothing was scheduled."""
    return _share(rounds, _design_effect(rounds), confidence)


def share_ratio_estimate(
    baseline: Sequence[Tally], contender: Sequence[Tally], *, confidence: float = 0.95
) -> Estimate | None:
    """The ratio of the two shares, contender / baseline, with its interval; both sequences hold
    one tally for each round. Infinite where the baseline alone has no success. None where neither
    side has one, or nothing was scheduled."""
    effect = max(_design_effect(baseline), _design_effect(contender))
    below = _share(baseline, effect, confidence)
    above = _share(contender, effect, confidence)
    if below is None or above is None:
        return None
    return quotient(below, above)


def quotient(below: Estimate, above: Estimate) -> Estimate | None:
    """The ratio above / below of two independent shares, or of two such ratios, at the confidence
    of their own intervals. None where it may be anything: both are 0, or both infinite."""
    rounds, extreme = min(below.n, above.n), (0.0, math.inf)
    if below.value == above.value and below.value in extreme:
        return None
    value = above.value / below.value if below.value else math.inf
    if below.low is None or below.high is None or above.low is None or above.high is None:
        return Estimate(value, None, None, rounds)
    if below.value in extreme or above.value in extreme:
        # No logs to work with: the widest that the ends allow.
        low = above.low / below.high if below.high < math.inf else 0.0
        high = above.high / below.low if below.low else math.inf
        return Estimate(value, low, high, rounds)
    down = math.hypot(_log(above.value, above.low), _log(below.high, below.value))
    up = math.hypot(_log(above.high, above.value), _log(below.value, below.low))
    return Estimate(value, value * math.exp(-down), value * math.exp(up), rounds)


def _share(rounds: Sequence[Tally], effect: float, confidence: float) -> Estimate | None:
    """The share with its interval, for requests of which `effect` count as one."""
    scheduled = sum(r.scheduled for r in rounds)
    if scheduled == 0:
        return None
    share = sum(r.ok for r in rounds) / scheduled
    if len(rounds) < LEAST_ROUNDS:
        return Estimate(share, None, None, len(rounds))
    independent = scheduled / effect
    if share in (0.0, 1.0):
        end = 1 - (1 - confidence) ** (1 / independent)
        low, high = (1 - end, 1.0) if share else (0.0, end)
    else:
        low, high = wilson(share, scheduled, NormalDist().inv_cdf((1 + confidence) / 2))
        if effect > 1:
            wider = wilson(share, independent, _student(len(rounds) - 1, confidence))
            low, high = min(low, wider[0]), max(high, wider[1])
    return Estimate(share, low, high, len(rounds))


def _design_effect(rounds: Sequence[Tally]) -> float:
    """How many times the variance of a share is that of independent requests (Kish 1965): at least
    1, and 1 where it cannot be told."""
    scheduled, count = sum(r.scheduled for r in rounds), len(rounds)
    share = sum(r.ok for r in rounds) / scheduled if scheduled else 0.0
    if count < LEAST_ROUNDS or share in (0.0, 1.0):
        return 1.0
    spread = sum((r.ok - share * r.scheduled) ** 2 for r in rounds)
    between = count / (count - 1) * spread / scheduled**2
    return max(1.0, between * scheduled / (share * (1 - share)))


def wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share of n independent requests."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _student(degrees: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _log(above: float, below: float) -> float:
    return math.log(above / below) if below > 0 else math.inf
