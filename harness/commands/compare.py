"""`labrun compare`: the run, and what is shown of it; and what every command does that makes a run:
name whoever else measures, write the record out, end with a status."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.designs.trials import Planner
from harness.machine.neighbours import neighbours
from harness.measure.run import RunResult, Watcher
from harness.report import HTML_FILE
from harness.session.run import record_run
from harness.session.settings import CompareOptions
from harness.store import as_json, cannot_write
from harness.studies.compare.remarks import nothing_said
from harness.studies.regress.thresholds import parse_thresholds
from harness.studies.regress.verdict import judge_contenders
from harness.terminal.drawing import draw, parts_of, show_plot
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, command_line, complain, write_json
from harness.terminal.table import print_run, print_verdict

if TYPE_CHECKING:
    from harness.live.watch import LivePage

Watching = Callable[[Console], AbstractContextManager[Watcher]]
Gate = Callable[[Run], int]
Printing = Callable[[Console, Run, Path], None]


def compare_command(options: CompareOptions, settings: Settings) -> int:
    """A comparison: run, show, save, and judge where limits were named; the exit status."""
    gate = _gate(options, settings)
    if options.live:
        return _on_a_page(options, settings, gate)
    return run_command(
        options, settings, lambda to: make_watcher(to, settings), print_run, gate=gate
    )


def _on_a_page(options: CompareOptions, settings: Settings, gate: Gate | None) -> int:
    """The same, shown on a page too while it runs."""
    from harness.live.watch import LivePage

    with LivePage(settings) as page:

        def watching(to: Console) -> AbstractContextManager[Watcher]:
            to.print(f"live: {page.url} (renewed between trials)", soft_wrap=True)
            return page.watching(make_watcher(to, settings))

        try:
            status = run_command(options, settings, watching, print_run, gate=gate, page=page)
        except LabError as error:
            page.failed(str(error))
            raise
    if page.lost is not None:
        complain(f"the page of --live ended before the run: {page.lost}")
    return status


def _gate(options: CompareOptions, settings: Settings) -> Gate | None:
    """The limits that contenders are held to; None without any. Raises `LabError`."""
    if not options.max_loss and not options.least:
        return None
    if len(settings.backends) < 2:
        raise LabError("--max-loss and --min judge a contender; name two servers")
    thresholds = parse_thresholds(options.max_loss or (), options.least or (), usual=False)

    def judged(run: Run) -> int:
        verdict = judge_contenders(run, thresholds)
        to = Console(stderr=options.json == "-")
        to.print()
        print_verdict(to, verdict, "contender/baseline", "an equal contender")
        return int(verdict.outcome == "fail" or not verdict.compared)

    return judged


def run_command(
    options: CompareOptions,
    settings: Settings,
    watching: Watching,
    printing: Printing,
    planner: Planner | None = None,
    gate: Gate | None = None,
    page: LivePage | None = None,
) -> int:
    """Run what the planner asks for, save, print, draw; the exit status, to which `gate` has its
    say where the run came to its end. `page`: is told what has become of the run."""
    json_path = json_target(options.json)
    messages = Console(stderr=True)
    result = measure(settings, options.out, options.name, watching(messages), planner)
    if page is not None and not options.bare:
        page.over(result, "Its report is being drawn.", last=False)
    show(result, options, json_path, printing)
    if options.plot and options.json != "-":
        show_plot(result)
    if result.interrupted:
        complain(f"interrupted; what was measured is in {result.folder.path}")
    status = status_of(result.run, result.interrupted)
    if gate is not None and not result.interrupted:
        status = max(status, gate(result.run))
    if not options.bare:
        draw(parts_of(result))
    if page is not None:
        page.over(result, _report_words(result), last=True)
    return status


def _report_words(result: RunResult) -> str:
    """Where the report of a run is, or how it is made."""
    report = result.folder.path / HTML_FILE
    if report.exists():
        return f"Its report is there: {report.name} in that folder."
    return f"Its report is not drawn yet: labrun report {shlex.quote(str(result.folder.path))}"


def show(
    result: RunResult, options: CompareOptions, json_path: Path | None, printing: Printing
) -> None:
    """The record alone where it was asked for, else the table; and the record's copy."""
    if options.json != "-":
        printing(Console(), result.run, result.folder.path)
    write_out(result.run, options.json, json_path)


def json_target(name: str | None) -> Path | None:
    """The file that --json names, if it names one. Raises `LabError` when it cannot be written."""
    if name is None or name == "-":
        return None
    path = Path(name)
    if not os.access(path.absolute().parent, os.W_OK):
        raise LabError(f"--json {path}: the folder is not there or cannot be written")
    return path


def write_out(record: object, target: str | None, path: Path | None) -> None:
    """A record as JSON, alone on standard output or to a file (`path`, which `json_target` made of
    `target`), where that was asked for. Raises `LabError`."""
    data = as_json(record)
    if target == "-":
        write_json(data)
    if path is not None:
        try:
            path.write_bytes(data)
        except OSError as error:
            raise cannot_write(path, error) from error


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
