"""The sections of a report on the document's claims: the level ladder, success at each level
against what the document expects, drawn and told; and the claims on trial, with the document
against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from matplotlib.ticker import PercentFormatter

from harness.core.record import Run
from harness.core.units import number, rate, share
from harness.core.wording import figure_interval, listed, slot_names
from harness.studies.claims import judge_about
from harness.studies.claims.consistency import checks
from harness.studies.claims.judgement import (
    CPP,
    PYTHON,
    InCpp,
    judge_in_cpp,
    languages_compared,
    pairs,
)
from harness.studies.claims.ledger import departures, language_summary, the_ledger
from harness.studies.claims.records import VERDICTS, Beside, Judgement
from harness.studies.compare.section import labels
from harness.views import style
from harness.views.model import (
    Block,
    Cell,
    Column,
    Listing,
    Mark,
    Missing,
    Paragraph,
    Section,
    Table,
)
from harness.views.svg import chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# backend -> level in requests a second -> the share that the document expects to succeed
Expected = Mapping[str, Mapping[float, float]]
_MARKS: dict[str, Mark] = {"holds": "better", "does not hold": "worse"}


def draw_ladder(run: Run, expected: Expected) -> Figure:
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
    drawn = chart("ladder", partial(draw_ladder, run, expected))
    words = "Success is an answer 202 within the timeout, over all scheduled requests."
    if expected:
        words += " The document's figures are those that it expects before and after the change."
    blocks: list[Block] = [Paragraph(words), drawn, _ladder_table(run, expected)]
    stated = {rps for levels in expected.values() for rps in levels}
    if missing := sorted(stated - set(run.settings.rps)):
        levels = ", ".join(rate(rps) for rps in missing)
        blocks.append(
            Missing(f"Not measured in this run: {levels}. All levels are measured by:",
                    "labrun compare --sweep")
        )  # fmt: skip
    return Section("ladder", title, tuple(blocks))


def _ladder_table(run: Run, expected: dict[str, dict[float, float]]) -> Table:
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


def claims_section(run: Run, beside: Beside | None, native: InCpp | None = None) -> Section | None:
    """Each claim that is about this run with a verdict on it; None where the run is not one that
    the document's claims are about."""
    if departures(run):
        return None
    judgements = judge_about(run, beside)
    in_cpp = judge_in_cpp(native)
    counts = Counter(j.verdict for j in judgements)
    told = ", ".join(f'{counts[verdict]} "{verdict}"' for verdict in VERDICTS)
    said = (languages_compared(judgements, in_cpp), language_summary(run, judgements, in_cpp))
    blocks: list[Block] = [
        Paragraph(
            " ".join(
                (
                    f"{len(judgements)} claims of the design document: {told}.",
                    *(text for text in said if text is not None),
                )
            )
        ),
        Paragraph(
            "Ranges in round brackets are 95 % intervals, in square brackets the range of the "
            "rounds where these are too few."
        ),
        _table(judgements, in_cpp),
    ]
    if beside is None:
        blocks.append(
            Missing(
                "Thread costs and what else needs a measurement beside the trials "
                "were not measured for this run. They are with a run that is made by:",
                "labrun claims",
            )
        )
    own = checks()
    if own:
        blocks.append(Paragraph("The document against itself, by its own figures alone:"))
        items = (
            f"{c.title}: it says {c.stated}; from its other figures follows {c.follows} "
            f"({'consistent' if c.consistent else 'inconsistent'}). {c.explanation}"
            for c in own
        )
        blocks.append(Listing(tuple(items)))
    return Section("claims", "The document's claims", tuple(blocks))


def _table(judgements: list[Judgement], in_cpp: list[Judgement]) -> Table:
    rows = []
    for mine, other in pairs(judgements, in_cpp):
        row = [Cell(mine.claim.text, small=mine.claim.group), Cell(mine.document), *_cells(mine)]
        if in_cpp:
            row += _cells(other) if other is not None else (Cell("-"), Cell("-"))
        rows.append(tuple(row))
    columns = [
        Column("Claim", numeric=False), Column("The document"),
        Column(PYTHON if in_cpp else "Here"), Column("Verdict", numeric=False),
    ]  # fmt: skip
    if in_cpp:
        columns += [Column(CPP), Column(f"Verdict in {CPP}", numeric=False)]
    return Table("Claims and verdicts", tuple(columns), tuple(rows))


def _cells(judgement: Judgement) -> tuple[Cell, Cell]:
    """Figure and verdict."""
    known = judgement.measured and not judgement.measured.unanswered
    return (
        Cell(judgement.ours, small="" if known else judgement.reason),
        Cell(
            judgement.verdict,
            small=judgement.language or "",
            mark=_MARKS.get(judgement.verdict, "none"),
        ),
    )
