"""The intervals cover what they promise, the verdicts follow, and the odd cases are said.

Coverage is simulated: `RUNS` runs a cell, seeded. The band is 93 to 97 %, widened by three
binomial standard errors of the simulation itself (1.5 points): a method that covers exactly 93.75 %
shows less than 93 % in one simulation of 2,000 runs in twelve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.intervals import (
    Direction,
    Estimate,
    Verdict,
    excluded_effect,
    location_estimate,
    ratio_estimate,
    verdict,
)

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Array, Array]]

RUNS = 2000
NOISE = 3 * math.sqrt(0.95 * 0.05 / RUNS)
SIGMA = 0.02  # of each side's log value
TRUTH = 0.6

LOWER = Direction.LOWER_IS_BETTER
HIGHER = Direction.HIGHER_IS_BETTER


def log_normal(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    return SIGMA * rng.standard_normal(shape), SIGMA * rng.standard_normal(shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Log ratios of Student's t with 3 df, and a drift that both sides of a round share."""
    drift = rng.standard_normal(shape)
    return drift, drift + SIGMA * rng.standard_t(3, shape)


def contaminated(low: float, high: float) -> Draw:
    """One round in five has one of its two values, either, multiplied by low to high."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
        baseline, contender = log_normal(rng, shape)
        shift = np.log(rng.uniform(low, high, shape)) * (rng.random(shape) < 0.2)
        hits_contender = rng.random(shape) < 0.5
        return baseline + shift * ~hits_contender, contender + shift * hits_contender

    return draw


def bimodal(distance: float) -> Draw:
    """Two machine states, that many standard deviations of the log ratio apart."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
        baseline, contender = log_normal(rng, shape)
        state = rng.choice([-0.5, 0.5], shape)
        return baseline, contender + state * distance * SIGMA * math.sqrt(2)

    return draw


def delayed(share: float, low: float, high: float) -> Draw:
    """That share of rounds has the contender's value alone multiplied by low to high. The truth is
    the median of the rounds as they come, delays included, so it is taken out here."""

    def contender_of(rng: np.random.Generator, baseline: Array) -> Array:
        shape = baseline.shape
        shift = np.log(rng.uniform(low, high, shape)) * (rng.random(shape) < share)
        found: Array = SIGMA * rng.standard_normal(shape) + shift
        return found

    @cache
    def middle() -> float:
        many = SIGMA * np.random.default_rng(0).standard_normal((1, 1_000_000))
        return float(np.median(contender_of(np.random.default_rng(1), many) - many))

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
        baseline = SIGMA * rng.standard_normal(shape)
        return baseline, contender_of(rng, baseline) - middle()

    return draw


