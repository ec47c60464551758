"""`labrun anatomy` of servers that are seen from outside: the run, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.table import Table

from harness.commands.claims import json_target, make_run
from harness.commands.measured import status_of
from harness.core.options import unusual
from harness.core.record import Run, Settings
from harness.core.units import microseconds, number, rate
from harness.session.study_options import AnatomyOptions
from harness.store import write_json
from harness.studies.anatomy.outside import OutsideAnatomy, Part, dissect_outside, outside_finding
from harness.studies.compare.remarks import outside_sentences
from harness.terminal.output import Console, complain
from harness.terminal.output import write_json as print_json


def outside_command(options: AnatomyOptions, settings: Settings) -> int:
    """Measure, show, save; the exit status."""
    json_path = json_target(options.json)
    run, folder, interrupted = make_run(settings, options.out, options.name, Console(stderr=True))
    if interrupted:
        complain(f"interrupted; what was measured is in {folder}")
    anatomy = dissect_outside(run, settings.rps[0])
    data = msgspec.json.format(msgspec.json.encode(anatomy), indent=1) + b"\n"
    if options.json == "-":
        print_json(data)
    else:
        _print(Console(), anatomy, run, folder)
    if json_path is not None:
        write_json(json_path, data)
    return status_of(run, interrupted, compared=False)


def _print(console: Console, anatomy: OutsideAnatomy, run: Run, folder: Path) -> None:
    """A row for each figure, a column for each server."""
    table = Table(
        title=", ".join([f"One request at {rate(anatomy.rps)}", *unusual(run.settings)]),
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("")
    for life in anatomy.lives:
        table.add_column(f"{life.name}\n({life.rounds} valid rounds)", justify="right")
    for parts in zip(*(life.parts for life in anatomy.lives), strict=True):
        table.add_row(parts[0].name, *map(_words, parts))
    console.print(table)
    console.print(outside_finding(anatomy), highlight=False, style="bold")
    console.print()
    for line in outside_sentences(run):
        console.print(line, highlight=False)
    console.print(f"Record and raw rows: {folder}", highlight=False, soft_wrap=True)


def _words(part: Part) -> str:
    write = microseconds if part.unit == "us" else number
    if part.median is None:
        return "-"
    if part.ci_low is None or part.ci_high is None:
        return write(part.median)
    return f"{write(part.median)}\n({write(part.ci_low)} to {write(part.ci_high)})"
