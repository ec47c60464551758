"""Pictures of single ideas, each with callouts: a ratio's interval, Little's law, a stall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.course.pictures import Drawing, callout
from harness.session.experiment import Experiment
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd

_LABELS = {"better": style.DARK, "worse": style.LIGHT, "cannot-tell": style.INVALID}


def intervals(experiment: Experiment, rps: float | None = None) -> Drawing:
    """Every ratio of a comparison's table with its interval, and the line of equality: what leaves
    it out is a finding."""
    table = experiment.table(rps)
    rows = table[table["low"].notna() & (table["low"] > 0)]
    with style.styled():
        figure = style.new_figure(8.0, 1.6 + 0.36 * len(rows))
        axes = figure.subplots()
        for place, (_, row) in enumerate(rows[::-1].iterrows()):
            colour = _LABELS.get(row["verdict"], "#56B4E9")
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=3)
            axes.plot([row["ratio"]], [place], "o", color=colour, markeredgecolor=style.INK)
        axes.set_yticks(range(len(rows)), list(rows.index[::-1]))
        axes.set_ylim(-0.7, len(rows) + 0.5)
        axes.axvline(1, color=style.INK, linewidth=1)
        axes.set_xscale("log")
        ticks = [tick for tick in (0.2, 0.5, 1, 2, 5, 10, 50, 100) if _within(rows, tick)]
        axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
        axes.minorticks_off()
        for verdict, words in (("cannot-tell", "includes 1: cannot tell"),
                               ("better", "leaves out 1: a finding")):  # fmt: skip
            of = rows[rows["verdict"] == verdict]
            if not of.empty:
                at = len(rows) - 1 - list(rows.index).index(of.index[-1])
                high = float(of.iloc[-1]["high"])
                callout(axes, words, (high, at), (max(high, 1) * 1.6, at + 0.25))
        title = "A ratio and its interval: what leaves out 1 is a finding"
        style.head(figure, title, "thread-pool over thread-per-request, 95 % intervals")
    told = "; ".join(
        f"{name} {row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f}), {row['verdict']}"
        for name, row in rows.iterrows()
    )
    return Drawing(figure, f"{title}. {told}.")


def _within(rows: pd.DataFrame, tick: float) -> bool:
    return bool(rows["low"].min() * 0.8 <= tick <= rows["high"].max() * 1.25)


def little() -> Drawing:
    """Five stays in a shop as bars: their lengths added up are the counts added up."""
    came = np.array([0.0, 1.0, 1.5, 4.0, 6.0])
    went = np.array([3.0, 2.5, 5.0, 7.5, 8.0])
    inside = [int(((came <= at) & (at < went)).sum()) for at in np.arange(0, 8, 0.5)]
    mean = float((went - came).sum() / 8)
    assert mean == sum(inside) * 0.5 / 8
    with style.styled():
        figure = style.new_figure(8.0, 4.6)
        above, below = figure.subplots(2, 1, sharex=True)
        above.barh(range(5), went - came, left=came, color=style.DARK, height=0.6)
        above.set_yticks(range(5), [f"customer {n}" for n in range(1, 6)])
        callout(above, "a stay", (4.2, 2.0), (5.6, 1.2))
        below.stairs(inside, np.arange(0, 8.5, 0.5), fill=True, color=style.LIGHT)
        below.axhline(mean, color=style.INK, linewidth=1)
        callout(below, f"on average {mean:.2f} inside", (7.0, mean), (5.4, mean + 1.3))
        below.set_ylim(0, 4)
        below.set_xlabel("minutes")
        below.set_ylabel("inside")
        title = "Little's law: the same minutes, counted by customer and by moment"
        style.head(figure, title, "Both areas are equal")
    return Drawing(
        figure,
        f"{title}. Five customers in 8 minutes stay {(went - came).mean():.2f} minutes on average; "
        f"5 / 8 a minute times that is {mean:.2f}, the mean number inside.",
    )


def stalls_seen(opened: Experiment, closed: Experiment) -> Drawing:
    """When requests were sent, and how long they took, by an open and by a closed loop."""
    with style.styled():
        figure = style.new_figure(8.0, 4.8)
        axes = figure.subplots(2, 1, sharex=True, sharey=True)
        counts = []
        for one, experiment, name in zip(axes, (opened, closed), ("open", "closed"), strict=True):
            rows = experiment.requests
            after_us = rows.get("sent_after_us", rows["lag_us"])  # an open loop's is its lag
            sent_s = (rows["intended_us"] + after_us) / 1e6
            took_ms = (rows["response_us"] - after_us) / 1e3
            one.plot(sent_s, took_ms, ".", color=style.DARK, markersize=4)
            one.set_ylabel(f"{name} loop:\nms since it was sent")
            counts.append(int((took_ms > 100).sum()))
            worst = int(took_ms.to_numpy().argmax())
            at = float(sent_s.iloc[worst]), float(took_ms.iloc[worst])
            callout(one, f"{counts[-1]} slow ones are seen", at, (at[0] + 0.9, 700))
        axes[1].set_xlabel("seconds since the load began")
        title = (
            f"The same stalls: {counts[0]} slow requests by an open loop, {counts[1]} by a closed"
        )
        style.head(figure, title, "A point for each request, at the moment at which it was sent")
    return Drawing(figure, f"{title}: in a stall a client that waits sends nothing.")


def goodput(experiment: Experiment) -> Drawing:
    """Answers in time a second over what was offered, at every level; and what one core allows at
    the CPU per request that the highest level had."""
    levels = sorted(experiment.settings.rps)
    good = {rps: experiment.figure("client.achieved_rps", rps) for rps in levels}
    cost_us = experiment.figure("server.cpu_us_per_request.total", levels[-1])
    told = []
    with style.styled():
        figure = style.new_figure(8.0, 4.6)
        axes = figure.subplots()
        axes.plot(levels, levels, color="#666666", linewidth=1, linestyle=(0, (5, 1.5)))
        for look in style.looks(experiment.run):
            answered = [float(of.iloc[look.slot]) for of in good.values()]
            axes.plot(levels, answered, look.marker, linestyle=look.line, color=look.colour,
                      label=look.label)  # fmt: skip
            told.append(f"{look.label}: {answered[-1]:,.0f} of {levels[-1]:,.0f} a second offered")
            capacity = 1e6 / float(cost_us.iloc[look.slot])
            if capacity < levels[-1]:
                axes.axhline(capacity, color=look.colour, linewidth=1)
                callout(axes, f"a core allows {look.label}\n{capacity:,.0f} a second",
                        (levels[0], capacity), (levels[-1] * 0.12, capacity * 1.18))  # fmt: skip
        callout(axes, "all that was offered", (levels[-1] * 0.85, levels[-1] * 0.85),
                (levels[-1] * 0.55, levels[-1] * 0.97))  # fmt: skip
        style.count_axis(axes)
        axes.xaxis.set_major_formatter(axes.yaxis.get_major_formatter())
        axes.set_xlabel("offered, requests a second")
        axes.set_ylabel("answered in time, a second")
        figure.legend(loc="outside lower center", ncols=2)
        fell = _fell(good)
        title = f"Goodput {'falls: ' + ', '.join(fell) if fell else 'falls nowhere: no collapse'}"
        style.head(figure, title, style.subtitle(experiment.run))
    return Drawing(figure, f"{title}. {'; '.join(told)}.")


def _fell(good: dict[float, pd.Series[float]]) -> list[str]:
    """The servers that answered fewer at a level than at a lower one, by more than a twentieth."""
    table = np.array([of.to_numpy() for of in good.values()])
    falls = np.atleast_1d((table < 0.95 * np.maximum.accumulate(table)).any(axis=0))
    names = list(next(iter(good.values())).index)
    return [name for name, fall in zip(names, falls, strict=True) if fall]