def skewed(sigma: float) -> Draw:
    """Log-normal noise in the log ratio, about its median."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Array, Array]:
        noise: Array = SIGMA * (np.exp(sigma * rng.standard_normal(shape)) - 1)
        return np.zeros(shape), noise

    return draw


ONE_SIDED: dict[str, Draw] = {
    "one in five delayed by 1.1 to 2": delayed(0.2, 1.1, 2),
    "one in five delayed by 1.5 to 4": delayed(0.2, 1.5, 4),
    "three in ten delayed by 1.1 to 2": delayed(0.3, 1.1, 2),
    "three in ten delayed by 1.5 to 4": delayed(0.3, 1.5, 4),
    "log-normal noise, sigma 0.5": skewed(0.5),
    "log-normal noise, sigma 1": skewed(1.0),
}
DISTRIBUTIONS: dict[str, Draw] = {
    "log-normal": log_normal,
    "heavy-tailed": heavy_tailed,
    "one in five disturbed by 1.1 to 2": contaminated(1.1, 2),
    "one in five disturbed by 1.5 to 4": contaminated(1.5, 4),
    "bimodal, 3 sigma": bimodal(3),
    "bimodal, 4 sigma": bimodal(4),
}


def simulate(draw: Draw, n: int, truth: float, seed: int, runs: int = RUNS) -> list[Estimate]:
    """The estimates of `runs` runs of n rounds each, with the true ratio `truth`."""
    baseline, contender = draw(np.random.default_rng([seed, n]), (runs, n))
    pairs = zip(np.exp(baseline).tolist(), (truth * np.exp(contender)).tolist(), strict=True)
    estimates = [ratio_estimate(b, c) for b, c in pairs]
    return [estimate for estimate in estimates if estimate is not None]


def interval(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def coverage(estimates: list[Estimate], truth: float) -> float:
    ends = [interval(estimate) for estimate in estimates]
    return sum(low <= truth <= high for low, high in ends) / len(ends)


def half_width(estimates: list[Estimate]) -> float:
    """Median half-width relative to the estimate."""
    widths = [(high - low) / 2 for low, high in map(interval, estimates)]
    return float(np.median([w / e.value for w, e in zip(widths, estimates, strict=True)]))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_95_percent_interval_covers_93_to_97_percent_at_5_to_20_rounds(name: str) -> None:
    draw, rounds = DISTRIBUTIONS[name], (*range(5, 11), 13, 20)  # from nine on by one rule
    shown = {n: coverage(simulate(draw, n, TRUTH, 1), TRUTH) for n in rounds}
    missed = {n: c for n, c in shown.items() if not 0.93 - NOISE <= c <= 0.97 + NOISE}
    assert not missed


@pytest.mark.parametrize("name", ONE_SIDED)
def test_one_sided_disturbances_and_skewed_noise_are_covered_by_93_to_97_percent_too(
    name: str,
) -> None:
    """Point 17 of the issue "No figure that flatters": these gave 91 to 93 % from 5 to 8 rounds."""
    missed = {}
    # Four times the runs show half the noise.
    for n, times in ((5, 4), (6, 4), (7, 4), (8, 4), (9, 1), (20, 1)):
        covered = coverage(simulate(ONE_SIDED[name], n, TRUTH, 9, times * RUNS), TRUTH)
        noise = NOISE / math.sqrt(times)
        if not 0.93 - noise <= covered <= 0.97 + noise:
            missed[n] = covered
    assert not missed


@pytest.mark.parametrize("distance", [6, 8])
@pytest.mark.parametrize("n", [6, 7, 8, 10, 16])
def test_states_far_apart_are_covered_from_six_rounds_on(n: int, distance: float) -> None:
    covered = coverage(simulate(bimodal(distance), n, TRUTH, 2), TRUTH)
    assert 0.93 - NOISE <= covered <= 0.97 + NOISE


@pytest.mark.parametrize(
    ("draw", "n", "documented"),
    [
        (delayed(0.3, 1.5, 4), 5, 0.934),
        (delayed(0.3, 1.5, 4), 7, 0.936),
        (delayed(0.4, 1.5, 4), 5, 0.902),
        (delayed(0.4, 1.5, 4), 7, 0.921),
        (skewed(1.0), 5, 0.934),
        (skewed(2.0), 5, 0.899),
        (skewed(2.0), 7, 0.928),
    ],
    ids=["30 % 5", "30 % 7", "40 % 5", "40 % 7", "sigma 1 5", "sigma 2 5", "sigma 2 7"],
)
def test_one_sided_and_skewed_rounds_are_covered_as_the_docstring_says(
    draw: Draw, n: int, documented: float
) -> None:
    runs = 4 * RUNS
    covered = coverage(simulate(draw, n, TRUTH, 10, runs), TRUTH)
    noise = 3 * math.sqrt(documented * (1 - documented) / runs) + 0.001
    assert covered == pytest.approx(documented, abs=noise)


@pytest.mark.parametrize(("distance", "documented"), [(5, 0.923), (6, 0.910), (10, 0.844)])
def test_five_rounds_of_states_far_apart_miss_by_as_much_as_the_docstring_says(
    distance: float, documented: float
) -> None:
    covered = coverage(simulate(bimodal(distance), 5, TRUTH, 3), TRUTH)
    noise = 3 * math.sqrt(documented * (1 - documented) / RUNS)
    assert covered == pytest.approx(documented, abs=noise)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_rounds_give_a_value_and_no_interval(n: int) -> None:
    assert ratio_estimate([2.0] * n, [1.0] * n) == Estimate(0.5, None, None, n)
    assert location_estimate([3.0] * n) == Estimate(3.0, None, None, n)


def test_no_interval_inside_the_data_could_be_honest_with_four_rounds_of_two_states() -> None:
    """Why n = 4 gives none: all four rounds are in one state one time in eight."""
    states = np.random.default_rng(4).choice([-1.0, 1.0], (RUNS, 4))
    assert np.mean(np.abs(states.sum(axis=1)) == 4) > 0.07 + NOISE


@pytest.mark.parametrize("n", [5, 8, 20])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_backend_against_itself_is_cannot_tell_19_times_in_20_and_93_percent_between_states(
    name: str, n: int
) -> None:
    estimates = simulate(DISTRIBUTIONS[name], n, 1.0, 5)
    alarms = sum(verdict(estimate, LOWER) != "cannot-tell" for estimate in estimates)
    # Between two states 93 % coverage, so 7 %, is what the method promises; else 19 in 20.
    limit = 0.07 if "bimodal" in name else 0.05
    assert alarms / RUNS <= limit + NOISE


def test_five_rounds_reach_a_verdict_on_a_ratio_of_0_6_even_when_disturbed() -> None:
    for name, least in (("log-normal", 0.99), ("one in five disturbed by 1.5 to 4", 0.7)):
        estimates = simulate(DISTRIBUTIONS[name], 5, TRUTH, 6)
        better = sum(verdict(estimate, LOWER) == "better" for estimate in estimates)
        worse = sum(verdict(estimate, LOWER) == "worse" for estimate in estimates)
        assert better / RUNS >= least
        assert worse == 0


def test_five_rounds_with_one_in_five_disturbed_keep_a_half_width_below_10_percent() -> None:
    estimates = simulate(DISTRIBUTIONS["one in five disturbed by 1.5 to 4"], 5, TRUTH, 7)
    assert half_width(estimates) < 0.06  # Student's t: 33 %; the plain sample range: 36 %
    calm = simulate(log_normal, 5, TRUTH, 7)
    assert half_width(calm) < 0.04


def test_the_run_that_was_measured_with_one_disturbed_round_keeps_its_interval_narrow() -> None:
    """Four pairs within 5 %, one disturbed: Student's t gave a half-width of 22 %."""
    low, high = interval(ratio_estimate([1.0] * 5, [0.55, 0.56, 0.57, 0.575, 0.81]))
    assert 0.53 < low < 0.55
    assert 0.575 < high < 0.60


