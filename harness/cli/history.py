"""`labrun history`: all runs of a folder over their commits, as graphs and one page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import command
from harness.core.errors import LabError
from harness.terminal.output import Console, complain

if TYPE_CHECKING:
    from harness.studies.history.series import History


@command()
def history(
    folder: Annotated[str, typer.Argument(help="A folder with runs in it.")] = "results/history",
    out: Annotated[
        str | None,
        typer.Option(help="Where the graphs go (that folder; history/, if others are in it)."),
    ] = None,
) -> None:
    """Draw every headline figure over the commits, with its steps: PNG, SVG, one HTML page.

    example: labrun history results/history
    """
    from harness.reading.runs import read_runs
    from harness.studies.history.series import build_history, tell_steps

    path = Path(folder)
    found, left_out = read_runs(path)
    for sentence in left_out:
        complain(f"left out: {sentence}")
    history = build_history(found, [f"left out: {sentence}" for sentence in left_out])
    console = Console()
    for line in [*history.notes, *tell_steps(history)]:
        console.print(f"{line}.", highlight=False)
    if not tell_steps(history):
        console.print(f"No step in {len(history.runs)} runs.", highlight=False)
    for file in draw_history(history, _target(path, history) if out is None else Path(out)):
        console.print(str(file), highlight=False, soft_wrap=True)


def _target(folder: Path, history: History) -> Path:
    """Beside its runs, unless others lie among them: then it is no folder of this history."""
    return Path("history") if history.mixed else folder


def draw_history(history: History, folder: Path) -> list[Path]:
    """A PNG and an SVG a level and `history.html`; their paths. What cannot be drawn is told.
    Raises `LabError` when the folder cannot be written."""
    from harness.store import cannot_write, write_whole
    from harness.studies.history import chart
    from harness.studies.history.page import page
    from harness.views import style
    from harness.views.attempt import Failure, attempt

    def save_chart(rps: float) -> list[Path]:
        with style.styled():
            return style.save(chart.draw(history, rps), folder, f"history-{rps:g}rps")

    def save_page() -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "history.html", page(history).encode("utf-8"))
        return [folder / "history.html"]

    written: list[Path] = []
    makers: list[Callable[[], list[Path]]] = [
        *(partial(save_chart, rps) for rps in chart.levels(history)),
        save_page,
    ]
    for make in makers:
        made = attempt(make)
        if not isinstance(made, Failure):
            written += made
        elif isinstance(made.error, OSError):
            raise cannot_write(folder, made.error) from made.error
        elif isinstance(made.error, LabError):
            raise made.error
        else:
            complain(f"a chart of the history is missing: {made}")
    return written
