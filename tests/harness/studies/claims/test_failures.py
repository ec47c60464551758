"""Claims where part of the requests failed are judged by the ordering rule, never by the survivors:
what lies among the failures is slower than any answer (point 1)."""

from __future__ import annotations

import math
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Trial
from harness.reading.upgrade import upgraded
from harness.store import as_json
from harness.studies.claims import judge_run
from harness.studies.claims.explore import distance
from harness.studies.claims.judgement import judged, load_beside, save_judged
from harness.studies.claims.records import Beside, Figure, Judged, Judgement, figure_words
from harness.studies.claims.section import claims_section
from harness.terminal.claims_table import print_judged
from harness.views.formats import block_text
from tests.support.claim_trials import POOL, THREAD, both, make_run, make_trial


def by_id(trials: list[Trial]) -> dict[str, Judgement]:
    return {j.claim.id: j for j in judge_run(make_run(trials))}


def test_the_median_of_a_server_that_fails_most_is_not_that_of_the_few_it_answers() -> None:
    """40 % are answered, in the document's own 2.2 ms: the claim of 2.2 ms does not hold."""
    found = by_id(both(ok=(800, 2000), median_us=(2200.0, 45.0)))["median-thread"]
    assert found.verdict == "does not hold"
    assert found.ours == "not answered"
    assert "5 of 5 rounds" in found.reason
    assert found.measured is not None
    assert found.measured.value is None
    assert {"value", "low", "high"} <= set(found.measured.beyond)


def test_the_median_of_a_server_that_answers_more_than_half_is_a_figure() -> None:
    found = by_id(both(ok=(1200, 2000), median_us=(2200.0, 45.0)))["median-thread"]
    assert (found.verdict, found.ours) == ("holds", "2.2 ms (2.2 to 2.2)")


def test_a_tail_that_is_beyond_on_one_side_is_the_longer_one() -> None:
    threads = by_id(both(ok=(1900, 2000)))["tail-ratio"]
    assert threads.verdict == "holds"
    assert threads.ours == f"{THREAD}: not answered"
    pool = by_id(both(ok=(2000, 1900)))["tail-ratio"]
    assert pool.verdict == "does not hold"
    assert pool.ours == f"{POOL}: not answered"
    assert "the other way round" in pool.reason
    assert f"5 of 5 rounds the figure of {POOL}" in pool.reason


def test_tails_that_are_beyond_on_both_sides_tell_nothing() -> None:
    found = by_id(both(ok=1900))["tail-ratio"]
    assert found.verdict == "not testable here"
    assert found.measured is None
    assert found.reason == "Neither side answered."


def with_rounds(*ok: tuple[int, int], median_us: tuple[float, float]) -> list[Trial]:
    """A round for each pair of counts: thread per request's, the pool's."""
    return [
        make_trial(
            backend=backend, slot=slot, number=number, ok=counts[slot], median_us=median_us[slot]
        )
        for number, counts in enumerate(ok, start=1)
        for slot, backend in enumerate((THREAD, POOL))
    ]


def test_a_round_that_fails_does_not_vanish() -> None:
    """In three of five rounds the pool answers its median, in two it does not: the interval has no
    upper end, and the claim cannot be said to hold by the three."""
    rounds = [(2000, 2000)] * 3 + [(2000, 500)] * 2
    found = by_id(with_rounds(*rounds, median_us=(2200.0, 45.0)))
    assert found["median-pool"].verdict == "not testable here"
    assert found["median-pool"].ours == "45 µs (at least 45 µs)"
    assert "2 of 5 rounds" in found["median-pool"].reason
    assert found["median-ratio"].verdict == "not testable here"
    assert found["median-ratio"].ours == "48.9× (at most 48.9×)"


def test_rounds_in_which_both_sides_fail_widen_the_ratio_at_both_ends() -> None:
    rounds = [(2000, 2000)] * 4 + [(500, 500)] * 1
    found = by_id(with_rounds(*rounds, median_us=(2200.0, 45.0)))["median-ratio"]
    assert found.verdict == "not testable here"
    assert found.ours == "48.9× (anything)"


def test_halves_that_contradict_each_other_have_no_typical_ratio() -> None:
    rounds = [(2000, 500)] * 3 + [(500, 2000)] * 3
    found = by_id(with_rounds(*rounds, median_us=(2200.0, 45.0)))["median-ratio"]
    assert found.measured is not None
    assert (found.measured.value, found.measured.beyond) == (None, ["high", "most"])
    assert (found.verdict, found.ours) == ("not testable here", "no typical ratio (anything)")
    assert distance(found.claim, found.measured) == math.inf


def test_too_few_rounds_are_ordered_alike() -> None:
    found = by_id(with_rounds((500, 2000), (500, 2000), median_us=(2200.0, 45.0)))
    assert found["median-thread"].verdict == "does not hold"
    assert found["median-thread"].ours == "not answered"
    assert found["median-pool"].verdict == "holds"


