"""Success by level against what the design document expects of both architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.ticker import PercentFormatter

from harness.core.units import share
from harness.core.wording import listed, slot_names
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness.core.record import Run

# backend -> level in requests a second -> the share that the document expects to succeed
Expected = Mapping[str, Mapping[float, float]]


def draw(run: Run, expected: Expected) -> Figure:
    """A line a backend with its intervals; the document's figures as hollow marks, dotted."""
    measured = [c for c in run.cells if c.metric("client.success_rate").median is not None]
    if not measured:
        return style.nothing_to_draw(run, "no trial was valid")
    figure = style.new_figure(8.0, 4.6)
    axes = figure.add_subplot()
    for look in style.looks(run):
        backend = run.settings.backends[look.slot]
        shift = 1 + (look.slot - (len(run.settings.backends) - 1) / 2) * 0.03
        cells = sorted((c for c in measured if c.slot == look.slot), key=lambda c: c.rps)
        figures = [c.metric("client.success_rate") for c in cells]
        medians = [f.median or 0.0 for f in figures]
        axes.plot([c.rps * shift for c in cells], medians, color=look.colour, linestyle=look.line,
                  marker=look.marker, markersize=7, linewidth=1.8,
                  label=f"{look.label}, measured")  # fmt: skip
        for cell, found in zip(cells, figures, strict=True):
            if found.ci_low is not None and found.ci_high is not None:
                axes.plot([cell.rps * shift] * 2, [found.ci_low, found.ci_high],
                          color=look.colour, linewidth=4, alpha=0.4)  # fmt: skip
        hoped = sorted(expected.get(backend, {}).items())
        if hoped:
            axes.plot([rps for rps, _ in hoped], [part for _, part in hoped], color=look.colour,
                      linestyle=":", marker=look.marker, markersize=7, markerfacecolor="none",
                      linewidth=1.2, label=f"{look.label}, the document")  # fmt: skip
    levels = {c.rps for c in measured} | {rps for per in expected.values() for rps in per}
    style.level_axis(axes, sorted(levels))
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel("requests answered 202 in time")
    axes.legend(loc="lower left", fontsize=8.5)
    what = "Share of all requests of valid rounds, 95 % interval"
    if expected:
        what += "; hollow: the document's figures"
    style.head(figure, _title(run, expected), style.subtitle(run, what))
    return figure


def _title(run: Run, expected: Expected) -> str:
    rps = max(run.settings.rps)
    told, names = [], slot_names(run.settings)
    for cell in run.cells:
        median = cell.metric("client.success_rate").median
        if cell.rps != rps or median is None:
            continue
        hoped = expected.get(cell.backend, {}).get(rps)
        beside = "" if hoped is None else f" (the document: {hoped:.0%})"
        told.append(f"{names[cell.slot]} answers {share(median)}{beside}")
    if not told:
        return f"At {style.level_label(rps)} RPS no trial was valid"
    return f"At {style.level_label(rps)} RPS {listed(told)}"
