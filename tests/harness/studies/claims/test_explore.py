"""The search for conditions: what is tried, and which is nearest."""

from __future__ import annotations

import pytest

from harness.core.record import Run, Settings
from harness.studies.claims.explore import AS_WRITTEN, conditions, distance, nearest
from harness.studies.claims.judge import judge_run
from harness.studies.claims.ledger import the_ledger
from harness.studies.claims.records import ExploredCondition, Figure, Nearest
from tests.support.claim_trials import SETTINGS, both, make_run


def tried(name: str, run: Run) -> ExploredCondition:
    return ExploredCondition(
        name=name, folder=name, invalid_trials=0, trials=len(run.trials),
        judgements=judge_run(run),
    )  # fmt: skip


def test_each_condition_differs_from_the_base_and_from_every_other() -> None:
    import msgspec

    base = msgspec.convert(SETTINGS, Settings)
    found = conditions(base)
    assert found[0].name == AS_WRITTEN
    assert found[0].settings == base
    assert len({(str(c.settings), c.one_cpu) for c in found}) == len(found)
    settings = [c.settings for c in found]
    assert any(s.lock_stacks and s.stack_size_bytes == 8 << 20 for s in settings)
    assert any(s.workload == "io:40ms" for s in settings)
    assert any(s.switch_interval_s is not None for s in settings)
    assert any(c.one_cpu for c in found)


def figure(value: float) -> Figure:
    return Figure(value=value, low=value, high=value, least=value, most=value, n=5)


def test_distance_is_a_factor_of_the_odds_for_shares() -> None:
    claims = {claim.id: claim for claim in the_ledger().claim}
    assert distance(claims["median-thread"], figure(2200)) == 1
    assert distance(claims["median-thread"], figure(220)) == pytest.approx(8)  # 2200 / 1.25 / 220
    assert distance(claims["created-pool"], figure(3)) == float("inf")
    assert distance(claims["success-2000-pool"], figure(0.9)) == pytest.approx(19 / 9)


def by_id(found: list[Nearest]) -> dict[str, Nearest]:
    return {near.claim.id: near for near in found}


def test_the_condition_that_makes_a_claim_hold_is_found_and_the_nearer_of_those_that_do_not() -> (
    None
):
    base = make_run(both(median_us=(300.0, 100.0), overhead_us=(100.0, 60.0)))
    slow = make_run(both(median_us=(2200.0, 100.0), overhead_us=(300.0, 60.0)))
    slower = make_run(both(median_us=(9000.0, 45.0), overhead_us=(200.0, 60.0)))
    all_tried = [tried("base", base), tried("slow", slow), tried("slower", slower)]
    found = by_id(nearest(all_tried, all_tried[0].judgements))
    assert found["median-thread"].condition == "slow"
    assert found["median-thread"].judgement is not None
    assert found["median-thread"].judgement.verdict == "holds"
    assert found["overhead-thread"].condition == "slow"
    assert found["overhead-thread"].judgement is not None
    assert found["overhead-thread"].judgement.verdict == "does not hold"
    assert found["overhead-thread"].distance == pytest.approx(800 / 1.25 / 300)
    assert found["median-pool"].condition == "slower"
    assert "created-thread" not in found  # it holds as it is


def test_conditions_that_could_not_be_tried_or_gave_nothing_are_passed_over() -> None:
    base = tried("base", make_run(both()))
    failed = ExploredCondition(
        name="failed", folder=None, invalid_trials=0, trials=0, judgements=[], failure="no memory"
    )
    invalid = tried("invalid", make_run(both(valid=False)))
    for near in nearest([base, failed, invalid], base.judgements):
        assert near.condition == "base"
