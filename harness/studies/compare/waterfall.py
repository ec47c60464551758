"""A request from the client's side, in three parts that add up to its response time, drawn and in
figures.

planned -> sent: the generator's lag; in a closed loop also the wait for the client's last request
sent -> connected: the kernel's handshake; the server's accept() need not have happened yet
connected -> answered: the backlog, dispatch, the handler, and the answer on its way back
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from harness.core.units import microseconds
from harness.core.wording import listed
from harness.drivers.driver import driver_of
from harness.stats.weighted import WEIGHT, Ranked, weights
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.core.record import Run

PARTS = ("planned to sent", "sent to connected", "connected to answered")
# The middle and the tail of the response times: percentile, width of the band around it, words.
BANDS = ((50.0, 2.0, "typical"), (99.0, 1.0, "slow"))
SENT_AFTER = "sent_after_us"
_HATCHES = ("", "", "////")


@dataclass(frozen=True, slots=True)
class Band:
    """Requests whose response times are near one percentile, and the mean of each of `PARTS`
    over them, in microseconds."""

    percentile: float
    requests: int
    parts_us: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of one part by itself, in microseconds; of different parts they do not add up."""

    p50_us: float
    p99_us: float


def parts_us(requests: pd.DataFrame, closed_loop: bool) -> pd.DataFrame:
    """One column for each of `PARTS`, in microseconds, over the ok requests of rows as in
    `requests.parquet`; `response_us`, their sum; and `weight`, how many requests a row stands
    for."""
    sent = sent_after_us(requests) if closed_loop else requests["lag_us"]
    ok = (requests["outcome"] == "ok").to_numpy()
    sent, connect = sent[ok], requests["connect_us"][ok]
    response = requests["response_us"][ok]
    values = (sent, connect, response - sent - connect, response)
    parts = pd.DataFrame(dict(zip((*PARTS, "response_us"), values, strict=True)))
    return parts.assign(**{WEIGHT: weights(requests)[ok]})


def sent_after_us(requests: pd.DataFrame) -> pd.Series[float]:
    """How long after its intended time each request of a closed loop was sent, in microseconds.

    A client may send once its last request has ended, so that moment follows from the rows: the
    latest end so far of the same client in the same trial, or the intended time if that is later.
    Rows that git keeps may lack that last request, and have the figure as a column.
    """
    if SENT_AFTER in requests:
        return requests[SENT_AFTER]
    trial = ["slot", "level", "round", "client"]
    ordered = requests.sort_values([*trial, "intended_us"], kind="stable")
    ends = (ordered["intended_us"] + ordered["response_us"]).fillna(-np.inf)
    groups = [ordered[column] for column in trial]
    latest = ends.groupby(groups, sort=False).cummax().groupby(groups, sort=False).shift()
    wait = (latest - ordered["intended_us"]).clip(lower=0).fillna(0.0)
    return (wait + ordered["lag_us"]).reindex(requests.index)


def band(parts: pd.DataFrame, percentile: float, width: float) -> Band | None:
    """The requests from `percentile - width / 2` to `percentile + width / 2` of the response
    times, and the mean of each part; None without any."""
    if parts.empty:
        return None
    response = Ranked.of(parts["response_us"], weights(parts))
    low, high = (response.quantile(share) for share in edges(percentile, width))
    near = parts[(parts["response_us"] >= low) & (parts["response_us"] <= high)]
    weight = weights(near)
    first, second, third = (float(np.average(near[part], weights=weight)) for part in PARTS)
    return Band(percentile, int(weight.sum()), (first, second, third))


def edges(percentile: float, width: float) -> tuple[float, float]:
    """The shares at which a band of response times begins and ends."""
    return max((percentile - width / 2) / 100, 0.0), min((percentile + width / 2) / 100, 1.0)


def quantiles(parts: pd.DataFrame, part: str) -> Quantiles | None:
    """Median and p99 of one part by itself; None without any request."""
    if parts.empty:
        return None
    ranked = Ranked.of(parts[part], weights(parts))
    return Quantiles(ranked.quantile(0.5), ranked.quantile(0.99))


def draw(run: Run, requests: pd.DataFrame, rps: float) -> Figure:
    """Two bars a backend, of parts that add up: requests near the median and near the p99."""
    rows = [
        (look, words, found)
        for look in style.looks(run)
        for parts in [parts_of(run, requests, look.slot, rps)]
        for percentile, width, words in BANDS
        if (found := band(parts, percentile, width)) is not None
    ]
    if not rows:
        return style.nothing_to_draw(
            run, f"no valid trial at {style.level_label(rps)} RPS has an ok"
        )
    figure = style.new_figure(8.0, 1.7 + 0.75 * len(rows))
    axes = figure.add_subplot()
    for place, (look, words, found) in enumerate(reversed(rows)):
        _bar(axes, place, look, found)
        total = sum(found.parts_us)
        axes.annotate(f"{words}: {microseconds(total)}", (total, place), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=8.5)  # fmt: skip
    names = [f"{look.label}\nnear p{found.percentile:g}" for look, _, found in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(style.microseconds_axis)
    axes.set_xlabel("time since the request was planned")
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    handles = [
        Patch(facecolor=face, edgecolor=style.INK, linewidth=0.6, hatch=hatch, label=part)
        for part, face, hatch in zip(PARTS, ("#ffffff", "#bbbbbb", "#ffffff"), _HATCHES,
                                     strict=True)
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside lower center", ncols=style.legend_columns(3), fontsize=8.5
    )
    what = "Of answered requests alone: means within 1 percentile of the median, half of the p99"
    style.head(figure, _title(rps, rows), style.subtitle(run, what))
    return figure


def parts_of(run: Run, requests: pd.DataFrame, slot: int, rps: float) -> pd.DataFrame:
    """The parts of the ok requests of one backend's valid trials at one level."""
    valid = {t.round for t in run.trials if t.slot == slot and t.rps == rps and t.valid}
    if requests.empty:
        return requests
    mine = requests[(requests["slot"] == slot) & (requests["level"] == rps)]
    mine = mine[mine["round"].isin(valid)]
    return parts_us(mine, driver_of(run.settings.driver).falls_behind)


def _bar(axes: Axes, place: int, look: style.Look, found: Band) -> None:
    left = 0.0
    faces = ("#ffffff", "#bbbbbb", look.colour)
    for width, face in zip(found.parts_us, faces, strict=True):
        hatch = "////" if face == look.colour else ""
        axes.barh(place, width, left=left, height=0.62, facecolor=face, edgecolor=style.INK,
                  linewidth=0.6, hatch=hatch)  # fmt: skip
        left += width


def _title(rps: float, rows: list[tuple[style.Look, str, Band]]) -> str:
    told = [
        f"{look.label} spends {found.parts_us[2] / sum(found.parts_us):.0%} of a {words} request"
        for look, words, found in rows
        if found.percentile == BANDS[0][0]
    ]
    return (
        f"At {style.level_label(rps)} RPS {listed(told)} between connected and answered, "
        "where the server is at work"
    )
