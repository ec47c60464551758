"""The comparison as a table, in the shape of the design document's, readable at 80 columns; and a
verdict, every figure against its limit."""

from __future__ import annotations

import textwrap
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.metrics import BY_PATH, shown
from harness.core.options import conditions
from harness.core.pythons import python_sentences
from harness.core.record import Cell, Comparison, Run, Trial
from harness.core.trials import design_at
from harness.core.units import rate
from harness.core.wording import (
    design_words,
    figure_words,
    has_interval,
    ratio_figure,
    ratio_interval,
    slot_names,
)
from harness.designs.stopping import ratio_confidence_words
from harness.drivers.driver import driver_of
from harness.studies.compare.aa_control import control_sentences
from harness.studies.compare.remarks import (
    block_sentences,
    bystander_sentences,
    connection_sentences,
    generator_sentences,
    outside_sentences,
)
from harness.studies.compare.summary import run_sentences
from harness.studies.regress.sentences import (
    interval_text,
    levels,
    limit_text,
    sentence,
    value_text,
)
from harness.studies.regress.verdict import Check, Outcome, Verdict

MOST_TOLD = 8
_NAME_WIDTH = 12
_STYLES = {"better": "green", "worse": "red", "cannot-tell": "dim", "not-comparable": "dim"}
_MARKS = {"better": "+", "worse": "-", "more": ">", "fewer": "<", "cannot-tell": "~"}
_OUTCOME_STYLES: dict[Outcome, str] = {"pass": "green", "fail": "red", "inconclusive": "dim"}


def print_run(console: Console, run: Run, folder: Path) -> None:
    """All levels, what they come to, what to beware of, and where the rest is."""
    if run.settings.trace is None:
        _print_tables(console, run)
    if run.finding:
        console.print()
        for line in finding_lines(run, run.finding):
            console.print(line, highlight=False, style="bold")
    control = control_sentences(run)
    if control:
        console.print()
    for line in control:
        console.print(line, highlight=False)
    console.print()
    for line in notes(run):
        console.print(line, highlight=False)
    console.print(f"Record, raw rows and charts: {folder}", highlight=False, soft_wrap=True)


def _print_tables(console: Console, run: Run) -> None:
    """Of each level, and how they are to be read."""
    for rps in run.settings.rps:
        cells = [cell for cell in run.cells if cell.rps == rps]
        # Of three or more each contender has a table beside the baseline: 80 columns hold no more.
        for contender in cells[1:] or cells[:1]:
            pair = cells[:1] if contender is cells[0] else [cells[0], contender]
            console.print(level_table(run, rps, pair))
    designs = {design_at(run, rps) for rps in run.settings.rps}
    level = ratio_confidence_words(run.settings)
    looks = " at each look, so 95 % over all" if run.settings.precision else ""
    within = "in pairs of blocks" if designs == {"blocks"} else "within rounds"
    console.print(
        f"Ratios are to the first backend, {within}, with a {level} interval{looks}: "
        "+ better, - worse, > more and < fewer (neither is better), ~ cannot tell.",
        style="dim",
        highlight=False,
    )


def finding_lines(run: Run, finding: str) -> list[str]:
    """The finding; of several contenders a line for each sentence about one of them."""
    lines = run_sentences(run)
    told = " ".join(lines)
    if len(run.settings.backends) < 3 or not finding.startswith(told):
        return [finding]
    return [line for line in (*lines, finding.removeprefix(told).strip()) if line]


