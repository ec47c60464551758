"""Pictures and the report of a run, drawn once its results have been saved and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from harness.core.record import Run
from harness.measure.run import RunResult
from harness.studies.anatomy.account import Anatomy
from harness.terminal.output import Console, complain
from harness.views.attempt import Failure, attempt

Part = tuple[str, Callable[[], object]]  # what it is called, and how it is made


def draw(parts: Iterable[Part]) -> None:
    """Make each part; one that fails is a line on standard error, and the others are made."""
    with Console(stderr=True).status("drawing", spinner="line"):
        missing = [line for part in parts if (line := _missing(part))]
    for line in missing:
        complain(line)


def show_plot(result: RunResult) -> None:
    """The main chart, in the terminal."""
    from harness.terminal.plot import print_plot

    line = _missing(("the plot", partial(print_plot, Console(), result.run, result.requests)))
    if line:
        complain(line)


def _missing(part: Part) -> str | None:
    name, make = part
    made = attempt(make)
    return f"{name} is missing: {made}" if isinstance(made, Failure) else None


def parts_of(result: RunResult) -> Iterator[Part]:
    """The charts of a run and its report, into its folder."""
    from harness.report import write_report
    from harness.report.charts import names_of, save_chart
    from harness.report.source import Source

    run, rows, steps, folder = result.run, result.requests, result.timeline, result.folder.path
    if not run.trials:
        return
    for name in names_of(run):
        yield f"the chart {name}", partial(save_chart, name, run, rows, steps, folder / "charts")
    yield "the report", partial(write_report, Source(run, rows, steps), folder, complain)


def draw_anatomy(run: Run, anatomy: Anatomy, folder: Path) -> None:
    """The chart and the report, into the run's folder; what cannot be drawn is told."""
    from harness.report import write_report
    from harness.report.source import load_source
    from harness.studies.anatomy import section
    from harness.views import style

    def save_chart() -> None:
        with style.styled():
            style.save(section.draw_anatomy(run, anatomy), folder / "charts", "anatomy")

    def save_report() -> None:
        write_report(load_source(folder), folder, complain)

    if run.trials:
        draw([("the chart anatomy", save_chart), ("the report", save_report)])
