"""The report of a run: one page that works offline, and the same as Markdown. Never measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store import cannot_write, write_whole

if TYPE_CHECKING:
    from harness.report.source import Source

HTML_FILE, MARKDOWN_FILE = "report.html", "report.md"


def write_report(
    source: Source, folder: Path, tell: Callable[[str], None] = lambda sentence: None
) -> list[Path]:
    """`report.html` and `report.md` of a run into `folder`; their paths. `tell` hears of charts
    that could not be drawn: the report says so in their place.

    Equal sources give equal bytes. Raises `LabError` when the folder cannot be written.
    """
    from harness.report.build import build
    from harness.views.formats import to_html, to_markdown

    report = build(source)
    for chart in report.missing():
        tell(f"the chart {chart.name} of the report is missing: {chart.subtitle}")
    paths = []
    for name, text in ((HTML_FILE, to_html(report)), (MARKDOWN_FILE, to_markdown(report))):
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_whole(path, text.encode("utf-8"))
        paths.append(path)
    return paths
