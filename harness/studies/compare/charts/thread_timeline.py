"""Threads and queue over time, in the document's steps of 100 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.core.record import Run
from harness.core.wording import slot_names
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# column, label, how it is drawn
SERIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("threads_created", "threads created in the step", {"linewidth": 1.0, "alpha": 0.55}),
    ("threads_step_peak", "threads alive, peak of the step", {"linewidth": 2.0}),
    ("queue_step_max", "queue depth, peak of the step", {"linewidth": 1.4, "linestyle": ":"}),
)


def draw(run: Run, timeline: pd.DataFrame) -> Figure:
    """Backends above one another on the same axes; the first valid round bold, others faint."""
    if timeline.empty:
        return style.nothing_to_draw(run, "no step was observed")
    levels = style.chosen_levels(run)
    found = style.looks(run)
    figure = style.new_figure(max(8.0, 4.0 * len(levels)), 1.3 + 1.9 * len(found))
    grid = figure.subplots(len(found), len(levels), sharex=True, sharey=True, squeeze=False)
    for look, row in zip(found, grid, strict=True):
        for rps, axes in zip(levels, row, strict=True):
            mine = timeline[(timeline["slot"] == look.slot) & (timeline["level"] == rps)]
            _panel(axes, run, look, rps, mine)
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
    style.head(figure, _title(run), style.subtitle(run, what))
    return figure


def _panel(axes: Axes, run: Run, look: style.Look, rps: float, timeline: pd.DataFrame) -> None:
    here = [t for t in run.trials if t.slot == look.slot and t.rps == rps]
    valid = [t.round for t in here if t.valid] or [t.round for t in here]
    for number, part in timeline.groupby("round"):
        bold = bool(valid) and number == valid[0]
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


def _title(run: Run) -> str:
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
