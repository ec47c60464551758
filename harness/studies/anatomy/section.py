"""The request anatomy: what each step costs inside the server, beside the document's figures."""

from __future__ import annotations

from functools import partial

from harness.core.record import Run
from harness.core.units import microseconds, rate, share
from harness.studies.anatomy import chart as drawing
from harness.studies.anatomy.account import Anatomy, Life, Step, dissect, notes
from harness.studies.claims.ledger import language_of_steps
from harness.studies.compare.section import labels
from harness.views import style
from harness.views.model import Cell, Column, Listing, Missing, Paragraph, Section, Table
from harness.views.svg import chart


def anatomy_section(run: Run, anatomy: Anatomy | None) -> Section:
    """The lives of `anatomy.json`, or what the stamps of the run alone can tell."""
    title = "Anatomy of a request"
    if anatomy is None:
        anatomy = dissect(run, style.nearest_level(run))
    if not any(life.typical_us for life in anatomy.lives):
        words = "No valid trial at this level has stamps of its steps. They are measured by:"
        return Section("anatomy", title, (Missing(words, "labrun anatomy"),))
    drawn = chart("anatomy", partial(drawing.draw, run, anatomy))
    words = (
        f"Where the time of a typical request goes at {rate(anatomy.rps)}, from accept() on, and "
        "what the document says of each step."
    )
    blocks = (Paragraph(words), drawn, _table(anatomy, labels(run)))
    told = (*notes(anatomy), language_of_steps(run))
    return Section("anatomy", title, (*blocks, Listing(told)))


def _table(anatomy: Anatomy, names: list[str]) -> Table:
    columns = [Column("Step", numeric=False)]
    for life in anatomy.lives:
        columns += [Column(names[life.slot]), Column("the document's")]
    steps: list[str] = []
    for life in anatomy.lives:
        steps += [step.name for step in life.steps if step.name not in steps]
    rows = []
    for name in steps:
        cells = [Cell(name.replace("_", " "))]
        for life in anatomy.lives:
            cells += _step(next((s for s in life.steps if s.name == name), None))
        rows.append(tuple(cells))
    rows.append((Cell("all"), *(c for life in anatomy.lives for c in _whole(life))))
    rows.append((Cell("useful work"), *(c for life in anatomy.lives for c in _useful(life))))
    return Table(f"Steps at {rate(anatomy.rps)}: medians", tuple(columns), tuple(rows))


def _step(step: Step | None) -> tuple[Cell, Cell]:
    if step is None:
        return Cell("-"), Cell("-")
    small = "" if step.p99_us is None else f"p99 {microseconds(step.p99_us)}"
    return (
        Cell(microseconds(step.p50_us), step.p50_us, small),
        Cell(microseconds(step.document_us), step.document_us),
    )


def _whole(life: Life) -> tuple[Cell, Cell]:
    return (
        Cell(microseconds(life.typical_us), life.typical_us),
        Cell(microseconds(life.document_us), life.document_us),
    )


def _useful(life: Life) -> tuple[Cell, Cell]:
    return (
        Cell(share(life.useful_share), life.useful_share),
        Cell(share(life.document_useful_share), life.document_useful_share),
    )
