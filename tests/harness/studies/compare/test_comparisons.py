"""From trials to cells, comparisons and the sentence: on made-up trials with known answers."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.metrics import METRICS
from harness.core.record import Comparison, Trial, metric_value
from harness.designs.trials import plan_repeats, plan_trials
from harness.studies.compare.comparison import build_cells, build_comparisons
from tests.support.made import make_settings as settings
from tests.support.made import make_trial, said


def trial(slot: int, number: int, cpu_us: float, **changes: Any) -> Trial:
    return make_trial(slot, number, cpu_us=cpu_us, **changes)


def rounds(ratio: float, number: int = 5) -> list[Trial]:
    """Rounds in which the contender takes `ratio` of the baseline's CPU, give or take 1 %."""
    found = []
    for n in range(1, number + 1):
        wobble = 1 + (n - 3) * 0.005
        found += [trial(0, n, 100.0 * n), trial(1, n, 100.0 * n * ratio * wobble)]
    return found


def of(comparisons: list[Comparison], metric: str) -> Comparison:
    (found,) = (c for c in comparisons if c.metric == metric)
    return found


CPU = "server.cpu_us_per_request.total"


def test_the_ratio_is_taken_within_rounds_so_that_drift_between_them_cancels() -> None:
    cpu = of(build_comparisons(settings(), rounds(0.5)), CPU)
    assert cpu.ratio == pytest.approx(0.5, rel=0.01)
    assert (cpu.verdict, cpu.rounds) == ("better", 5)
    assert cpu.ci_low is not None
    assert cpu.ci_high is not None
    assert cpu.ci_low < 0.5 < cpu.ci_high < 0.55


def test_more_of_what_should_be_low_is_worse() -> None:
    assert of(build_comparisons(settings(), rounds(1.5)), CPU).verdict == "worse"


def test_equal_sides_cannot_be_told_apart() -> None:
    assert of(build_comparisons(settings(), rounds(1.0)), CPU).verdict == "cannot-tell"


def test_two_rounds_give_a_ratio_but_no_interval_and_say_so() -> None:
    cpu = of(build_comparisons(settings(rounds=2), rounds(0.5, 2)), CPU)
    assert (cpu.ci_low, cpu.ci_high, cpu.verdict) == (None, None, "cannot-tell")
    assert cpu.note is not None
    assert "2 rounds are too few" in cpu.note


def test_a_round_with_an_invalid_side_is_left_out_of_both() -> None:
    trials = rounds(0.5)
    spoilt = {"class": "generator-limited", "valid": False, "invalid_reason": "it was late"}
    trials[3] = trial(1, 2, 5000.0, **spoilt)
    cpu = of(build_comparisons(settings(), trials), CPU)
    assert cpu.rounds == 4
    cells = build_cells(settings(), trials)
    assert [cell.rounds for cell in cells] == [5, 4]


def test_nothing_is_compared_when_no_trial_is_valid() -> None:
    spoilt = {"class": "generator-limited", "valid": False, "invalid_reason": "it was late"}
    trials = [trial(slot, n, 100.0, **spoilt) for n in range(1, 6) for slot in (0, 1)]
    comparisons = build_comparisons(settings(), trials)
    assert {c.verdict for c in comparisons} == {"not-comparable"}
    assert "nothing can be said" in said(trials)
    assert "it was late" in said(trials)


def test_what_one_side_never_does_is_a_ratio_of_exactly_zero() -> None:
    created = of(build_comparisons(settings(), rounds(0.5)), "server.threads_created_per_s")
    assert (created.ratio, created.ci_low, created.ci_high) == (0.0, 0.0, 0.0)
    assert created.verdict == "fewer"  # point 20: of threads neither is better


def test_what_neither_side_has_is_not_comparable() -> None:
    depth = of(build_comparisons(settings(), rounds(0.5)), "server.queue_depth_mean")
    assert (depth.ratio, depth.verdict) == (None, "not-comparable")


def test_the_sentence_follows_the_data() -> None:
    for ratio, word in ((0.5, "0.50× the CPU"), (1.5, "1.50× the CPU")):
        assert word in said(rounds(ratio))
    assert "the CPU per request" not in said(rounds(1.0))


def test_every_metric_is_a_path_into_the_record() -> None:
    for metric in METRICS:
        metric_value(trial(0, 1, 100.0), metric.path)  # raises AttributeError for a wrong name


LATE: dict[str, Any] = {"valid": False, "class": "generator-limited", "invalid_reason": "late"}


def rounds_of(late: set[int], count: int = 5) -> list[Trial]:
    """Rounds in which the generator was late for the second backend in those of `late`."""
    return [
        trial(slot, number, 50.0, **(LATE if slot and number in late else {}))
        for number in range(1, count + 1)
        for slot in (0, 1)
    ]


@pytest.mark.parametrize(
    ("late", "count", "repeats"),
    [
        (set(), 5, []),
        ({2}, 5, [6, 6]),  # four valid rounds give no interval
        ({2}, 6, []),  # five do
        ({2, 6}, 6, [7, 7]),
        ({1, 2, 3}, 5, []),  # most rounds: this rate is beyond the generator
        ({1, 2, 6, 7}, 7, []),  # an end to it
    ],
)
def test_a_round_is_repeated_where_too_few_are_left_for_an_interval(
    late: set[int], count: int, repeats: list[int]
) -> None:
    planned = plan_repeats(settings(), rounds_of(late, count))
    assert [p.round for p in planned] == repeats
    assert len({p.seed for p in planned}) <= 1
    asked = {p.seed for p in plan_trials(settings())}
    assert not asked & {p.seed for p in planned}


def test_who_asked_for_few_rounds_gets_no_more() -> None:
    assert plan_repeats(settings(rounds=4), rounds_of({1}, 4)) == []
