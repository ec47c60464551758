"""Objectives as typed: what is understood, and one sentence for each thing that is not."""

from __future__ import annotations

import pytest

from harness.core.errors import LabError
from harness.studies.capacity.slo import check_against_timeout, parse_slo


def test_the_default_is_understood() -> None:
    success, p99 = parse_slo("success>=0.99,p99<=100ms")
    assert (success.metric, success.operator, success.limit) == ("client.success_rate", ">=", 0.99)
    assert (p99.metric, p99.operator, p99.limit) == ("client.response_us.p99", "<=", 100_000.0)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p50<=500us", 500.0),
        ("max<=1.5s", 1.5e6),
        (" p999 <= 20ms ", 2e4),
        ("success>=99.9%", 0.999),
    ],
)
def test_units_and_spaces(text: str, limit: float) -> None:
    (condition,) = parse_slo(text)
    assert condition.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no condition"),
        ("p99", "'p99' is no condition"),
        ("success>=0.99,", "'' is no condition"),
        ("p98<=10ms", "'p98' is not known"),
        ("p99>=10ms", "limited from above"),
        ("p99<10ms", "limited from above"),
        ("p99<=10", "'10' is no time"),
        ("p99<=fast", "'fast' is no time"),
        ("p99<=0ms", "never be met"),
        ("success<=0.99", "limited from below"),
        ("success>=1.5", "'1.5' is no share"),
        ("success>=0", "'0' is no share"),
        ("success>=all", "'all' is no share"),
        ("p99<=10ms,p99<=20ms", "names p99 twice"),
        ("success>=0.9,success>=0.99", "names success twice"),
    ],
)
def test_each_slip_has_its_sentence(text: str, words: str) -> None:
    with pytest.raises(LabError, match="--slo") as caught:
        parse_slo(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_time_beyond_the_timeout_says_nothing_and_is_refused() -> None:
    conditions = parse_slo("p99<=1s")
    with pytest.raises(LabError, match="cannot be judged"):
        check_against_timeout(conditions, 0.9)
    check_against_timeout(conditions, 1.0)  # how many are answered in time
    check_against_timeout(conditions, 1.1)
