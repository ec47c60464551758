"""Pages of noise show no step, a drift is none, and a real one is found: on simulated series.

Point 18 of the issue "No figure that flatters, no test that fails by chance".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.stats.steps import Changes, find_changes, least_runs

Rng = np.random.Generator
Make = Callable[[Rng, int], list[float]]
PAGE = 18  # series: six headlines of two backends and of their ratio


def normal(rng: Rng, n: int) -> list[float]:
    found: list[float] = rng.standard_normal(n).tolist()
    return found


def heavy_tailed(rng: Rng, n: int) -> list[float]:
    found: list[float] = rng.standard_t(2, n).tolist()
    return found


def tied(rng: Rng, n: int) -> list[float]:
    return [round(value) for value in normal(rng, n)]


def drifting(rng: Rng, n: int, sigmas: float) -> list[float]:
    """A line that rises by so many standard deviations of the noise over all runs."""
    return [value + sigmas * i / n for i, value in enumerate(normal(rng, n))]


def stepping(rng: Rng, n: int, sigmas: float, place: int) -> list[float]:
    return [value + sigmas * (i >= place) for i, value in enumerate(normal(rng, n))]


def on_a_page(rng: Rng, values: list[float]) -> Changes:
    """What becomes of a series among seventeen of noise."""
    noise = [normal(rng, len(values)) for _ in range(PAGE - 1)]
    return find_changes([*noise, values])[-1]


@pytest.mark.parametrize(
    ("make", "length"),
    [(normal, 16), (normal, 100), (heavy_tailed, 30), (tied, 20)],
)
def test_hardly_a_page_of_noise_shows_a_step(make: Make, length: int) -> None:
    rng = np.random.default_rng(length)
    pages = [find_changes([make(rng, length) for _ in range(PAGE)]) for _ in range(200)]
    with_a_step = sum(any(changes.steps for changes in page) for page in pages)
    assert with_a_step <= 4  # 2 %


@pytest.mark.parametrize(("length", "times"), [(20, 100), (60, 100), (200, 50)])
@pytest.mark.parametrize("sigmas", [3, 6, 20])
def test_a_smooth_drift_is_not_a_step(length: int, times: int, sigmas: float) -> None:
    rng = np.random.default_rng(length)
    found = [find_changes([drifting(rng, length, sigmas)])[0] for _ in range(times)]
    assert sum(bool(changes.steps) for changes in found) <= 0.04 * times
    if sigmas > 3:
        assert sum(changes.drifts for changes in found) >= 0.9 * times  # and it is seen


@pytest.mark.parametrize(("length", "sigmas", "least"), [(20, 8, 95), (30, 5, 90), (60, 4, 95)])
def test_a_step_is_found_where_it_is(length: int, sigmas: float, least: int) -> None:
    rng = np.random.default_rng(length)
    place, found = length // 2, 0
    for _ in range(100):
        changes = on_a_page(rng, stepping(rng, length, sigmas, place))
        found += any(abs(step.index - place) <= 1 for step in changes.steps)
    assert found >= least


def test_a_wild_run_neither_makes_a_step_nor_hides_one() -> None:
    rng = np.random.default_rng(1)
    level = [100.0 + i % 3 for i in range(30)]
    level[10] = 1000.0
    assert find_changes([level]) == [Changes()]
    hidden = stepping(rng, 40, 6, 20)
    hidden[7] = -500.0
    assert [step.index for step in on_a_page(rng, hidden).steps] == [20]


def test_two_steps_are_told_with_their_sizes() -> None:
    rng = np.random.default_rng(1)
    levels = [100] * 20 + [120] * 20 + [96] * 20
    values = [level + noise for level, noise in zip(levels, normal(rng, 60), strict=True)]
    steps = on_a_page(rng, values).steps
    assert [step.index for step in steps] == [20, 40]
    assert [round(step.ratio, 1) for step in steps] == [1.2, 0.8]


def test_counters_that_agree_exactly_can_step_and_drift() -> None:
    (stepped, drifted) = find_changes([[5.0] * 12 + [6.0] * 12, [float(i) for i in range(24)]])
    assert [step.index for step in stepped.steps] == [12]
    assert drifted == Changes(drifts=True)


def test_how_many_runs_it_takes_depends_on_how_many_series_are_shown() -> None:
    varied = [0.0, 1.0]
    assert least_runs([varied]) == 10
    assert least_runs([varied] * PAGE) == 16
    assert least_runs([varied] + [[1.0, 1.0]] * PAGE) == 10  # what never varies cannot step
    perfect = [0.0] * 8 + [1.0] * 8
    shown = find_changes([perfect, *([varied * 8] * (PAGE - 1))])
    assert [step.index for step in shown[0].steps] == [8]
