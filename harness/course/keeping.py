"""Runs that are recorded with the course, for whoever cannot measure."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.course.files import recorded_folder
from harness.reading.runs import load_run, native_of
from harness.store import RUN_FILE, TIMELINE_FILE
from harness.studies.anatomy.account import ANATOMY_FILE
from harness.studies.claims.judgement import judged, load_beside, save_judged
from harness.studies.claims.records import Beside
from harness.thin import keep_rows
from harness.views.style import nearest_level

_MOST_ROWS = 20_000  # of a run that is kept whole
# Of these, and of the incidents, a notebook reads the record, and draws what thinned rows draw as
# well.
_THINNED = {"control", "my-pool", "own", "switches"}


def keep(run: Path, name: str) -> None:
    """Record a run under a name, for whoever cannot measure: its record and rows alone; every row,
    rounded, and of a long run, or of one whose rows no notebook reads, thinned (`harness.thin`)."""
    target = recorded_folder() / name
    target.mkdir(parents=True, exist_ok=True)
    for file in (RUN_FILE, TIMELINE_FILE, ANATOMY_FILE):
        if (run / file).exists():
            shutil.copy(run / file, target / file)
    scheduled = sum(trial.client.scheduled for trial in load_run(run).trials)
    keep_rows(
        run, target, thin=scheduled > _MOST_ROWS or name in _THINNED or name.startswith("incident-")
    )


def keep_reference(run: Path) -> None:
    """Record the reference run: all levels of its record, and the rows of the main level, thinned
    (`harness.thin`): notebooks draw from them. Of the servers in C++ that belong to it the claims'
    judgements alone."""
    target = recorded_folder() / "reference"
    target.mkdir(parents=True, exist_ok=True)
    for file in (RUN_FILE, TIMELINE_FILE, ANATOMY_FILE):
        shutil.copy(run / file, target / file)
    record = load_run(run)
    beside = load_beside(run) or Beside()
    save_judged(target, judged(record, beside, native_of(run, record)))
    keep_rows(run, target, thin=True, level=nearest_level(record))
