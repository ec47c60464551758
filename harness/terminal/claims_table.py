"""Claims, figures and verdicts on the terminal, readable at 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.record import Run
from harness.studies.claims.judgement import CPP, PYTHON, languages_compared, pairs
from harness.studies.claims.ledger import language_summary
from harness.studies.claims.records import VERDICTS, Check, Explored, Judged, Judgement, Nearest

_STYLES = {
    "holds": "green",
    "direction holds": "yellow",
    "does not hold": "red",
    "not testable here": "dim",
}


def print_judged(console: Console, record: Judged, run: Run, saved: Path | None) -> None:
    """The table of claims, why some cannot be tested, and the document against itself; `saved`:
    the folder that the verdicts were written into, if they were."""
    numbers = _reasons([*record.judgements, *record.in_cpp])
    console.print(claims_table(record.judgements, numbers, record.in_cpp))
    console.print(
        "In round brackets a 95 % interval, in square brackets the range of too few rounds for "
        "one. holds: ours meets the document's figure, within a factor 1.25; direction holds: the "
        "better side is better, by another factor.",
        style="dim",
        highlight=False,
    )
    print_languages(console, record.judgements)
    if numbers:
        console.print("\nReasons:", style="bold", highlight=False)
    for reason, number in numbers.items():
        console.print(hanging(f"[{number}]", reason))
    console.print("\nThe document against itself", style="bold", highlight=False)
    print_checks(console, record.checks)
    console.print()
    for line in _notes(record, run):
        console.print(line, highlight=False)
    if saved is not None:
        console.print(f"Saved as claims.json in {saved}", highlight=False, soft_wrap=True)


def claims_table(
    judgements: list[Judgement], numbers: dict[str, int], in_cpp: Sequence[Judgement] = ()
) -> Table:
    """A row for each claim, below its group; with a column for each language, if there are two."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("claim", ratio=1)
    table.add_column("document", justify="right", max_width=14)
    if in_cpp:
        table.add_column(PYTHON, justify="right", width=19)
        table.add_column(CPP, justify="right", width=19)
    else:
        table.add_column("here", justify="right", max_width=22)
        table.add_column("verdict", no_wrap=False, width=14)
    marks = _languages(judgements)
    for group, members in groupby(pairs(judgements, in_cpp), key=lambda two: two[0].claim.group):
        table.add_row(Text(group, style="bold"))
        for mine, other in members:
            found = ours(mine, marks), verdict(mine, numbers.get(mine.reason))
            if in_cpp:
                found = _together(*found), Text("-")
                if other is not None:
                    there = ours(other, {}), verdict(other, numbers.get(other.reason))
                    found = found[0], _together(*there)
            table.add_row(Padding(mine.claim.text, (0, 0, 0, 2)), mine.document, *found)
    return table


def _together(figure: Text, judged: Text) -> Text:
    """A figure with its interval, and the verdict below."""
    return Text("\n").join([figure, judged])


def needs_reason(judgement: Judgement) -> bool:
    """Whether figure and verdict do not speak for themselves."""
    unanswered = judgement.measured is not None and bool(judgement.measured.unanswered)
    return judgement.verdict == "not testable here" or unanswered


def _languages(judgements: Sequence[Judgement]) -> dict[str, str]:
    """A mark for each sentence on the language of a figure."""
    found = dict.fromkeys(j.language for j in judgements if j.language is not None)
    return {sentence: "*" * number for number, sentence in enumerate(found, start=1)}


def print_languages(console: Console, judgements: Sequence[Judgement]) -> None:
    """The footnotes that the marks at figures refer to."""
    for sentence, mark in _languages(judgements).items():
        console.print(f"{mark} {sentence}", style="dim", highlight=False)


def ours(judgement: Judgement, marks: Mapping[str, str]) -> Text:
    """The figure with the mark of its language, and below it the interval."""
    head, _, tail = judgement.ours.partition(" (" if " (" in judgement.ours else " [")
    if judgement.language is not None:
        head = f"{head} {marks[judgement.language]}"
    if not tail:
        return Text(head)
    opening = "(" if judgement.ours.endswith(")") else "["
    return Text.assemble(head, (f"\n{opening}{tail}", "dim"))


def verdict(judgement: Judgement, number: int | None) -> Text:
    """The verdict, with the number of its reason."""
    words = judgement.verdict + ("" if number is None else f" [{number}]")
    return Text(words, style=_STYLES[judgement.verdict])


def print_checks(console: Console, checks: list[Check]) -> None:
    """The document's figures against each other: contradictions explained, the rest listed."""
    for check in checks:
        if not check.consistent:
            console.print(
                hanging("x", f"{check.title}: says {check.stated}; follows: {check.follows}.")
            )
            console.print(hanging("", check.explanation, style="dim"))
    right = [check for check in checks if check.consistent]
    if right:
        sums = "; ".join(f"{check.title} {check.follows}" for check in right)
        console.print(hanging("=", f"What adds up: {sums}."))


