"""Moves between CPUs under load: a server that may use every CPU, and the generator beside it.

A trial pins its server, so that nothing else disturbs it; where that leaves it one CPU its threads
cannot move. These short runs give up the pinning to count, and are used for nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from harness.core.record import Settings
from harness.designs.trials import trial_seed
from harness.drivers.driver import Load, LoadPhase, driver_of
from harness.machine.child_process import ProcessDied
from harness.machine.cpu_moves import CannotCount, MoveCounter
from harness.machine.cpus import CpuPlan
from harness.measure.run import raise_descriptor_limit
from harness.studies.claims.records import Migrations
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import ServerProcess
from harness.targets.start import server_arguments

_IDLE_S = 5.0
_START_S = 60.0


def count_moves(
    settings: Settings, rps: float, rounds: int, tell: Callable[[str], None]
) -> list[Migrations]:
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
