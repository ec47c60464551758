"""`labrun compare`: the run, and what is shown of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from harness.commands.measured import measure, status_of
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.designs.trials import Planner
from harness.measure.run import RunResult, Watcher
from harness.session.settings import CompareOptions
from harness.store import cannot_write
from harness.terminal.drawing import draw, parts_of, show_plot
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, complain, write_json
from harness.terminal.table import print_run

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
    """Run what the planner asks for, save, print, draw; the exit status."""
    json_path = None if options.json is None or options.json == "-" else Path(options.json)
    if json_path is not None and not os.access(json_path.absolute().parent, os.W_OK):
        raise LabError(f"--json {json_path}: the folder is not there or cannot be written")
    messages = Console(stderr=True)
    result = measure(settings, options.out, options.name, watching(messages), planner)
    show(result, options, json_path, printing)
    if options.plot and options.json != "-":
        show_plot(result)
    if result.interrupted:
        complain(f"interrupted; what was measured is in {result.folder.path}")
    status = status_of(result.run, result.interrupted)
    if not options.bare:
        draw(parts_of(result))
    return status


def show(
    result: RunResult, options: CompareOptions, json_path: Path | None, printing: Printing
) -> None:
    """The record alone where it was asked for, else the table; and the record's copy."""
    data = msgspec.json.format(msgspec.json.encode(result.run), indent=1) + b"\n"
    if options.json == "-":
        write_json(data)
    else:
        printing(Console(), result.run, result.folder.path)
    if json_path is not None:
        try:
            json_path.write_bytes(data)
        except OSError as error:
            raise cannot_write(json_path, error) from error
