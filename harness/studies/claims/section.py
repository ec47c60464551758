"""The document's claims on trial, and the document against itself."""

from __future__ import annotations

from collections import Counter

from harness.core.record import Run
from harness.studies.claims import judge_about
from harness.studies.claims.consistency import checks
from harness.studies.claims.language import language_summary
from harness.studies.claims.records import VERDICTS, Beside, Judgement
from harness.studies.claims.scenario import departures
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

_MARKS: dict[str, Mark] = {"holds": "better", "does not hold": "worse"}


def claims_section(run: Run, beside: Beside | None) -> Section | None:
    """Each claim that is about this run with a verdict on it; None where the run is not one that
    the document's claims are about."""
    if departures(run):
        return None
    judgements = judge_about(run, beside)
    counts = Counter(j.verdict for j in judgements)
    told = ", ".join(f'{counts[verdict]} "{verdict}"' for verdict in VERDICTS)
    costs = language_summary(run, judgements)
    blocks: list[Block] = [
        Paragraph(
            f"{len(judgements)} claims of the design document: {told}."
            + ("" if costs is None else f" {costs}")
        ),
        Paragraph(
            "Ranges in round brackets are 95 % intervals, in square brackets the range of the "
            "rounds where these are too few."
        ),
        _table(judgements),
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


def _table(judgements: list[Judgement]) -> Table:
    rows = [
        (
            Cell(j.claim.text, small=j.claim.group),
            Cell(j.document),
            Cell(j.ours, small="" if j.measured and not j.measured.unanswered else j.reason),
            Cell(j.verdict, small=j.language or "", mark=_MARKS.get(j.verdict, "none")),
        )
        for j in judgements
    ]
    columns = (
        Column("Claim", numeric=False), Column("The document"), Column("Here"),
        Column("Verdict", numeric=False),
    )  # fmt: skip
    return Table("Claims and verdicts", columns, tuple(rows))
