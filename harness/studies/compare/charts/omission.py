"""Chart of coordinated omission: a closed loop's service times beside response times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.core.wording import arm_names, slot_names
from harness.stats.weighted import Ranked, weights
from harness.studies.compare.charts.distribution import position
from harness.studies.compare.waterfall import sent_after_us
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.core.record import Run

_TICKS = (50.0, 90.0, 99.0, 99.9, 99.99)


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


def draw(run: Run, requests: pd.DataFrame, closed: Measured, rps: float) -> Figure:
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
        axes.set_xticks([position(t / 100) for t in _TICKS], [f"{t:g}" for t in _TICKS])
        axes.set_xlabel("percentile of the requests sent")
        axes.legend(loc="lower right", fontsize=8)
    panels[0].set_ylabel("time (log scale)")
    what = "Service times count from the send; response times from the planned moment"
    style.head(figure, _title(run, requests, closed, rps), style.subtitle(run, what))
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


def _title(run: Run, requests: pd.DataFrame, closed: Measured, rps: float) -> str:
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
