"""A run that says nothing, though it came to its end. Pure."""

from __future__ import annotations

from harness.core.record import Run
from harness.core.trials import comparable

_REMEDY = "stop what else runs on this machine, lower the rate, or take more rounds"


def nothing_said(run: Run, compared: bool = True) -> str | None:
    """Why nothing that a run was made for can be told, in a sentence; None where something can.
    `compared`: whether it was made to compare its backends, where it has more than one."""
    alone = run.capacity is not None or not compared or len(run.settings.backends) < 2
    if alone:
        what, said = "nothing was measured that holds", any(map(comparable, run.trials))
    elif run.crossover is not None:
        what = "nothing was compared"
        said = any(cell.better != "cannot-tell" for cell in run.crossover.cells)
    else:
        what, said = "nothing was compared", any(c.rounds for c in run.comparisons)
    return None if said else f"{what}: {_why(run)}; {_REMEDY}"


def _why(run: Run) -> str:
    invalid = [trial for trial in run.trials if not comparable(trial)]
    if not invalid:
        return "no round has a figure of both sides"
    first = invalid[0]
    return (
        f"{len(invalid)} of {len(run.trials)} trials are not valid, the first: "
        f"{first.invalid_reason or first.class_}"
    )