def test_a_disturbed_round_still_counts_towards_the_median_and_n() -> None:
    estimate = ratio_estimate([1.0] * 5, [0.55, 0.56, 0.57, 0.575, 0.81])
    assert estimate is not None
    assert estimate.value == pytest.approx(0.57)
    assert estimate.n == 5


def test_an_odd_round_is_not_left_out_where_the_others_agree_exactly() -> None:
    low, high = interval(ratio_estimate([1.0] * 5, [0.5, 0.5, 0.5, 0.5, 0.7]))
    assert low < 0.5
    assert high > 0.7


def test_seven_rounds_use_the_exact_walsh_averages() -> None:
    logs = [0.0, 1.0, 3.0, 4.0, 5.0, 6.5, 7.0]
    assert interval(location_estimate(logs)) == (1.0, 6.5)  # min(x2, (x1 + x3) / 2) and mirrored


def test_nine_rounds_lie_at_the_second_order_statistics() -> None:
    low, high = interval(location_estimate([float(i) for i in range(1, 10)]))
    assert low == pytest.approx(2, abs=0.05)  # [x2, x8] covers 96.1 %, and the target is 96 %
    assert high == pytest.approx(8, abs=0.05)


def test_more_confidence_never_narrows_the_interval() -> None:
    values = [float(v) for v in np.random.default_rng(8).standard_normal(12)]
    ends = [interval(location_estimate(values, c)) for c in (0.5, 0.8, 0.9, 0.95, 0.99)]
    lows, highs = zip(*ends, strict=True)
    assert list(lows) == sorted(lows, reverse=True)
    assert list(highs) == sorted(highs)


def test_confidence_that_the_rounds_cannot_carry_gives_no_interval() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    seven = location_estimate(values, 0.99)
    assert seven == Estimate(4.0, None, None, 7)
    eight = location_estimate([*values, 8.0], 0.99)
    assert interval(eight)[0] >= 1.0


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_that_is_no_share_is_refused_by_name(confidence: float) -> None:
    with pytest.raises(ValueError, match=f"not {confidence}"):
        ratio_estimate([1.0], [2.0], confidence)
    with pytest.raises(ValueError, match=f"not {confidence}"):
        location_estimate([1.0], confidence)


