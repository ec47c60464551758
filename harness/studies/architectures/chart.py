"""The chart of all architectures: a panel for each figure, a bar for each backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure as Drawing

from harness.studies.architectures.overview import DRAWN, Overview, Row, figure_words
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "architectures"
_COLUMNS = 2
_ROOM = 1.38  # of the longest bar, for the figure behind it


def draw_overview(overview: Overview) -> Drawing:
    """Bars as long as the figures, each with its figure behind it; `not answered` has none."""
    drawn = {(wanted.stage, wanted.path) for wanted in DRAWN}
    rows = [row for row in overview.rows if (row.stage, row.metric) in drawn]
    lines = -(-len(rows) // _COLUMNS)
    height = 0.9 + lines * (0.55 + 0.24 * len(overview.backends))
    figure = style.new_figure(8.0, height)
    for number, row in enumerate(rows, 1):
        _panel(figure.add_subplot(lines, _COLUMNS, number), row, overview, number)
    better = {(w.stage, w.path): "less" if w.lower else "more" for w in DRAWN}
    partial = "" if overview.complete else f"PARTIAL: {overview.incomplete_reason}. "
    more = [row.title for row in rows if better[(row.stage, row.metric)] == "more"]
    style.head(
        figure,
        overview.finding,
        f"{partial}Medians over trials. Longer is better for {' and '.join(more)}, shorter for the "
        "others. At saturation: 100 clients that send again as soon as they are answered",
    )
    return figure


def _panel(axes: Axes, row: Row, overview: Overview, number: int) -> None:
    known = [figure.value for figure in row.figures if figure.value is not None]
    longest = max(known, default=0.0) or 1.0
    colours = style.colours_of(overview.backends)
    for place, (figure, colour) in enumerate(zip(row.figures, colours, strict=True)):
        value = figure.value or 0.0
        axes.barh(place, value, color=colour, height=0.68)
        axes.text(value + 0.02 * longest, place, figure_words(row, figure), va="center",
                  fontsize=8.5, color=style.INK)  # fmt: skip
    axes.set_xlim(0, longest * _ROOM)
    axes.set_ylim(len(row.figures) - 0.5, -0.5)
    names = overview.backends if number % _COLUMNS else [""] * len(overview.backends)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(row.title, loc="left")
