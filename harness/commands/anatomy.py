"""`labrun anatomy`: the life of one request in each backend, step by step; or as it is seen from
outside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from harness.commands.claims import existing_run, make_run
from harness.commands.compare import json_target, status_of, write_out
from harness.core.checks import parse_rates
from harness.core.errors import LabError
from harness.core.options import unusual
from harness.core.record import Run, Settings
from harness.core.units import microseconds, number, rate
from harness.session.study_options import AnatomyOptions
from harness.studies.anatomy.account import (
    Anatomy,
    Apart,
    Life,
    anatomy_finding,
    dissect,
    save_anatomy,
    saved_anatomy,
)
from harness.studies.anatomy.account import notes as anatomy_notes
from harness.studies.anatomy.apart import measure_apart
from harness.studies.anatomy.outside import OutsideAnatomy, Part, dissect_outside, outside_finding
from harness.studies.claims.ledger import language_of_steps
from harness.studies.compare.remarks import outside_sentences
from harness.terminal.drawing import draw_anatomy
from harness.terminal.output import Console, complain
from harness.views.style import nearest_level

_BAR = 24  # characters of a timeline
_NAMES = {"rate_limit": "rate limit", "decode": "decode JSON"}


def anatomy_command(options: AnatomyOptions, settings: Settings) -> int:
    """Measure, or read a run that is there; show, save; the exit status."""
    json_path = json_target(options.json)
    if options.run is not None:
        return _existing(options, options.run, json_path)
    messages = Console(stderr=True)
    run, folder, interrupted = make_run(settings, options.out, options.name, messages)
    apart = Apart()
    if not interrupted:
        try:
            apart = measure_apart(settings, lambda line: messages.print(line, highlight=False))
        except KeyboardInterrupt:
            interrupted = True
    anatomy = dissect(run, settings.rps[0], apart)
    if interrupted:
        anatomy = msgspec.structs.replace(anatomy, complete=False)
        complain(f"interrupted; what was measured is in {folder}")
    save_anatomy(folder, anatomy)
    _show(options, json_path, anatomy, run, folder)
    status = status_of(run, interrupted, compared=False)
    draw_anatomy(run, anatomy, folder)
    return status


def _existing(options: AnatomyOptions, name: str, json_path: Path | None) -> int:
    """A run that was made before: what stands in its folder, and nothing new is measured."""
    run, folder = existing_run(name)
    rps = _level(run, options.rps)
    saved = saved_anatomy(folder)
    if saved is None or saved.rps != rps:
        saved = dissect(run, rps, None if saved is None else saved.apart)
    _show(options, json_path, saved, run, folder)
    return 0


def _level(run: Run, wanted: str | None) -> float:
    """The level of a run that was asked for, or the one nearest to the document's."""
    if wanted is None:
        return nearest_level(run)
    (rps,) = parse_rates(wanted)[:1]
    if rps not in run.settings.rps:
        levels = ", ".join(f"{level:g}" for level in run.settings.rps)
        raise LabError(f"--rps {wanted}: run {run.id} has {levels}; name one of these")
    return rps


def _show(
    options: AnatomyOptions, json_path: Path | None, anatomy: Anatomy, run: Run, folder: Path
) -> None:
    if options.json != "-":
        print_anatomy(Console(), anatomy, run, folder)
    write_out(anatomy, options.json, json_path)


def print_anatomy(console: Console, anatomy: Anatomy, run: Run, folder: Path) -> None:
    """A timeline for each backend, on one scale; the finding; how the figures came about."""
    longest = max((life.typical_us or 0.0 for life in anatomy.lives), default=0.0)
    for life in anatomy.lives:
        console.print(_table(life, anatomy.rps, longest, unusual(run.settings)))
    console.print(anatomy_finding(anatomy, run.settings), highlight=False, style="bold")
    console.print()
    invalid = sum(not t.valid for t in run.trials if t.rps == anatomy.rps)
    if invalid:
        first = next(t for t in run.trials if not t.valid and t.rps == anatomy.rps)
        console.print(
            f"{invalid} trials are left out. The first: {first.name}, round {first.round}: "
            f"{first.invalid_reason}.",
            highlight=False,
        )
    for line in (*anatomy_notes(anatomy), language_of_steps(run)):
        console.print(line, highlight=False)
    console.print(f"Record, raw rows and charts: {folder}", highlight=False, soft_wrap=True)


def _table(life: Life, rps: float, longest_us: float, told: Sequence[str]) -> Table:
    table = Table(
        title=", ".join(
            [f"{life.backend}: one request at {rate(rps)}, {life.rounds} valid rounds", *told]
        ),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("step", no_wrap=True)
    table.add_column(f"0 to {microseconds(longest_us or None)}", no_wrap=True, width=_BAR)
    for name in ("median", "p99", "document"):
        table.add_column(name, justify="right", no_wrap=True)
    begun_us = 0.0
    for step in life.steps:
        table.add_row(
            _NAMES.get(step.name, step.name),
            _bar(begun_us, step.p50_us or 0.0, longest_us, step.kind == "work"),
            microseconds(step.p50_us),
            microseconds(step.p99_us),
            microseconds(step.document_us),
        )
        begun_us += step.p50_us or 0.0
    table.add_section()
    table.add_row(
        "all", "", microseconds(life.typical_us), "", microseconds(life.document_us), style="bold"
    )
    table.add_row("useful work", "", _share(life.useful_share), "",
                  _share(life.document_useful_share))  # fmt: skip
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _bar(begun_us: float, lasts_us: float, longest_us: float, useful: bool) -> Text:
    """A bar at its place on the timeline; at least a sliver of what was measured."""
    if not longest_us or not lasts_us:
        return Text("")
    begin = min(_BAR - 1, int(begun_us / longest_us * _BAR))
    end = round((begun_us + lasts_us) / longest_us * _BAR)
    bar = ("█" if useful else "░") * (end - begin) or "▏"
    return Text(" " * begin).append(bar, style="green" if useful else "yellow")


def outside_command(options: AnatomyOptions, settings: Settings) -> int:
    """Measure, show, save; the exit status."""
    json_path = json_target(options.json)
    run, folder, interrupted = make_run(settings, options.out, options.name, Console(stderr=True))
    if interrupted:
        complain(f"interrupted; what was measured is in {folder}")
    anatomy = dissect_outside(run, settings.rps[0])
    if options.json != "-":
        _print_outside(Console(), anatomy, run, folder)
    write_out(anatomy, options.json, json_path)
    return status_of(run, interrupted, compared=False)


def _print_outside(console: Console, anatomy: OutsideAnatomy, run: Run, folder: Path) -> None:
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
