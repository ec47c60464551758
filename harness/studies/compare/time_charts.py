"""Response times on a percentile axis: the whole distribution, tail included; and what coordinated
omission hides, a closed loop's service times beside response times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from harness.core.record import Run
from harness.core.wording import arm_names, slot_names
from harness.stats.weighted import Ranked, weights
from harness.studies.compare.waterfall import sent_after_us
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_POINTS = 240

Floats = npt.NDArray[np.float64]
_OMISSION_TICKS = (50.0, 90.0, 99.0, 99.9, 99.99)


def draw_distribution(run: Run, requests: pd.DataFrame) -> Figure:
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
    style.head(
        figure, _distribution_title(run), style.subtitle(run, "Band: lowest to highest round")
    )
    return figure


def _distribution_title(run: Run) -> str:
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


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's record and its rows."""

    run: Run
    requests: pd.DataFrame


def gaps(run: Run, rows: pd.DataFrame, closed: Measured, rps: float) -> dict[int, float]:
    """For each backend (slot): p99 of the response times here over p99 of the service times of
    the closed loop, where the latter is an answer; infinite where the former is none."""
    found = {}
    for slot in range(len(run.settings.backends)):
        response = response_us(run, rows, slot, rps)
        service = service_us(closed, arm_names(run.settings)[slot], rps)
        if response.total and service.total:
            top, bottom = response.quantile(0.99), service.quantile(0.99)
            if 0 < bottom < np.inf:
                found[slot] = top / bottom
    return found


def draw_omission(run: Run, requests: pd.DataFrame, closed: Measured, rps: float) -> Figure:
    """A panel a backend: response times of this run, service times of the closed loop."""
    found = style.looks(run)
    figure = style.new_figure(4.6 * len(found), 4.4)
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for look, axes in zip(found, panels, strict=True):
        response = response_us(run, requests, look.slot, rps)
        service = service_us(closed, arm_names(run.settings)[look.slot], rps)
        words = f"response time, {run.settings.driver}"
        _line(axes, response, look.colour, "solid", words)
        _line(axes, service, look.colour, ":", "service time, closed loop")
        axes.set_title(look.label, loc="left")
        axes.set_yscale("log")
        style.time_axis(axes)
        axes.minorticks_off()
        axes.set_xticks(
            [position(t / 100) for t in _OMISSION_TICKS], [f"{t:g}" for t in _OMISSION_TICKS]
        )
        axes.set_xlabel("percentile of the requests sent")
        axes.legend(loc="lower right", fontsize=8)
    panels[0].set_ylabel("time (log scale)")
    what = "Service times count from the send; response times from the planned moment"
    style.head(figure, _omission_title(run, requests, closed, rps), style.subtitle(run, what))
    return figure


def response_us(run: Run, requests: pd.DataFrame, slot: int, rps: float) -> Ranked:
    """Response times of all requests of a backend that were sent in valid trials at a level;
    infinite where a request failed."""
    valid = {t.round for t in run.trials if t.slot == slot and t.rps == rps and t.valid}
    mine = requests[(requests["slot"] == slot) & (requests["level"] == rps)]
    mine = mine[mine["round"].isin(valid)]
    return _with_failures(mine["response_us"], mine)


def service_us(closed: Measured, name: str, rps: float) -> Ranked:
    """The same of the service times in a closed-loop run, of what has that name there."""
    rows = closed.requests
    slots = [slot for slot, other in enumerate(arm_names(closed.run.settings)) if other == name]
    mine = rows[rows["slot"].isin(slots) & (rows["level"] == rps)]
    return _with_failures(mine["response_us"] - sent_after_us(mine), mine)


def _with_failures(times_us: pd.Series[float], rows: pd.DataFrame) -> Ranked:
    sent = (rows["outcome"] != "unsent").to_numpy()
    ok = (rows["outcome"] == "ok").to_numpy()
    times = np.where(ok, times_us.to_numpy(dtype=np.float64), np.inf)
    return Ranked.of(times[sent], weights(rows)[sent])


def _line(axes: Axes, times: Ranked, colour: str, line: str, label: str) -> None:
    total = times.total
    if not np.isfinite(times.values).any():
        axes.plot([], [], color=colour, linestyle=line, label=f"{label} (none)")
        return
    x = np.linspace(0.0, max(position(1 - 1 / total), 1e-3), 240)
    y = times.at(np.clip(np.ceil((1 - 10.0**-x) * total).astype(int) - 1, 0, total - 1))
    answered = np.isfinite(y)
    axes.plot(x[answered], y[answered], color=colour, linestyle=line, linewidth=1.9, label=label)


def _omission_title(run: Run, requests: pd.DataFrame, closed: Measured, rps: float) -> str:
    names = slot_names(run.settings)
    told = [
        f"{gap:.1f}× for {names[slot]}"
        if np.isfinite(gap)
        else f"beyond every answer for {names[slot]}"
        for slot, gap in gaps(run, requests, closed, rps).items()
    ]
    start = f"At {style.level_label(rps)} RPS"
    if not told:
        return f"{start} one of the two loops has no p99 to compare"
    return f"{start} the p99 that users wait is, over the closed loop's service p99: " + ", ".join(
        told
    )
