"""The level ladder: success at each level against what the document expects, drawn and told."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.ticker import PercentFormatter

from harness.core.record import Run
from harness.core.units import number, rate, share
from harness.core.wording import figure_interval, listed, slot_names
from harness.studies.claims.ledger import departures, the_ledger
from harness.studies.compare.section import labels
from harness.views import style
from harness.views.model import Block, Cell, Column, Missing, Paragraph, Section, Table
from harness.views.svg import chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    style.head(figure, _chart_title(run, expected), style.subtitle(run, what))
    return figure


def _chart_title(run: Run, expected: Expected) -> str:
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


def expected_success() -> dict[str, dict[float, float]]:
    """The document's expectation of each backend at each level, from the ledger of claims."""
    found: dict[str, dict[float, float]] = {}
    for claim in the_ledger().claim:
        stated = claim.measure == "success" and claim.ratio is None
        if stated and claim.backend and claim.rps and claim.value is not None:
            found.setdefault(claim.backend, {})[float(claim.rps)] = claim.value
    return found


def ladder_section(run: Run) -> Section:
    """A row a level: success measured and expected, and the rate that was answered. Nothing is
    expected of a run that the document's claims are not about."""
    expected = {} if departures(run) else expected_success()
    title = "The level ladder: success at each level"
    if expected:
        title = "The level ladder: success against the document"
    if not run.trials:
        return Section("ladder", title, (Missing("No trial was finished."),))
    drawn = chart("ladder", partial(draw, run, expected))
    words = "Success is an answer 202 within the timeout, over all scheduled requests."
    if expected:
        words += " The document's figures are those that it expects before and after the change."
    blocks: list[Block] = [Paragraph(words), drawn, _table(run, expected)]
    stated = {rps for levels in expected.values() for rps in levels}
    if missing := sorted(stated - set(run.settings.rps)):
        levels = ", ".join(rate(rps) for rps in missing)
        blocks.append(
            Missing(f"Not measured in this run: {levels}. All levels are measured by:",
                    "labrun compare --sweep")
        )  # fmt: skip
    return Section("ladder", title, tuple(blocks))


def _table(run: Run, expected: dict[str, dict[float, float]]) -> Table:
    names = labels(run)
    rows = []
    for cell in run.cells:
        success = cell.metric("client.success_rate")
        hoped = expected.get(cell.backend, {}).get(cell.rps)
        document = (Cell(share(hoped), hoped),) if expected else ()
        achieved = cell.metric("client.achieved_rps").median
        rows.append(
            (
                Cell(rate(cell.rps).removesuffix(" RPS"), cell.rps),
                Cell(names[cell.slot]),
                *document,
                Cell(share(success.median), success.median, figure_interval(success, share)),
                Cell(number(achieved), achieved),
            )
        )
    document_column = (Column("The document"),) if expected else ()
    columns = (
        Column("RPS"), Column("Backend", numeric=False), *document_column,
        Column("Measured"), Column("Answered a second"),
    )  # fmt: skip
    return Table("Success by level", columns, tuple(rows))
