"""Going on until it is known well enough: looks beforehand, widths alone, coverage kept."""

from __future__ import annotations

import math
import random

import pytest

from harness.core.record import Comparison
from harness.designs.stopping import CONFIDENCE, FIGURES, LOOKS, Looks, half_width, wider
from harness.stats.paired import paired_ratio
from tests.support.made import make_settings


def comparison(name: str, low: float | None, high: float | None) -> Comparison:
    return Comparison(
        rps=2000.0, baseline="a", contender="b", metric=FIGURES[name], ratio=1.0, ci_low=low,
        ci_high=high, verdict="cannot-tell", rounds=8,
    )  # fmt: skip


def looks(most_s: float | None = None, step_s: float = 10.0) -> Looks:
    """Looks whose clock goes on by `step_s` each time that it is asked."""
    now = [0.0]

    def clock() -> float:
        now[0] += step_s
        return now[0]

    settings = make_settings(
        design="blocks", block_s=0.5, precision={"p99": 0.1, "cpu": 0.02}, most_s=most_s
    )
    found = Looks(settings, clock)
    found.begin()
    return found


def test_it_ends_when_every_figure_is_known_well_enough() -> None:
    narrow = [comparison("p99", 0.95, 1.05), comparison("cpu", 0.99, 1.01)]
    wide = [comparison("p99", 0.95, 1.05), comparison("cpu", 0.9, 1.1)]
    going = looks()
    assert going.restarts == LOOKS[0]
    assert going.more(wide) == LOOKS[1]
    assert going.more(narrow) == LOOKS[1]
    assert wider(wide, {"p99": 0.1, "cpu": 0.02}) == {
        "cpu": pytest.approx(math.sqrt(1.1 / 0.9) - 1)
    }


def test_the_worst_contender_decides_and_no_interval_is_wide() -> None:
    both = [comparison("p99", 0.99, 1.01), comparison("p99", 0.5, 2.0)]
    assert wider(both, {"p99": 0.1}) == {"p99": pytest.approx(1.0)}
    assert wider([comparison("p99", None, None)], {"p99": 0.1}) == {"p99": math.inf}
    assert wider([], {"p99": 0.1}) == {"p99": math.inf}
    assert half_width(comparison("p99", 0.0, 1.0)) is None


def test_there_are_five_looks_and_no_more() -> None:
    going = looks()
    seen = [going.restarts] + [going.more([]) for _ in range(6)]
    assert seen == [*LOOKS, LOOKS[-1], LOOKS[-1]]


def test_what_would_take_too_long_is_not_begun() -> None:
    going = looks(most_s=100.0, step_s=80.0)
    assert going.more([]) == LOOKS[0]
    assert going.out_of_time


def interval(ratios: list[float]) -> tuple[float, float]:
    found = paired_ratio([1.0] * len(ratios), ratios, CONFIDENCE)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def test_intervals_that_were_stopped_at_cover_what_is_true() -> None:
    """Two equal arms, restarts with the spread of A/A runs; stopped at whichever look is narrow."""
    draw, covered, at = random.Random(5), 0, []
    for _ in range(400):
        logs = [draw.gauss(0, 0.04) for _ in range(LOOKS[-1])]
        for look in LOOKS:
            low, high = interval([math.exp(v) for v in logs[:look]])
            if math.sqrt(high / low) - 1 <= 0.03:
                break
        at.append(look)
        covered += low <= 1 <= high
    assert len(set(at)) > 2  # it did stop at several
    assert covered >= 0.95 * 400
