"""A run: every planned trial, saved as it comes, and what follows from them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import pandas as pd

from harness.core.errors import LabError, ServerRefused
from harness.core.record import SCHEMA_VERSION, Environment, Interpreter, Run, Settings, Trial
from harness.core.wording import listed
from harness.designs.trials import Planned, PlannedTrial, Planner, StartOver
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, plan_cpus
from harness.machine.doctor import examine, warning
from harness.machine.environment import read_environment
from harness.machine.neighbours import Neighbourhood, announced
from harness.machine.probe import probe
from harness.measure.blocks import DIED_AFTER, run_restart
from harness.measure.outside import run_outside
from harness.measure.request_rows import blocks_frame
from harness.measure.trial import Progress, TrialResult, run_trial
from harness.store import LOGS, RunFolder
from harness.targets.arm import Arm
from harness.targets.interpreter import examine_python, servers_under
from harness.targets.native import build_native
from harness.targets.remote import examine_target
from harness.targets.server_code import ServerSource

_LEAST_DESCRIPTORS = 512
HIGHEST_LEVEL_RPS = 10_000.0  # of the document's


class Watcher(Protocol):
    """Who is told how a run gets on (a live view, a log, nobody)."""

    def trial_begins(self, planned: Planned, number: int, total: int) -> None: ...

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
    planner: Planner,
) -> RunResult:
    """Run the trials that `planner` asks for, one by one; what was measured is saved even when it
    ends early.

    Raises `LabError` when not even one trial could be run.
    """
    with announced(command):
        if settings.python is None:
            return _run(settings, folder, command, watcher, planner)
        interpreter = examine_python(settings.python)
        with servers_under(settings.python, interpreter) as source:
            return _run(settings, folder, command, watcher, planner, source, interpreter)


def _run(
    settings: Settings,
    folder: RunFolder,
    command: str,
    watcher: Watcher,
    planner: Planner,
    source: ServerSource | None = None,
    interpreter: Interpreter | None = None,
) -> RunResult:
    """The run; `source`: whose servers, where the planner does not say."""
    cpus = plan_cpus()
    if settings.target is not None:
        examine_target(settings)
    else:
        build_native(settings.backends)
    environment = examined(read_environment(cpus), settings, cpus, interpreter)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    descriptors = raise_descriptor_limit()
    trials: list[Trial] = []
    started_over: list[str] = []
    planned: Planned | None = None
    beside = Neighbourhood()
    reason, interrupted, refused = None, False, None

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
            refused=refused,
            warnings=[
                *(warning(f) for f in environment.findings if f.level != "good"),
                *started_over,
                *elsewhere(settings),
                *beside.warnings(),
            ],
        )

    try:
        while reason is None and (step := planner.next_trial(trials)) is not None:
            if isinstance(step, StartOver):
                started_over.append(step.why)
                trials = [trial for trial in trials if trial.rps != step.rps]
                folder.forget_level(step.rps)
                continue
            planned = from_source(step, source)
            number, total = len(trials) + 1, planner.total(trials)
            watcher.trial_begins(planned, number, total)
            beside.look()
            with out_of_the_way(cpus):
                results = _measure(planned, settings, cpus, descriptors, folder, watcher)
            for result in results:
                trials.append(result.trial)
                folder.add_trial(result.requests, result.timeline)
            folder.save(record())
            for result in results:
                watcher.trial_ended(result.trial)
            reason = _ended_by(results, trials, number, total, planner.most_deaths)
    except KeyboardInterrupt:
        interrupted = True
        reason = f"interrupted in trial {len(trials) + 1} of {planner.total(trials)}"
    except LabError as error:
        if not trials:
            raise
        reason = str(error)
        refused = error.slot if isinstance(error, ServerRefused) else None
    beside.look()
    run = msgspec.structs.replace(record(), complete=reason is None, incomplete_reason=reason)
    run = planner.conclude(run, folder.path.parent)
    requests, timeline = folder.finish()
    folder.save_blocks(blocks_frame(run.trials))
    folder.save(run)
    return RunResult(run, requests, timeline, folder, interrupted)


def _measure(
    planned: Planned,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    folder: RunFolder,
    watcher: Watcher,
) -> list[TrialResult]:
    """Measures what is planned: one trial, or one of each arm. Raises `LabError`."""
    if settings.outside:
        return _measure_outside(planned, settings, cpus, descriptors, folder, watcher)
    if isinstance(planned, PlannedTrial):
        try:
            return [run_trial(planned, settings, cpus, descriptors, watcher.progress)]
        except ServerRefused as error:
            error.slot = planned.slot
            raise
    try:
        return run_restart(planned, settings, cpus, descriptors, watcher.progress)
    except ProcessDied as error:
        raise LabError(f"restart {planned.round} was not completed: {error}") from error


def _measure_outside(
    planned: Planned,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    folder: RunFolder,
    watcher: Watcher,
) -> list[TrialResult]:
    """The same, all seen from outside. Raises `LabError`."""
    try:
        return run_outside(
            planned, settings, cpus, descriptors, folder.path / LOGS, watcher.progress
        )
    except ProcessDied as error:
        raise LabError(f"round {planned.round} was not completed: {error}") from error


def from_source(planned: Planned, source: ServerSource | None) -> Planned:
    """The plan with the servers of `source`, where an arm has no other."""

    def of(arm: Arm) -> Arm:
        return replace(arm, source=source) if arm.source is None else arm

    if isinstance(planned, PlannedTrial):
        return replace(planned, arm=of(planned.arm))
    return replace(planned, arms=tuple(map(of, planned.arms)))


def _ended_by(
    results: Sequence[TrialResult],
    trials: Sequence[Trial],
    number: int,
    total: int,
    most_deaths: int,
) -> str | None:
    """Why the run ends with these trials, in words; None where it goes on. A server that dies in
    mid-block is refused from then on, which its figures say; more than `most_deaths` end the run.
    """
    for place, result in enumerate(results):
        if result.failure is not None:
            return f"trial {number + place} of {total} failed: {result.failure}"
    died = [trial for trial in trials if trial.blocks and trial.died == "server"]
    if len(died) <= most_deaths:
        return None
    (how, *_) = [told for told in died[-1].warnings if DIED_AFTER in told]
    return f"round {died[-1].round} failed: {how}"


def elsewhere(settings: Settings) -> list[str]:
    """Warnings on a run whose servers were on another machine."""
    if settings.target is None:
        return []
    addresses = settings.target.split(",")
    were = "server was" if len(addresses) == 1 else "servers were"
    return [
        f"The {were} at {listed(addresses)}: the environment is of the machine that drove it, "
        "and what only the server's machine knows is missing"
    ]


@contextmanager
def out_of_the_way(cpus: CpuPlan) -> Iterator[None]:
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


def examined(
    environment: Environment,
    settings: Settings,
    cpus: CpuPlan,
    interpreter: Interpreter | None = None,
) -> Environment:
    """The environment with what `labrun doctor` would say of it at the highest rate asked for."""
    if settings.target is not None:
        environment = msgspec.structs.replace(environment, server_cpus=None)
    found = examine(
        environment,
        probe(cpus),
        cpus,
        max(settings.rps, default=HIGHEST_LEVEL_RPS),
        settings.clients,
        settings.timeout_s,
    )
    return msgspec.structs.replace(environment, findings=found, server_python=interpreter)
