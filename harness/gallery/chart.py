"""One metric's ratios over machines, languages, interpreters and kernels, with their intervals."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.core.metrics import BY_PATH
from harness.gallery.record import Ratio
from harness.gallery.summary import Pair, Row, finding, variety
from harness.views import style

_ROW_INCHES, _ROOM_INCHES = 0.7, 0.9


def draw(pair: Pair, metric: str) -> Figure:
    """A row for each run that has the metric; the title says what they say together."""
    rows = [row for row in pair.rows if metric in row.ratios]
    figure = style.new_figure(5.0, _ROOM_INCHES + _ROW_INCHES * max(1, len(rows)))
    axes = figure.add_subplot()
    axes.axvline(1.0, color=style.INK, linewidth=0.8)
    ends = [1.0]
    for place, row in enumerate(rows):
        found = row.ratios[metric]
        colour = style.LIGHT if row.language == "C++" else style.DARK
        marker = "s" if row.language == "C++" else "o"
        if found.ratio is None:
            axes.text(1.0, place, " " + _unknown(found), va="center", color=style.INK)
            continue
        axes.plot(found.ratio, place, marker=marker, color=colour, markersize=6)
        ends.append(found.ratio)
        if found.ci_low is not None and found.ci_high is not None:
            axes.hlines(place, found.ci_low, found.ci_high, color=colour, linewidth=2.5)
            ends += [found.ci_low, min(found.ci_high, 3 * max(found.ratio, 1.0))]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 0.1
    axes.set_xlim(max(0.0, low - room), high + room)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}×"))
    axes.set_xlabel(f"{BY_PATH[metric].title}, ratio to {pair.baseline}")
    axes.grid(axis="x", color=style.FAINT)
    style.head(figure, finding(pair, metric), _subtitle(rows, pair))
    style.settle(figure)
    return figure


def _label(row: Row) -> str:
    machine = row.entry.machine
    return (
        f"{row.language}\n{machine.cpu_count} x {(machine.cpu_model or 'CPU')[:24]}\n"
        f"{machine.kernel[:28]}"
    )


def _unknown(found: Ratio) -> str:
    return "one side did not answer" if found.beyond else "no ratio"


def _subtitle(rows: list[Row], pair: Pair) -> str:
    shares = sorted({row.entry.confidence for row in rows})
    intervals = " and ".join(f"{100 * share:g} %" for share in shares)
    return f"{variety(pair)}. Lines: {intervals} intervals; squares: C++"
