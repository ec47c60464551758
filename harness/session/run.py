"""A run from its folder to its record: once, for the command line, the notebooks and scripts; and a
backend against itself, run after run, for how often this machine tells equals apart."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.record import Settings, Trial
from harness.designs.trials import Planned, Planner
from harness.machine.cpus import plan_of
from harness.machine.environment import read_environment
from harness.measure.run import RunResult, Watcher, run_experiment
from harness.measure.trial import Progress
from harness.store import RunFolder, as_json, write_whole
from harness.studies.compare.aa_control import (
    CONTROL_FILE,
    CONTROL_SCHEMA,
    ControlData,
    ControlRecord,
    ControlRun,
    Machine,
    control_run,
    headline_controls,
    read_controls,
)
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


class Silent:
    """A watcher that shows nothing."""

    def trial_begins(self, planned: Planned, number: int, total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def trial_ended(self, trial: Trial) -> None: ...


def whole_run(settings: Settings, command: str) -> RunResult:
    """One comparison, as `labrun compare` makes it, in a folder that goes with it. `command`: how
    the run was asked for, for the record.

    Raises `LabError` when it could not be made whole, KeyboardInterrupt when interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="lab-run-") as folder:
        result = record_run(settings, Path(folder), "run", command, nullcontext(Silent()))
    if result.interrupted:
        raise KeyboardInterrupt
    if not result.run.complete:
        raise LabError(f"a run was not completed: {result.run.incomplete_reason}")
    return result


def measure_control(settings: Settings) -> ControlRun:
    """The headlines of one `whole_run`. Raises what it raises."""
    return control_run(whole_run(settings, "A/A").run)


def keep_controls(
    settings: Settings, wanted: int, results: Path, tell: Callable[[str], None]
) -> ControlData:
    """All runs of one backend against itself, as many as are wanted; those on record at these
    settings and of this machine count, and each new one is on record once it has ended. `tell` gets
    a line before each. Raises `LabError`."""
    machine = Machine.of(read_environment(plan_of(settings)))
    record = read_controls(results)
    if record is None and (results / CONTROL_FILE).exists():
        raise LabError(f"{results / CONTROL_FILE} cannot be read; move it out of the way")
    kept = [] if record is None or record.schema != CONTROL_SCHEMA else list(record.controls)
    mine = [data for data in kept if (data.machine, data.settings) == (machine, settings)]
    others = [data for data in kept if data not in mine]
    runs = list(mine[0].runs) if mine else []

    def data() -> ControlData:
        return ControlData(
            machine=machine, settings=settings, runs=runs, headline=headline_controls(runs)
        )

    done = {run.seed for run in runs}
    for seed in range(settings.seed, settings.seed + wanted):
        if seed in done:
            continue
        tell(f"run {len(runs) + 1} of {wanted} (seed {seed}) ...")
        runs.append(measure_control(msgspec.structs.replace(settings, seed=seed)))
        file = results / CONTROL_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = ControlRecord(schema=CONTROL_SCHEMA, controls=[*others, data()])
        write_whole(file, as_json(whole))
    return data()
