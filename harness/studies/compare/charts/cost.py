"""Chart of a request's cost: CPU, split into handler and overhead, and context switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.core.metrics import BY_PATH
from harness.core.record import Cell, CellMetric, Run
from harness.core.wording import slot_names
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CPU, HANDLER = "server.cpu_us_per_request.total", "server.cpu_us_per_request.handler"
SWITCHES = "server.context_switches.per_s"


def draw(run: Run) -> Figure:
    """Stacked bars of CPU per request, and bars of context switches, by level and backend."""
    known = [c for c in run.cells if c.metric(CPU).median is not None]
    if not known:
        return style.nothing_to_draw(run, "no valid trial has the server's own figures")
    bars = len(run.settings.backends) * len(run.settings.rps)
    figure = style.new_figure(max(9.0, float(bars)), 4.4)
    left, right = figure.subplots(1, 2)
    _bars(left, run, known, CPU, HANDLER)
    left.set_ylabel(f"{BY_PATH[CPU].title} (µs)")
    _bars(right, run, known, SWITCHES, None)
    right.set_ylabel(BY_PATH[SWITCHES].title)
    for axes in (left, right):
        style.count_axis(axes)
    handles = [
        Patch(facecolor=look.colour, edgecolor=style.INK, linewidth=0.6, label=look.label)
        for look in style.looks(run)
    ]
    handles += [
        Patch(facecolor="#BBBBBB", edgecolor=style.INK, linewidth=0.6, label="in the handler"),
        Patch(facecolor="white", edgecolor=style.INK, linewidth=0.6, hatch="////",
              label="overhead (the rest)"),
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower center", ncols=style.legend_columns(4), fontsize=8.5
    )
    what = "Median of the valid rounds with 95 % interval"
    style.head(figure, _title(run), style.subtitle(run, what))
    return figure


def _bars(axes: Axes, run: Run, cells: list[Cell], total: str, solid: str | None) -> None:
    """A group of bars a level; below `solid` a bar is filled, above it hatched."""
    found = style.looks(run)
    width = 0.8 / len(found)
    for cell in cells:
        look = found[cell.slot]
        x = run.settings.rps.index(cell.rps) + (cell.slot - (len(found) - 1) / 2) * width
        height = cell.metric(total).median or 0.0
        filled = height if solid is None else min(height, cell.metric(solid).median or 0.0)
        options: dict[str, Any] = {"edgecolor": style.INK, "linewidth": 0.6, "width": width * 0.92}
        axes.bar(x, filled, color=look.colour, **options)
        if solid is not None:
            axes.bar(x, height - filled, bottom=filled, color="white", hatch="////", **options)
        top = _interval(axes, x, cell.metric(total))
        axes.annotate(f"{height:,.0f}", (x, max(top, height)), xytext=(0, 3),
                      textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    levels = run.settings.rps
    axes.set_xticks(range(len(levels)), [style.level_label(rps) for rps in levels])
    axes.set_xlim(-0.7, len(levels) - 0.3)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("offered load (requests/s)")
    axes.margins(y=0.12)


def _interval(axes: Axes, x: float, metric: CellMetric) -> float:
    """Draw the interval of a bar; its upper end, or 0 when there is none."""
    if metric.ci_low is None or metric.ci_high is None:
        return 0.0
    axes.plot([x, x], [metric.ci_low, metric.ci_high], color=style.INK, linewidth=1.4)
    return metric.ci_high


def _title(run: Run) -> str:
    rps = style.nearest_level(run)
    start = f"At {style.level_label(rps)} RPS"
    if len(run.settings.backends) < 2:
        return f"{start}: what a request costs {slot_names(run.settings)[0]}"
    return f"{start}, {style.against(run, rps, (CPU, SWITCHES))}"
