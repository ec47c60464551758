"""The report of a search: what was found, its chart, and every trial; no comparison by level."""

from __future__ import annotations

from harness.core.options import conditions
from harness.core.record import Capacity, CapacityEstimate, Crossover, CrossoverCell, Run, Trial
from harness.core.units import microseconds, share
from harness.core.wording import response_words, slot_names
from harness.report import surroundings
from harness.studies.capacity import section as capacity_chart
from harness.studies.compare.section import trials_table
from harness.studies.crossover import chart as crossover_chart
from harness.studies.crossover.estimate import pairs_of
from harness.studies.search_sentences import point_words, ratio_words, three_digits, value_words
from harness.views.model import Cell, Column, Folded, Paragraph, Report, Section, Table
from harness.views.svg import chart


def search_report(run: Run, warning: str) -> Report:
    """The report of a run of `labrun capacity` or `labrun crossover`."""
    settings = run.settings
    scheduled = sum(t.client.scheduled for t in run.trials)
    facts = (
        f"{run.created.replace('T', ' ')}. {len(run.trials)} trials of {settings.duration_s:g} s, "
        f"{scheduled:,} requests; {', '.join(conditions(settings))}."
    )
    sections = []
    if run.capacity is not None:
        sections.append(_capacity(run, run.capacity))
    if run.crossover is not None:
        sections.append(_crossover(run, run.crossover))
    if run.trials:
        sections.append(Section("trials", "Trials", (Folded("Every trial", trials_table(run)),)))
    return Report(
        title=f"MetricStream lab: {run.id}",
        finding=(run.finding or "Nothing can be said: no trial was finished.",),
        warning=warning,
        facts=facts,
        sections=(
            *sections,
            surroundings.trust_section(run),
            surroundings.environment_section(run),
            surroundings.repeat_section(run),
        ),
    )


def _capacity(run: Run, capacity: Capacity) -> Section:
    names = slot_names(run.settings)
    ratios = ["-", *(ratio_words(ratio) for ratio in capacity.ratios)]
    columns = (
        Column("Backend", numeric=False), Column("Requests/s"), Column("Met"), Column("Missed"),
        Column("Invalid"), Column("Ratio to the first"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(names[estimate.slot]),
            _rate(estimate),
            *(Cell(str(n), n) for n in (estimate.met, estimate.missed, estimate.invalid)),
            Cell(ratio),
        )
        for estimate, ratio in zip(capacity.estimates, ratios, strict=True)
    )
    words = (
        f"The rate at which half the trials meet {capacity.objective}. A trial in which the "
        "generator was the limit says nothing of a server: where that limit comes first, what is "
        "given is a lower bound."
    )
    if capacity.overload_seen is not None:
        words += f" An overload below {capacity.overload_seen:.1%} does not show within a trial."
    return Section(
        "capacity",
        "Capacity",
        (
            Paragraph(words),
            Table(f"Highest rate within {capacity.objective}", columns, rows),
            chart("capacity", lambda: capacity_chart.draw_capacity(run)),
        ),
    )


def _rate(estimate: CapacityEstimate) -> Cell:
    low, high = estimate.low_rps, estimate.high_rps
    if estimate.rps is not None and low is not None and high is not None:
        ends = f"{three_digits(low)} to {three_digits(high)}"
        return Cell(three_digits(estimate.rps), estimate.rps, ends)
    if low is not None:
        return Cell(f"at least {three_digits(low)}", low, estimate.why or "")
    if high is not None:
        return Cell(f"at most {three_digits(high)}", high, estimate.why or "")
    return Cell("not known", None, estimate.why or "")


def _crossover(run: Run, crossover: Crossover) -> Section:
    vary = crossover.vary
    line = Table(
        f"Where {crossover.baseline} begins to be better than {crossover.contender}",
        (Column("RPS"), Column("Found"), Column("Predicted"), Column("Pairs"), Column("Invalid")),
        tuple(
            (
                Cell(f"{point.rps:,.0f}", point.rps),
                Cell(point_words(vary, point), point.value),
                Cell(value_words(vary, point.predicted), point.predicted),
                Cell(str(point.pairs), point.pairs),
                Cell(str(point.invalid), point.invalid),
            )
            for point in crossover.line
        ),
    )
    names = (crossover.baseline, crossover.contender)
    trials = {(pair[0].rps, pair[0].round): pair for pair in pairs_of(run.trials)}
    pairs = Table(
        "Every pair of trials",
        (
            Column("RPS"), Column("Value"), Column("Better", numeric=False),
            *(Column(f"Success, {name}") for name in names),
            *(Column(f"p99, {name}") for name in names),
        ),
        tuple(
            (
                Cell(f"{cell.rps:,.0f}", cell.rps),
                Cell(value_words(vary, cell.value), cell.value),
                Cell(cell.better),
                *(Cell(share(value), value) for value in cell.success),
                *_p99_cells(cell, trials.get((cell.rps, cell.round))),
            )
            for cell in crossover.cells
        ),
    )  # fmt: skip
    words = f"At each load pairs of trials were run with the same schedule; {crossover.rule}."
    return Section(
        "crossover",
        "Crossover",
        (
            Paragraph(f"{words} Predicted: {crossover.prediction}."),
            line,
            chart("crossover", lambda: crossover_chart.draw(run)),
            Folded("Every pair", pairs),
        ),
    )


def _p99_cells(cell: CrossoverCell, pair: tuple[Trial, Trial] | None) -> tuple[Cell, ...]:
    """The p99 of both sides; a side's trial says whether it lies among the failures."""
    if pair is None:
        return tuple(Cell(microseconds(value), value) for value in cell.p99_us)
    return tuple(Cell(response_words(t.client, "p99"), t.client.response_us.p99) for t in pair)
