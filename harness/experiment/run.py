"""A run: every planned trial, saved as it comes, and what follows from them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import pandas as pd

from harness.analysis.control import find_control, read_controls
from harness.errors import LabError
from harness.experiment.cpus import CpuPlan, plan_cpus
from harness.experiment.plan import ComparePlanner, PlannedTrial, Planner
from harness.experiment.trial import Progress, run_trial
from harness.observe.environment import read_environment
from harness.record import SCHEMA_VERSION, Environment, Run, Settings, Trial
from harness.store import RunFolder

_LEAST_DESCRIPTORS = 512
_BUSY_LOAD = 0.5


class Watcher(Protocol):
    """Who is told how a run gets on (a live view, a log, nobody)."""

    def trial_begins(self, planned: PlannedTrial, number: int, total: int) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def trial_ended(self, trial: Trial) -> None: ...


@dataclass(frozen=True, slots=True)
class RunResult:
    """The record of a run and its raw rows. `interrupted`: by Ctrl-C."""

    run: Run
    requests: pd.DataFrame
    timeline: pd.DataFrame
    folder: RunFolder
    interrupted: bool


def run_experiment(
    settings: Settings,
    folder: RunFolder,
    command: str,
    watcher: Watcher,
    planner: Planner | None = None,
) -> RunResult:
    """Run the trials that `planner` asks for, one by one (without one: a comparison); what was
    measured is saved even when it ends early.

    Raises `LabError` when not even one trial could be run.
    """
    cpus = plan_cpus()
    environment = read_environment(cpus)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    descriptors = raise_descriptor_limit()
    trials: list[Trial] = []
    reason, interrupted = None, False

    def record() -> Run:
        return Run(
            schema=SCHEMA_VERSION,
            id=folder.id,
            created=created,
            complete=False,
            command=command,
            environment=environment,
            settings=settings,
            trials=list(trials),
            cells=[],
            comparisons=[],
            incomplete_reason=reason or "the run is not over",
            warnings=environment_warnings(environment, cpus),
        )

    planner = ComparePlanner(settings) if planner is None else planner
    try:
        while reason is None and (planned := planner.next_trial(trials)) is not None:
            number, total = len(trials) + 1, planner.total(trials)
            watcher.trial_begins(planned, number, total)
            with _out_of_the_way(cpus):
                result = run_trial(planned, settings, cpus, descriptors, watcher.progress)
            trials.append(result.trial)
            folder.add_trial(result.requests, result.timeline)
            folder.save(record())
            watcher.trial_ended(result.trial)
            if result.failure is not None:
                reason = f"trial {number} of {total} failed: {result.failure}"
    except KeyboardInterrupt:
        interrupted = True
        reason = f"interrupted in trial {len(trials) + 1} of {planner.total(trials)}"
    except LabError as error:
        if not trials:
            raise
        reason = str(error)
    run = msgspec.structs.replace(record(), complete=reason is None, incomplete_reason=reason)
    run = planner.conclude(run)
    if run.comparisons:
        control = find_control(run, read_controls(folder.path.parent))
        run = msgspec.structs.replace(run, control=control)
    requests, timeline = folder.finish()
    folder.save(run)
    return RunResult(run, requests, timeline, folder, interrupted)


@contextmanager
def _out_of_the_way(cpus: CpuPlan) -> Iterator[None]:
    """Keep this process off the generator's CPU while a trial runs.

    Its children set their own CPUs.
    """
    if not cpus.pinned:
        yield
        return
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus.observers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def raise_descriptor_limit() -> int:
    """Raise the soft RLIMIT_NOFILE to the hard one; how many descriptors there are.

    Raises `LabError` when there are too few for any load worth measuring.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _LEAST_DESCRIPTORS:
        raise LabError(
            f"only {hard} file descriptors are allowed and a run needs at least "
            f"{_LEAST_DESCRIPTORS}; raise the hard limit (ulimit -Hn 4096, or LimitNOFILE)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def environment_warnings(environment: Environment, cpus: CpuPlan) -> list[str]:
    """What about this machine may spoil the figures: cause, and what to do."""
    warnings = []
    if not cpus.pinned:
        warnings.append(
            "server and generator share one CPU, so each slows the other down; "
            "use a machine with two or more"
        )
    load = environment.load_average_at_start[0]
    if load > _BUSY_LOAD:
        warnings.append(
            f"the load average at the start was {load:.1f}: something else is using this "
            "machine; stop it, or take more rounds"
        )
    if environment.somaxconn is not None and environment.somaxconn < 4096:
        warnings.append(
            f"net.core.somaxconn is {environment.somaxconn}, which caps the backlog; bursts may "
            "overflow it (sysctl -w net.core.somaxconn=4096)"
        )
    return warnings
