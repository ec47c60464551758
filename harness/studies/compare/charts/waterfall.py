"""Where the time of a request goes, from the client's side: planned, sent, connected, answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from harness.core.units import microseconds
from harness.core.wording import listed
from harness.drivers.driver import driver_of
from harness.studies.compare.waterfall import BANDS, PARTS, Band, band, parts_us
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness.core.record import Run

_HATCHES = ("", "", "////")


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
