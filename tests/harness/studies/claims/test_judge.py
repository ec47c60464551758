"""Verdicts on made-up figures with known answers."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.record import Bound, Capacity, CapacityEstimate, Trial
from harness.studies.claims import judge_run
from harness.studies.claims.judge import Span, allowed, from_odds, odds, verdict_on, widened
from harness.studies.claims.records import Claim, ClaimVerdict, Figure, Judgement, Kind, Unit
from tests.support.claim_trials import POOL, THREAD, both, make_run, make_trial


def claim(
    kind: Kind = "about",
    value: float | None = None,
    unit: Unit = "us",
    low: float | None = None,
    high: float | None = None,
) -> Claim:
    return Claim(
        id="x", group="g", text="t", section="s", kind=kind, unit=unit, measure="median_us",
        condition="c", value=value, low=low, high=high,
    )  # fmt: skip


def interval(low: float, high: float, bound: str = "exact") -> Figure:
    middle = (low + high) / 2
    return Figure(
        value=middle, low=low, high=high, least=low, most=high, n=5,
        bound="at-least" if bound == "at-least" else "exact",
    )  # fmt: skip


def rounds(low: float, high: float) -> Figure:
    return Figure(value=(low + high) / 2, low=None, high=None, least=low, most=high, n=2)


@pytest.mark.parametrize(
    ("stated", "figure", "verdict"),
    [
        (claim(value=500), interval(450, 520), "holds"),
        (claim(value=500), interval(610, 650), "holds"),  # 625 is the end of the tolerance
        (claim(value=500), interval(630, 650), "does not hold"),
        (claim(value=500), interval(20, 30), "does not hold"),
        (claim(value=500), interval(100, 900), "not testable here"),  # it would fit anything
        (claim("between", low=40, high=100), interval(90, 130), "holds"),
        (claim("between", low=40, high=100), interval(0.4, 0.6), "does not hold"),
        (claim("between", low=0, high=50), interval(0, 3), "holds"),
        (claim("at-most", value=0, unit="per_s"), interval(0, 0), "holds"),
        (claim("at-most", value=0, unit="per_s"), interval(1, 2), "does not hold"),
        (claim("at-least", value=20_000), interval(12_000, 13_000), "does not hold"),
        (claim("at-least", value=20_000), interval(9_000, 9_100, "at-least"), "not testable here"),
        (claim("at-least", value=2_000), interval(9_000, 9_100, "at-least"), "holds"),
        (claim(value=2_000), interval(9_000, 9_100, "at-least"), "does not hold"),
        (claim(value=0.5, unit="share"), interval(1.0, 1.0), "does not hold"),
        (claim(value=0.5, unit="share"), interval(0.48, 0.55), "holds"),
        (claim("at-least", value=0.95, unit="share"), interval(0.999, 1.0), "holds"),
        (claim(value=48, unit="times"), interval(1.1, 1.4), "direction holds"),
        (claim(value=48, unit="times"), interval(40, 52), "holds"),
        (claim(value=48, unit="times"), interval(90, 110), "direction holds"),
        (claim(value=48, unit="times"), interval(0.9, 1.1), "does not hold"),
        (claim(value=48, unit="times"), interval(0.1, 0.2), "does not hold"),
        (claim("more", unit="times"), interval(1.2, 1.4), "holds"),
        (claim("more", unit="times"), interval(0.7, 0.9), "does not hold"),
        (claim("more", unit="times"), interval(0.98, 1.1), "does not hold"),
        (claim("more", unit="times"), interval(0.8, 1.6), "not testable here"),
    ],
)
def test_verdicts_by_interval(stated: Claim, figure: Figure, verdict: ClaimVerdict) -> None:
    assert verdict_on(stated, figure)[0] == verdict


@pytest.mark.parametrize(
    ("stated", "figure", "verdict"),
    [
        (claim(value=500), rounds(480, 520), "holds"),
        (claim(value=500), rounds(20, 30), "does not hold"),
        (claim(value=500), rounds(250, 260), "not testable here"),  # twice that would do
        (claim(value=0.5, unit="share"), rounds(1.0, 1.0), "does not hold"),
        (claim(value=48, unit="times"), rounds(3, 4), "direction holds"),
        (claim(value=48, unit="times"), rounds(1.1, 1.5), "not testable here"),
        (claim("more", unit="times"), rounds(1.1, 1.5), "not testable here"),
    ],
)
def test_without_an_interval_only_what_is_plain_is_decided(
    stated: Claim, figure: Figure, verdict: ClaimVerdict
) -> None:
    found, reason = verdict_on(stated, figure)
    assert found == verdict
    assert "too few" in reason


@given(st.floats(0.001, 0.999), st.floats(1.01, 100))
def test_a_widened_share_stays_a_share_and_holds_the_old_one(share: float, factor: float) -> None:
    span = widened(Span(share, share), factor, share=True)
    assert 0 <= span.low <= share <= span.high <= 1
    assert math.isclose(odds(span.high) / odds(span.low), factor**2, rel_tol=1e-6)
    assert math.isclose(from_odds(odds(share)), share)


@given(st.floats(1e-3, 1e6), st.floats(1.0, 1.24))
def test_whatever_lies_within_the_tolerance_holds(value: float, factor: float) -> None:
    stated = claim(value=value)
    for near in (value * factor, value / factor):
        assert verdict_on(stated, interval(near, near))[0] == "holds"
    assert not Span(value * 1.26, value * 1.3).meets(allowed(stated))


def by_id(found: list[Judgement]) -> dict[str, Judgement]:
    return {judgement.claim.id: judgement for judgement in found}


def test_a_run_with_the_documents_own_figures_makes_its_claims_hold() -> None:
    trials = both(
        ok=(1000, 1900),
        median_us=(2200.0, 45.0),
        overhead_us=(800.0, 11.0),
        switches_per_s=(4000.0, 32.0),
    )
    found = by_id(judge_run(make_run(trials)))
    expected = (
        "overhead-thread overhead-pool overhead-ratio median-thread median-pool median-ratio "
        "switches-thread switches-pool switches-ratio success-2000-thread success-2000-pool "
        "success-ratio created-thread created-pool active-pool stacks-pool queue-depth"
    )
    assert {name: found[name].verdict for name in expected.split()} == dict.fromkeys(
        expected.split(), "holds"
    )


def test_figures_are_those_of_the_trials() -> None:
    found = by_id(judge_run(make_run(both(median_us=(300.0, 100.0), steps_us=5.0))))
    expected = {
        "median-thread": 300.0, "median-ratio": 3.0, "work-pool": 35.0, "total-pool": 85.0,
        "dispatch-thread": 50.0, "waiting-thread": 0.1, "thread-life": 2.0, "per-worker": 125.0,
        "utilisation": 125 * 35e-6,
    }  # fmt: skip
    values = {name: measured.value for name in expected if (measured := found[name].measured)}
    assert values == pytest.approx(expected)
    assert found["median-ratio"].verdict == "direction holds"
    assert found["max-thread"].ours.startswith("≥ 2,000")


def test_the_tail_of_the_lock_is_told_from_that_of_its_neighbours() -> None:
    found = by_id(judge_run(make_run(both())))
    assert found["lock-contention"].measured is not None
    assert found["lock-contention"].measured.value == pytest.approx(1.0)
    assert found["lock-contention"].verdict == "does not hold"


def untestable(found: list[Judgement], *words: str) -> None:
    about_runs = [j for j in found if j.claim.backend or j.claim.ratio]
    assert about_runs
    for judgement in about_runs:
        assert judgement.verdict == "not testable here", judgement
        assert judgement.measured is None
        assert judgement.ours == "-"
        assert judgement.reason.endswith(".")
    reasons = " ".join(j.reason for j in found)
    for word in words:
        assert word in reasons


def test_a_run_without_a_finished_trial_is_judged_with_the_reason() -> None:
    untestable(judge_run(make_run([])), "No trial of thread-pool at 2,000 RPS was finished")


def test_a_run_of_invalid_trials_is_judged_with_the_reason() -> None:
    untestable(judge_run(make_run(both(valid=False))), "was valid: the generator was late")


def test_one_backend_alone_leaves_the_others_claims_untestable() -> None:
    trials = [make_trial(backend=POOL, number=number) for number in range(1, 6)]
    found = judge_run(make_run(trials, backends=[POOL]))
    assert by_id(found)["success-2000-pool"].verdict == "holds"
    others = [j for j in found if THREAD in (j.claim.backend, *(j.claim.ratio or ()))]
    untestable(others, "This run has no thread-per-request")


def test_a_level_that_was_not_run_is_named() -> None:
    found = by_id(judge_run(make_run(both())))
    assert found["success-5000-pool"].reason == "This run has no level of 5,000 RPS."


def test_zero_successes_leave_a_latency_beyond_every_answer_and_a_success_of_0() -> None:
    found = by_id(judge_run(make_run(both(ok=0))))
    assert found["success-2000-pool"].verdict == "does not hold"
    assert found["median-pool"].ours == "not answered"
    assert found["median-pool"].verdict == "does not hold"
    assert "answered nothing ok" in found["parse-pool"].reason
    assert found["success-ratio"].verdict == "not testable here"


def test_trials_of_a_search_are_not_mixed_in() -> None:
    odd = make_trial(backend=POOL, slot=1, median_us=9e5)
    trials = [*both(median_us=45.0), type(odd)(**{
        name: getattr(odd, name) for name in odd.__struct_fields__ if name != "workload"
    }, workload="io:40ms")]  # fmt: skip
    assert by_id(judge_run(make_run(trials)))["median-pool"].verdict == "holds"


def test_the_capacity_that_was_searched_goes_before_the_levels_of_the_run() -> None:
    def estimate(backend: str, slot: int, bound: Bound, rps: float | None) -> CapacityEstimate:
        return CapacityEstimate(
            backend=backend, slot=slot, bound=bound, rps=rps, low_rps=10_500.0,
            high_rps=None if rps is None else 11_500.0, met=9, missed=8, invalid=0,
            generator_limit_rps=None,
        )  # fmt: skip

    capacity = Capacity(
        objective="success>=0.99",
        conditions=[],
        estimates=[estimate(THREAD, 0, "interval", 11_000.0), estimate(POOL, 1, "at-least", None)],
        ratios=[],
        overload_seen=None,
    )
    run = msgspec.structs.replace(make_run(both()), capacity=capacity)
    found = by_id(judge_run(run))
    assert found["max-thread"].ours == "11,000 (10,500 to 11,500)"
    assert found["max-thread"].verdict == "does not hold"
    assert found["max-pool"].ours.startswith("≥ 10,500")
    assert found["max-pool"].verdict == "not testable here"
    assert found["max-ratio"].measured is None


def test_limits_by_levels_need_a_level_that_was_not_answered() -> None:
    def trials(ok: int) -> list[Trial]:
        return [
            make_trial(backend=backend, slot=slot, rps=rps, number=number, ok=answered)
            for number in range(1, 6)
            for slot, backend in enumerate((THREAD, POOL))
            for rps, answered in ((2000.0, 2000), (5000.0, ok if slot == 0 else 5000))
        ]

    levels = {"rps": [2000.0, 5000.0]}
    found = by_id(judge_run(make_run(trials(2100), **levels)))
    assert found["max-thread"].verdict == "holds"
    assert found["max-thread"].measured is not None
    assert found["max-thread"].measured.value == 2100
    assert found["max-ratio"].ours.startswith("≥ 2.38×")
    answered = by_id(judge_run(make_run(trials(5000), **levels)))
    assert answered["max-thread"].ours.startswith("≥ 5,000")
    assert answered["max-thread"].verdict == "does not hold"  # 5,000 at least is not about 2,000
    assert "its limit is not known" in answered["max-ratio"].reason
