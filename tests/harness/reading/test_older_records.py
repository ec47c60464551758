"""A record that is older than a metric has no figure of it, and nothing that reads it falls over.

"`cli/table.py` raises KeyError on records older than a metric", of the small things in "The house
rebuilt"; the charts, the ladder and the sentences did as well.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.core.record import Control, HeadlineControl, Run
from harness.report.build import build
from harness.report.charts import NAMES, figure
from harness.report.source import Source
from harness.session.experiment import Experiment
from harness.studies.compare.aa_control import control_sentences
from harness.studies.compare.summary import level_finding
from harness.terminal.table import print_run
from harness.views import style
from harness.views.formats import to_html, to_markdown

GONE = "server.something_that_was_called_otherwise"


def without_metrics(run: Run) -> Run:
    """The run as a lab left it that knew none of the metrics of today."""
    cells = [msgspec.structs.replace(cell, metrics={}) for cell in run.cells]
    return msgspec.structs.replace(run, cells=cells, comparisons=[])


def with_another_name(run: Run) -> Run:
    """The run as a lab left it that called everything otherwise, of a backend against itself."""
    comparisons = [
        msgspec.structs.replace(c, metric=GONE, contender=c.baseline) for c in run.comparisons
    ]
    headline = [HeadlineControl(metric=GONE, judged=20, false_alarms=1, ruled_out=0.1)]
    control = Control(backend="thread-pool", rps=2000.0, runs=20, headline=headline)
    run = without_metrics(run)
    return msgspec.structs.replace(run, comparisons=comparisons, control=control)


@pytest.fixture(params=[without_metrics, with_another_name])
def older(request: pytest.FixtureRequest, source: Source) -> Source:
    """The real run, as an older lab would have left it."""
    change: Callable[[Run], Run] = request.param
    return Source(change(source.run), source.requests, source.timeline)


def test_the_table_shows_what_there_is(older: Source) -> None:
    out = StringIO()
    print_run(Console(file=out, width=80, color_system=None), older.run, Path("results/old"))
    assert "Context switches/s" in out.getvalue()
    assert "10 trials: 10 sound" in out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_is_drawn(older: Source, name: str) -> None:
    drawn = figure(name, older.run, older.requests, older.timeline)
    assert style.words(drawn).title


def test_the_report_and_the_lab_show_what_there_is(older: Source) -> None:
    report = build(older)
    assert "thread-pool" in to_html(report)
    assert "thread-pool" in to_markdown(report)
    assert "thread-pool" in Experiment(older, Path("results/old"))._repr_html_()


def test_the_sentences_say_what_there_is(older: Source) -> None:
    run = older.run
    assert level_finding(run, 2000.0).startswith("At 2,000 RPS")
    assert GONE not in " ".join(control_sentences(run))
