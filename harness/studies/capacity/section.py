"""A capacity search, drawn and in a section of the report: success, p99 and goodput against offered
load, where the edge is, and the capacity of each backend."""

from __future__ import annotations

import math
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from harness.core.options import unusual
from harness.core.record import Capacity, CapacityEstimate, CapacityRatio, Condition, Run, Trial
from harness.core.units import number
from harness.core.units import ratio as plain_ratio
from harness.studies.compare.section import labels
from harness.studies.search_sentences import ratio_words, three_digits
from harness.views import style
from harness.views.model import Block, Cell, Column, Missing, Paragraph, Section, Table
from harness.views.svg import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEAR = 0.08  # rates within this of each other, in ln, share a point of the line
_TICKS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


def draw_capacity(run: Run) -> Figure:
    """Every trial as a dot in three panels that share the load; bands are the intervals."""
    capacity = run.capacity
    if capacity is None or not run.trials:
        return style.nothing_to_draw(run, "no trial was finished")
    figure = style.new_figure(8.0, 8.2)
    success, p99, goodput = panels = figure.subplots(3, 1, sharex=True)
    for look in style.looks(run):
        trials = [t for t in run.trials if t.slot == look.slot]
        _points(success, look, [(t, t.client.success_rate) for t in trials])
        _points(p99, look, [(t, _p99_us(t)) for t in trials])
        _beyond(p99, look, [t.rps for t in trials if t.valid and "p99" in t.client.beyond])
        _points(goodput, look, [(t, t.client.achieved_rps) for t in trials])
        for axes in panels:
            _edge(axes, look, capacity.estimates[look.slot])
    _limits(success, p99, capacity.conditions)
    loads = [t.rps for t in run.trials]
    # A curve, since only x is on a log scale.
    offered = [min(loads) * (max(loads) / min(loads)) ** (i / 100) for i in range(101)]
    goodput.plot(offered, offered, color="#888888", linestyle=":", linewidth=1,
                 label="all that is offered")  # fmt: skip
    _axes(success, p99, goodput, [*loads, *_bounds(capacity)])
    if any(not t.valid for t in run.trials):
        goodput.plot([], [], marker="x", linestyle="none", color=style.INVALID,
                     label="invalid (generator-limited): no evidence")  # fmt: skip
    handles, labels = goodput.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8.5)
    what = (
        f"Objective: {capacity.objective}. Dots: trials; lines: medians of near rates; "
        "bands: 95 % interval of the capacity"
    )
    style.head(figure, _title(capacity), _subtitle(run, what))
    return figure


def _points(axes: Axes, look: style.Look, values: list[tuple[Trial, float | None]]) -> None:
    """Trials as dots, and a line through the medians of rates that are near each other. A value
    that is infinite (not answered) is no dot and counts in the median, where the line breaks."""
    near: dict[int, list[tuple[float, float]]] = {}
    for trial, value in values:
        if value is None:
            continue
        if trial.valid:
            near.setdefault(round(math.log(trial.rps) / _NEAR), []).append((trial.rps, value))
        if math.isinf(value):
            continue
        if trial.valid:
            axes.plot(trial.rps, value, marker=look.marker, color=look.colour, markersize=5,
                      alpha=0.7, markeredgewidth=0)  # fmt: skip
        else:
            axes.plot(trial.rps, value, marker="x", color=style.INVALID, markersize=5)
    groups = [near[key] for key in sorted(near)]
    x = [median(rps for rps, _ in group) for group in groups]
    y = [median(value for _, value in group) for group in groups]
    y = [math.nan if math.isinf(value) else value for value in y]
    axes.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.6)
    # For the legend: dot and line together.
    axes.plot([], [], color=look.colour, linestyle=look.line, marker=look.marker, markersize=5,
              label=look.label)  # fmt: skip


def _p99_us(trial: Trial) -> float | None:
    return math.inf if "p99" in trial.client.beyond else trial.client.response_us.p99


def _beyond(axes: Axes, look: style.Look, rates: list[float]) -> None:
    """Trials whose figure lies among the failures, at the upper edge of the panel."""
    if not rates:
        return
    axes.plot(rates, [0.96] * len(rates), transform=axes.get_xaxis_transform(), linestyle="none",
              marker=look.marker, color=look.colour, markersize=5,
              markerfacecolor="none")  # fmt: skip
    axes.annotate("hollow, at the edge: p99 not answered", (0.01, 0.95),
                  xycoords="axes fraction", fontsize=8, va="top")  # fmt: skip


def _edge(axes: Axes, look: style.Look, estimate: CapacityEstimate) -> None:
    """A band for an interval, with its middle; an edge with a direction for a bound."""
    low, high = estimate.low_rps, estimate.high_rps
    if low is not None and high is not None:
        axes.axvspan(low, high, color=look.colour, alpha=0.18, linewidth=0)
        if estimate.rps is not None:
            axes.axvline(estimate.rps, color=look.colour, linewidth=1.2, linestyle=look.line)
        return
    bound = low if low is not None else high
    if bound is not None:
        axes.axvline(bound, color=look.colour, linewidth=1.2, linestyle=look.line)
        axes.annotate("at least" if low is not None else "at most", (bound, 0.5),
                      xycoords=("data", "axes fraction"), xytext=(4 if low is not None else -4, 0),
                      textcoords="offset points", fontsize=8, color=look.colour,
                      ha="left" if low is not None else "right")  # fmt: skip


def _bounds(capacity: Capacity) -> list[float]:
    """The ends of what is known, which may lie beyond the rates that were tried."""
    ends = [end for e in capacity.estimates for end in (e.low_rps, e.high_rps)]
    return [end for end in ends if end is not None]


