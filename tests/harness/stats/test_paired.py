"""The ratio of arms that were loaded in turns, on data with known answers."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from harness.stats.paired import Restart, hierarchical_ratio, sign_test


def restarts(
    draw: random.Random, ratio: float, between: float, within: float, restarts: int = 8
) -> list[Restart]:
    """Seven pairs a restart; logs normal with these standard deviations, drift in all of them."""
    found = []
    for _ in range(restarts):
        luck = draw.gauss(0, between)
        pairs = []
        for _ in range(7):
            drift = draw.uniform(50, 200)
            log = math.log(ratio) + luck + draw.gauss(0, within)
            pairs.append((drift, drift * math.exp(log)))
        found.append(Restart(pairs))
    return found


@pytest.mark.parametrize("between", [0.0, 0.03, 0.1])
def test_the_interval_covers_what_is_true(between: float) -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(400):
        found = hierarchical_ratio(restarts(draw, 1.1, between, 0.1))
        assert found is not None
        low, high = found.estimate.low, found.estimate.high
        assert low is not None
        assert high is not None
        covered += low <= 1.1 <= high
    assert covered >= 0.93 * 400  # 96.1 % by the exact distribution; three standard errors below


def test_both_levels_of_spread_are_told() -> None:
    found = hierarchical_ratio(restarts(random.Random(2), 1.0, 0.2, 0.05, restarts=200))
    assert found is not None
    assert found.sd_within == pytest.approx(0.05, rel=0.1)
    assert found.sd_between == pytest.approx(0.2, rel=0.15)


def test_a_spoilt_pair_moves_a_restart_little() -> None:
    spoilt = [Restart([*[(100.0, 110.0)] * 6, (100.0, 9000.0)]) for _ in range(8)]
    found = hierarchical_ratio(spoilt)
    assert found is not None
    assert found.estimate.value == pytest.approx(1.1)


def test_what_is_not_answered_is_infinite() -> None:
    found = hierarchical_ratio([Restart([(100.0, math.inf)] * 7)] * 8)
    assert found is not None
    assert (found.estimate.value, found.estimate.low) == (math.inf, math.inf)


def test_a_restart_without_a_pair_widens_the_interval() -> None:
    pairs = restarts(random.Random(3), 1.0, 0.01, 0.01)
    whole = hierarchical_ratio(pairs)
    less = hierarchical_ratio([*pairs[:-1], Restart([])])
    assert whole is not None
    assert less is not None
    assert less.estimate.low is not None
    assert whole.estimate.low is not None
    assert less.estimate.low < whole.estimate.low


def test_where_no_pair_has_a_ratio_there_is_none() -> None:
    empty = [Restart([(0.0, 0.0)]), Restart([(math.inf, math.inf)])]
    assert hierarchical_ratio(empty) is None
    assert hierarchical_ratio([Restart([]), Restart([])]) is None


def test_a_factor_comes_on_top_of_the_pairs() -> None:
    """1.1 by the pairs and 1.5 by the factors, each of three blocks with each of two."""
    factors = [(a, b) for a in (3.0, 2.0, 9.0) for b in (4.5, 4.5)]
    found = hierarchical_ratio([Restart([(100.0, 110.0)] * 7, factors)] * 8)
    assert found is not None
    assert found.estimate.value == pytest.approx(1.1 * 1.5)
    assert found.sd_within == pytest.approx(math.sqrt(_variance_of_logs([1.5, 2.25, 0.5] * 2)))


def _variance_of_logs(ratios: list[float]) -> float:
    return statistics.variance(map(math.log, ratios))


def test_a_restart_without_a_factor_widens_the_interval() -> None:
    pairs = restarts(random.Random(3), 1.0, 0.01, 0.01)
    less = hierarchical_ratio([*pairs[:-1], Restart(pairs[-1].pairs, [])])
    none = hierarchical_ratio([*pairs[:-1], Restart([])])
    assert less is not None
    assert none is not None
    assert less.estimate == none.estimate


def test_what_fails_on_top_is_infinite() -> None:
    found = hierarchical_ratio([Restart([(100.0, 100.0)] * 7, [(3.0, math.inf)])] * 8)
    assert found is not None
    assert (found.estimate.value, found.estimate.low) == (math.inf, math.inf)


@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 8, 2 / 256), (8, 0, 2 / 256), (1, 9, 22 / 1024)],
)
def test_the_sign_test_is_exact(one: int, other: int, chance: float) -> None:
    assert sign_test(one, other) == chance


def test_the_sign_test_has_room_for_any_number_of_pairs() -> None:
    assert sign_test(2000, 2000) == 1.0
    assert sign_test(500, 3000) < 1e-300
