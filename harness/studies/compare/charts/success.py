"""Success rate by level."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from harness.core.record import Run
from harness.core.units import share
from harness.core.wording import listed, slot_names
from harness.views import style


def draw(run: Run) -> Figure:
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
    style.head(figure, _title(run), style.subtitle(run, what))
    return figure


def _title(run: Run) -> str:
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
