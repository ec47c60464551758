"""`labrun claims --explore`: a run for each condition, then the nearest for each claim."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from harness.commands.claims import existing_run, json_target, make_run, write_out
from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.core.trials import comparable
from harness.designs.trials import expected_s
from harness.session.study_options import ClaimsOptions
from harness.store import new_folder
from harness.studies.claims.beside import measure_threads
from harness.studies.claims.explore import Condition, conditions, nearest
from harness.studies.claims.judgement import (
    judge_condition,
    judged,
    load_beside,
    save_explored,
    save_judged,
)
from harness.studies.claims.ledger import check_about
from harness.studies.claims.records import CLAIMS_SCHEMA, Beside, Explored, ExploredCondition
from harness.terminal.claims_table import print_explored
from harness.terminal.output import Console

# What each condition takes besides its trials: timing threads alone, longest on locked stacks.
_BESIDE_S = 45.0


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
