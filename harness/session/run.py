"""A run from its folder to its record: once, for the command line, the notebooks and scripts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.designs.trials import Planner
from harness.measure.run import RunResult, Watcher, run_experiment
from harness.store import RunFolder
from harness.studies.compare.planner import ComparePlanner


def record_run(
    settings: Settings,
    out: Path,
    name: str,
    command: str,
    watching: AbstractContextManager[Watcher],
    planner: Planner | None = None,
) -> RunResult:
    """Run what `planner` asks for (None: a comparison) into a new folder below `out`, which is
    removed where nothing came into it. `command`: how the run was asked for, for the record;
    `watching`: gives the watcher of its progress. Raises `LabError`."""
    folder = RunFolder.create(out, name)
    try:
        with watching as watcher:
            return run_experiment(
                settings, folder, command, watcher, planner or ComparePlanner(settings)
            )
    except (LabError, KeyboardInterrupt):
        folder.discard_if_empty()
        raise
