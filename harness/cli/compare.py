"""`labrun compare`: the run, and what is shown of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from harness.cli.live import make_watcher
from harness.cli.output import Console, command_line, complain, write_json
from harness.cli.settings import CompareOptions
from harness.cli.table import print_run
from harness.errors import LabError
from harness.experiment.plan import Planner
from harness.experiment.run import RunResult, Watcher, run_experiment
from harness.record import Run, Settings
from harness.store import RunFolder, cannot_write

Watching = Callable[[Console], AbstractContextManager[Watcher]]
Printing = Callable[[Console, Run, Path], None]


def compare_command(options: CompareOptions, settings: Settings) -> int:
    """A comparison: run, show, save; the exit status."""
    return run_command(options, settings, lambda to: make_watcher(to, settings), print_run)


def run_command(
    options: CompareOptions,
    settings: Settings,
    watching: Watching,
    printing: Printing,
    planner: Planner | None = None,
) -> int:
    """Run what the planner asks for, draw, print, save; the exit status."""
    json_path = None if options.json is None or options.json == "-" else Path(options.json)
    if json_path is not None and not os.access(json_path.absolute().parent, os.W_OK):
        raise LabError(f"--json {json_path}: the folder is not there or cannot be written")
    folder = RunFolder.create(Path(options.out), options.name)
    command = command_line()
    messages = Console(stderr=True)
    try:
        with watching(messages) as watcher:
            result = run_experiment(settings, folder, command, watcher, planner)
    except (LabError, KeyboardInterrupt):
        folder.discard_if_empty()
        raise
    if not options.bare:
        draw(result, messages)
    show(result, options, json_path, printing)
    if options.plot and options.json != "-":
        from harness.cli.plot import print_plot

        print_plot(Console(), result.run, result.requests)
    if result.interrupted:
        messages.print(f"labrun: interrupted; what was measured is in {folder.path}", style="red")
        return 130
    if not result.run.complete:
        complain(str(result.run.incomplete_reason))
        return 2
    return 0


def draw(result: RunResult, messages: Console) -> None:
    """The charts and the report, into the run's folder."""
    from harness.charts import draw_all
    from harness.report import write_report
    from harness.report.source import Source

    if not result.run.trials:
        return
    target = result.folder.path / "charts"
    try:
        with messages.status("drawing"):
            draw_all(result.run, result.requests, result.timeline, target)
            source = Source(result.run, result.requests, result.timeline)
            write_report(source, result.folder.path)
    except OSError as error:
        raise cannot_write(target, error) from error


def show(
    result: RunResult, options: CompareOptions, json_path: Path | None, printing: Printing
) -> None:
    """The record as JSON where it was asked for, else the table."""
    data = msgspec.json.format(msgspec.json.encode(result.run), indent=1) + b"\n"
    if json_path is not None:
        try:
            json_path.write_bytes(data)
        except OSError as error:
            raise cannot_write(json_path, error) from error
    if options.json == "-":
        write_json(data)
    else:
        printing(Console(), result.run, result.folder.path)
