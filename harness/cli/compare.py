"""`labrun compare`: the run, and what is shown of it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from harness.cli.live import make_watcher
from harness.cli.settings import CompareOptions
from harness.cli.table import print_run
from harness.errors import LabError
from harness.experiment.run import RunResult, run_experiment
from harness.record import Settings
from harness.store import RunFolder, cannot_write


def compare_command(options: CompareOptions, settings: Settings) -> int:
    """Run, show, save; the exit status."""
    json_path = None if options.json is None or options.json == "-" else Path(options.json)
    if json_path is not None and not os.access(json_path.absolute().parent, os.W_OK):
        raise LabError(f"--json {json_path}: the folder is not there or cannot be written")
    folder = RunFolder.create(Path(options.out), options.name)
    command = shlex.join(["labrun", *sys.argv[1:]])
    messages = Console(stderr=True)
    try:
        with make_watcher(messages, settings) as watcher:
            result = run_experiment(settings, folder, command, watcher)
    except (LabError, KeyboardInterrupt):
        folder.discard_if_empty()
        raise
    draw(result, messages)
    show(result, options, json_path)
    if result.interrupted:
        messages.print(f"labrun: interrupted; what was measured is in {folder.path}", style="red")
        return 130
    if not result.run.complete:
        print(f"labrun: {result.run.incomplete_reason}", file=sys.stderr)
        return 2
    return 0


def draw(result: RunResult, messages: Console) -> None:
    """The charts, into the run's folder."""
    from harness.charts import draw_all

    if not result.run.trials:
        return
    target = result.folder.path / "charts"
    try:
        with messages.status("drawing"):
            draw_all(result.run, result.requests, result.timeline, target)
    except OSError as error:
        raise cannot_write(target, error) from error


def show(result: RunResult, options: CompareOptions, json_path: Path | None) -> None:
    """The record as JSON where it was asked for, else the table."""
    data = msgspec.json.format(msgspec.json.encode(result.run), indent=1) + b"\n"
    if json_path is not None:
        try:
            json_path.write_bytes(data)
        except OSError as error:
            raise cannot_write(json_path, error) from error
    if options.json == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        print_run(Console(), result.run, result.folder.path)
