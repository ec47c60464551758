"""A crossover search as a map: who is better where, the line of change, and the prediction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from harness.core.options import unusual
from harness.core.record import Crossover, CrossoverPoint, Run
from harness.studies.crossover.estimate import CANNOT_TELL, EVEN
from harness.studies.search_sentences import crossover_finding
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {
    "io": "handler waits (log scale)",
    "cpu": "handler computes (log scale)",
    "workers": "workers of the pool (log scale)",
}


def draw(run: Run) -> Figure:
    """Each pair of trials as a mark at its load and value; the line of change with its interval;
    the line of Little's law over it."""
    crossover = run.crossover
    if crossover is None or not crossover.cells:
        return style.nothing_to_draw(run, "no pair of trials was finished")
    figure = style.new_figure(8.0, 6.2)
    axes = figure.add_subplot()
    _cells(axes, run, crossover)
    _prediction(axes, crossover)
    _line(axes, crossover)
    _scales(axes, crossover)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8.5)
    valid = sum(cell.better != CANNOT_TELL for cell in crossover.cells)
    settings = run.settings
    rests = " · ".join([
        f"{len(crossover.cells)} pairs of trials of {settings.duration_s:g} s, {valid} valid",
        f"{settings.arrivals} arrivals",
        *unusual(settings, ("arrivals",)),
    ])  # fmt: skip
    partial = "" if run.complete else " · PARTIAL run"
    style.head(
        figure,
        crossover_finding(crossover, run.settings),
        f"{rests}{partial}. {crossover.rule[0].upper()}{crossover.rule[1:]}",
    )
    return figure


def _cells(axes: Axes, run: Run, crossover: Crossover) -> None:
    """One kind of mark for each answer; a pair at the same place is moved aside a little."""
    for look in style.looks(run):
        _marks(axes, crossover, look.label, look.marker, look.colour, f"{look.label} is better")
    _marks(axes, crossover, EVEN, "D", "#FFFFFF", "even")
    _marks(axes, crossover, CANNOT_TELL, "x", style.INVALID, "cannot tell (a trial was invalid)")


def _marks(
    axes: Axes, crossover: Crossover, better: str, marker: str, colour: str, label: str
) -> None:
    found = [cell for cell in crossover.cells if cell.better == better]
    if not found:
        return
    x = [cell.rps * 1.012 ** ((cell.round % 5) - 2) for cell in found]
    y = [cell.value for cell in found]
    if marker == "x":
        axes.plot(x, y, linestyle="none", marker=marker, color=colour, markersize=7, label=label)
    else:
        axes.plot(x, y, linestyle="none", marker=marker, color=colour, markersize=7, alpha=0.85,
                  markeredgecolor=style.INK, markeredgewidth=0.6, label=label)  # fmt: skip


def _prediction(axes: Axes, crossover: Crossover) -> None:
    """A straight line on log scales, drawn a little beyond the loads that were tried."""
    points = sorted(crossover.line, key=lambda point: point.rps)
    first, last = points[0], points[-1]
    slope = 1.0 if crossover.vary == "workers" else -1.0
    x = [first.rps / 1.2, last.rps * 1.2]
    y = [first.predicted * 1.2**-slope, last.predicted * 1.2**slope]
    axes.plot(x, y, color="#555555", linestyle=":", linewidth=1.6, label=crossover.prediction)


def _line(axes: Axes, crossover: Crossover) -> None:
    known = sorted(
        (p for p in crossover.line if p.bound == "interval"), key=lambda point: point.rps
    )
    x = [point.rps for point in known]
    low = [point.low or math.nan for point in known]
    high = [point.high or math.nan for point in known]
    middle = [point.value or math.nan for point in known]
    label = "places change here (95 % interval)"
    axes.plot(x, middle, color=style.INK, linewidth=1.6, marker="_", markersize=9, label=label)
    if len(known) > 1:
        axes.fill_between(x, low, high, color=style.INK, alpha=0.12, linewidth=0)
    for place, bottom, top in zip(x, low, high, strict=True):
        axes.plot([place, place], [bottom, top], color=style.INK, linewidth=2.5, alpha=0.6)
    for point in crossover.line:
        _bound(axes, point)


def _bound(axes: Axes, point: CrossoverPoint) -> None:
    """An arrow from the bound into where the change must be."""
    if point.bound not in ("at-least", "at-most"):
        return
    up = point.bound == "at-least"
    start = point.low if up else point.high
    assert start is not None
    end = start * (1.6 if up else 1 / 1.6)
    axes.annotate("", xy=(point.rps, end), xytext=(point.rps, start),
                  arrowprops={"arrowstyle": "->", "color": style.INK, "lw": 1.6})  # fmt: skip


def _scales(axes: Axes, crossover: Crossover) -> None:
    loads = sorted({point.rps for point in crossover.line})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(loads[0] / 1.3, loads[-1] * 1.3)
    axes.set_xticks(loads, [style.level_label(rps) for rps in loads])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("offered load (requests/s, log scale)")
    heights = [cell.value for cell in crossover.cells]
    heights += [
        value
        for point in crossover.line
        for value in (point.predicted, point.low, point.high)
        if value is not None
    ]
    bottom, top = min(heights) / 1.8, max(heights) * 1.8  # room for the arrow of a bound
    axes.set_ylim(bottom, top)
    decades = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    axes.set_yticks([tick for tick in ticks if bottom <= tick <= top])
    axes.set_ylabel(_LABELS[crossover.vary])
    if crossover.vary == "workers":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: style.microseconds_axis(float(f"{value * 1e6:.3g}")))
        )
    axes.yaxis.set_minor_formatter(NullFormatter())
