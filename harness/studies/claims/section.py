"""The document's claims on trial, and the document against itself."""

from __future__ import annotations

from collections import Counter

from harness.core.record import Run
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
from harness.studies.claims.ledger import departures, language_summary
from harness.studies.claims.records import VERDICTS, Beside, Judgement
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