def test_different_numbers_of_rounds_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"5 baseline values, 3 contender values"):
        ratio_estimate([1.0] * 5, [1.0] * 3)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("baseline", "contender", "expected"),
    [
        pytest.param([], [], None, id="no rounds"),
        pytest.param([0.0] * 5, [1.0] * 5, Estimate(INF, INF, INF, 5), id="baseline all zero"),
        pytest.param([0.0] * 5, [0.0] * 5, None, id="zero over zero"),
        pytest.param([NAN] * 5, [1.0] * 5, None, id="baseline missing"),
        pytest.param([1.0] * 5, [INF] * 5, Estimate(INF, INF, INF, 5), id="contender beyond"),
        pytest.param([INF] * 5, [1.0] * 5, Estimate(0, 0, 0, 5), id="baseline beyond"),
        pytest.param([INF] * 5, [INF] * 5, None, id="both beyond"),
        pytest.param([3.0] * 5, [0.0] * 5, Estimate(0, 0, 0, 5), id="contender all zero"),
        pytest.param([3.0] * 4, [0.0] * 4, Estimate(0, None, None, 4), id="zero, too few"),
        pytest.param([3.0] * 6, [0.0] * 5 + [NAN], Estimate(0, 0, 0, 5), id="zero or missing"),
        pytest.param([4.0] * 5, [2.0] * 5, Estimate(0.5, 0.5, 0.5, 5), id="all the same"),
        pytest.param([1, 2, 3, 4, 5], [3, 6, 9, 12, 15], Estimate(3, 3, 3, 5), id="same ratio"),
        pytest.param([4.0] * 6, [2.0] * 5 + [NAN], Estimate(0.5, 0.5, 0.5, 5), id="one missing"),
        pytest.param([4.0] * 5 + [0.0], [2.0] * 5 + [0.0], Estimate(0.5, 0, INF, 6), id="one 0/0"),
        pytest.param([4.0] * 6, [2.0] * 5 + [0.0], Estimate(0.5, 0, 0.5, 6), id="one zero"),
        pytest.param([4.0] * 5 + [0.0], [2.0] * 6, Estimate(0.5, 0.5, INF, 6), id="one over 0"),
        pytest.param([4.0] * 6, [2.0] * 5 + [-1], Estimate(0.5, 0, 0.5, 6), id="negative"),
    ],
)
def test_zero_and_what_lies_beyond_take_part_and_only_what_is_missing_is_left_out(
    baseline: list[float], contender: list[float], expected: Estimate | None
) -> None:
    found = ratio_estimate(baseline, contender)
    if expected is None or found is None:
        assert found is expected
    else:
        assert (found.value, found.low, found.high) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )
        assert found.n == expected.n


def test_half_the_rounds_unanswered_is_never_a_verdict_from_the_other_half() -> None:
    """Point 2: twelve rounds of which the contender answers nothing in six."""
    contender = [50.0] * 6 + [INF] * 6
    found = ratio_estimate([100.0] * 12, contender)
    assert found is not None
    assert (found.low, found.high, found.n) == (0.5, INF, 12)
    assert verdict(found, LOWER) == "cannot-tell"
    assert verdict(ratio_estimate(contender, [100.0] * 12), LOWER) == "cannot-tell"


def test_an_end_may_be_infinite_while_the_other_one_says_at_least() -> None:
    """Point 1: most rounds beyond: worse, by at least the smallest of the others."""
    found = ratio_estimate([1.0] * 7, [1.3, 1.4, INF, INF, INF, INF, INF])
    assert found is not None
    assert found.value == found.high == INF
    assert found.low is not None
    assert found.low >= 1.3
    assert verdict(found, LOWER) == "worse"


def test_a_round_beyond_on_both_sides_widens_the_interval_at_both_ends() -> None:
    """Point 1: with five good rounds that settles nothing, with eleven it does."""
    few = ratio_estimate([1.0] * 5 + [INF], [2.0] * 5 + [INF])
    many = ratio_estimate([1.0] * 11 + [INF], [2.0] * 11 + [INF])
    assert few is not None
    assert (few.low, few.high) == (0, INF)
    assert many is not None
    assert (many.low, many.high) == pytest.approx((2.0, 2.0))


def test_rounds_that_fail_either_way_in_equal_number_have_no_typical_ratio() -> None:
    found = ratio_estimate([1.0] * 3 + [INF] * 3, [INF] * 3 + [1.0] * 3)
    assert found is not None
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0, INF)
    assert verdict(found, LOWER) == "cannot-tell"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="no values"),
        pytest.param([NAN, NAN], None, id="all missing"),
        pytest.param([1.0] * 2 + [INF] * 3, Estimate(INF, 1, INF, 5), id="most beyond"),
        pytest.param([0.0] * 5, Estimate(0, 0, 0, 5), id="all zero"),
        pytest.param([7.0, NAN, 7.0, 7.0, 7.0, 7.0], Estimate(7, 7, 7, 5), id="one missing"),
        pytest.param([-2.0, -1.0, 5.0], Estimate(-1, None, None, 3), id="three"),
    ],
)
def test_the_typical_value_of_a_cell_leaves_out_what_is_missing(
    values: list[float], expected: Estimate | None
) -> None:
    assert location_estimate(values) == expected


