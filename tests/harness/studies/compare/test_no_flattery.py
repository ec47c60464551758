"""Sentences and figures that said more than was measured, found by a hostile reading of "No figure
that flatters" (points 1, 2, 5, 7, 16c and 20), on made-up trials."""

from __future__ import annotations

from io import StringIO

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.core.record import Client, Run, Trial
from harness.core.units import microseconds, number, share, size
from harness.core.wording import effect_words, ratio_figure, ratio_interval
from harness.drivers import request_log as L
from harness.reading.upgrade import upgraded
from harness.report.from_rows import waterfall_section
from harness.report.search_section import search_report
from harness.report.source import Source
from harness.studies.capacity import section as capacity
from harness.studies.capacity.estimate import build_capacity
from harness.studies.capacity.slo import parse_slo
from harness.studies.compare import level_charts, waterfall
from harness.studies.crossover.estimate import build_crossover
from harness.terminal.table import level_table, ratio_text
from harness.views import style
from harness.views.formats import to_markdown
from harness.views.model import Table
from tests.support.made import (
    P50,
    SUCCESS,
    client_of,
    compared,
    make_run,
    make_trial,
    old_run,
    rounds_of,
    rounds_with,
    said,
)


def fine(rounds: int) -> list[Client]:
    return [client_of([L.OK] * 100) for _ in range(rounds)]


def dead(rounds: int) -> list[Client]:
    return [client_of([L.TIMEOUT] * 100) for _ in range(rounds)]


def twins(*sides: list[Client]) -> list[Trial]:
    return [msgspec.structs.replace(t, backend="thread-pool") for t in rounds_of(*sides)]


# ---- sentences that contradict the data beside them ----------------------------------------------


def test_a_control_without_an_interval_says_nothing_instead_of_allowing_0_percent() -> None:
    sentence = said(twins(fine(3), fine(3)), backends=["thread-pool"] * 2, rounds=3)
    assert "nothing can be said (3 rounds are too few" in sentence
    assert "0%" not in sentence


def test_a_control_with_an_infinite_interval_does_not_leave_it_out_of_the_widest() -> None:
    sides = fine(6) + dead(6), dead(6) + fine(6)
    sentence = said(twins(*sides), backends=["thread-pool"] * 2, rounds=12)
    assert "the widest interval has no end" in sentence


def test_who_succeeds_less_often_is_not_said_to_be_no_different() -> None:
    """Response times among failures on both sides; success is told apart, and nothing else."""
    rounds = [[L.OK] * n + [L.TIMEOUT] * (1000 - n) for n in (400, 100)]
    sides = [[client_of(codes)] * 5 for codes in rounds]
    trials = [msgspec.structs.replace(t, server=None) for t in rounds_of(*sides)]
    assert compared(trials, SUCCESS).verdict == "worse"
    sentence = said(trials)
    assert "thread-pool succeeds less often than thread-per-request" in sentence
    assert "no difference" not in sentence


def test_why_nothing_can_be_told_is_not_taken_from_a_figure_that_the_sentence_is_not_about() -> (
    None
):
    alike = [make_trial(0, 1).server] * 2
    trials = [make_trial(slot, n, server=alike[slot]) for n in range(1, 6) for slot in (0, 1)]
    sentence = said(trials)
    assert "no such figure" not in sentence
    assert "can be told (no interval excludes 1)" in sentence


def test_one_round_is_too_few() -> None:
    note = compared(rounds_of(fine(1), fine(1)), P50, rounds=1).note or ""
    assert note.startswith("1 round is too few")


# ---- words for what has no ratio -----------------------------------------------------------------


def test_a_count_that_the_baseline_has_none_of_is_not_called_unanswered() -> None:
    trials = [make_trial(slot, n) for n in range(1, 6) for slot in (0, 1)]
    swapped = [make_trial(1 - t.slot, t.round, server=t.server) for t in trials]
    found = compared(swapped, "server.threads_created_per_s")
    assert (found.verdict, ratio_figure(found)) == ("more", "from 0")
    assert ratio_text(found).plain == "from 0 >"
    assert effect_words(found, "the threads") == "the threads: from 0"


def test_too_few_rounds_that_nobody_answered_are_not_answered_and_not_infinite() -> None:
    found = compared(rounds_of(fine(4), dead(4)), P50, rounds=4)
    assert ratio_text(found).plain == "not answered (too few rounds)"


def test_two_rounds_that_fail_crosswise_have_no_typical_ratio_in_words() -> None:
    found = compared(rounds_of(fine(1) + dead(1), dead(1) + fine(1)), P50, rounds=2)
    assert ratio_figure(found) == "no typical ratio"
    names = ("thread-per-request", "thread-pool")
    assert "None" not in style.claim(found, "the median", names, "95 %")


# ---- point 7: nothing rounds away ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (share, 3 / 50_000, "0.006 %"), (share, 0.0, "0.0 %"), (share, 0.0006, "0.1 %"),
        (number, 0.003, "0.003"), (number, 0.0, "0"), (microseconds, 0.03, "0.03 µs"),
        (size, 4096.0, "4 KiB"), (size, 0.0, "0.0 MiB"),
    ],
)  # fmt: skip
def test_a_figure_that_is_there_is_not_written_as_nothing(write, value, text) -> None:  # type: ignore[no-untyped-def]
    assert write(value) == text


