"""The interval of a share covers what it promises, and equal servers are not told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.intervals import Direction, verdict
from harness.stats.shares import Tally, share_estimate, share_ratio_estimate

REQUESTS = 10_000  # of a round
RUNS = 800
NOISE = 3 * math.sqrt(0.95 * 0.05 / RUNS)


def rounds(
    random: np.random.Generator, share: float, correlation: float, count: int
) -> list[Tally]:
    """Rounds whose own shares scatter: a beta-binomial of that correlation within a round."""
    shares = np.full(count, share)
    if correlation:
        size = 1 / correlation - 1
        shares = random.beta(share * size, (1 - share) * size, size=count)
    return [Tally(int(random.binomial(REQUESTS, own)), REQUESTS) for own in shares]


def of(*failures: int) -> list[Tally]:
    return [Tally(REQUESTS - n, REQUESTS) for n in failures]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("correlation", [0.0, 1e-4, 1e-3])
@pytest.mark.parametrize("count", [5, 10])
def test_the_interval_covers_the_share(share: float, correlation: float, count: int) -> None:
    random, covered = np.random.default_rng(3), 0
    for _ in range(RUNS):
        estimate = share_estimate(rounds(random, share, correlation, count))
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        covered += estimate.low <= share <= estimate.high
    assert covered / RUNS > 0.93 - NOISE


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("correlation", [0.0, 1e-3, 1e-2, 0.1])
def test_equal_servers_are_not_told_apart_however_their_failures_cluster(
    share: float, correlation: float
) -> None:
    random, alarms = np.random.default_rng(4), 0
    for _ in range(RUNS):
        sides = [rounds(random, share, correlation, 5) for _ in range(2)]
        found = verdict(share_ratio_estimate(*sides), Direction.HIGHER_IS_BETTER)
        alarms += found not in ("cannot-tell", "not-comparable")
    assert alarms / RUNS < 0.05 + NOISE


def test_one_bad_round_of_five_is_no_verdict_and_five_are() -> None:
    def told(contender: list[Tally]) -> str:
        return verdict(share_ratio_estimate(of(*[0] * 5), contender), Direction.HIGHER_IS_BETTER)

    assert told(of(0, 0, 0, 0, 500)) == "cannot-tell"
    assert told(of(100, 120, 90, 110, 80)) == "worse"


def test_a_side_without_any_success_is_told() -> None:
    nothing = share_ratio_estimate(of(*[0] * 5), of(*[REQUESTS] * 5))
    assert nothing is not None
    assert nothing.value == 0
    assert nothing.high is not None
    assert nothing.high < 0.01
    infinite = share_ratio_estimate(of(*[REQUESTS] * 5), of(*[0] * 5))
    assert infinite is not None
    assert infinite.value == infinite.high == math.inf
    assert infinite.low is not None
    assert infinite.low > 100
    assert share_ratio_estimate(of(*[REQUESTS] * 5), of(*[REQUESTS] * 5)) is None
    assert share_estimate([]) is None


def test_fewer_than_five_rounds_give_a_share_and_no_interval() -> None:
    estimate = share_estimate(of(1, 0, 2, 0))
    assert estimate is not None
    assert (estimate.low, estimate.high) == (None, None)
