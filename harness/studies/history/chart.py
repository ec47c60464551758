"""Headline figures over the commits, with intervals, changes of machine, and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from harness.core.metrics import HEADLINES, MICROSECONDS, SHARE, Metric
from harness.core.wording import NOT_ANSWERED
from harness.studies.history.series import History, Point, Series, step_size, tell_steps
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TICKS = 14
_MOST_MARKERS = 150


def levels(history: History) -> list[float]:
    """The levels that there is something to draw of."""
    return list(dict.fromkeys(series.rps for series in history.series))


def draw(history: History, rps: float) -> Figure:
    """One level: a row a metric; left the figures themselves, right their ratios."""
    here = [series for series in history.series if series.rps == rps]
    metrics = [m for m in HEADLINES if any(s.metric is m for s in here)]
    ratios = any(s.reference for s in here)
    figure = style.new_figure(11.0, 1.4 + 1.75 * len(metrics))
    grid = figure.subplots(len(metrics), 2 if ratios else 1, squeeze=False, sharex=True)
    colours = _colours(history)
    for row, metric in enumerate(metrics):
        for column in range(2 if ratios else 1):
            axes: Axes = grid[row][column]
            chosen = [s for s in here if s.metric is metric and bool(s.reference) == bool(column)]
            for series in chosen:
                _series(axes, series, colours[series.backend])
            _limits(axes, chosen)
            _machines(axes, history)
            axes.set_title(metric.title + (" (ratio)" if column else ""), loc="left", fontsize=9)
            _scale(axes, metric, bool(column))
    _commits(grid, history)
    handles, labels = grid[0][0].get_legend_handles_labels()
    handles = [*handles, grid[0][0].plot([], [], color=style.INK, linestyle=":")[0]]
    labels = [*labels, "another machine"]
    if any(math.isinf(point.value) for series in here for point in series.points):
        handles.append(grid[0][0].plot([], [], color=style.INK, marker="^", linestyle="none")[0])
        labels.append(NOT_ANSWERED)
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    style.head(figure, _title(history, rps), _subtitle(history))
    style.settle(figure)
    return figure


def _colours(history: History) -> dict[str, tuple[str, Any]]:
    names = list(dict.fromkeys(series.backend for series in history.series))
    others = iter(cycle(style.OTHERS))
    lines: list[Any] = [(0, (5, 1.5)), "solid"]
    return {
        name: (style.KNOWN.get(name) or next(others), lines[i % 2]) for i, name in enumerate(names)
    }


def _series(axes: Axes, series: Series, look: tuple[str, Any]) -> None:
    colour, line = look
    x = [point.place for point in series.points]
    y = [point.value if math.isfinite(point.value) else math.nan for point in series.points]
    marker = "s" if line == "solid" else "o"
    if len(x) > _MOST_MARKERS:
        marker = ""
    axes.plot(x, y, color=colour, linestyle=line, marker=marker, markersize=3.5, linewidth=1.1,
              label=series.backend)  # fmt: skip
    beyond = [point.place for point in series.points if math.isinf(point.value)]
    edge = axes.get_xaxis_transform()  # a gap in the line, and a mark at the upper edge
    axes.plot(beyond, [0.97] * len(beyond), marker="^", color=colour, linestyle="none",
              markersize=5, transform=edge)  # fmt: skip
    known = [p for p in series.points if p.low is not None and math.isfinite(p.low)]
    places = [p.place for p in known]
    lows, highs = [p.low or 0.0 for p in known], [_drawable(p) for p in known]
    if len(known) > _MOST_MARKERS:  # bars would run together, and take seconds to draw
        axes.fill_between(places, lows, highs, color=colour, alpha=0.25, linewidth=0)
    elif known:
        axes.vlines(places, lows, highs, color=colour, alpha=0.35, linewidth=3)
    if series.reference:
        axes.axhline(1.0, color=style.INK, linewidth=0.8)
    for step in series.steps:
        place = series.points[step.index].place - 0.5
        axes.axvline(place, color=colour, linewidth=1.6)
        axes.annotate(
            f"{series.points[step.index].commit} {step_size(series, step)}", (place, 1),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            xytext=(3, -9 if math.isfinite(step.after) else -19),  # below the marks at the edge
            fontsize=7.5, color=style.INK,
        )  # fmt: skip


def _drawable(point: Point) -> float:
    """The upper end of an interval: one that is not answered leads out of the picture."""
    assert point.low is not None
    if point.high is not None and math.isfinite(point.high):
        return point.high
    return 1e3 * (point.low or 1.0)


def _limits(axes: Axes, chosen: Sequence[Series]) -> None:
    """All values and nine in ten intervals: a wild one must not flatten the rest."""
    points = [point for series in chosen for point in series.points]
    if not points:
        return
    ratio = chosen[0].reference is not None
    values = [p.value for p in points if math.isfinite(p.value)] + ([1.0] if ratio else [])
    highs = sorted(p.high for p in points if p.high is not None and math.isfinite(p.high)) or values
    lows = [p.low for p in points if p.low is not None and math.isfinite(p.low)]
    lows = sorted(lows, reverse=True) or values
    if not values:
        return
    top = max(*values, highs[int(0.9 * (len(highs) - 1))])
    bottom = min(*values, lows[int(0.9 * (len(lows) - 1))]) if ratio else 0.0
    room = 0.15 * (top - bottom) or 0.1
    axes.set_ylim(max(0.0, bottom - room) if ratio else 0.0, top + room)


def _machines(axes: Axes, history: History) -> None:
    for place, _ in history.machines[1:]:
        axes.axvline(place - 0.5, color=style.INK, linestyle=":", linewidth=1.2)


def _scale(axes: Axes, metric: Metric, ratio: bool) -> None:
    if ratio:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}×"))
    elif metric.unit is MICROSECONDS:
        style.time_axis(axes)
    elif metric.unit is SHARE:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(-0.03, 1.05)
    else:
        style.count_axis(axes)


def _commits(grid: Any, history: History) -> None:
    every = -(-len(history.runs) // _MOST_TICKS)
    places = list(range(0, len(history.runs), every))
    for axes in grid[-1]:
        axes.set_xticks(places, [history.commits[p] for p in places], rotation=60, fontsize=7.5)
        axes.set_xlabel("commit, oldest first")
        axes.set_xlim(-0.7, len(history.runs) - 0.3)


def _title(history: History, rps: float) -> str:
    told = [s for s in tell_steps(history) if f"at {rps:,.0f} RPS" in s]
    where = f"At {style.level_label(rps)} RPS"
    if len(history.runs) < 2:
        return f"{where}: one run, so no change over time can be shown"
    if not told:
        return f"{where}: no step in any headline figure over {len(history.runs)} runs"
    more = f", and {len(told) - 1} more steps" if len(told) > 1 else ""
    first = told[0].replace(f" at {rps:,.0f} RPS", "").partition(" (")[0]
    return f"{where}: {first}{more}"


def _subtitle(history: History) -> str:
    machines = len(history.machines)
    what = f"{len(history.runs)} runs, {machines} machine{'s' if machines > 1 else ''}; "
    what += "bars: 95 % intervals; ratios are taken within rounds; + a commit with changes"
    return ". ".join([what, *history.notes])
