"""Names from a stranger's record are shown as they are (part of point 28)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest

from harness.report.build import build
from harness.report.charts import figure
from harness.report.source import Source
from harness.studies.regress.exports import run_text
from harness.views import style
from harness.views.formats import to_markdown

NAMES = ["=1+1", r"$\frac{b$"]


@pytest.fixture
def hostile(source: Source) -> Source:
    """The run, with names that mean something to a spreadsheet, to Matplotlib and to a browser."""
    trials = [msgspec.structs.replace(t, backend=NAMES[t.slot]) for t in source.run.trials]
    cells = [msgspec.structs.replace(c, backend=NAMES[c.slot]) for c in source.run.cells]
    found = [
        msgspec.structs.replace(c, baseline=NAMES[0], contender=NAMES[1])
        for c in source.run.comparisons
    ]
    settings = msgspec.structs.replace(source.run.settings, backends=NAMES)
    run = msgspec.structs.replace(
        source.run, id="<script>alert(1)</script>", settings=settings, trials=trials, cells=cells,
        comparisons=found,
    )  # fmt: skip
    return Source(run, source.requests, source.timeline)


@pytest.mark.parametrize("name", ["distribution", "success", "cost", "storm"])
def test_a_dollar_sign_in_a_name_is_drawn_and_no_formula(
    hostile: Source, tmp_path: Path, name: str
) -> None:
    drawn = figure(name, hostile.run, hostile.requests, hostile.timeline)
    with style.styled():
        _, svg = style.save(drawn, tmp_path, name)
    text = svg.read_text("utf-8")
    assert r"$\frac{b$" in text
    assert "mathdefault" not in text


def test_a_script_in_a_title_is_no_script_in_markdown(hostile: Source) -> None:
    prose = to_markdown(build(hostile)).split("```")[::2]  # what is fenced is shown as it is
    assert not any("<script" in part for part in prose)


def test_no_cell_of_a_csv_is_a_formula(hostile: Source) -> None:
    rows = list(csv.reader(io.StringIO(run_text(hostile.run, "csv"))))
    assert any("'=1+1" in row for row in rows)
    assert not any(cell.startswith("=") for row in rows for cell in row)