def level_table(run: Run, rps: float, cells: list[Cell]) -> Table:
    """One level: a row for each figure, a column for each backend, a ratio for each contender."""
    settings, names = run.settings, slot_names(run.settings)
    design = design_at(run, rps)
    told = conditions(settings, [cell.slot for cell in cells], ("clients", "arrivals"))
    table = Table(
        title=", ".join([rate(rps), design_words(settings, design), *told]),
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("")  # it gives way where a ratio needs the room
    for cell in cells:
        # A long name takes lines, so that figures and ratio are whole at 80 columns.
        lines = textwrap.wrap(names[cell.slot], _NAME_WIDTH)
        table.add_column("\n".join(lines), justify="right", no_wrap=True)
    if len(cells) == 2:
        level = ratio_confidence_words(settings)
        table.add_column(f"ratio ({level} CI)", justify="left", no_wrap=True)
    for title, metric in shown("table", design):
        figures = [figure_words(cell.metrics.get(metric.path), metric.unit.write) for cell in cells]
        if (settings.outside or metric.seldom) and all(figure == "-" for figure in figures):
            continue
        ratios = (ratio_text(c) for c in of_pair(run, rps, metric.path, cells))
        table.add_row(title, *figures, *ratios)
    return table


def of_pair(run: Run, rps: float, path: str, cells: list[Cell]) -> list[Comparison]:
    """The comparison of one metric between a level's baseline and the contender beside it."""
    slots = [cell.slot for cell in cells[1:]]
    found = {c.slot: c for c in run.comparisons if (c.rps, c.metric) == (rps, path)}
    return [found[slot] for slot in slots if slot in found]


def ratio_text(comparison: Comparison) -> Text:
    """`0.56 (0.53-0.60) +`, `at least 1.30 -`; without an interval the ratio alone."""
    figure = ratio_figure(comparison)
    if figure is None:
        return Text("-", style="dim")
    if not has_interval(comparison):
        return Text(f"{figure} (too few rounds)", style=_STYLES.get(comparison.verdict, ""))
    interval = ratio_interval(comparison).replace(" to ", "-")
    text = figure + (f" ({interval})" if interval else "")
    mark = _MARKS.get(comparison.verdict, "")
    return Text(f"{text} {mark}".rstrip(), style=_STYLES.get(comparison.verdict, ""))


def notes(run: Run) -> list[str]:
    """Classes of trials and warnings: a reader must know them before believing the table."""
    lines = [_classes(run.trials)] if run.trials else ["No trial was finished."]
    lines += _not_compared(run)
    repeated = sorted({t.round for t in run.trials if t.round > run.settings.rounds})
    if repeated and not run.settings.precision:
        lines.append(
            f"Round {' and '.join(map(str, repeated))} repeats what the generator was late for, "
            "or too few rounds would have been left for an interval."
        )
    lines += _warnings(run)
    lines += [f"{told}." for told in block_sentences(run)]
    lines += [
        *generator_sentences(run),
        *connection_sentences(run),
        *bystander_sentences(run),
        *outside_sentences(run),
    ]
    driven = driver_of(run.settings.driver).sentence(run.settings)
    if driven is not None:
        lines.append(driven)
    if run.settings.max_threads is not None:
        lines.append(
            f"--max-threads {run.settings.max_threads}: thread-per-request was bounded, which the "
            "document's server is not; what it turned away is named in the outcomes."
        )
    lines += python_sentences(run)
    if not run.complete:
        lines.append(f"This run is PARTIAL: {run.incomplete_reason}.")
    return lines


def _not_compared(run: Run) -> list[str]:
    """How many trials are in no comparison, and why the first of them is not; none: no line."""
    invalid = [trial for trial in run.trials if not trial.valid]
    if not invalid:
        return []
    if run.settings.trace is not None:
        return [
            "Traced, so nothing is compared: labrun replay shows every request, labrun export "
            "--format trace writes it for Perfetto."
        ]
    first = invalid[0]
    return [
        f"{len(invalid)} of {len(run.trials)} trials are not compared. The first: "
        f"{slot_names(run.settings)[first.slot]} at {rate(first.rps)}, round {first.round}: "
        f"{first.invalid_reason}. Lower the rate, stop what else runs on this machine, or take "
        "more rounds."
    ]


def _warnings(run: Run) -> list[str]:
    """Those on the run, then the first MOST_TOLD of those on its trials."""
    names = slot_names(run.settings)
    told = [
        f"Warning: {names[trial.slot]}, {rate(trial.rps)}, round {trial.round}: {warning}."
        for trial in run.trials
        for warning in trial.warnings
    ]
    lines = [f"Warning: {warning}." for warning in run.warnings] + told[:MOST_TOLD]
    if len(told) > MOST_TOLD:
        lines.append(f"{len(told) - MOST_TOLD} more such warnings are in run.json.")
    return lines


def _classes(trials: list[Trial]) -> str:
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.class_] = counts.get(trial.class_, 0) + 1
    scheduled = sum(t.client.scheduled for t in trials)
    accounted = sum(t.client.outcomes.total() for t in trials)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        f"{len(trials)} trials: {told}. "
        f"{scheduled:,} requests scheduled, {accounted:,} accounted for."
    )


def print_verdict(
    console: Console, verdict: Verdict, of: str = "new/old", unchanged: str = "unchanged code"
) -> None:
    """A table for each level and backend, and what it comes to; fits 80 columns. `of`: what the
    ratios are of; `unchanged`: who is accused at most that often."""
    for rps in levels(verdict.checks):
        for backend in dict.fromkeys(c.backend for c in verdict.checks if c.rps == rps):
            checks = [c for c in verdict.checks if (c.rps, c.backend) == (rps, backend)]
            console.print(_verdict_table(f"{backend} at {rate(rps)}{verdict.otherwise}", checks))
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


def _verdict_table(title: str, checks: list[Check]) -> Table:
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
            style=_OUTCOME_STYLES[check.outcome],
        )
    return table
