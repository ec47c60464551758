"""`labrun crossover`: the search, and what is shown of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.commands.capacity import FINISHING_S, budget_words, search_notes
from harness.commands.compare import run_command
from harness.core.options import unusual
from harness.core.record import Condition, Crossover, CrossoverPoint, Run, Settings, Vary
from harness.designs.stopping import Budget
from harness.designs.trials import OVERHEAD_S
from harness.session.settings import CompareOptions
from harness.studies.crossover.estimate import RANGES
from harness.studies.crossover.search import CrossoverPlanner
from harness.studies.search_sentences import point_words, value_words
from harness.terminal.search_live import watch_search


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
    console.print(_table(run, crossover))
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


def _table(run: Run, crossover: Crossover) -> Table:
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
