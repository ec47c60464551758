"""Measures what claims need and a run does not hold, beside its trials."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.machine.cpu_moves import CannotCount
from harness.machine.cpus import plan_cpus
from harness.machine.native_cost import measure_native_costs
from harness.machine.queue_cost import measure_enqueue_us
from harness.machine.thread_cost import measure_thread_costs
from harness.studies.claims.cpu_migrations import count_moves
from harness.studies.claims.estimators import figure_of
from harness.studies.claims.records import Beside, Migrations
from servers.native.build import NATIVE

_MOVES_RPS = 1000.0
Tell = Callable[[str], None]


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
