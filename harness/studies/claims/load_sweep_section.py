"""The level ladder: success at each level against what the document expects."""

from __future__ import annotations

from functools import partial

from harness.core.record import Run
from harness.core.units import number, rate, share
from harness.core.wording import figure_interval
from harness.studies.claims import load_sweep as ladder
from harness.studies.claims.ledger import the_ledger
from harness.studies.claims.scenario import departures
from harness.studies.compare.section import labels
from harness.views.model import Block, Cell, Column, Missing, Paragraph, Section, Table
from harness.views.svg import chart


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
    drawn = chart("ladder", partial(ladder.draw, run, expected))
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
