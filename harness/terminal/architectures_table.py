"""All architectures in a table of 80 columns: a row for each figure, a column for each backend."""

from __future__ import annotations

import textwrap
from pathlib import Path

from rich.table import Table

from harness.core.units import rate
from harness.studies.architectures.overview import IDLE, PEAK_RPS, SLOW, Overview, figure_words
from harness.terminal.output import Console

_NAME_WIDTH = 12


def print_overview(console: Console, overview: Overview, folder: Path) -> None:
    """The table, what it comes to, how each figure was measured, and where the rest is."""
    table = Table(
        title="All architectures", title_justify="left", title_style="bold", pad_edge=False
    )
    table.add_column("")
    for backend in overview.backends:
        lines = textwrap.wrap(backend, _NAME_WIDTH)
        table.add_column("\n".join(lines), justify="right", no_wrap=True)
    for row in overview.rows:
        table.add_row(row.title, *(figure_words(row, figure) for figure in row.figures))
    console.print(table)
    console.print(overview.finding, style="bold", highlight=False)
    console.print()
    console.print(
        f"At saturation: good answers a second to 100 clients that send as soon as they are "
        f"answered (a closed loop that would send {rate(PEAK_RPS)}); >= where the generator was "
        f"the limit. Idle: {IDLE:,} connections that stay (--connections keep-alive). Slow: {SLOW} "
        "clients of a byte a second. Medians over trials, without intervals: compare two of them "
        "with labrun compare before you rely on a difference.",
        highlight=False,
    )
    if not overview.complete:
        console.print(f"This is PARTIAL: {overview.incomplete_reason}.", highlight=False)
    console.print(
        f"Overview, chart and a folder for each load: {folder}", highlight=False, soft_wrap=True
    )
