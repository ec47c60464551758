"""`labrun compare --all`: one run for each load, the overview of all, its table and its chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from harness.commands.compare import json_target, write_out
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.measure.run import RunResult
from harness.session.run import record_run
from harness.session.settings import CompareOptions, make_settings
from harness.store import as_json, new_folder, write_whole
from harness.studies.architectures.overview import (
    IDLE,
    LOADS,
    PEAK_RPS,
    SIDE_RPS,
    SLOW,
    LoadName,
    Overview,
    finding,
    rows_of,
)
from harness.terminal.architectures_table import print_overview
from harness.terminal.drawing import draw
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, command_line, complain

OVERVIEW_FILE, SCHEMA = "overview.json", 1
MOST_S = 600.0  # then no other load is begun


def overview_command(options: CompareOptions) -> int:
    """Load by load; what was measured is saved and shown when it ends early. The exit status."""
    json_path = json_target(options.json)
    loads = {name: load_settings(options, name) for name in LOADS}  # a slip is told at once
    folder = new_folder(Path(options.out), options.name)
    runs: dict[LoadName, RunResult] = {}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    reason, interrupted = None, False
    try:
        reason = _run_all(loads, folder, runs)
    except KeyboardInterrupt:
        interrupted = True
    except LabError as error:
        if not runs:
            _discard(folder)
            raise
        reason = str(error)
    interrupted = interrupted or any(result.interrupted for result in runs.values())
    if interrupted:
        reason = "interrupted"
        if not runs:
            _discard(folder)
    overview = overview_of(options, loads["rate"], runs, created, reason)
    if runs:
        write_whole(folder / OVERVIEW_FILE, as_json(overview))
        if options.json != "-":
            print_overview(Console(), overview, folder)
        write_out(overview, options.json, json_path)
        draw([("the chart", partial(_save_chart, overview, folder))])
    return _status(overview, reason, interrupted, folder if runs else None)


def _status(overview: Overview, reason: str | None, interrupted: bool, folder: Path | None) -> int:
    """The exit status, whose reason is told unless it is 0."""
    if reason is not None:
        complain(reason if folder is None else f"{reason}; what was measured is in {folder}")
        return 130 if interrupted else 2
    if all(figure.value is None for row in overview.rows for figure in row.figures):
        complain("no trial was valid; stop what else runs on this machine, or lower --rps")
        return 1
    return 0


def _run_all(
    loads: Mapping[LoadName, Settings], folder: Path, runs: dict[LoadName, RunResult]
) -> str | None:
    """Run each load into `runs`; why not all were run, in words."""
    began = monotonic()
    for name, settings in loads.items():
        if monotonic() - began > MOST_S:
            return f"{MOST_S / 60:g} minutes were over before the load {name!r}"
        watching = make_watcher(Console(stderr=True), settings)
        result = runs[name] = record_run(settings, folder, name, command_line(), watching)
        if result.interrupted or not result.run.complete:
            return result.run.incomplete_reason
    return None


def load_settings(options: CompareOptions, name: LoadName) -> Settings:
    """The settings of one load. Raises `LabError`."""
    asked = float(make_settings(options).rps[0])
    beside = f"{min(asked, SIDE_RPS):g}"
    servers = dict(options.servers)
    changes: dict[LoadName, dict[str, Any]] = {
        "rate": {"rps": f"{asked:g}", "rounds": 3, "duration_s": 3.0},
        "peak": {
            "rps": f"{PEAK_RPS:g}", "rounds": 2, "duration_s": 2.0, "driver": "closed-loop",
        },
        "idle": {
            "rps": beside, "rounds": 1, "duration_s": 2.0, "idle_connections": IDLE,
            "servers": servers | {"connections": "keep-alive"},
        },
        "slow": {"rps": beside, "rounds": 2, "duration_s": 5.0, "slow_clients": SLOW},
    }  # fmt: skip
    return make_settings(replace(options, design="trials", warmup_s=0.5, **changes[name]))


def overview_of(
    options: CompareOptions,
    settings: Settings,
    results: Mapping[LoadName, RunResult],
    created: str,
    reason: str | None,
) -> Overview:
    """What was found, in one record."""
    runs: dict[LoadName, Run] = {name: result.run for name, result in results.items()}
    rows = rows_of(runs, settings.backends, settings.rps[0])
    return Overview(
        schema=SCHEMA,
        created=created,
        command=command_line(),
        complete=reason is None,
        backends=settings.backends,
        rps=settings.rps[0],
        rows=rows,
        runs={name: result.folder.path.name for name, result in results.items()},
        finding=finding(rows, settings.backends),
        incomplete_reason=reason,
    )


def _save_chart(overview: Overview, folder: Path) -> None:
    from harness.studies.architectures.chart import NAME, draw_overview
    from harness.views import style

    with style.styled():
        style.save(draw_overview(overview), folder, NAME)


def _discard(folder: Path) -> None:
    """Remove it where nothing came into it."""
    try:
        folder.rmdir()
    except OSError:
        pass
