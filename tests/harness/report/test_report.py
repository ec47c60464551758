"""What a report says, of sound runs and of awkward ones."""

from __future__ import annotations

import re
from pathlib import Path

import html5lib
import msgspec
import pytest

from harness.report import write_report
from harness.report.build import build
from harness.report.source import Source
from harness.views.formats import block_text, to_html, to_markdown
from harness.views.model import Missing, Report, Section, Table

SECTIONS = (
    "comparison", "ladder", "anatomy", "storm", "latency", "waterfall", "capacity", "claims",
    "trust", "environment", "repeat",
)  # fmt: skip


@pytest.fixture(scope="module")
def report(source: Source) -> Report:
    """That of the README's run."""
    return build(source)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    """The same as HTML."""
    return to_html(report)


def section(report: Report, name: str) -> Section:
    (found,) = (s for s in report.sections if s.id == name)
    return found


def test_the_sections_come_in_order_and_the_finding_first(
    source: Source, report: Report, page: str
) -> None:
    assert tuple(s.id for s in report.sections) == SECTIONS
    assert source.run.finding is not None
    assert report.finding[0] in source.run.finding
    assert page.index("<h1>") < page.index("<h2")
    assert source.run.command in page


def test_the_page_is_valid_html(page: str) -> None:
    html5lib.HTMLParser(strict=True).parse(page)


def test_awkward_runs_give_valid_pages_that_say_what_is_odd(awkward: Source) -> None:
    report = build(awkward)
    page = to_html(report)
    html5lib.HTMLParser(strict=True).parse(page)
    assert to_markdown(report)
    assert "None" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).replace("None of", "")
    assert "nan" not in re.sub(r"<(style|script|svg).*?</\1>|[a-z]nan|nan[a-z]", "", page,
                               flags=re.DOTALL).lower().split()  # fmt: skip
    odd = (
        len(awkward.run.settings.backends) < 2
        or not awkward.run.complete
        or not any(t.valid and t.client.outcomes.ok for t in awkward.run.trials)
    )
    assert bool(report.warning) == odd


def test_equal_runs_give_equal_bytes(
    source: Source, report: Report, page: str, tmp_path: Path
) -> None:
    written = {path.name: path.read_text("utf-8") for path in write_report(source, tmp_path)}
    assert written == {"report.html": page, "report.md": to_markdown(report)}


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    for address in re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page):
        assert address.startswith(("#", "data:")), address
    assert "@import" not in page


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    for names in re.findall(r'aria-labelledby="([^"]+)"', page):
        referred |= set(names.split())
    assert referred <= set(ids)


def test_every_chart_has_words_of_its_own(page: str) -> None:
    charts = re.findall(r'<svg[^>]*role="img".*?</svg>', page, flags=re.DOTALL)
    assert len(charts) >= 4
    for chart in charts:
        assert re.search(r"<title[^>]*>.{20,}</title><desc[^>]*>.{20,}</desc>", chart)
        assert "<metadata" not in chart
        assert "<style" not in chart


def test_the_tables_follow_the_record(source: Source, report: Report) -> None:
    tables = [b for b in section(report, "comparison").blocks if isinstance(b, Table)]
    rows = {row[0].text: row for row in tables[0].rows}
    for cell, place in zip(source.run.cells, (1, 2), strict=True):
        median = cell.metrics["client.response_us.p50"].median
        assert rows["Response time, median"][place].sort == median
    (compared,) = (c for c in source.run.comparisons if c.metric == "server.efficiency")
    assert rows["Efficiency"][3].sort == compared.ratio


def test_what_was_not_measured_is_said_with_the_command(report: Report) -> None:
    (missing,) = (b for b in section(report, "latency").blocks if isinstance(b, Missing))
    assert "--driver closed-loop" in missing.command
    (missing,) = (b for b in section(report, "capacity").blocks if isinstance(b, Missing))
    assert missing.command == "labrun capacity"


def test_a_run_under_other_conditions_leaves_the_documents_claims_out(
    source: Source, report: Report
) -> None:
    """Neither the page nor the Markdown judges the document by 32 workers (point 16e)."""
    settings = msgspec.structs.replace(source.run.settings, workers=32)
    run = msgspec.structs.replace(source.run, settings=settings)
    other = build(Source(run, source.requests, source.timeline))
    assert tuple(s.id for s in other.sections) == tuple(s for s in SECTIONS if s != "claims")
    for text in (to_html(other), to_markdown(other)):
        assert "does not hold" not in text
        assert "352,000" not in text
    ladder = " ".join(block_text(block) for block in section(report, "ladder").blocks)
    assert "The document" in ladder
    found = section(other, "ladder")
    assert "document" not in found.title + " ".join(block_text(block) for block in found.blocks)


def test_an_absolute_cost_says_its_language_in_page_and_markdown(report: Report, page: str) -> None:
    """The document's code is C++, what was measured is Python with the GIL (point 21)."""
    for text in (page, to_markdown(report)):
        assert re.search(r"Measured in CPython 3\.\d+ with(out)? the GIL; the document(&#39;|')s "
                         r"figure is for C\+\+\.", text)  # fmt: skip


def test_markdown_says_the_same_as_the_page(report: Report) -> None:
    text = to_markdown(report)
    assert text.startswith(f"# {report.title}\n")
    for found in report.sections:
        assert f"## {found.title}" in text
        for block in found.blocks:
            if isinstance(block, Table):
                assert all(row[0].text in text for row in block.rows)


def test_what_a_run_is_called_cannot_break_out_of_the_page(source: Source) -> None:
    run = msgspec.structs.replace(source.run, id="<script>alert(1)</script>", command="a && <b>")
    page = to_html(build(Source(run, source.requests, source.timeline)))
    assert "<script>alert" not in page
    assert "a &amp;&amp; &lt;b&gt;" in page


@pytest.mark.parametrize("rounds", [5])
def test_the_closed_loop_of_the_run_itself_is_shown(source: Source, rounds: int) -> None:
    settings = msgspec.structs.replace(source.run.settings, driver="closed-loop", rounds=rounds)
    run = msgspec.structs.replace(source.run, settings=settings)
    page = to_html(build(Source(run, source.requests, source.timeline)))
    assert "omission-title" in page
