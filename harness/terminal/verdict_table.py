"""A verdict on a terminal: every figure against its limit."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from harness.core.metrics import BY_PATH
from harness.core.units import rate
from harness.studies.regress.sentences import (
    interval_text,
    levels,
    limit_text,
    sentence,
    value_text,
)
from harness.studies.regress.verdict import Check, Outcome, Verdict

_STYLES: dict[Outcome, str] = {"pass": "green", "fail": "red", "inconclusive": "dim"}


def print_verdict(
    console: Console, verdict: Verdict, of: str = "new/old", unchanged: str = "unchanged code"
) -> None:
    """A table for each level and backend, and what it comes to; fits 80 columns. `of`: what the
    ratios are of; `unchanged`: who is accused at most that often."""
    for rps in levels(verdict.checks):
        for backend in dict.fromkeys(c.backend for c in verdict.checks if c.rps == rps):
            checks = [c for c in verdict.checks if (c.rps, c.backend) == (rps, backend)]
            console.print(_table(f"{backend} at {rate(rps)}{verdict.otherwise}", checks))
    for note in verdict.notes:
        console.print(f"Note: {note}.", style="dim", highlight=False)
    console.print(
        f"Ratios are {of}, with {verdict.confidence:.2%} intervals: the {len(verdict.checks)} "
        f"figures together accuse {unchanged} at most once in 20 checks.",
        style="dim",
        highlight=False,
    )
    console.print()
    console.print(sentence(verdict), style="bold", highlight=False)


def _table(title: str, checks: list[Check]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("", overflow="fold")
    for column in ("ratio", "interval", "passes"):
        table.add_column(column, no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for check in checks:
        over = f" / {check.reference}" if check.reference else ""
        table.add_row(
            BY_PATH[check.metric].title + over,
            value_text(check),
            interval_text(check),
            limit_text(check).replace("at most", "<=").replace("at least", ">="),
            check.outcome,
            style=_STYLES[check.outcome],
        )
    return table
