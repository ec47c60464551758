"""What the benchmarks share: the CPU plan, settings, a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from harness.core.errors import LabError
from harness.core.record import Settings, Trial
from harness.designs.trials import plan_trials
from harness.machine.cpus import CpuPlan, plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.measure.trial import run_trial
from harness.session.settings import CompareOptions, make_settings

DEFAULTS = CompareOptions(name="benchmark")


def lab_settings(**changes: Any) -> Settings:
    """The defaults of `labrun compare`, with changes, checked as the command checks them."""
    from dataclasses import replace

    return make_settings(replace(DEFAULTS, **changes))


def run_trials(settings: Settings, cpus: CpuPlan | None = None) -> list[Trial]:
    """Run every trial of some settings; their records. Nothing is saved.

    Raises `LabError` when a trial failed: what was not measured meets no mark.
    """
    plan = plan_cpus() if cpus is None else cpus
    descriptors = raise_descriptor_limit()
    trials = []
    for planned in plan_trials(settings):
        result = run_trial(planned, settings, plan, descriptors)
        if result.failure is not None:
            raise LabError(f"a trial failed: {result.failure}")
        trials.append(result.trial)
    return trials


def measured(value: float | None) -> float:
    """A figure that must be there. Raises `LabError` where it is missing."""
    if value is None:
        raise LabError("a figure is missing: nothing was sent or answered")
    return value


def with_rate(settings: Settings, rps: float, arrivals: str) -> Settings:
    """The same settings at another rate and with other arrivals."""
    return msgspec.structs.replace(settings, rps=[rps], arrivals=arrivals)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on standard output."""
    table = Table(title=title, title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)


def met(value: float, mark: float, at_most: bool) -> str:
    """Whether a figure meets its mark, in a word."""
    return "met" if (value <= mark if at_most else value >= mark) else "MISSED"
