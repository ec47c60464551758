"""Limits on one comparison: each contender is held against its baseline."""

from __future__ import annotations

import pytest

from harness.core.record import Run
from harness.studies.regress.sentences import sentence
from harness.studies.regress.thresholds import parse_thresholds
from harness.studies.regress.verdict import judge_contenders
from tests.support.changed_runs import assert_one_sentence, scaled
from tests.support.labrun import Labrun

CPU = "server.cpu_us_per_request.total"


def test_a_contender_that_costs_more_than_is_allowed_fails_and_is_named(reference: Run) -> None:
    dear = scaled(reference, "dear", CPU, 10.0, slot=1)
    verdict = judge_contenders(dear, parse_thresholds([f"{CPU}=10%"], [], usual=False))
    assert verdict.outcome == "fail"
    assert [check.metric for check in verdict.checks] == [CPU]
    said = sentence(verdict)
    assert "FAIL: thread-pool against thread-per-request" in said
    assert "CPU per request of thread-pool" in said


def test_one_within_its_limits_passes(reference: Run) -> None:
    cheap = scaled(reference, "cheap", CPU, 0.1, slot=1)
    limits = parse_thresholds([f"{CPU}=10%"], ["client.success_rate=0.5"], usual=False)
    verdict = judge_contenders(cheap, limits)
    assert verdict.outcome == "pass"
    assert len(verdict.checks) == 2


def test_what_is_not_named_is_not_judged() -> None:
    assert parse_thresholds([f"{CPU}=10%"], [], usual=False).max_loss == {CPU: 0.1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-loss", "cpu=10%"], ["there is no metric 'cpu'", "did you mean"]),
        (["--max-loss", f"{CPU}=10%", "--backends", "thread-pool"], ["name two servers"]),
    ],
)
def test_a_limit_that_cannot_be_is_refused_before_anything_starts(
    labrun: Labrun, arguments: list[str], words: list[str]
) -> None:
    assert_one_sentence(labrun("compare", *arguments), *words)
