"""The chart of all architectures: a panel for each figure, a bar for each backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure as Drawing

from harness.studies.architectures.overview import DRAWN, Figure, Overview, Row, figure_words
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "architectures"
_COLUMNS = 2
_ROOM = 1.38  # of the longest bar, for the figure behind it


def draw_overview(overview: Overview) -> Drawing:
    """Bars as long as the figures, each with its trials' range and its figure behind it; what was
    `not answered` has none."""
    drawn = {(wanted.load, wanted.path) for wanted in DRAWN}
    rows = [row for row in overview.rows if (row.load, row.metric) in drawn]
    lines = -(-len(rows) // _COLUMNS)
    height = 0.9 + lines * (0.55 + 0.24 * len(overview.backends))
    figure = style.new_figure(8.0, height)
    for number, row in enumerate(rows, 1):
        _panel(figure.add_subplot(lines, _COLUMNS, number), row, overview, number)
    better = {(w.load, w.path): "less" if w.lower else "more" for w in DRAWN}
    partial = "" if overview.complete else f"PARTIAL: {overview.incomplete_reason}. "
    more = [row.title for row in rows if better[(row.load, row.metric)] == "more"]
    style.head(
        figure,
        overview.finding,
        f"{partial}Medians over trials, thin lines from the lowest trial to the highest. Longer is "
        f"better for {' and '.join(more)}, shorter for the others. At saturation: 100 clients that "
        "send again as soon as they are answered",
    )
    return figure


def _panel(axes: Axes, row: Row, overview: Overview, number: int) -> None:
    longest = max(map(_end, row.figures), default=0.0) or 1.0
    colours = style.colours_of(overview.backends)
    for place, (figure, colour) in enumerate(zip(row.figures, colours, strict=True)):
        axes.barh(place, figure.value or 0.0, color=colour, height=0.68)
        if figure.lowest is not None and figure.highest is not None:
            axes.plot([figure.lowest, figure.highest], [place] * 2, color=style.INK, linewidth=1.2)
        axes.text(_end(figure) + 0.02 * longest, place, figure_words(row, figure), va="center",
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


def _end(figure: Figure) -> float:
    """Where what is drawn of it ends."""
    return figure.highest or figure.value or 0.0