def _limits(success: Axes, p99: Axes, conditions: list[Condition]) -> None:
    for condition in conditions:
        axes = {"client.success_rate": success, "client.response_us.p99": p99}.get(condition.metric)
        if axes is not None:
            axes.axhline(condition.limit, color=style.INK, linewidth=0.9, linestyle="--")
            axes.annotate("objective", (0.0, condition.limit), xycoords=("axes fraction", "data"),
                          xytext=(4, -3 if axes is success else 3), textcoords="offset points",
                          fontsize=8, va="top" if axes is success else "bottom")  # fmt: skip


def _axes(success: Axes, p99: Axes, goodput: Axes, loads: list[float]) -> None:
    success.set_ylim(-0.03, 1.05)
    success.yaxis.set_major_formatter(PercentFormatter(1.0))
    success.set_ylabel("answered 202 in time")
    p99.set_yscale("log")
    p99.yaxis.set_major_formatter(FuncFormatter(style.microseconds_axis))
    p99.yaxis.set_minor_formatter(NullFormatter())
    p99.set_ylabel("p99 response time (log)")
    goodput.set_ylim(bottom=0)
    style.count_axis(goodput)
    goodput.set_ylabel("goodput (requests/s)")
    goodput.set_xscale("log")
    goodput.set_xlim(min(loads) / 1.15, max(loads) * 1.15)
    ticks = [tick for tick in _TICKS if min(loads) / 1.15 <= tick <= max(loads) * 1.15]
    goodput.set_xticks(ticks, [style.level_label(tick) for tick in ticks])
    goodput.xaxis.set_minor_formatter(NullFormatter())
    goodput.set_xlabel("offered load (requests/s, log scale)")


def _title(capacity: Capacity) -> str:
    parts = []
    for estimate in capacity.estimates:
        if estimate.rps is not None:
            told = three_digits(estimate.rps)
        elif estimate.low_rps is not None:
            told = f"at least {three_digits(estimate.low_rps)}"
        elif estimate.high_rps is not None:
            told = f"at most {three_digits(estimate.high_rps)}"
        else:
            told = "nobody knows how many"
        parts.append(f"{estimate.backend} sustains {told} requests/s")
    title = ", ".join(parts)
    if capacity.ratios and capacity.ratios[0].bound != "unknown":
        title += f": {ratio_words(capacity.ratios[0])}"
    return title


def _subtitle(run: Run, what: str) -> str:
    settings = run.settings
    valid = sum(t.valid for t in run.trials)
    parts = [
        f"{len(run.trials)} trials of {settings.duration_s:g} s, {valid} valid",
        f"{settings.arrivals} arrivals, workload {settings.workload}",
        *unusual(settings, ("arrivals", "workload")),
    ]
    if not run.complete:
        parts.append("PARTIAL run")
    return f"{' · '.join(parts)}. {what}"


def capacity_section(found: Run | None) -> Section:
    """The report's section on capacity, of a run of `labrun capacity`."""
    if found is None or found.capacity is None:
        words = "The highest rate that each backend can take was not measured in this run."
        return Section("capacity", "Capacity", (Missing(words, "labrun capacity"),))
    capacity = found.capacity
    words = (
        f"The highest rate that meets the objective ({capacity.objective}), by a search. "
        "Ranges are 95 % intervals; a bound says that the search reached no further."
    )
    blocks: list[Block] = [Paragraph(words)]
    blocks.append(Paragraph(f"Measured by: {found.command} ({found.id})."))
    names = labels(found)
    rows = tuple(_estimate(names[e.slot], e) for e in capacity.estimates)
    columns = (Column("Backend", numeric=False), Column("Capacity, RPS"),
               Column("Trials that met it"), Column("that missed"), Column("invalid"))  # fmt: skip
    blocks.append(chart("capacity-chart", partial(draw_capacity, found)))
    blocks.append(Table("Capacity", columns, rows))
    if capacity.ratios:
        heads = (Column("Contender", numeric=False), Column("Ratio to the baseline"))
        blocks.append(Table("Compared", heads, tuple(_ratio(r) for r in capacity.ratios)))
    return Section("capacity", "Capacity", tuple(blocks))


def _estimate(name: str, e: CapacityEstimate) -> tuple[Cell, ...]:
    low, high = number(e.low_rps), number(e.high_rps)
    text, small = {
        "interval": (number(e.rps), f"{low} to {high}"),
        "at-least": (f"at least {low}", ""),
        "at-most": (f"at most {high}", ""),
        "unknown": ("-", ""),
    }[e.bound]
    why = small or e.why or ""  # an interval has no reason not to be one
    counts = (Cell(str(n), n) for n in (e.met, e.missed, e.invalid))
    return (Cell(name), Cell(text, e.rps or e.low_rps or e.high_rps, why), *counts)


def _ratio(found: CapacityRatio) -> tuple[Cell, ...]:
    name = f"{found.contender} to {found.baseline}"
    if found.ratio is None or found.ci_low is None or found.ci_high is None:
        ends = [
            f"{words} {plain_ratio(end)}×"
            for words, end in (("at least", found.ci_low), ("at most", found.ci_high))
            if end is not None
        ]
        return Cell(name), Cell(" and ".join(ends) or "-", small=found.why or "")
    small = f"{plain_ratio(found.ci_low)} to {plain_ratio(found.ci_high)}"
    return Cell(name), Cell(f"{plain_ratio(found.ratio)}×", found.ratio, small)
