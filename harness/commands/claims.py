"""`labrun claims`: the document's claims, judged by a run that is there or that is made now; with
`--explore` by a run for each condition, then the nearest for each claim."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import msgspec

from harness.commands.compare import json_target, measure, status_of, write_out
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.core.trials import comparable
from harness.designs.trials import expected_s
from harness.reading.runs import NATIVE_RUN, load_run, native_of
from harness.session.study_options import ClaimsOptions
from harness.store import new_folder
from harness.studies.claims.beside import measure_beside, measure_threads
from harness.studies.claims.explore import Condition, conditions, nearest
from harness.studies.claims.judgement import (
    InCpp,
    judge_condition,
    judged,
    load_beside,
    save_explored,
    save_judged,
)
from harness.studies.claims.ledger import check_about
from harness.studies.claims.records import (
    CLAIMS_SCHEMA,
    Beside,
    Explored,
    ExploredCondition,
    Judged,
)
from harness.targets.start import build_native
from harness.terminal.claims_table import print_explored, print_judged
from harness.terminal.live import make_watcher
from harness.terminal.output import Console, complain
from servers.native.build import NATIVE

# What each condition takes besides its trials: timing threads alone, longest on locked stacks.
_BESIDE_S = 45.0


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


def _show(
    options: ClaimsOptions, json_path: Path | None, record: Judged, run: Run, saved: Path | None
) -> None:
    write_out(record, options.json, json_path)
    if options.json != "-":
        print_judged(Console(), record, run, saved)


def explore_command(options: ClaimsOptions, settings: Settings) -> int:
    """Try all conditions, show, save; the exit status. With a run, the claims that fail are those
    that fail by it, and its condition is not tried again."""
    json_path = json_target(options.json)
    messages = Console(stderr=True)
    planned = conditions(settings)
    tried: list[ExploredCondition] = []
    if options.run is not None:
        run, source = existing_run(options.run)
        check_about(run)
        tried.append(_condition(f"run {run.id}", source, run, load_beside(source) or Beside()))
        planned = planned[1:]
    folder = new_folder(Path(options.out), f"{options.name}-explore")
    total_s = (expected_s(settings) + _BESIDE_S) * len(planned)
    messages.print(f"{len(planned)} conditions, about {total_s / 60:.0f} minutes", highlight=False)
    interrupted = False
    until_s = monotonic() + 1.3 * total_s  # no condition is begun later
    try:
        for number, condition in enumerate(planned, start=1):
            if monotonic() > until_s:
                tried.append(_not_tried(condition.name, "not tried, the time was up"))
                continue
            messages.print(f"{number}/{len(planned)}: {condition.name}", highlight=False)
            found, interrupted = _try(condition, folder, messages)
            tried.append(found)
            save_explored(folder, _explored(tried, complete=False))
            if interrupted:
                break
    except KeyboardInterrupt:  # outside of a trial
        interrupted = True
    whole = not interrupted and all(condition.folder for condition in tried)
    record = _explored(tried, complete=whole)
    save_explored(folder, record)
    write_out(record, options.json, json_path)
    if options.json != "-":
        print_explored(Console(), record, folder)
    return 130 if interrupted else 0


def _explored(tried: Sequence[ExploredCondition], complete: bool) -> Explored:
    first = tried[0].judgements if tried else []
    return Explored(
        schema=CLAIMS_SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        complete=complete,
        conditions=list(tried),
        nearest=nearest(tried, first),
    )


def _try(condition: Condition, folder: Path, messages: Console) -> tuple[ExploredCondition, bool]:
    """One condition, and whether Ctrl-C ended it. That a server cannot be started under it is told
    in the record."""
    label = re.sub(r"[^a-z0-9]+", "-", condition.name.lower())
    try:
        with _cpus(condition.one_cpu):
            run, path, interrupted = make_run(condition.settings, str(folder), label, messages)
            beside = Beside() if interrupted else measure_threads(condition.settings)
    except LabError as error:
        return _not_tried(condition.name, str(error)), False
    save_judged(path, judged(run, beside))
    return _condition(condition.name, path, run, beside), interrupted


def _not_tried(name: str, why: str) -> ExploredCondition:
    return ExploredCondition(
        name=name, folder=None, invalid_trials=0, trials=0, judgements=[], failure=why
    )


def _condition(name: str, folder: Path, run: Run, beside: Beside) -> ExploredCondition:
    return ExploredCondition(
        name=name,
        folder=folder.name,
        invalid_trials=sum(not comparable(trial) for trial in run.trials),
        trials=len(run.trials),
        judgements=judge_condition(run, beside),
        failure=run.incomplete_reason,
    )


@contextmanager
def _cpus(one: bool) -> Iterator[None]:
    """Within, this process and all that it starts have one CPU, if `one`: the plan of CPUs goes
    by what this process may use, and then pins nothing apart."""
    before = os.sched_getaffinity(0)
    if one:
        os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
