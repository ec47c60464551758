"""Charts of what a server does at each level: how much succeeds, what a request costs (CPU, split
into handler and overhead, and context switches), and threads and queue over time, in the steps of
100 ms that the document has; of servers seen from outside threads, CPU time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from harness.core.metrics import BY_PATH
from harness.core.record import Cell, CellMetric, Run
from harness.core.units import share
from harness.core.wording import listed, slot_names
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CPU, HANDLER = "server.cpu_us_per_request.total", "server.cpu_us_per_request.handler"
SWITCHES = "server.context_switches.per_s"
# column, label, how it is drawn
SERIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("threads_created", "threads created in the step", {"linewidth": 1.0, "alpha": 0.55}),
    ("threads_step_peak", "threads alive, peak of the step", {"linewidth": 2.0}),
    ("queue_step_max", "queue depth, peak of the step", {"linewidth": 1.4, "linestyle": ":"}),
)
# of servers seen from outside: column, label, what one of the label's unit is
SEEN: tuple[tuple[str, str, float], ...] = (
    ("threads_seen_by_os", "threads alive", 1.0),
    ("cpu_us", "CPU time in 100 ms (ms)", 1e3),
    ("rss_bytes", "resident memory (MiB)", 2.0**20),
)


def draw_success(run: Run) -> Figure:
    """A line (or a dot, at one level) for each backend, its interval, and every round as a dot."""
    if not run.trials:
        return style.nothing_to_draw(run, "no trial was finished")
    figure = style.new_figure(8.0, 4.2)
    axes = figure.add_subplot()
    levels = run.settings.rps
    several = len(levels) > 1
    for look in style.looks(run):
        shift = (look.slot - (len(run.settings.backends) - 1) / 2) * 0.035
        cells = [c for c in run.cells if c.slot == look.slot]
        drawn = [c for c in cells if c.metric("client.success_rate").median is not None]
        x = [c.rps * (1 + shift) for c in drawn]
        metrics = [c.metric("client.success_rate") for c in drawn]
        medians = [m.median or 0.0 for m in metrics]
        axes.plot(x, medians, color=look.colour, linestyle=look.line if several else "none",
                  marker=look.marker, markersize=8, linewidth=1.8, label=look.label)  # fmt: skip
        for place, metric in zip(x, metrics, strict=True):
            if metric.ci_low is not None and metric.ci_high is not None:
                axes.plot([place, place], [metric.ci_low, metric.ci_high],
                          color=look.colour, linewidth=3, alpha=0.4)  # fmt: skip
        for trial in run.trials:
            if trial.slot == look.slot and trial.client.success_rate is not None:
                colour = look.colour if trial.valid else style.INVALID
                axes.plot(trial.rps * (1 + shift * 1.9), trial.client.success_rate, marker=".",
                          color=colour, alpha=0.7, markersize=5)  # fmt: skip
    if not all(t.valid for t in run.trials):
        axes.plot([], [], marker=".", linestyle="none", color=style.INVALID,
                  label="invalid trial (generator-limited), not compared")  # fmt: skip
    style.level_axis(axes, levels)
    if not several:
        axes.set_xlim(levels[0] * 0.8, levels[0] * 1.2)
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("requests answered 202 in time")
    axes.legend(loc="lower left")
    what = "Large: share of all requests of the valid rounds, with 95 % interval; small: each round"
    style.head(figure, _success_title(run), style.subtitle(run, what))
    return figure


def _success_title(run: Run) -> str:
    rps = max(run.settings.rps)
    names = slot_names(run.settings)
    parts = []
    for cell in run.cells:
        median = cell.metric("client.success_rate").median
        if cell.rps == rps and median is not None:
            parts.append(f"{names[cell.slot]} answers {share(median)}")
    if not parts:
        return f"At {style.level_label(rps)} RPS no trial was valid"
    return f"At {style.level_label(rps)} RPS {listed(parts)} of all requests in time"


def draw_cost(run: Run) -> Figure:
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
    style.head(figure, _cost_title(run), style.subtitle(run, what))
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


def _cost_title(run: Run) -> str:
    rps = style.nearest_level(run)
    start = f"At {style.level_label(rps)} RPS"
    if len(run.settings.backends) < 2:
        return f"{start}: what a request costs {slot_names(run.settings)[0]}"
    return f"{start}, {style.against(run, rps, (CPU, SWITCHES))}"


def draw_storm(run: Run, timeline: pd.DataFrame) -> Figure:
    """Backends above one another on the same axes; the first valid round bold, others faint."""
    if timeline.empty:
        return style.nothing_to_draw(run, "no step was observed")
    if run.settings.outside:
        return _draw_seen(run, timeline)
    levels = style.chosen_levels(run)
    found = style.looks(run)
    figure = style.new_figure(max(8.0, 4.0 * len(levels)), 1.3 + 1.9 * len(found))
    grid = figure.subplots(len(found), len(levels), sharex=True, sharey=True, squeeze=False)
    for look, row in zip(found, grid, strict=True):
        for rps, axes in zip(levels, row, strict=True):
            mine = timeline[(timeline["slot"] == look.slot) & (timeline["level"] == rps)]
            _storm_panel(axes, run, look, rps, mine)
            level = f", {style.level_label(rps)} RPS" if len(levels) > 1 else ""
            axes.set_title(look.label + level, loc="left", color=style.INK)
        row[0].set_ylabel("count (log above 1)")
    grid[0][0].set_yscale("symlog", linthresh=1)
    grid[0][0].set_ylim(bottom=0)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    style.count_axis(grid[0][0])
    handles = [
        Line2D([], [], color="#555555", label=label, **how)
        for column, label, how in SERIES
        if timeline[column].notna().any()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=style.legend_columns(3), fontsize=8.5
    )
    what = "Bold: the first valid round; faint: the others"
    style.head(figure, _storm_title(run), style.subtitle(run, what))
    return figure


def _storm_panel(
    axes: Axes, run: Run, look: style.Look, rps: float, timeline: pd.DataFrame
) -> None:
    for bold, part in _rounds(run, look, rps, timeline):
        seconds = part["t_ms"] / 1000
        for column, _, how in SERIES:
            values = part[column].astype("float64")
            if values.isna().all():
                continue
            options: dict[str, Any] = dict(how)
            if not bold:
                options |= {"linewidth": 0.7, "alpha": 0.22}
            colour = style.INK if column == "queue_step_max" else look.colour
            axes.plot(seconds, values, color=colour, drawstyle="steps-pre",
                      **options)  # fmt: skip


def _rounds(
    run: Run, look: style.Look, rps: float, timeline: pd.DataFrame
) -> Iterator[tuple[bool, pd.DataFrame]]:
    """The steps of each round of a backend, and whether it is the first valid one."""
    here = [t for t in run.trials if t.slot == look.slot and t.rps == rps]
    valid = [t.round for t in here if t.valid] or [t.round for t in here]
    for number, part in timeline.groupby("round"):
        yield bool(valid) and number == valid[0], part


def _storm_title(run: Run) -> str:
    rps = style.nearest_level(run)
    parts, names = [], slot_names(run.settings)
    for cell in run.cells:
        created = cell.metric("server.threads_created_per_s").median
        peak = cell.metric("server.threads_peak").median
        if cell.rps == rps and created is not None and peak is not None:
            parts.append(
                f"{names[cell.slot]} creates {created:,.0f} threads a second "
                f"and has {peak:,.0f} at most"
            )
    if not parts:
        return f"At {style.level_label(rps)} RPS no trial was valid"
    return f"At {style.level_label(rps)} RPS {'; '.join(parts)}"


def _draw_seen(run: Run, timeline: pd.DataFrame) -> Figure:
    """A row for each server, a column for each quantity, at the level nearest to 2,000 RPS."""
    rps, found = style.nearest_level(run), style.looks(run)
    figure = style.new_figure(10.0, 1.3 + 1.9 * len(found))
    grid = figure.subplots(len(found), len(SEEN), sharex=True, sharey="col", squeeze=False)
    for look, row in zip(found, grid, strict=True):
        mine = timeline[(timeline["slot"] == look.slot) & (timeline["level"] == rps)]
        for (column, label, unit), axes in zip(SEEN, row, strict=True):
            for bold, part in _rounds(run, look, rps, mine):
                how = {"linewidth": 1.8} if bold else {"linewidth": 0.7, "alpha": 0.22}
                values = part[column].astype("float64") / unit
                if column == "cpu_us":
                    values /= _steps_long(part)
                axes.plot(part["t_ms"] / 1000, values, color=look.colour, drawstyle="steps-pre",
                          **how)  # fmt: skip
            axes.set_ylim(bottom=0)
            axes.set_ylabel(label)
        row[0].set_title(look.label, loc="left", color=style.INK)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    what = "Steps of 100 ms, seen from outside. Bold: the first valid round; faint: the others"
    style.head(figure, _seen_title(run, rps, timeline), style.subtitle(run, what))
    return figure


def _steps_long(part: pd.DataFrame) -> pd.Series[float]:
    """How many steps of 100 ms each row lasted. Looks are rounded to the nearest, so a gap of two
    may be one."""
    steps = part["t_ms"].diff().fillna(100) / 100
    return steps.where(steps > 2, 1.0)


def _seen_title(run: Run, rps: float, timeline: pd.DataFrame) -> str:
    names, parts = slot_names(run.settings), []
    for slot, name in enumerate(names):
        valid = [t.round for t in run.trials if (t.slot, t.rps, t.valid) == (slot, rps, True)]
        mine = timeline[(timeline["slot"] == slot) & (timeline["level"] == rps)]
        most = mine.loc[mine["round"].isin(valid), "threads_seen_by_os"].max()
        if pd.notna(most):
            parts.append(f"{name} has {most:,.0f} threads at most")
    told = "; ".join(parts) or "no trial was valid"
    return f"At {style.level_label(rps)} RPS {told}"
