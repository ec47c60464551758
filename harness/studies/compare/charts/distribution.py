"""Response times on a percentile axis: the whole distribution, tail included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from harness.core.record import Run
from harness.core.wording import slot_names
from harness.stats.weighted import Ranked, weights
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_POINTS = 240

Floats = npt.NDArray[np.float64]


def draw(run: Run, requests: pd.DataFrame) -> Figure:
    """One panel a level; one line a backend over all its valid rounds, a band over the rounds.

    The axis is over all requests that were sent or refused: what did not end ok is slower than
    any answer, so a curve stops where the successes do, and quick refusals cannot flatter it.
    """
    if requests.empty:
        return style.nothing_to_draw(run, "no request was recorded")
    levels = style.chosen_levels(run)
    legend_rows = -(-len(run.settings.backends) // 4)
    figure = style.new_figure(8.0 if len(levels) < 3 else 9.6, 4.9 + 0.25 * legend_rows)
    panels = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    for axes, rps in zip(panels, levels, strict=True):
        _panel(axes, run, requests[requests["level"] == rps], _TICKS[len(levels) > 1 :])
        if len(levels) > 1:
            axes.set_title(f"{style.level_label(rps)} RPS", loc="left")
    panels[0].set_ylabel("response time, from the intended time (log scale)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", handlelength=3,
                  ncols=style.legend_columns(4))  # fmt: skip
    style.head(figure, _title(run), style.subtitle(run, "Band: lowest to highest round"))
    return figure


def _title(run: Run) -> str:
    rps = style.nearest_level(run)
    start = f"At {style.level_label(rps)} RPS"
    if len(run.settings.backends) < 2:
        return f"{start}: response times of {slot_names(run.settings)[0]}"
    told = style.against(run, rps, ("client.response_us.p50", "client.response_us.p99"))
    return f"{start}, {told}"


def _panel(axes: Axes, run: Run, requests: pd.DataFrame, ticks: tuple[float, ...] = _TICKS) -> None:
    deepest = 1.0
    failures = []
    for look in style.looks(run):
        mine = requests[requests["slot"] == look.slot]
        rps = set(mine["level"])
        here = [t for t in run.trials if t.slot == look.slot and t.rps in rps]
        counted = {t.round for t in here if t.valid}
        valid = bool(counted)
        if valid:
            mine = mine[mine["round"].isin(counted)]
        rounds = [curve(part) for _, part in mine.groupby("round") if len(part)]
        if not rounds:
            continue
        colour = look.colour if valid else style.INVALID
        label = look.label if valid else f"{look.label} (invalid, not compared)"
        x, y, share_ok = curve(mine)
        if len(x):
            deepest = max(deepest, float(x[-1]))
        axes.plot(x, y, color=colour, linestyle=look.line, linewidth=1.9, label=label)
        if len(rounds) > 1:
            _band(axes, rounds, colour)
        if share_ok < 1:
            failures.append((look, x, y, share_ok))
    for look, x, y, share_ok in failures:
        _note_failures(axes, look, x, y, share_ok, deepest)
    axes.set_yscale("log")
    style.time_axis(axes)
    shown = [t for t in ticks if position(t / 100) <= deepest + 0.15]
    axes.set_xticks([position(t / 100) for t in shown], [f"{t:g}" for t in shown])
    axes.set_xlabel("percentile of the requests sent")
    axes.minorticks_off()


def position(share: float) -> float:
    """Where a share lies on the axis: each nine takes as much room as the one before."""
    return float(-np.log10(max(1e-12, 1 - share)))


def curve(requests: pd.DataFrame) -> tuple[Floats, Floats, float]:
    """(x, response time in us, share of ok) at evenly spaced places of the axis, over the requests
    that were sent or refused."""
    requests = requests[requests["outcome"] != "unsent"]
    answered = requests[requests["outcome"] == "ok"]
    ok = Ranked.of(answered["response_us"], weights(answered))
    size = int(weights(requests).sum())
    if ok.total == 0:
        return np.empty(0), np.empty(0), 0.0
    # The last place of the axis that this many requests can speak of.
    end = min(position(1 - 1 / size) if size > 1 else 0.0, position(ok.total / size))
    x = np.linspace(0.0, max(end, 1e-3), _POINTS)
    rank = np.clip(np.ceil((1 - 10.0**-x) * size).astype(int) - 1, 0, ok.total - 1)
    return x, ok.at(rank), ok.total / size


def _band(axes: Axes, rounds: list[tuple[Floats, Floats, float]], colour: str) -> None:
    filled = [(x, y) for x, y, _ in rounds if len(x)]
    if len(filled) < 2:
        return
    grid = np.linspace(0.0, min(float(x[-1]) for x, _ in filled), _POINTS)
    heights = np.stack([np.interp(grid, x, y) for x, y in filled])
    axes.fill_between(
        grid, heights.min(axis=0), heights.max(axis=0), color=colour, alpha=0.18, linewidth=0
    )


def _note_failures(
    axes: Axes, look: style.Look, x: Floats, y: Floats, share_ok: float, deepest: float
) -> None:
    """Where a curve stops for want of successes; the words go where there is room."""
    words = f"{1 - share_ok:.2%} not ok"
    if len(x):
        left = x[-1] < deepest / 2
        axes.plot(x[-1], y[-1], marker="X", color=look.colour, markersize=8)
        axes.annotate(words, (x[-1], y[-1]), xytext=(8, -3) if left else (-4, 6),
                      textcoords="offset points", ha="left" if left else "right",
                      color=style.INK, fontsize=8.5)  # fmt: skip
    else:
        axes.plot([], [], marker="X", color=look.colour, label=words)
