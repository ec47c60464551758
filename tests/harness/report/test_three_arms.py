"""Three arms, two of them of one backend: each contender against the baseline, told apart."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.report.build import build
from harness.report.charts import NAMES, figure
from harness.report.source import Source
from harness.session.experiment import Experiment
from harness.studies.compare import waterfall
from harness.terminal.live import outcome_words
from harness.terminal.plot import print_plot
from harness.terminal.table import print_run
from harness.views import style
from harness.views.formats import to_markdown
from harness.views.model import Table

CONTENDERS = ["thread-pool #2", "thread-pool #3"]
UNNUMBERED = re.compile(r"thread-pool(?! #)")


def test_the_report_has_a_table_for_each_contender_and_a_sentence_below_a_short_head(
    three: Source,
) -> None:
    report = build(three)
    head, *sentences = report.finding
    assert head == "At 2,000 RPS: thread-pool #2 and thread-pool #3 against thread-per-request"
    assert [s.split(" takes ")[0] for s in sentences[:2]] == [
        f"At 2,000 RPS {c}" for c in CONTENDERS
    ]
    each = sum(trial.client.scheduled for trial in three.run.trials if trial.slot == 0)
    assert sentences[2].endswith(f"and thread-pool #3 each answer all {each:,} requests.")
    (comparison,) = (s for s in report.sections if s.id == "comparison")
    tables = [block for block in comparison.blocks if isinstance(block, Table)]
    assert [t.caption.split(" against ")[0] for t in tables] == CONTENDERS
    for table, contender in zip(tables, CONTENDERS, strict=True):
        heads = [column.title for column in table.columns]
        assert heads == ["Figure", "thread-per-request", contender, "Ratio"]
        assert {len(row) for row in table.rows} == {4}
    cpu = [row for table in tables for row in table.rows if row[0].text == "CPU per request"]
    path = "server.cpu_us_per_request.total"
    found = {c.slot: c.ratio or 0.0 for c in three.run.comparisons if c.metric == path}
    assert found[2] == pytest.approx(2 * found[1])
    assert [row[3].text for row in cpu] == [f"{found[slot]:.2f}×" for slot in (1, 2)]


def test_nothing_in_the_report_leaves_open_which_of_the_two_is_meant(three: Source) -> None:
    text = to_markdown(build(three))
    told = text.partition("## Environment")[0]  # settings name backends and nothing else
    assert not UNNUMBERED.search(told), UNNUMBERED.search(told)


@pytest.mark.parametrize("name", [*NAMES, "waterfall"])
def test_every_chart_tells_the_arms_apart(three: Source, tmp_path: Path, name: str) -> None:
    with style.styled():
        if name == "waterfall":
            drawn = waterfall.draw(three.run, three.requests, 2000.0)
        else:
            drawn = figure(name, three.run, three.requests, three.timeline)
        assert not UNNUMBERED.search(style.words(drawn).title)
        _, svg = style.save(drawn, tmp_path, name)
    text = " ".join(" ".join(ElementTree.parse(svg).getroot().itertext()).split())
    assert all(contender in text for contender in CONTENDERS)
    assert not UNNUMBERED.search(text)


def test_a_terminal_of_80_columns_has_a_table_and_a_line_for_each_contender(three: Source) -> None:
    out = StringIO()
    print_run(Console(file=out, width=80, color_system=None), three.run, Path("results/x"))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.count("│CPU per request") == 2
    for contender in CONTENDERS:
        assert f"\nAt 2,000 RPS {contender} takes " in text
    assert not UNNUMBERED.search(re.sub(r"thread-pool ┃|thread-pool\s+#", "", text))


def test_the_plot_shows_every_arm_where_lines_meet(three: Source) -> None:
    out = StringIO()
    print_plot(Console(file=out, width=80, color_system=None), three.run, three.requests)
    drawing = [line.split("│")[1] for line in out.getvalue().splitlines() if "│" in line]
    assert {"o", "x", "+"} <= set("".join(drawing))  # the two pools answered in the same time


def test_a_trial_that_has_ended_is_one_of_its_arm(three: Source) -> None:
    trial = three.run.trials[-1]
    assert outcome_words(trial, CONTENDERS[1]).startswith("thread-pool #3, 2,000 RPS, round")


def test_the_lab_has_columns_for_each_contender(three: Source, tmp_path: Path) -> None:
    run = Experiment(three, tmp_path)
    table = run.table()
    assert list(table.columns) == [
        "thread-per-request", *CONTENDERS, "ratio", "low", "high", "verdict",
        *(f"{name}, thread-pool #3" for name in ("ratio", "low", "high", "verdict")),
    ]  # fmt: skip
    row = table.loc["CPU per request, µs"]
    assert row["ratio, thread-pool #3"] == pytest.approx(2 * row["ratio"])
    assert set(run.steps()["median_us"].columns) == {"thread-per-request", *CONTENDERS}
    assert list(run.figure("client.response_us.p50").index) == ["thread-per-request", *CONTENDERS]