def test_an_interval_of_values_that_cannot_be_negative_ends_at_zero() -> None:
    low, high = interval(location_estimate([0.0, 5.0, 6.0, 7.0, 9.0]))
    assert low == 0.0
    assert high > 9.0
    assert interval(location_estimate([-0.1, 5.0, 6.0, 7.0, 9.0]))[0] < -0.1


@pytest.mark.parametrize(
    ("estimate", "direction", "expected"),
    [
        (None, LOWER, "not-comparable"),
        (None, HIGHER, "not-comparable"),
        (Estimate(0.5, None, None, 3), LOWER, "cannot-tell"),
        (Estimate(0.5, 0.4, 0.6, 5), LOWER, "better"),
        (Estimate(0.5, 0.4, 0.6, 5), HIGHER, "worse"),
        (Estimate(2.0, 1.5, 2.5, 5), LOWER, "worse"),
        (Estimate(2.0, 1.5, 2.5, 5), HIGHER, "better"),
        (Estimate(0.9, 0.8, 1.1, 5), LOWER, "cannot-tell"),
        (Estimate(0.9, 0.8, 1.0, 5), LOWER, "cannot-tell"),
        (Estimate(1.1, 1.0, 1.2, 5), HIGHER, "cannot-tell"),
        (Estimate(1.0, 1.0, 1.0, 5), LOWER, "cannot-tell"),
        (Estimate(1 + 2e-16, 1 + 2e-16, 1 + 2e-16, 5), LOWER, "cannot-tell"),
        (Estimate(0.0, 0.0, 0.0, 5), LOWER, "better"),
        (Estimate(0.0, 0.0, 0.0, 5), HIGHER, "worse"),
    ],
)
def test_the_verdict_needs_an_interval_that_excludes_one(
    estimate: Estimate | None, direction: Direction, expected: Verdict
) -> None:
    assert verdict(estimate, direction) == expected


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (None, None),
        (Estimate(1.0, None, None, 4), None),
        (Estimate(0.0, 0.0, 0.0, 5), None),
        (Estimate(1.0, 0.95, 1.12, 5), 0.12),
        (Estimate(1.0, 0.8, 1.1, 5), 0.25),
        (Estimate(1.0, 1.0, 1.0, 5), 0.0),
        (Estimate(2.0, 1.5, 2.5, 5), 1.5),
    ],
)
def test_what_is_ruled_out_is_the_larger_of_the_two_ends(
    estimate: Estimate | None, expected: float | None
) -> None:
    assert excluded_effect(estimate) == (None if expected is None else pytest.approx(expected))


values_per_round = st.floats(min_value=1e-6, max_value=1e9)
rounds = st.lists(st.tuples(values_per_round, values_per_round), min_size=5, max_size=25)


def log_ends(estimate: Estimate | None) -> tuple[float, float, float]:
    assert estimate is not None
    low, high = interval(estimate)
    return math.log(low), math.log(estimate.value), math.log(high)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rounds)
def test_swapping_the_sides_inverts_the_estimate(pairs: list[tuple[float, float]]) -> None:
    baseline, contender = [b for b, _ in pairs], [c for _, c in pairs]
    low, value, high = log_ends(ratio_estimate(baseline, contender))
    swapped = log_ends(ratio_estimate(contender, baseline))
    assert swapped == pytest.approx((-high, -value, -low), abs=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rounds, st.floats(min_value=1e-3, max_value=1e3))
def test_scaling_the_contender_scales_the_estimate(
    pairs: list[tuple[float, float]], scale: float
) -> None:
    baseline, contender = [b for b, _ in pairs], [c for _, c in pairs]
    plain = log_ends(ratio_estimate(baseline, contender))
    scaled = log_ends(ratio_estimate(baseline, [scale * c for c in contender]))
    assert scaled == pytest.approx([end + math.log(scale) for end in plain], abs=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=40))
def test_the_interval_holds_the_median_and_never_half_an_interval(values: list[float]) -> None:
    estimate = location_estimate(values)
    if estimate is None:
        assert all(math.isnan(value) for value in values)
    elif estimate.n < 5:
        assert estimate.low is None
        assert estimate.high is None
    else:
        low, high = interval(estimate)
        assert low <= estimate.value <= high or math.isnan(estimate.value)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rounds, st.randoms(use_true_random=False))
def test_the_order_of_the_rounds_does_not_matter(
    pairs: list[tuple[float, float]],
    random: Random,
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    first = ratio_estimate([b for b, _ in pairs], [c for _, c in pairs])
    assert first == ratio_estimate([b for b, _ in shuffled], [c for _, c in shuffled])
