"""A run as a command makes it: whoever else measures is named before it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from harness.core.record import Run, Settings
from harness.designs.trials import Planner
from harness.machine.neighbours import neighbours
from harness.measure.run import RunResult, Watcher
from harness.session.run import record_run
from harness.studies.compare.remarks import nothing_said
from harness.terminal.output import command_line, complain


def measure(
    settings: Settings,
    out: str,
    name: str,
    watching: AbstractContextManager[Watcher],
    planner: Planner | None = None,
) -> RunResult:
    """Run what the planner asks for (None: a comparison), into a new folder below `out`. Raises
    `LabError`."""
    for other in neighbours():
        complain(
            f"another run measures on this machine: {other}; each takes CPU from the other, so "
            "stop one of the two"
        )
    return record_run(settings, Path(out), name, command_line(), watching, planner)


def status_of(run: Run, interrupted: bool, compared: bool = True) -> int:
    """The exit status of a command that made a run, whose reason is told unless it is 0.
    `compared`: whether the command is about its comparisons, not about single trials."""
    if interrupted:
        return 130
    if not run.complete:
        complain(str(run.incomplete_reason))
        return 2
    why = nothing_said(run, compared)
    if why is not None:
        complain(why)
    return 0 if why is None else 1
