"""`labrun claims`: the document's claims, judged by a run that is there or that is made now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.commands.measured import measure, status_of
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.reading.runs import NATIVE_RUN, load_run, native_of
from harness.session.study_options import ClaimsOptions
from harness.store import cannot_write
from harness.studies.claims.beside import measure_beside
from harness.studies.claims.judgement import InCpp, as_json, judged, load_beside, save_judged
from harness.studies.claims.ledger import check_about
from harness.studies.claims.records import Beside, Explored, Judged
from harness.targets.start import build_native
from harness.terminal.claims_table import print_judged
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, complain, write_json
from servers.native.build import NATIVE


def claims_command(options: ClaimsOptions, settings: Settings) -> int:
    """Judge, show, and save beside a run that was made for it; the exit status. A run that was
    there is only read."""
    json_path = json_target(options.json)
    if options.run is not None:
        return _judge_existing(options, json_path)
    messages = Console(stderr=True)
    made = make_run(settings, options.out, options.name, messages)
    run, folder, interrupted = made
    beside = Beside()
    if not interrupted:
        try:
            beside = measure_beside(settings, lambda line: messages.print(line, highlight=False))
        except KeyboardInterrupt:
            interrupted = True
    native = InCppMade(None, None, False)
    if not interrupted and options.native is not False:
        native = measure_in_cpp(settings, folder, messages)
        interrupted = native.interrupted
    if interrupted:
        complain(f"interrupted; what was measured is in {folder}")
    status = status_of(run, interrupted)
    record = judged(run, beside, native.found, native.missing)
    save_judged(folder, record)
    _show(options, json_path, record, run, folder)
    return status


def _judge_existing(options: ClaimsOptions, json_path: Path | None) -> int:
    """Judge a run that is there, which is only read, unless the servers in C++ are to be measured
    for it; the exit status."""
    assert options.run is not None
    run, folder = existing_run(options.run)
    check_about(run)
    beside = load_beside(folder) or Beside()
    native = InCppMade(native_of(folder, run), None, False)
    if options.native:
        native = measure_in_cpp(run.settings, folder, Console(stderr=True))
    record = judged(run, beside, native.found, native.missing)
    _show(options, json_path, record, run, None)
    return 130 if native.interrupted else 0


class InCppMade(NamedTuple):
    """The servers in C++ as measured, or why there are none; `interrupted`: by Ctrl-C."""

    found: InCpp | None
    missing: str | None
    interrupted: bool


def measure_in_cpp(settings: Settings, folder: Path, messages: Console) -> InCppMade:
    """Measure the servers in C++ as a run's settings have it, into a folder of that run. That they
    cannot be had is told in the result. Raises `LabError` where the folder has them already."""
    target = folder / NATIVE_RUN
    if target.exists():
        raise LabError(
            f"{target} is there already; move it away to measure the servers in C++ anew"
        )
    cpp = msgspec.structs.replace(
        settings, backends=list(NATIVE), arms=[], python=None, expect_workers=None
    )
    try:
        build_native(cpp.backends)
        run, made, interrupted = make_run(cpp, str(folder), NATIVE_RUN, messages)
        made.rename(target)
        beside = Beside()
        if not interrupted:
            beside = measure_beside(cpp, lambda line: messages.print(line, highlight=False))
    except LabError as error:
        return InCppMade(None, str(error), False)
    except KeyboardInterrupt:
        return InCppMade(None, "it was interrupted", True)
    save_judged(target, judged(run, beside))
    return InCppMade(InCpp(run, beside), None, interrupted)


def existing_run(name: str) -> tuple[Run, Path]:
    """A run and its folder. Raises `LabError`."""
    path = Path(name)
    return load_run(path), path if path.is_dir() else path.parent


def make_run(settings: Settings, out: str, name: str, messages: Console) -> tuple[Run, Path, bool]:
    """Run the experiment; the run, its folder, and whether Ctrl-C ended it."""
    result = measure(settings, out, name, make_watcher(messages, settings))
    return result.run, result.folder.path, result.interrupted


def json_target(name: str | None) -> Path | None:
    """The file that --json names, if it names one. Raises `LabError` when it cannot be written."""
    if name is None or name == "-":
        return None
    path = Path(name)
    if not os.access(path.absolute().parent, os.W_OK):
        raise LabError(f"--json {path}: the folder is not there or cannot be written")
    return path


def write_out(record: Judged | Explored, target: str | None, path: Path | None) -> None:
    """The record as JSON, to a file or alone on standard output, where that was asked for."""
    if path is not None:
        try:
            path.write_bytes(as_json(record))
        except OSError as error:
            raise cannot_write(path, error) from error
    if target == "-":
        write_json(as_json(record))


def _show(
    options: ClaimsOptions, json_path: Path | None, record: Judged, run: Run, saved: Path | None
) -> None:
    write_out(record, options.json, json_path)
    if options.json != "-":
        print_judged(Console(), record, run, saved)
