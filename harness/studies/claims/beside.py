"""Measures what claims need and a run does not hold, beside its trials.

Moves between CPUs are counted under load, with a server that may use every CPU and the generator
beside it. A trial pins its server, so that nothing else disturbs it; where that leaves it one CPU
its threads cannot move. These short runs give up the pinning to count, and are used for nothing
else.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.designs.trials import trial_seed
from harness.drivers.driver import Load, LoadPhase, driver_of
from harness.machine.child_process import ProcessDied
from harness.machine.costs import measure_enqueue_us, measure_native_costs, measure_thread_costs
from harness.machine.cpus import CannotCount, CpuPlan, MoveCounter, plan_cpus
from harness.machine.descriptors import raise_descriptor_limit
from harness.studies.claims.estimators import figure_of
from harness.studies.claims.records import Beside, Migrations
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import ServerProcess
from harness.targets.start import server_arguments
from servers.native.build import NATIVE

_MOVES_RPS = 1000.0
Tell = Callable[[str], None]
_IDLE_S = 5.0
_START_S = 60.0


def measure_threads(settings: Settings) -> Beside:
    """The cost of a thread under the settings' stacks; in C++ that of enqueuing too."""
    cpus = plan_cpus().server
    try:
        if set(settings.backends) <= NATIVE.keys():
            found = measure_native_costs(
                settings.stack_size_bytes, settings.lock_stacks, cpus, settings.workers
            )
            return Beside(thread_costs=found.thread_costs, enqueue_us=figure_of(found.enqueue_us))
        costs = measure_thread_costs(settings.stack_size_bytes, settings.lock_stacks, cpus)
    except LabError as error:
        return Beside(missing={"thread_costs": str(error)})
    return Beside(thread_costs=costs)


def measure_beside(settings: Settings, tell: Tell) -> Beside:
    """Measured now: costs of threads and of enqueuing, moves between CPUs."""
    tell("measuring the cost of a thread")
    beside = measure_threads(settings)
    missing = dict(beside.missing)
    enqueue_us = beside.enqueue_us
    if enqueue_us is None and not set(settings.backends) <= NATIVE.keys():
        tell("measuring the cost of enqueuing")
        enqueue_us = figure_of(measure_enqueue_us(plan_cpus().server, settings.workers))
    migrations: list[Migrations] = []
    try:
        migrations = count_moves(settings, _MOVES_RPS, settings.rounds, tell)
    except (CannotCount, LabError) as error:
        missing["migrations"] = str(error)
    return Beside(
        thread_costs=beside.thread_costs,
        enqueue_us=enqueue_us,
        migrations=migrations,
        missing=missing,
    )


def count_moves(settings: Settings, rps: float, rounds: int, tell: Tell) -> list[Migrations]:
    """Moves of each backend's threads at one level, round by round, in alternating order.

    Raises `CannotCount` where there is one CPU or the kernel does not let us count, or when a
    server or generator dies; `LabError` when a server cannot be started.
    """
    cpus = frozenset(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise CannotCount("there is one CPU, so no thread can move to another")
    plan, descriptors = CpuPlan(cpus, cpus, cpus), raise_descriptor_limit()
    backends = list(dict.fromkeys(settings.backends))
    counts = []
    for number in range(1, rounds + 1):
        for backend in backends if number % 2 else backends[::-1]:
            tell(f"counting moves between CPUs: {backend}, round {number} of {rounds}")
            seed = trial_seed(settings.seed, rps, number)
            try:
                moves, answered = _count(Arm(backend, 0), seed, rps, settings, plan, descriptors)
            except (ProcessDied, ControlLost) as error:
                raise CannotCount(str(error)) from error
            counts.append(
                Migrations(
                    backend=backend, round=number, rps=rps, server_cpus=len(cpus),
                    moves=moves, answered=answered,
                )
            )  # fmt: skip
    return counts


def _count(
    arm: Arm, seed: int, rps: float, settings: Settings, cpus: CpuPlan, descriptors: int
) -> tuple[int, int]:
    """Moves and requests answered over one measured window."""
    with ServerProcess(server_arguments(arm, settings, cpus)) as server:
        measured = [LoadPhase(0, rps, settings.duration_s, seed)]
        address = server.ready.host, server.ready.port
        load = Load([address], [], measured, settings, cpus, descriptors)
        with (
            driver_of(settings.driver).start(load).process as generator,
            ControlClient("127.0.0.1", server.ready.control_port) as control,
        ):
            generator.must_say(_START_S)
            opened = control.open_window()
            with MoveCounter(server.ready.pid) as counter:
                generator.tell(b"go")
                generator.must_say(settings.duration_s + settings.timeout_s + _START_S)
                rested = control.wait_until_idle(_IDLE_S)
                moves = counter.read()
            server.drain()
    return moves, rested.counters.answered - opened.counters.answered
