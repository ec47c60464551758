"""A run: every planned trial, saved as it comes, and what follows from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import pandas as pd

from harness.core.errors import LabError, ServerRefused
from harness.core.pythons import gil_warnings
from harness.core.record import SCHEMA_VERSION, Environment, Interpreter, Run, Settings, Trial
from harness.core.wording import listed
from harness.designs.trials import Planned, PlannedTrial, Planner, StartOver
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, overlap_warning, plan_of
from harness.machine.descriptors import raise_descriptor_limit
from harness.machine.doctor import examine, warning
from harness.machine.environment import read_environment
from harness.machine.neighbours import Neighbourhood, announced
from harness.machine.probe import probe
from harness.measure.blocks import DIED_AFTER, run_restart
from harness.measure.bystanders import check_descriptors
from harness.measure.outside import run_outside
from harness.measure.request_rows import blocks_frame
from harness.measure.trial import Progress, TrialResult, run_trial
from harness.store import LOGS, RunFolder
from harness.targets.arm import Arm
from harness.targets.interpreter import examine_python, servers_under
from harness.targets.server_code import ServerSource
from harness.targets.start import build_native, examine_target

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
    with announced(command), ExitStack() as stack:
        named = dict.fromkeys(settings.pythons, "--pythons")
        if settings.python is not None:
            named[settings.python] = "--python"
        under = {typed: _under(stack, typed, option) for typed, option in named.items()}
        return _Experiment(settings, folder, command, watcher, planner, under).run()


@dataclass(frozen=True, slots=True)
class _Under:
    """An interpreter of the servers, and the lab's servers as it runs them."""

    interpreter: Interpreter
    source: ServerSource


def _under(stack: ExitStack, typed: str, option: str) -> _Under:
    """The servers under an interpreter, for as long as `stack` lasts. Raises `LabError`."""
    interpreter = examine_python(typed, option)
    return _Under(interpreter, stack.enter_context(servers_under(typed, interpreter)))


class _Experiment:
    """A run in the making. `under`: the interpreters of its servers by how they were named, where
    they are not the lab's own."""

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        command: str,
        watcher: Watcher,
        planner: Planner,
        under: Mapping[str, _Under],
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._command = command
        self._watcher = watcher
        self._planner = planner
        self._sources = {typed: each.source for typed, each in under.items()}
        self._cpus = plan_of(settings)
        if settings.target is not None:
            examine_target(settings)
        else:
            build_native(settings.backends)
        interpreters = {typed: each.interpreter for typed, each in under.items()}
        self._environment = msgspec.structs.replace(
            examined(read_environment(self._cpus), settings, self._cpus),
            server_python=interpreters.get(settings.python or ""),
            server_pythons={typed: interpreters[typed] for typed in settings.pythons},
        )
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._descriptors = raise_descriptor_limit()
        check_descriptors(settings, self._descriptors)
        self._trials: list[Trial] = []
        self._started_over: list[str] = []
        self._beside = Neighbourhood()
        self._reason: str | None = None  # why it ended early
        self._refused: int | None = None  # the slot whose server did not start

    def run(self) -> RunResult:
        """All trials, and the record. Raises `LabError` when not even one could be run."""
        interrupted = False
        try:
            while self._reason is None:
                step = self._planner.next_trial(self._trials)
                if step is None:
                    break
                if isinstance(step, StartOver):
                    self._start_over(step)
                else:
                    self._measure(from_source(step, self._sources, self._settings.python))
        except KeyboardInterrupt:
            interrupted = True
            total = self._planner.total(self._trials)
            self._reason = f"interrupted in trial {len(self._trials) + 1} of {total}"
        except LabError as error:
            if not self._trials:
                raise
            self._reason = str(error)
            self._refused = error.slot if isinstance(error, ServerRefused) else None
        self._beside.look()
        run = msgspec.structs.replace(
            self._record(), complete=self._reason is None, incomplete_reason=self._reason
        )
        run = self._planner.conclude(run, self._folder.path.parent)
        requests, timeline = self._folder.finish()
        self._folder.save_blocks(blocks_frame(run.trials))
        self._folder.save(run)
        return RunResult(run, requests, timeline, self._folder, interrupted)

    def _start_over(self, step: StartOver) -> None:
        """Drop what was measured at a level, or at all: it is measured otherwise."""
        self._started_over.append(step.why)
        for rps in {trial.rps for trial in self._trials if step.rps in (None, trial.rps)}:
            self._folder.forget_level(rps)
        self._trials = [trial for trial in self._trials if step.rps not in (None, trial.rps)]
        if step.generators is not None:
            self._settings = msgspec.structs.replace(self._settings, generators=step.generators)
            self._cpus = plan_of(self._settings)
            now = read_environment(self._cpus)
            self._environment = msgspec.structs.replace(
                self._environment, server_cpus=now.server_cpus, generator_cpus=now.generator_cpus
            )

    def _measure(self, planned: Planned) -> None:
        """One trial, or one of each arm; saved before anybody is told of it."""
        number, total = len(self._trials) + 1, self._planner.total(self._trials)
        self._watcher.trial_begins(planned, number, total)
        self._beside.look()
        with out_of_the_way(self._cpus):
            results = _measure(
                planned, self._settings, self._cpus, self._descriptors, self._folder, self._watcher
            )
        for result in results:
            self._trials.append(result.trial)
            self._folder.add_trial(result.requests, result.timeline, result.trace)
        self._folder.save(self._record())
        for result in results:
            self._watcher.trial_ended(result.trial)
        self._reason = _ended_by(results, self._trials, number, total, self._planner.most_deaths)

    def _record(self) -> Run:
        run = self._so_far()
        return msgspec.structs.replace(run, warnings=[*run.warnings, *gil_warnings(run)])

    def _so_far(self) -> Run:
        return Run(
            schema=SCHEMA_VERSION,
            id=self._folder.id,
            created=self._created,
            complete=False,
            command=self._command,
            environment=self._environment,
            settings=self._settings,
            trials=list(self._trials),
            cells=[],
            comparisons=[],
            incomplete_reason=self._reason or "the run is not over",
            refused=self._refused,
            warnings=[
                *(warning(f) for f in self._environment.findings if f.level != "good"),
                *overlap_warning(self._cpus),
                *self._started_over,
                *elsewhere(self._settings),
                *self._beside.warnings(),
            ],
        )


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
        try:
            logs = folder.path / LOGS
            return run_outside(planned, settings, cpus, descriptors, logs, watcher.progress)
        except ProcessDied as error:
            raise LabError(f"round {planned.round} was not completed: {error}") from error
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


def from_source(
    planned: Planned, sources: Mapping[str, ServerSource], python: str | None
) -> Planned:
    """The plan with the servers under the interpreter of each arm, else under `python`, where an
    arm has no other source."""

    def of(arm: Arm) -> Arm:
        typed = arm.python or python
        if arm.source is not None or typed is None:
            return arm
        return replace(arm, source=sources[typed])

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
    if not cpus.placed:
        yield
        return
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus.observers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def examined(environment: Environment, settings: Settings, cpus: CpuPlan) -> Environment:
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
    return msgspec.structs.replace(environment, findings=found)
