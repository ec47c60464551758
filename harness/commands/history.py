"""`labrun history`: all runs of a folder over their commits, as graphs and one page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.core.errors import LabError
from harness.core.record import Run
from harness.reading.runs import load_run
from harness.store import RUN_FILE, cannot_write, write_whole
from harness.studies.history.series import History, build_history, tell_steps
from harness.terminal.output import Console, complain
from harness.views.attempt import Failure, attempt


def history_command(folder: str, out: str | None) -> int:
    """Read, draw, tell; the exit status. Raises `LabError` for a folder without a whole run."""
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
    return 0


def _target(folder: Path, history: History) -> Path:
    """Beside its runs, unless others lie among them: then it is no folder of this history."""
    return Path("history") if history.mixed else folder


def read_runs(folder: Path) -> tuple[list[tuple[Path, Run]], list[str]]:
    """The runs below a folder, and a sentence for each that cannot be read.

    Reads only `run.json`. Raises `LabError` when there is none, or none that can be read.
    """
    if not folder.is_dir():
        raise LabError(f"there is no folder {folder}; name one that holds runs")
    files = sorted(folder.rglob(RUN_FILE))
    if not files:
        raise LabError(f"there is no run below {folder}; make some with labrun compare --out")
    found, left_out = [], []
    for file in files:
        try:
            found.append((file.parent, load_run(file.parent)))
        except LabError as error:
            left_out.append(str(error))
    if not found:
        raise LabError(f"no run below {folder} can be read; the first: {left_out[0]}")
    return found, left_out


def draw_history(history: History, folder: Path) -> list[Path]:
    """A PNG and an SVG a level and `history.html`; their paths. What cannot be drawn is told.
    Raises `LabError` when the folder cannot be written."""
    from harness.studies.history import chart
    from harness.studies.history.page import page
    from harness.views import style

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
