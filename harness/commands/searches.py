"""`labrun capacity` and `labrun crossover`: the search, and what is shown of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from harness.commands.compare import run_command
from harness.core.options import unusual
from harness.core.record import (
    Capacity,
    CapacityEstimate,
    CapacityRatio,
    Condition,
    Crossover,
    CrossoverPoint,
    Run,
    Settings,
    Vary,
)
from harness.core.units import duration
from harness.core.wording import slot_names
from harness.designs.stopping import Budget
from harness.designs.trials import OVERHEAD_S
from harness.session.settings import CompareOptions
from harness.studies.capacity.estimate import CapacitySearch
from harness.studies.capacity.search import CapacityPlanner
from harness.studies.crossover.estimate import RANGES
from harness.studies.crossover.search import CrossoverPlanner
from harness.studies.search_sentences import (
    estimate_words,
    point_words,
    ratio_words,
    three_digits,
    value_words,
)
from harness.terminal.search_live import watch_search
from harness.terminal.table import notes

# What is kept of the time for merging the rows and drawing.
FINISHING_S = 15.0


def capacity_command(
    options: CompareOptions,
    settings: Settings,
    objective: str,
    conditions: list[Condition],
    budget_s: float,
) -> int:
    """Search, show, save; the exit status."""
    trial_s = settings.warmup_s + settings.duration_s + settings.timeout_s + OVERHEAD_S
    budget = Budget(max(1.0, budget_s - FINISHING_S), trial_s)
    planner = CapacityPlanner(settings, objective, conditions, budget)

    def known() -> list[str]:
        pairs = zip(settings.backends, planner.searches, strict=True)
        return [f"{backend}: {_so_far(search)}" for backend, search in pairs]

    def printing(console: Console, run: Run, folder: Path) -> None:
        print_capacity(console, run, folder, budget_words(budget, budget_s, "trial"))

    return run_command(
        options, settings, lambda to: watch_search(to, budget, known), printing, planner
    )


def budget_words(budget: Budget, budget_s: float, step: str) -> list[str]:
    """Why a search took less time than it was given; nothing where it was content."""
    if budget.ended_after_s is None:
        return []
    return [
        f"Time ended the search, {duration(budget.ended_after_s)} into --budget {budget_s:g}: "
        f"{FINISHING_S:g} s of it are kept for merging the rows and drawing, and another {step} "
        f"may take {duration(math.ceil(budget.next_step_s))}."
    ]


def _so_far(search: CapacitySearch) -> str:
    found = search.found()
    tried = f"{search.count('met')} met, {search.count('missed')} missed"
    if found.bound == "interval" and found.low is not None and found.high is not None:
        return f"{three_digits(found.low)} to {three_digits(found.high)} requests/s ({tried})"
    if found.low is not None:
        return f"at least {three_digits(found.low)} requests/s ({tried})"
    if found.high is not None:
        return f"at most {three_digits(found.high)} requests/s ({tried})"
    return "nothing known yet"


def print_capacity(console: Console, run: Run, folder: Path, ended: Sequence[str]) -> None:
    """Prints the rate that each backend sustains, the ratios, warnings, and where the rest is."""
    capacity = run.capacity
    assert capacity is not None
    console.print(_capacity_table(run, capacity))
    console.print(
        "Capacity is the rate at which half the trials meet the objective; to be on the safe "
        "side, stay below the lower end of its 95 % interval.",
        style="dim",
        highlight=False,
    )
    console.print()
    console.print(run.finding or "", highlight=False, style="bold")
    console.print()
    for line in (*_caveats(run, capacity), *ended, *search_notes(run)):
        console.print(line, highlight=False)
    console.print(f"Record, raw rows and charts: {folder}", highlight=False, soft_wrap=True)


def search_notes(run: Run) -> list[str]:
    """Warnings for the reader. A search goes beyond the edge on purpose, so that what happened to
    single trials there is counted here and told in the record and the report."""
    remarks = sum(len(trial.warnings) for trial in run.trials)
    quiet = [msgspec.structs.replace(trial, warnings=[]) for trial in run.trials]
    lines = notes(msgspec.structs.replace(run, trials=quiet))
    if remarks:
        lines.append(f"Remarks on single trials: {remarks}, in report.md.")
    return lines


def _capacity_table(run: Run, capacity: Capacity) -> Table:
    settings, names = run.settings, slot_names(run.settings)
    table = Table(
        title=f"Highest rate within {capacity.objective}, trials of {settings.duration_s:g} s, "
        + ", ".join([f"workload {settings.workload}", *unusual(settings, ("workload",))]),
        title_justify="left",
        title_style="bold",
    )
    table.add_column("backend", overflow="fold")  # a long name takes lines, not the figures' room
    table.add_column("requests/s (95 % CI)", no_wrap=True)
    table.add_column("met/missed/\ninvalid", no_wrap=True)
    ratios = [None, *capacity.ratios]
    table.add_column("ratio", no_wrap=True)
    for estimate, ratio in zip(capacity.estimates, ratios, strict=True):
        table.add_row(
            names[estimate.slot],
            _rate(estimate),
            f"{estimate.met}/{estimate.missed}/{estimate.invalid}",
            "-" if ratio is None else _ratio(ratio),
        )
    return table


def _ratio(ratio: CapacityRatio) -> str:
    """`2.31 (2.10-2.55)`, or the bound."""
    if ratio.bound == "unknown":
        return "not known"
    words = ratio_words(ratio).replace("at least", ">=").replace("at most", "<=")
    return words.replace("×", "").replace(" to ", "-")


def _rate(estimate: CapacityEstimate) -> str:
    low, high = estimate.low_rps, estimate.high_rps
    if estimate.rps is not None and low is not None and high is not None:
        return f"{three_digits(estimate.rps)} ({three_digits(low)}-{three_digits(high)})"
    if low is not None:
        return f">= {three_digits(low)} (a bound)"
    if high is not None:
        return f"<= {three_digits(high)} (a bound)"
    return "not known"


def _caveats(run: Run, capacity: Capacity) -> list[str]:
    lines = [
        f"{e.backend} is a bound, not a capacity: {estimate_words(e)}."
        for e in capacity.estimates
        if e.bound in ("at-least", "at-most")
    ]
    if capacity.overload_seen is not None:
        lines.append(
            f"A trial of {run.settings.duration_s:g} s cannot see an overload below "
            f"{capacity.overload_seen:.1%}: its queue stays within the objective. A longer "
            "--duration can."
        )
    return lines


def crossover_command(
    options: CompareOptions,
    settings: Settings,
    vary: Vary,
    budget_s: float,
    objective: str | None = None,
    conditions: Sequence[Condition] = (),
) -> int:
    """Search, show, save; the exit status."""
    lowest, highest = RANGES[vary]
    if vary != "workers":
        highest = min(highest, settings.timeout_s / 2)  # beyond, no answer is in time
    pair_s = 2 * (settings.warmup_s + settings.duration_s + settings.timeout_s + OVERHEAD_S)
    budget = Budget(max(1.0, budget_s - FINISHING_S), pair_s)
    planner = CrossoverPlanner(settings, vary, lowest, highest, budget, objective, conditions)

    def known() -> list[str]:
        lines = []
        for rps, search in planner.searches.items():
            bound, value, low, high, why = search.found()
            point = CrossoverPoint(
                rps=rps, bound=bound, value=value, low=low, high=high, predicted=0.0,
                pairs=search.pairs, invalid=search.invalid, why=why,
            )  # fmt: skip
            lines.append(f"{rps:>7,.0f} requests/s: {point_words(vary, point)}")
        return lines

    def printing(console: Console, run: Run, folder: Path) -> None:
        print_crossover(console, run, folder, budget_words(budget, budget_s, "pair of trials"))

    return run_command(
        options, settings, lambda to: watch_search(to, budget, known), printing, planner
    )


def print_crossover(console: Console, run: Run, folder: Path, ended: Sequence[str]) -> None:
    """The line of change, the prediction beside it, what to beware of, where the rest is."""
    crossover = run.crossover
    assert crossover is not None
    rule = crossover.rule
    console.print(_crossover_table(run, crossover))
    console.print(
        f"Each load was searched with pairs of trials. {rule[0].upper()}{rule[1:]}.",
        style="dim",
        highlight=False,
    )
    console.print()
    console.print(run.finding or "", highlight=False, style="bold")
    console.print()
    for line in (*ended, *search_notes(run)):
        console.print(line, highlight=False)
    console.print(f"Record, raw rows and charts: {folder}", highlight=False, soft_wrap=True)


def _crossover_table(run: Run, crossover: Crossover) -> Table:
    vary = crossover.vary
    what = {"io": "handler waits", "cpu": "handler computes", "workers": "workers"}[vary]
    than = "fewer than" if vary == "workers" else "longer than"
    settings = run.settings
    fixed = settings.workload if vary == "workers" else f"{settings.workers} workers"
    told = ", ".join([fixed, *unusual(settings, ("workload", "workers"))])
    table = Table(
        title=f"{crossover.baseline} is better than {crossover.contender}, {told}, from:",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("load", justify="right", no_wrap=True)
    # What is not known needs lines, and leaves the other figures their room.
    table.add_column(f"{what} {than}" if vary != "workers" else f"{than} ... {what}")
    table.add_column("predicted", justify="right", no_wrap=True)
    table.add_column("pairs", justify="right", no_wrap=True)
    table.add_column("invalid", justify="right", no_wrap=True)
    for point in crossover.line:
        table.add_row(
            f"{point.rps:,.0f}/s",
            point_words(vary, point),
            value_words(vary, point.predicted),
            str(point.pairs),
            str(point.invalid),
        )
    table.caption = f"Predicted: {crossover.prediction}."
    table.caption_justify = "left"
    return table
