"""What a terminal shows: the plot of a run, and the last second of a trial."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.core.metrics import shown
from harness.core.record import Run
from harness.drivers import request_log as L
from harness.report.build import build
from harness.report.source import Source
from harness.studies.compare.summary import level_finding
from harness.terminal.live import look, trend
from harness.terminal.plot import print_plot
from harness.terminal.table import print_run, ratio_text
from harness.views.style import against, subtitle
from tests.support.blocks import IN_BLOCKS, trials_of
from tests.support.made import make_run
from tests.support.sources import long_named_arms, with_settings


def plotted(source: Source) -> str:
    out = StringIO()
    print_plot(Console(file=out, width=80, color_system=None), source.run, source.requests)
    return out.getvalue()


def test_the_plot_fits_into_80_columns_and_names_every_backend(source: Source) -> None:
    text = plotted(source)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "o thread-per-request" in text
    assert "x thread-pool" in text
    assert "p99.9" in text
    drawing = [line.split("│")[1] for line in lines if "│" in line]
    assert {"o", "x"} <= set("".join(drawing))
    # Times rise with the percentile, so the marks go up from left to right.
    for mark in "ox":
        heights = [row for column in zip(*(d.ljust(64) for d in drawing), strict=True)
                   for row, found in enumerate(column) if found == mark]  # fmt: skip
        assert heights == sorted(heights, reverse=True)


def printed(run: Run) -> str:
    out = StringIO()
    print_run(Console(file=out, width=80, color_system=None), run, Path("folder"))
    return out.getvalue()


def test_long_names_of_arms_leave_ratio_and_verdict_whole(source: Source) -> None:
    run = long_named_arms(source).run
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    of_table = [
        c for c in run.comparisons if c.metric in {m.path for _, m in shown("table", "trials")}
    ]
    assert len(of_table) >= 10
    for comparison in of_table:
        assert f"│ {ratio_text(comparison).plain}" in text
    name = run.settings.arms[1].name
    heads = [line.split("┃")[3] for line in text.splitlines() if line.startswith("┃")]
    assert "".join("".join(heads).split()) == name.replace(" ", "")


def test_what_was_chosen_otherwise_stands_in_every_heading(source: Source) -> None:
    """Tables of 16 and of 32 workers looked alike."""
    run = with_settings(source.run, source.run.trials, workers=32, timeout_s=0.25)
    report = build(replace(source, run=run))
    told = [printed(run).split("┏")[0], level_finding(run, run.settings.rps[0]), report.facts,
            report.finding[0], subtitle(run)]  # fmt: skip
    for text in told:
        words = " ".join(text.split())
        assert "timeout 0.25 s" in words
        assert "32 workers" in words
    usual = build(source)
    for text in (printed(source.run), usual.facts, usual.finding[0], subtitle(source.run)):
        assert "workers" not in text.split("Warning")[0]


def test_intervals_at_each_look_are_called_what_they_are(source: Source) -> None:
    asked = make_run(trials_of(), **IN_BLOCKS, precision={"cpu": 0.02})
    usual = make_run(trials_of(), **IN_BLOCKS)
    assert "with a 99 % interval at each look, so 95 % over all" in " ".join(printed(asked).split())
    assert "ratio (99 % CI)" in printed(asked)
    assert "at each look" not in printed(usual)
    assert "ratio (95 % CI)" in printed(usual)
    for run, level in ((asked, "99 %"), (usual, "95 %")):
        cpu = against(run, run.settings.rps[0], ["server.cpu_us_per_request.total"])
        assert f"{level} CI " in cpu
        facts = build(replace(source, run=run)).facts
        assert ("of ratios 99 % at each look" in facts) == (run is asked)


def test_a_run_without_success_says_so_instead(awkward: Source) -> None:
    any_ok = any(t.valid and t.client.outcomes.ok for t in awkward.run.trials)
    assert ("nothing to draw" in plotted(awkward)) != any_ok


def phase_of(ended_s: list[float], codes: list[int]) -> L.PhaseLog:
    log = L.RequestLog.create(len(codes))
    ended = [round(e * 1e9) if e >= 0 else L.NOT_YET for e in ended_s]
    intended = [max(0, e - 2_000_000) for e in ended]
    for column, values in ((L.ENDED, ended), (L.INTENDED, intended), (L.CODE, codes)):
        np.frombuffer(log.column(column), dtype=np.int64)[:] = values
    log.header[L.CURSOR] = len(codes)
    return L.PhaseLog([log])


def test_the_live_view_looks_at_the_last_second_alone() -> None:
    ok, timeout = L.OK + L.DETAIL * 202, L.TIMEOUT
    now = look(phase_of([0.5, 2.2, 2.5, 3.0, -1], [timeout, ok, timeout, ok, 0]), rps=1000)
    assert now is not None
    assert now.ok_per_s == 2.0
    assert now.success == pytest.approx(2 / 3)
    assert now.p99_words() == "not answered"  # one of three timed out, and is slower than both
    now = look(phase_of([0.5, 2.2, 2.5, 3.0, -1], [timeout, ok, ok, ok, 0]), rps=1000)
    assert now is not None
    assert now.p99_us == pytest.approx(2000.0)


def test_the_live_view_says_when_nothing_has_ended_or_nothing_is_ok() -> None:
    assert look(phase_of([-1, -1], [0, 0]), rps=1000) is None
    now = look(phase_of([0.5, 0.6], [L.REFUSED, L.REFUSED]), rps=1000)
    assert now is not None
    assert (now.ok_per_s, now.success, now.p99_us) == (0.0, 0.0, None)


def test_a_trend_rises_and_falls_with_its_values() -> None:
    assert trend([0.0, 50.0, 100.0]) == "▁▅█"
    assert trend([1.0, 0.5], top=1.0) == "█▅"
    assert trend([0.0, 0.0]) == "▁▁"
