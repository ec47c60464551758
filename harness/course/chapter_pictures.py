"""Pictures for chapters 1, 6 and 7, each with callouts: the two clocks of a request, the document's
own answers to one question, and a model beside what it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from harness.course.pictures import Drawing, callout
from harness.session.experiment import Experiment
from harness.studies.anatomy.account import Life
from harness.studies.claims.document_figures import (
    ACTIVE,
    ACTIVE_STORM,
    LIFE_MS,
    MEDIAN_US,
    RPS,
    THREAD_US,
    WAITING,
)
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REST = "#BBBBBB"


def two_clocks(experiment: Experiment) -> Drawing:
    """Of each server of an anatomy, the share of a request that is useful by the clock on the wall
    and by the processor's. A server of which one of them is not known is left out."""
    lives = [life for life in experiment.anatomy().lives if _shares(life) is not None]
    told = []
    with style.styled():
        figure = style.new_figure(8.0, 1.9 + 0.95 * len(lives))
        axes = figure.subplots()
        for number, life in enumerate(lives):
            shares = _shares(life)
            assert shares is not None
            (waits, useful), handler = shares
            wall, cpu = 2.5 * number, 2.5 * number + 1
            _stack(axes, wall, ((waits, _REST), (useful, style.DARK), (1 - waits - useful, _REST)))
            _stack(axes, cpu, ((handler, style.DARK), (1 - handler, _REST)))
            told.append(
                f"{life.backend}: useful are {useful:.0%} of the time and {handler:.0%} of the CPU"
            )
            if number == 0:
                callout(axes, "dispatch: it waits for a CPU and the lock", (waits / 2, wall - 0.3),
                        (0.02, wall - 1.1))  # fmt: skip
                callout(axes, "accept, wake, end threads: CPU, and not the handler's",
                        (handler + 0.3, cpu + 0.3), (handler + 0.02, cpu + 0.78))  # fmt: skip
        rows = [f"{life.backend},\n{clock}" for life in lives for clock in ("time", "CPU")]
        places = [2.5 * number + row for number in range(len(lives)) for row in (0, 1)]
        axes.set_yticks(places, rows)
        axes.set_ylim(2.5 * len(lives) - 0.7, -1.6)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y", visible=False)
        title = "Two clocks: how much of a request's time, and of its CPU, is useful"
        style.head(
            figure, title, "Dark: read to close by the wall's clock; the handler by the CPU's"
        )
    return Drawing(figure, f"{title}. {'; '.join(told)}.")


def _shares(life: Life) -> tuple[tuple[float, float], float] | None:
    """By the wall the shares of dispatch and of useful work, by the CPU that of the handler."""
    dispatch = next((step.p50_us for step in life.steps if step.kind == "dispatch"), None)
    if not life.typical_us or life.useful_share is None or life.useful_cpu_share is None:
        return None
    return ((dispatch or 0.0) / life.typical_us, life.useful_share), life.useful_cpu_share


def _stack(axes: Axes, row: float, parts: Iterable[tuple[float, str]]) -> None:
    left = 0.0
    for share, colour in parts:
        axes.barh(row, share, left=left, color=colour, height=0.8, edgecolor="white")
        left += share


def document_times() -> Drawing:
    """How long a request is in the server of a thread per request at 2,000 a second, by each of the
    document's figures that say it or from which it follows."""
    inside = ACTIVE_STORM[0] + WAITING, ACTIVE_STORM[1] + WAITING
    rows = {
        f"timeline: {THREAD_US} µs": (THREAD_US / 1e3, THREAD_US / 1e3),
        f"median: {MEDIAN_US / 1e3:g} ms": (MEDIAN_US / 1e3, MEDIAN_US / 1e3),
        f"drawing: {ACTIVE[0]} to {ACTIVE[1]} threads at once": _stay_ms(ACTIVE),
        f"threads live {LIFE_MS[0]} to {LIFE_MS[1]} ms": LIFE_MS,
        f"storm: {inside[0]} to {inside[1]} inside": _stay_ms(inside),
    }
    with style.styled():
        figure = style.new_figure(8.0, 3.6)
        axes = figure.subplots()
        for place, (low, high) in enumerate(rows.values()):
            colour = style.LIGHT if place in (2, 4) else style.DARK
            axes.plot([low, high], [place, place], color=colour, linewidth=7)
            axes.plot([low, high], [place, place], "o", color=colour, markersize=8)
        axes.set_xscale("log")
        axes.set_xlim(0.4, 400)
        axes.xaxis.set_major_formatter("{x:g} ms")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.4, -0.7)
        callout(axes, f"said: {THREAD_US / 1e3:.3g} ms", (THREAD_US / 1e3, 0), (1.8, 0))
        low, high = _stay_ms(ACTIVE)
        callout(axes, f"follows, by Little's law:\n{ACTIVE[0]} / {RPS:,} a second is {low:g} ms",
                (low, 2), (0.6, 3.1))  # fmt: skip
        title = "One question, five answers: how long is a request in the server?"
        style.head(figure, title, "The document's figures at 2,000 a second; light: what follows")
    told = "; ".join(
        name if name.endswith("s") else f"{name}: {low:g} to {high:g} ms"
        for name, (low, high) in rows.items()
    )
    return Drawing(figure, f"{title} {told}.")


def _stay_ms(inside: tuple[int, int]) -> tuple[float, float]:
    """Little's law: how long each stays, where so many are inside at `RPS` a second."""
    return inside[0] / RPS * 1e3, inside[1] / RPS * 1e3


def cost_model(
    experiment: Experiment, fits: Mapping[str, Callable[[float], float]], seen: Iterable[float]
) -> Drawing:
    """The cost of a request by a model (`fits`: microseconds at a rate, by server), and measured at
    each level: full where the model was fitted, open where it had not seen it."""
    levels, known = sorted(experiment.settings.rps), {float(rps) for rps in seen}
    told, missed = [], []
    with style.styled():
        figure = style.new_figure(8.0, 4.4)
        axes = figure.subplots()
        across = np.geomspace(levels[0], levels[-1], 200)
        for look in style.looks(experiment.run):
            fit = fits[look.label]
            axes.plot(across, [fit(rps) for rps in across], linestyle=look.line, color=look.colour,
                      label=f"model, {look.label}")  # fmt: skip
            for rps in levels:
                us = float(experiment.figure("server.cpu_us_per_request.total", rps)[look.label])
                axes.plot([rps], [us], look.marker, color=look.colour, markersize=8,
                          markerfacecolor=look.colour if rps in known else "white",
                          markeredgewidth=1.6)  # fmt: skip
                if rps not in known:
                    told.append(
                        f"{look.label} at {rps:,.0f}: {fit(rps):.0f} µs by the model, {us:.0f} "
                        "measured"
                    )
                    missed.append((abs(us / fit(rps) - 1), rps, us, fit(rps)))
        axes.set_xscale("log")
        axes.set_xticks(levels, [f"{rps:,.0f}" for rps in levels])
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.set_xlabel("requests a second (log scale)")
        axes.set_ylabel("CPU per request, µs")
        for _, rps, us, by_model in sorted(missed)[-1:]:
            callout(axes, f"not seen: {us:.0f} µs, and the\nmodel says {by_model:.0f}", (rps, us),
                    (rps * 0.42, us * 1.35))  # fmt: skip
        figure.legend(loc="outside lower center", ncols=2)
        title = "A model beside what it has seen (full) and what it has not (open)"
        style.head(figure, title, style.subtitle(experiment.run))
    return Drawing(figure, f"{title}. {'; '.join(told)}.")