def test_an_effect_of_less_than_a_hundredth_is_not_written_as_none() -> None:
    """4 of 10,000 fail, and that is told from none: not "1.00 (1.00 to 1.00), worse"."""
    found = compared(rounds_of(rounds_with(*[0] * 5), rounds_with(*[4] * 5)), SUCCESS)
    assert found.verdict == "worse"
    assert ratio_figure(found) == "0.9996"
    assert ratio_interval(found) == "0.999 to 0.9998"
    unclear = compared(rounds_of(rounds_with(*[0] * 5), rounds_with(*[0] * 5)), SUCCESS)
    assert ratio_interval(unclear) == "1.00 to 1.00"


def test_three_answers_in_fifty_thousand_are_told() -> None:
    sentence = said(rounds_of(rounds_with(*[10_000] * 4, 9_997), rounds_with(*[10_000] * 5)))
    assert "thread-per-request answers 0.006 % of 50,000 requests" in sentence


# ---- 80 columns ----------------------------------------------------------------------------------


def test_a_tiny_ratio_and_one_that_may_be_anything_are_whole_at_80_columns() -> None:
    slow = [client_of([L.OK] * 100, 900_000.0 + n * 9_000) for n in range(5)]
    fast = [client_of([L.OK] * 100, 100.0 + n) for n in range(5)]
    for sides in ((slow, fast), (fine(6) + dead(6), dead(6) + fine(6))):
        run = make_run(rounds_of(*sides), backends=["thread-per-request", "a-very-long-name-here"])
        out = StringIO()
        Console(file=out, width=80).print(level_table(run, 2000.0, run.cells))
        assert "…" not in out.getvalue()
        assert max(map(len, out.getvalue().splitlines())) <= 80


# ---- records of schema 1 -------------------------------------------------------------------------


def test_the_sentence_of_one_backend_in_a_record_of_schema_1_is_made_again() -> None:
    """Point 16c: it said "answers 100.0%", the median of rounds."""
    old = old_run(rounds_with(0, 0, 0, 0, 182), [])
    settings = msgspec.structs.replace(old.settings, backends=["thread-per-request"])
    old = msgspec.structs.replace(
        old, settings=settings, comparisons=[], cells=old.cells[:1],
        finding="At 2,000 RPS thread-per-request answers 100.0%.",
    )  # fmt: skip
    assert "99.6 % of 50,000 requests (timeout 182)" in (upgraded(old).finding or "")


# ---- charts and reports of searches --------------------------------------------------------------


def searched_run() -> Run:
    """Five trials of a capacity search at one rate: two answer quickly at p99, three nowhere."""
    quick, slow = client_of([L.OK] * 100), client_of([L.OK] * 90 + [L.TIMEOUT] * 10)
    trials = rounds_of([quick, quick, slow, slow, slow])
    run = make_run(trials, backends=["thread-per-request"])
    conditions = parse_slo("p99<=100ms")
    found = build_capacity(run.settings, trials, "p99<=100ms", conditions)
    return msgspec.structs.replace(run, capacity=found)


def test_the_line_of_a_capacity_chart_counts_trials_that_did_not_answer() -> None:
    with style.styled():
        panel = capacity.draw_capacity(searched_run()).axes[1]
    lines = [line for line in panel.lines if line.get_linestyle() != "None"]
    drawn = [np.asarray(line.get_ydata()) for line in lines if line.get_linewidth() == 1.6]
    assert drawn
    assert all(np.isnan(heights).all() for heights in drawn)


def test_a_pair_of_a_crossover_says_not_answered() -> None:
    answers, failed = client_of([L.OK] * 100), client_of([L.OK] * 90 + [L.TIMEOUT] * 10)
    trials = [
        msgspec.structs.replace(t, workload="io:10ms") for t in rounds_of([answers], [failed])
    ]
    run = make_run(trials)
    found = build_crossover(run.settings, trials, "io", 0.001, 0.1)
    page = to_markdown(search_report(msgspec.structs.replace(run, crossover=found), ""))
    row = next(line for line in page.splitlines() if "90.0 %" in line and "10" in line)
    assert "not answered" in row


def test_the_title_of_the_success_chart_tells_twins_apart() -> None:
    run = make_run(twins(fine(5), dead(5)), backends=["thread-pool"] * 2)
    with style.styled():
        title = style.words(level_charts.draw_success(run)).title
    assert "thread-pool #1 answers 100.0 %" in title
    assert "thread-pool #2 answers 0.0 %" in title


def test_the_parts_of_a_request_say_that_they_are_of_the_answered_alone() -> None:
    """Their quantiles are survivors': whoever failed has no parts."""
    run = make_run(rounds_of([client_of([L.OK] * 57 + [L.TIMEOUT] * 43)]),
                   backends=["thread-per-request"])  # fmt: skip
    rows = pd.DataFrame(
        {
            "slot": 0, "level": 2000.0, "round": 1, "lag_us": 1.0, "connect_us": 2.0,
            "response_us": 100.0, "outcome": ["ok"] * 57 + ["timeout"] * 43,
        }
    )  # fmt: skip
    section = waterfall_section(Source(run, rows, pd.DataFrame()))
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.caption.startswith("Answered requests alone")
    with style.styled():
        assert "answered requests alone" in style.words(waterfall.draw(run, rows, 2000.0)).subtitle