def hanging(mark: str, text: str, style: str = "") -> Table:
    """A paragraph behind a mark, its lines indented alike."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=4, justify="right", no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(Text(mark), Text(text, style=style))
    return grid


def _reasons(judgements: list[Judgement]) -> dict[str, int]:
    """Why claims cannot be tested, and who did not answer; numbered in the order of the table."""
    found = [j.reason for j in judgements if needs_reason(j)]
    return {reason: number for number, reason in enumerate(dict.fromkeys(found), start=1)}


def _notes(record: Judged, run: Run) -> list[str]:
    counts = Counter(j.verdict for j in record.judgements)
    told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS)
    wrong = sum(not check.consistent for check in record.checks)
    lines = [
        f"{len(record.judgements)} claims: {told}. Of {len(record.checks)} checks of the document "
        f"against itself {wrong} contradict it."
    ]
    both = languages_compared(record.judgements, record.in_cpp)
    costs = language_summary(run, record.judgements, record.in_cpp)
    lines += [line for line in (both, costs) if line is not None]
    if record.native_missing is not None:
        lines.append(f"C++ was not measured: {record.native_missing}.")
    if record.remarks:
        lines.append(f"Of this machine: {'; '.join(record.remarks)}.")
    invalid = sum(not trial.valid for trial in run.trials)
    if invalid:
        lines.append(
            f"{invalid} of {len(run.trials)} trials were not sound enough to judge by (mostly: the "
            "generator was late). Stop what else runs here, or take more rounds."
        )
    lines += [f"Warning: {warning}." for warning in run.warnings]
    if not run.complete:
        lines.append(f"The run is PARTIAL: {run.incomplete_reason}.")
    return lines


def print_explored(console: Console, record: Explored, folder: Path) -> None:
    """The conditions tried, and for each claim that fails the condition that came nearest."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("condition", ratio=1)
    for name in ("holds", "direction", "fails", "untested", "invalid trials"):
        table.add_column(name, justify="right")
    for tried in record.conditions:
        counts = Counter(j.verdict for j in tried.judgements)
        table.add_row(
            tried.name + (f" ({tried.failure})" if tried.failure else ""),
            *(str(counts[name]) for name in VERDICTS),
            f"{tried.invalid_trials} of {tried.trials}",
        )
    console.print(table)
    console.print("\nClaims that fail as the document has it, and where they come nearest:\n")
    console.print(_nearest_table(record.nearest))
    print_languages(console, _shown(record.nearest))
    for line in explored_notes(record):
        console.print(line, highlight=False)
    console.print(f"Saved as explore.json in {folder}", highlight=False, soft_wrap=True)


def _shown(nearest: list[Nearest]) -> list[Judgement]:
    """Every judgement of which a figure is in the table."""
    return [j for found in nearest for j in (found.at_first, found.judgement) if j is not None]


def _nearest_table(nearest: list[Nearest]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("claim", ratio=1)
    table.add_column("document", justify="right", max_width=12)
    table.add_column("at first", justify="right", max_width=10)
    table.add_column("nearest", justify="right", max_width=18)
    table.add_column("condition", max_width=16)
    marks = _languages(_shown(nearest))
    for found in nearest:
        best = found.judgement
        if best is None:
            there, where = Text("-"), Text("no condition gave a figure", style="dim")
        else:
            there = ours(best, marks)
            where = Text(f"{found.condition}: ").append_text(verdict(best, None))
        first = found.at_first.ours.split(" (")[0].split(" [")[0]
        if found.at_first.language is not None:
            first = f"{first} {marks[found.at_first.language]}"
        table.add_row(found.claim.text, found.at_first.document, first, there, where)
    return table


def explored_notes(record: Explored) -> list[str]:
    """The result of the search, in sentences."""
    reached = [n for n in record.nearest if n.judgement and n.judgement.verdict == "holds"]
    lines = [
        f"\n{len(reached)} of {len(record.nearest)} claims that fail would hold under some "
        "condition that was tried."
    ]
    best = max(
        record.conditions,
        key=lambda c: sum(j.verdict == "holds" for j in c.judgements),
        default=None,
    )
    if best is not None:
        holds = sum(j.verdict == "holds" for j in best.judgements)
        lines.append(f"No condition makes more of them hold than {best.name}: {holds}.")
    if any(c.invalid_trials for c in record.conditions):
        lines.append(
            "Trials in which the generator was the limit say nothing of the server and were left "
            "out; with one CPU for all, server and generator compete and most trials can be such."
        )
    if not record.complete:
        lines.append("The search is PARTIAL.")
    return lines