def test_threads_that_time_out_are_not_left_out_of_their_own_dispatch() -> None:
    """A connection that got no answer left no stamp: with 5 % of them the p99 of dispatch is
    beyond, so that the claim that threads time out before they start holds."""
    found = by_id(both(ok=1900))
    assert found["timeout-before-start"].verdict == "holds"
    assert found["timeout-before-start"].ours == "not answered"
    assert by_id(both())["timeout-before-start"].verdict == "does not hold"


def test_of_dispatch_the_survivors_figure_alone_judges_nothing() -> None:
    found = by_id(both(ok=1900))
    for name in ("dispatch-thread", "dispatch-pool", "total-pool", "waiting-thread"):
        assert found[name].verdict == "not testable here"
        assert "for the answered requests alone" in found[name].reason, name


def old(trials: list[Trial], quantile_us: float) -> list[Trial]:
    """As an earlier lab recorded them: quantiles of the answered requests alone, schema 1."""
    figures = dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max"), quantile_us)
    times = msgspec.convert(figures, type(trials[0].client.response_us))
    return [
        msgspec.structs.replace(
            trial,
            client=msgspec.structs.replace(
                trial.client, response_us=times, service_us=times, beyond=[]
            ),
        )
        for trial in trials
    ]


def test_a_run_of_schema_1_is_not_judged_by_its_survivors() -> None:
    run = msgspec.structs.replace(make_run(old(both(ok=(1500, 800)), 45.0)), schema=1)
    found = {j.claim.id: j for j in judge_run(upgraded(run))}
    assert found["median-thread"].verdict == "not testable here"
    assert "for the answered requests alone" in found["median-thread"].reason
    assert found["median-pool"].ours == "not answered"
    assert found["median-pool"].verdict == "does not hold"


def test_success_is_the_share_of_all_requests_and_failures_of_few_rounds_count() -> None:
    """Of a level of which one round in five fails, the median of the rounds would be 100 %."""
    rounds = [(2000, 2000)] * 4 + [(2000, 0)]
    found = by_id(with_rounds(*rounds, median_us=(100.0, 100.0)))
    assert found["success-2000-pool"].measured is not None
    assert found["success-2000-pool"].measured.value == pytest.approx(0.8)
    assert found["success-2000-thread"].measured is not None
    assert found["success-2000-thread"].measured.high == 1.0
    low = found["success-2000-thread"].measured.low
    assert low is not None
    assert 0.999 < low < 1.0  # 10,000 requests without a failure bound it at about 0.03 %


def test_infinite_ends_survive_the_file(tmp_path: Path) -> None:
    run = make_run(both(ok=(800, 2000)))
    figure = Figure(
        value=None, low=2.0, high=None, least=1.0, most=None, n=5,
        beyond=["value", "high", "most"], unanswered={POOL: 3},
    )  # fmt: skip
    record = judged(run, Beside(enqueue_us=figure))
    assert b"Infinity" not in as_json(record)
    assert msgspec.json.decode(as_json(record), type=Judged) == record
    save_judged(tmp_path, record)
    assert load_beside(tmp_path) == Beside(enqueue_us=figure)


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "words"),
    [
        (2.0, 1.5, math.inf, "times", "2× (at least 1.5×)"),
        (math.inf, 1.3, math.inf, "times", "at least 1.3×"),
        (0.0, 0.0, 0.8, "times", "at most 0.8×"),
        (0.0, 0.0, 0.0, "times", "thread-pool: not answered"),
        (0.5, 0.0, math.inf, "times", "0.5× (anything)"),
        (300.0, 250.0, math.inf, "us", "300 µs (at least 250 µs)"),
        (math.inf, 250.0, math.inf, "us", "not answered (at least 250 µs)"),
        (math.inf, math.inf, math.inf, "us", "not answered"),
    ],
)
def test_what_is_infinite_is_named(
    value: float, low: float, high: float, unit: str, words: str
) -> None:
    ends = {"value": value, "low": low, "high": high, "least": low, "most": high}
    beyond = [name for name, end in ends.items() if math.isinf(end)]
    figure = Figure(
        **{name: None if name in beyond else end for name, end in ends.items()},
        n=5, bound="exact", beyond=beyond, unanswered={POOL: 2},
    )  # fmt: skip
    assert figure_words(figure, "times" if unit == "times" else "us") == words


def test_terminal_and_report_say_who_did_not_answer() -> None:
    run = make_run(both(ok=(800, 2000)))
    out = StringIO()
    print_judged(Console(file=out, width=80, color_system=None), judged(run, Beside()), run, None)
    told = " ".join(out.getvalue().split())
    words = f"In 5 of 5 rounds the figure of {THREAD} lies among its failures, slower than any"
    assert words in told
    section = claims_section(run, None)
    assert section is not None
    assert words in " ".join(block_text(block) for block in section.blocks)
