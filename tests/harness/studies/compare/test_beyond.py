"""Whoever failed is slower than anybody who was answered: in the record, the comparison, the words.

Points 1, 2, 5, 7, 15, 16c, 16d and 20 of "No figure that flatters", on made-up accounts with known
answers.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from harness.core.metrics import BY_PATH, METRICS
from harness.core.record import Client, metric_value, ordered_value
from harness.core.wording import ratio_figure, ratio_interval
from harness.drivers import request_log as L
from harness.reading.upgrade import upgraded
from harness.studies.capacity.slo import met, parse_slo
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.crossover.estimate import CANNOT_TELL, EVEN, advantage
from harness.terminal.table import level_table, ratio_text
from tests.support.made import (
    P50,
    P99,
    REJECTED,
    SUCCESS,
    UNSENT,
    client_of,
    compared,
    make_run,
    make_settings,
    make_trial,
    old_run,
    rounds_of,
    rounds_with,
    said,
)

# ---- point 1: the record ------------------------------------------------------------------------


def test_a_quantile_is_over_all_that_were_sent_and_beyond_where_it_falls_among_failures() -> None:
    client = client_of([REJECTED] * 60 + [L.OK] * 40)
    assert client.response_us.p50 is None
    assert "p50" in client.beyond
    assert client.response_us_by_outcome["ok"].p50 is not None
    half = client_of([L.OK] * 60 + [L.TIMEOUT] * 40)
    assert half.response_us.p50 == 149.0  # the 50th of 100, not of the 60 that were answered
    assert half.response_us.p90 is None
    assert half.beyond == ["mean", "p90", "p95", "p99", "p999", "max"]


def test_mean_and_maximum_are_of_all_or_of_nobody() -> None:
    client = client_of([L.OK] * 9_999 + [L.TIMEOUT])
    assert (client.response_us.mean, client.response_us.max) == (None, None)
    assert client.response_us.p999 is not None
    assert client.beyond == ["mean", "max"]
    whole = client_of([L.OK] * 100)
    assert whole.beyond == []
    assert whole.response_us.max == 199.0


def test_service_times_follow_the_same_rule_and_who_was_not_sent_counts_nowhere() -> None:
    client = client_of([L.OK] * 50 + [REJECTED] * 50 + [UNSENT] * 100)
    assert client.service_us.p50 is not None
    assert client.service_us.p90 is client.response_us.p90 is None
    assert client_of([L.OK] * 50 + [UNSENT] * 50).beyond == []


def test_a_connection_that_never_came_about_is_slower_than_any_that_did() -> None:
    client = client_of([L.OK] * 90 + [L.TIMEOUT] * 10)
    assert client.connect_beyond == []
    trial = make_trial(0, 1, client=msgspec.structs.replace(client, connect_beyond=["p99"]))
    assert ordered_value(trial, "client.connect_us.p99") == math.inf


def test_what_lies_beyond_is_infinite_for_comparing_and_missing_to_read() -> None:
    trial = make_trial(0, 1, client=client_of([REJECTED] * 60 + [L.OK] * 40))
    assert ordered_value(trial, P50) == math.inf
    assert metric_value(trial, P50) is None


# ---- point 1 and 2: the comparison --------------------------------------------------------------


def test_who_rejects_most_and_answers_the_rest_faster_is_not_better() -> None:
    slow = [client_of([L.OK] * 100, 200.0) for _ in range(5)]
    flattered = [client_of([REJECTED] * 60 + [L.OK] * 40, 50.0) for _ in range(5)]
    for metric in (P50, P99):
        found = compared(rounds_of(slow, flattered), metric)
        assert found.verdict == "worse"
        assert found.beyond == ["ratio", "ci_low", "ci_high"]
        assert found.note is not None
        assert "not answered by thread-pool in 5 of 5 rounds" in found.note
    assert compared(rounds_of(flattered, slow), P50).verdict == "better"
    assert compared(rounds_of(slow, flattered), SUCCESS).verdict == "worse"


def test_an_infinite_end_is_named_at_least() -> None:
    slow = [client_of([L.OK] * 100) for _ in range(7)]
    mixed = [client_of([L.OK] * 100, 400.0) for _ in range(2)]
    mixed += [client_of([L.TIMEOUT] * 100) for _ in range(5)]
    found = compared(rounds_of(slow, mixed), P50)
    assert found.verdict == "worse"
    assert found.beyond == ["ratio", "ci_high"]
    assert (ratio_figure(found) or "").startswith("at least ")
    assert ratio_text(found).plain.startswith("at least ")
    assert ratio_text(found).plain.endswith(" -")


def test_rounds_that_fail_do_not_vanish() -> None:
    """Twelve rounds of which the contender answers nothing in six."""
    good = [client_of([L.OK] * 100, 200.0) for _ in range(12)]
    half = [client_of([L.OK] * 100, 50.0) for _ in range(6)]
    half += [client_of([L.TIMEOUT] * 100) for _ in range(6)]
    trials = rounds_of(good, half)
    median, success = compared(trials, P50), compared(trials, SUCCESS)
    assert median.verdict == "cannot-tell"
    assert median.rounds == 12
    assert median.note is not None
    assert "not answered by thread-pool in 6 of 12 rounds" in median.note
    assert success.ratio == pytest.approx(0.5)
    assert success.verdict == "worse"
    assert (success.ci_high or 1) < 1


def test_a_figure_that_one_side_lacks_in_some_rounds_widens_the_interval_and_is_counted() -> None:
    """CPU per request of a server that answered nothing: there is none, which is no evidence."""
    trials = []
    for number in range(1, 9):
        trials.append(make_trial(0, number, cpu_us=100.0))
        trials.append(make_trial(1, number, cpu_us=None if number > 6 else 50.0))
    found = compared(trials, "server.cpu_us_per_request.total")
    assert found.verdict == "cannot-tell"
    assert found.note == "thread-pool has no such figure in 2 of 8 rounds"


def test_rounds_left_out_are_counted_with_their_reason() -> None:
    late: dict[str, Any] = {
        "class": "generator-limited",
        "valid": False,
        "invalid_reason": "4 ms late",
    }
    died: dict[str, Any] = {
        "class": "server-saturated",
        "valid": False,
        "invalid_reason": "the server died",
    }
    trials = [make_trial(slot, n) for n in range(1, 8) for slot in (0, 1)]
    trials[2] = make_trial(0, 2, **late)
    trials[5] = make_trial(1, 3, **died)
    note = compared(trials, P50).note
    assert note is not None
    assert "2 of 7 rounds were left out as invalid" in note
    assert "the generator was the limit (1)" in note
    assert "the server died (1)" in note


def test_no_verdict_from_fewer_than_five_rounds() -> None:
    four = [client_of([L.OK] * 100) for _ in range(4)]
    nothing = [client_of([L.TIMEOUT] * 100) for _ in range(4)]
    found = build_comparisons(make_settings(rounds=4), rounds_of(four, nothing))
    assert {c.verdict for c in found} <= {"cannot-tell", "not-comparable"}


def test_crossover_one_side_beyond_is_not_even() -> None:
    here = make_trial(0, 1, client=client_of([L.OK] * 1000))
    beyond = client_of([L.OK] * 989 + [L.TIMEOUT] * 11)
    same = msgspec.structs.replace(beyond, success_rate=1.0)
    assert advantage(here, make_trial(1, 1, client=same)) == "thread-per-request"
    both = make_trial(0, 1, client=same), make_trial(1, 1, client=same)
    assert advantage(*both) == EVEN
    unsent = make_trial(1, 1, client=client_of([UNSENT] * 10))
    assert advantage(here, unsent) != EVEN
    nobody = msgspec.structs.replace(unsent.client, success_rate=1.0)
    assert advantage(here, make_trial(1, 1, client=nobody)) == CANNOT_TELL


def test_capacity_counts_failures_against_a_limit_on_a_quantile() -> None:
    """Point 6: a server that refuses nearly everything sustains nothing."""
    conditions = parse_slo("p99<=100ms")
    refusing = make_trial(0, 1, client=client_of([REJECTED] * 95 + [L.OK] * 5))
    assert not met(conditions, refusing)
    assert met(conditions, make_trial(0, 1, client=client_of([L.OK] * 100)))


# ---- point 5: success has an interval -----------------------------------------------------------


def success_cell(clients: list[Client]) -> tuple[float, float, float]:
    trials = rounds_of(clients, clients)
    figure = build_cells(make_settings(), trials)[0].metrics[SUCCESS]
    assert figure.median is not None
    assert figure.ci_low is not None
    assert figure.ci_high is not None
    return figure.median, figure.ci_low, figure.ci_high


def test_no_failure_in_fifty_thousand_is_no_certainty() -> None:
    clean = rounds_with(0, 0, 0, 0, 0)
    share, low, high = success_cell(clean)
    assert (share, high) == (1.0, 1.0)
    assert 1 - low == pytest.approx(3 / 50_000, rel=0.01)  # the rule of three
    found = compared(rounds_of(clean, clean), SUCCESS)
    assert found.smallest_difference == pytest.approx(3 / 50_000, rel=0.01)
    assert found.verdict == "cannot-tell"


def test_success_is_the_share_of_all_requests_not_the_median_round() -> None:
    """Point 16c: 182 failures in one round of five are in no median."""
    share, low, high = success_cell(rounds_with(0, 0, 0, 0, 182))
    assert share == pytest.approx(1 - 182 / 50_000)
    assert low < share < high


def test_no_interval_of_a_share_leaves_zero_to_one() -> None:
    """Point 16d."""
    for failures in ((0, 0, 0, 0, 9_999), (1, 0, 0, 0, 0), (10_000, 9_999, 0, 0, 0), (10_000,) * 5):
        _, low, high = success_cell(rounds_with(*failures))
        assert 0 <= low <= high <= 1


def test_rounds_that_differ_more_than_a_binomial_widen_the_interval() -> None:
    even = success_cell(rounds_with(100, 100, 100, 100, 100))
    lumpy = success_cell(rounds_with(0, 0, 0, 0, 500))
    assert even[0] == pytest.approx(lumpy[0])
    assert lumpy[2] - lumpy[1] > 4 * (even[2] - even[1])


def test_a_difference_of_success_in_every_round_is_told() -> None:
    found = compared(rounds_of(rounds_with(0, 1, 0, 0, 1), rounds_with(*[200] * 5)), SUCCESS)
    assert found.verdict == "worse"
    assert found.ratio == pytest.approx(0.98, rel=0.001)


# ---- points 7, 15, 16c and 20: words ------------------------------------------------------------


def test_failures_are_told_in_the_sentence() -> None:
    sentence = said(rounds_of(rounds_with(0, 0, 0, 0, 182), rounds_with(0, 0, 0, 0, 0)))
    assert "thread-per-request answers 99.6 % of 50,000 requests (timeout 182)" in sentence
    assert "thread-pool answers all 50,000 requests" in sentence


def test_the_sentence_says_who_has_no_answer() -> None:
    fine = [client_of([L.OK] * 100) for _ in range(5)]
    failing = [client_of([REJECTED] * 60 + [L.OK] * 40, 50.0) for _ in range(5)]
    sentence = said(rounds_of(fine, failing))
    assert "at the median thread-per-request still answers and thread-pool does not" in sentence
    assert "of the median" not in sentence


def test_an_effect_never_rounds_away() -> None:
    """Point 7: "0.00x (0.00 to 0.00)" said nothing."""
    slow = [client_of([L.OK] * 100, 900_000.0 + n) for n in range(5)]
    fast = [client_of([L.OK] * 100, 100.0 + n) for n in range(5)]
    sentence = said(rounds_of(slow, fast))
    assert "0.00017× the median response time (0.00017 to 0.00017)" in sentence
    assert "0.00×" not in sentence


def test_three_backends_are_all_told_and_each_comparison_says_whose_it_is() -> None:
    """Point 15: the contenders after the first vanished from the summary."""
    names = ["thread-per-request", "thread-pool", "third"]
    trials = [
        make_trial(slot, n, cpu_us=100.0 / (slot + 1), backend=names[slot])
        for n in range(1, 6)
        for slot in range(3)
    ]
    settings = make_settings(backends=names)
    comparisons = build_comparisons(settings, trials)
    assert {(c.slot, c.contender) for c in comparisons} == {(1, "thread-pool"), (2, "third")}
    sentence = said(trials, backends=names)
    assert "thread-pool takes 0.50× the CPU per request" in sentence
    assert "third takes 0.33× the CPU per request" in sentence
    assert sentence.count(" of thread-per-request") == 2


def test_neither_more_nor_fewer_threads_are_better() -> None:
    """Point 20."""
    judged = {metric.path for metric in METRICS if metric.judged}
    assert {P50, P99, SUCCESS, "server.cpu_us_per_request.total"} <= judged
    assert "server.memory.rss_peak_bytes" in judged
    for path in (
        "server.threads_active_mean", "server.context_switches.per_s",
        "server.memory.stack_reserved_bytes", "server.threads_created_per_s",
    ):  # fmt: skip
        assert not BY_PATH[path].judged
    trials = [make_trial(slot, n) for n in range(1, 6) for slot in (0, 1)]
    assert compared(trials, "server.threads_created_per_s").verdict == "fewer"
    swapped = [make_trial(1 - t.slot, t.round, server=t.server) for t in trials]
    assert compared(swapped, "server.threads_created_per_s").verdict == "more"


def test_a_ratio_of_exactly_nothing_is_zero_and_not_a_bound() -> None:
    trials = [make_trial(slot, n) for n in range(1, 6) for slot in (0, 1)]
    found = compared(trials, "server.threads_created_per_s")
    assert (ratio_figure(found), ratio_interval(found)) == ("0", "0 to 0")


# ---- records of schema 1 ------------------------------------------------------------------------


def test_a_record_of_schema_1_has_a_quantile_beyond_where_fewer_were_answered() -> None:
    run = upgraded(old_run([client_of([L.OK] * 100)] * 5,
                           [client_of([L.OK] * 57 + [L.TIMEOUT] * 43)] * 5))  # fmt: skip
    client = next(t.client for t in run.trials if t.slot == 1)
    assert client.response_us.p99 is None
    assert client.beyond == ["mean", "p90", "p95", "p99", "p999", "max"]
    assert client.response_us.p50 is not None
    assert client.survivors == ["p50", "connect"]
    by_metric = {c.metric: c for c in run.comparisons}
    assert by_metric[P99].verdict == "worse"
    assert by_metric[P50].verdict == "not-comparable"
    assert any("schema 1" in warning for warning in run.warnings)


def test_a_record_of_schema_1_without_a_failure_is_compared_as_ever() -> None:
    fast, slow = [client_of([L.OK] * 100)] * 5, [client_of([L.OK] * 100, 300.0)] * 5
    run = upgraded(old_run(fast, slow))
    assert {c.metric: c.verdict for c in run.comparisons}[P50] == "worse"
    assert not any("schema 1" in warning for warning in run.warnings)


# ---- the table ----------------------------------------------------------------------------------


def test_three_backends_are_readable_at_80_columns() -> None:
    from io import StringIO

    from rich.console import Console

    names = ["thread-per-request", "thread-pool", "a-backend-with-a-long-name"]
    trials = [
        make_trial(slot, n, cpu_us=100.0 / (slot + 1), backend=names[slot])
        for n in range(1, 6)
        for slot in range(3)
    ]
    run = make_run(trials, backends=names)
    out = StringIO()
    console = Console(file=out, width=80)
    cells = run.cells
    for contender in cells[1:]:
        console.print(level_table(run, 2000.0, [cells[0], contender]))
    text = out.getvalue()
    assert "…" not in text
    assert text.count("0.50 (0.50-0.50) +") >= 1
    assert text.count("0.33 (0.33-0.33) +") >= 1
