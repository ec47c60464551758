"""Charts of a run. Drawing never measures; matplotlib is imported only when something is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness.core.record import Run

NAMES = ("distribution", "success", "storm", "cost")
SEARCHES = ("capacity", "crossover")


def names_of(run: Run) -> tuple[str, ...]:
    """The charts that a run has: a search has one of its own, since its levels are many."""
    return tuple(name for name in SEARCHES if getattr(run, name) is not None) or NAMES


def figure(name: str, run: Run, requests: pd.DataFrame, timeline: pd.DataFrame) -> Figure:
    """One chart by name (of `NAMES` or `SEARCHES`); the frames are those of the run's files."""
    from harness.studies.capacity import section as capacity
    from harness.studies.compare import level_charts, time_charts
    from harness.studies.crossover import chart as crossover
    from harness.views import style

    with style.styled():
        if name == "distribution":
            return time_charts.draw_distribution(run, requests)
        if name == "success":
            return level_charts.draw_success(run)
        if name == "storm":
            return level_charts.draw_storm(run, timeline)
        if name == "cost":
            return level_charts.draw_cost(run)
        if name == "capacity":
            return capacity.draw_capacity(run)
        if name == "crossover":
            return crossover.draw(run)
    raise ValueError(f"there is no chart {name!r}; there are {', '.join(NAMES + SEARCHES)}")


def save_chart(
    name: str, run: Run, requests: pd.DataFrame, timeline: pd.DataFrame, folder: Path
) -> list[Path]:
    """One chart as PNG and SVG into `folder`; the paths. Raises OSError when it is full."""
    from harness.views import style

    drawn = figure(name, run, requests, timeline)
    with style.styled():
        return style.save(drawn, folder, name)


def draw_all(run: Run, requests: pd.DataFrame, timeline: pd.DataFrame, folder: Path) -> list[Path]:
    """Every chart of a run; the paths."""
    return [
        path for name in names_of(run) for path in save_chart(name, run, requests, timeline, folder)
    ]
