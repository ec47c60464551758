"""`labrun compare --all`: what is made of the runs of its loads."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Run, Trial
from harness.studies.architectures.chart import draw_overview
from harness.studies.architectures.overview import (
    FIGURES,
    Figure,
    LoadName,
    Overview,
    figure_of,
    figure_words,
    finding,
    rows_of,
)
from harness.terminal.architectures_table import print_overview
from harness.views import style
from tests.support.labrun import Labrun
from tests.support.made import make_run, make_trial

NAMES = ["thread-per-request", "thread-pool", "event-loop"]


def changed(trial: Trial, **client: Any) -> Trial:
    return msgspec.structs.replace(trial, client=msgspec.structs.replace(trial.client, **client))


def run_with(*trials: Trial) -> Run:
    return msgspec.structs.replace(make_run([make_trial(0, 1)]), trials=list(trials))


def overview(runs: dict[LoadName, Run], reason: str | None = None) -> Overview:
    rows = rows_of(runs, NAMES, 2000.0)
    return Overview(
        schema=1, created="2026-11-28T00:00:00+00:00", command="labrun compare --all",
        complete=reason is None, backends=NAMES, rps=2000.0, rows=rows, runs={},
        finding=finding(rows, NAMES), incomplete_reason=reason,
    )  # fmt: skip


def peak(*rates: float, limited: int | None = None) -> Run:
    trials = [changed(make_trial(slot, 1), achieved_rps=rps) for slot, rps in enumerate(rates)]
    if limited is not None:
        trials[limited] = msgspec.structs.replace(
            trials[limited], valid=False, class_="generator-limited", invalid_reason="late"
        )
    return run_with(*trials)


def slow(*shares: float) -> Run:
    return run_with(
        *(changed(make_trial(slot, 1), success_rate=share) for slot, share in enumerate(shares))
    )


def test_the_finding_ranks_nobody_and_says_who_stands_by_good_clients() -> None:
    rows = rows_of({"peak": peak(9000, 11000, 12000), "slow": slow(1.0, 0.25, 1.0)}, NAMES, 2000)
    assert finding(rows, NAMES) == (
        "Answers a second at saturation: thread-per-request 9,000, thread-pool 11,000 and "
        "event-loop 12,000. Beside 50 slow clients thread-per-request and event-loop answer "
        "100.0 % and thread-pool answers 25.0 % of good requests."
    )


def test_a_lower_bound_is_no_winner() -> None:
    rows = rows_of({"peak": peak(9000, 11000, 12000, limited=2)}, NAMES, 2000)
    assert finding(rows, NAMES) == (
        "Answers a second at saturation: thread-per-request 9,000, thread-pool 11,000 and "
        "event-loop at least 12,000."
    )
    assert rows[0].figures[2] == Figure(12000, at_least=True)
    assert figure_words(rows[0], rows[0].figures[2]) == ">= 12,000"


def test_a_figure_has_the_range_of_its_trials_unless_it_ends_among_the_failures() -> None:
    two = [changed(make_trial(0, n), achieved_rps=rps) for n, rps in enumerate((9000, 8000), 1)]
    answers, p99 = FIGURES[0], next(w for w in FIGURES if w.path == "client.response_us.p99")
    found = figure_of(run_with(*two), 0, answers)
    assert found == Figure(8500, lowest=8000, highest=9000)
    two[0] = changed(two[0], beyond=["p99"])
    assert figure_of(run_with(*two), 0, p99).beyond
    three = [*two, changed(make_trial(0, 3)), changed(make_trial(0, 4))]
    assert figure_of(run_with(*three), 0, p99).highest is None


def test_a_generator_that_was_late_has_no_times_and_yet_memory() -> None:
    late = msgspec.structs.replace(
        make_trial(0, 1), valid=False, class_="generator-limited", invalid_reason="late"
    )
    by_path = {(w.load, w.path): w for w in FIGURES}
    p50 = by_path["rate", "client.response_us.p50"]
    memory = by_path["idle", "server.memory.rss_mean_bytes"]
    assert figure_of(run_with(late), 0, p50) == Figure(None)
    assert figure_of(run_with(late), 0, memory).value is not None


def test_what_was_not_run_or_not_answered_is_said_and_drawn(tmp_path: Path) -> None:
    failed = changed(make_trial(1, 1), beyond=["p50", "p99"])
    found = overview({"rate": run_with(make_trial(0, 1), failed)}, "interrupted")
    row = next(row for row in found.rows if row.metric == "client.response_us.p99")
    assert [figure_words(row, figure) for figure in row.figures][1:] == ["not answered", "-"]
    with style.styled():
        drawn = draw_overview(found)
        assert style.words(drawn).subtitle.startswith("PARTIAL: interrupted.")
        assert len(style.save(drawn, tmp_path, "all")) == 2


def test_the_table_is_readable_at_80_columns() -> None:
    text = StringIO()
    found = overview({"peak": peak(9000, 11000, 12000), "slow": slow(1.0, 0.0, 1.0)})
    print_overview(Console(file=text, width=80), found, Path("results/all"))  # type: ignore[arg-type]
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for wanted in FIGURES:
        assert wanted.title.format("2,000 RPS") in text.getvalue()
    assert "…" not in text.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backends", "thread-pool"], ["--all chooses --backends itself", "leave it out"]),
        (["--sweep", "--slow-clients", "3"], ["--slow-clients and --sweep", "leave them out"]),
        (["--connections", "keep-alive"], ["--connections"]),
        (["--rounds", "3", "--driver", "locust"], ["--rounds and --driver"]),
        (["--arm", "a=thread-pool"], ["--arm"]),
        (["--rps", "1,2"], ["one rate"]),
        (["--rps", "0"], ["--rps", "no rate"]),
    ],
)
def test_what_it_chooses_itself_is_refused(
    labrun: Labrun, arguments: list[str], words: list[str]
) -> None:
    done = labrun("compare", "--all", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr
