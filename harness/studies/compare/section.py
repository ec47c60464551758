"""The tables of a report that come from cells and comparisons."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.core import record
from harness.core.metrics import BY_PATH, shown
from harness.core.record import CellMetric, Comparison, Run, ordered_value
from harness.core.trials import design_at
from harness.core.units import Format, percent, rate, share
from harness.core.wording import (
    figure_interval,
    figure_words,
    has_interval,
    ratio_figure,
    ratio_interval,
    response_words,
    slot_names,
)
from harness.views.model import Cell, Column, Mark, Table

_MARKS: dict[record.Verdict, Mark] = {
    "better": "better",
    "worse": "worse",
    "more": "none",
    "fewer": "none",
    "cannot-tell": "cannot-tell",
    "not-comparable": "none",
}
_WORDS = {
    "better": "better",
    "worse": "worse",
    "more": "more",
    "fewer": "fewer",
    "cannot-tell": "cannot tell",
}


def labels(run: Run) -> list[str]:
    """The backends by name; the sides of an A/A run by number too."""
    return slot_names(run.settings)


def level_tables(run: Run, rps: float) -> list[Table]:
    """One level: a row for each figure, a column for the baseline, one for the contender, and the
    ratio. Of several contenders each has a table beside the baseline."""
    names = labels(run)
    if len(names) < 3:
        return [_level_table(run, f"All figures at {rate(rps)}", rps, tuple(range(len(names))))]
    return [
        _level_table(run, f"{names[slot]} against {names[0]} at {rate(rps)}", rps, (0, slot))
        for slot in range(1, len(names))
    ]


def _level_table(run: Run, caption: str, rps: float, slots: tuple[int, ...]) -> Table:
    names = labels(run)
    columns = [Column("Figure", numeric=False), *(Column(names[slot]) for slot in slots)]
    columns += [Column("Ratio") for _ in slots[1:]]
    cells = {c.slot: c for c in run.cells if c.rps == rps}
    here = [cells[slot] for slot in slots if slot in cells]
    compared = {(c.slot, c.metric): c for c in run.comparisons if c.rps == rps}
    rows = []
    for title, metric in shown("report", design_at(run, rps)):
        write = metric.unit.write
        figures = [c.metrics.get(metric.path) for c in here]
        if all(figure_words(figure, write) == "-" for figure in figures):
            continue
        ratios = [compared[key] for slot in slots[1:] if (key := (slot, metric.path)) in compared]
        rows.append(
            (Cell(title), *(_median(figure, write) for figure in figures), *map(ratio, ratios))
        )
    return Table(caption, tuple(columns), tuple(rows))


def _median(figure: CellMetric | None, write: Format) -> Cell:
    words = figure_words(figure, write)
    if figure is None or words == "-":
        return Cell("-")
    return Cell(words, figure.median, figure_interval(figure, write))


def ratio(comparison: Comparison) -> Cell:
    """The ratio, its interval and the verdict in words."""
    figure = ratio_figure(comparison)
    if figure is None:
        return Cell("-", small=comparison.note or "no ratio")
    text = f"{figure}×" if figure[-1].isdigit() else figure
    if not has_interval(comparison):
        return Cell(text, comparison.ratio, "too few rounds for an interval")
    told = [ratio_interval(comparison), _WORDS.get(comparison.verdict, "")]
    small = ", ".join(part for part in told if part)
    if comparison.verdict == "cannot-tell" and comparison.ruled_out is not None:
        small += f"; more than {percent(comparison.ruled_out)} is ruled out"
    return Cell(text, comparison.ratio, small, _MARKS[comparison.verdict])


def by_level(run: Run, caption: str, paths: Sequence[str]) -> Table:
    """A row for each level and backend, a column for each metric."""
    metrics = [BY_PATH[path] for path in paths]
    columns = (
        Column("RPS"),
        Column("Backend", numeric=False),
        *(Column(metric.column) for metric in metrics),
    )
    names = labels(run)
    rows = [
        (
            Cell(rate(cell.rps).removesuffix(" RPS"), cell.rps),
            Cell(names[cell.slot]),
            *(_median(cell.metrics.get(metric.path), metric.unit.write) for metric in metrics),
        )
        for cell in run.cells
    ]
    return Table(caption, columns, tuple(rows))


def from_trials(run: Run, slot: int, rps: float, path: str) -> float | None:
    """The median over a cell's valid trials of a figure that cells do not have; infinite where it
    lies among the failures."""
    found = [
        value
        for t in run.trials
        if t.slot == slot and t.rps == rps and t.valid
        if (value := ordered_value(t, path)) is not None
    ]
    return statistics.median(found) if found else None


def trials_table(run: Run) -> Table:
    """Every trial, invalid ones too."""
    names = labels(run)
    columns = (
        Column("RPS"), Column("Round"), Column("Backend", numeric=False),
        Column("Class", numeric=False), Column("Success"), Column("Median"), Column("p99"),
    )  # fmt: skip
    rows = []
    for t in run.trials:
        client = t.client
        times = [
            Cell(response_words(client, name), getattr(client.response_us, name))
            for name in ("p50", "p99")
        ]
        rows.append(
            (
                Cell(rate(t.rps).removesuffix(" RPS"), t.rps),
                Cell(str(t.round), t.round),
                Cell(names[t.slot]),
                Cell(t.class_, small=t.invalid_reason or ""),
                Cell(share(client.success_rate), client.success_rate),
                *times,
            )
        )
    return Table("Every trial, as it was run", columns, tuple(rows))
