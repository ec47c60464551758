"""The main chart in the terminal: response times on a percentile axis, in block characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.core.units import microseconds, rate
from harness.studies.compare.time_charts import curve, position
from harness.views import style

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from harness.core.record import Run

_WIDTH, _HEIGHT = 64, 14  # of the drawing; with its labels it fits into 80 columns
_MARKS = "ox+*#@"
Floats = npt.NDArray[np.float64]
_TICKS = (50.0, 90.0, 99.0, 99.9, 99.99)


def print_plot(console: Console, run: Run, requests: pd.DataFrame) -> None:
    """Response times of every backend at the level nearest to 2,000 RPS; a sentence where none
    succeeded. A letter for each backend, so that it can be read without colour."""
    from rich.text import Text

    rps = style.nearest_level(run)
    curves = _curves(run, requests, rps)
    console.print()
    if not curves:
        console.print(f"At {rate(rps)} no request of a valid trial succeeded: nothing to draw.")
        return
    # The palette's colours; on a terminal without them the letters are enough.
    colours = {look.slot: look.colour for look in style.looks(run)}
    console.print(f"Response time at {rate(rps)} by percentile (log scales)", style="bold",
                  highlight=False)  # fmt: skip
    for label, cells in _rows(curves):
        line = Text(f"{label:>8} │")
        for slot in cells:
            line.append(" " if slot is None else _MARKS[slot % 6], _style(slot, colours))
        console.print(line)
    console.print(Text(" " * 9 + "└" + "─" * _WIDTH))
    console.print(Text(" " * 10 + _tick_line(max(float(x[-1]) for x, _ in curves.values()))))
    for look in style.looks(run):
        if look.slot in curves:
            console.print(Text(f"{'':10}{_MARKS[look.slot % 6]} {look.label}",
                               _style(look.slot, colours)))  # fmt: skip


def _curves(run: Run, requests: pd.DataFrame, rps: float) -> dict[int, tuple[Floats, Floats]]:
    """By slot: places on the axis of `distribution.position`, and times in microseconds."""
    found: dict[int, tuple[Floats, Floats]] = {}
    if requests.empty:
        return found
    for slot in range(len(run.settings.backends)):
        valid = {t.round for t in run.trials if t.slot == slot and t.rps == rps and t.valid}
        mine = requests[(requests["slot"] == slot) & (requests["level"] == rps)]
        x, y, _ = curve(mine[mine["round"].isin(valid)])
        if len(x):
            found[slot] = (x, y)
    return found


def _rows(curves: dict[int, tuple[Floats, Floats]]) -> list[tuple[str, list[int | None]]]:
    """The drawing from the top: a label of the time, and whose mark stands in each column."""
    low = np.log10(min(float(y.min()) for _, y in curves.values()))
    high = max(np.log10(max(float(y.max()) for _, y in curves.values())), low + 0.01)
    right = max(float(x[-1]) for x, _ in curves.values())
    grid: list[list[list[int]]] = [[[] for _ in range(_WIDTH)] for _ in range(_HEIGHT)]
    for slot, (x, y) in curves.items():
        columns = np.linspace(0.0, right, _WIDTH)
        heights = np.interp(columns, x, np.log10(y))
        for column in np.flatnonzero(columns <= x[-1] + 1e-9):
            row = round(float((heights[column] - low) / (high - low)) * (_HEIGHT - 1))
            grid[_HEIGHT - 1 - row][column].append(slot)
    step = (high - low) / (_HEIGHT - 1)
    labels = [microseconds(10 ** (high - step * row)) if row % 3 == 0 or row == _HEIGHT - 1 else ""
              for row in range(_HEIGHT)]  # fmt: skip
    # Where several meet they take turns, so that none is hidden.
    marks = [[here[x % len(here)] if here else None for x, here in enumerate(row)] for row in grid]
    return list(zip(labels, marks, strict=True))


def _tick_line(right: float) -> str:
    line = [" "] * (_WIDTH + 6)
    for tick in _TICKS:
        place = round(position(tick / 100) / right * (_WIDTH - 1))
        text = f"p{tick:g}"
        if place < _WIDTH:
            line[place : place + len(text)] = text
    return "".join(line).rstrip()


def _style(slot: int | None, colours: dict[int, str]) -> str:
    return "" if slot is None else f"bold {colours[slot]}"
