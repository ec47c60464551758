"""Measures the steps that no trial can stamp, each by itself."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.machine.costs import (
    measure_enqueue_us,
    measure_native_costs,
    measure_return_us,
    measure_thread_costs,
)
from harness.machine.cpus import plan_cpus
from harness.studies.anatomy.account import Apart, spread
from servers.native.build import NATIVE


def measure_apart(settings: Settings, tell: Callable[[str], None]) -> Apart:
    """Steps that no trial can stamp: the end of a thread, the way to the queue and back."""
    missing: dict[str, str] = {}
    cpus = plan_cpus().server
    costs = None
    tell("measuring the cost of a thread")
    try:
        costs = measure_thread_costs(settings.stack_size_bytes, settings.lock_stacks, cpus)
    except LabError as error:
        missing["thread_costs"] = str(error)
    native = None
    if set(settings.backends) & NATIVE.keys():
        tell("measuring the cost of a thread in C++")
        try:
            native = measure_native_costs(
                settings.stack_size_bytes, settings.lock_stacks, cpus, settings.workers
            ).thread_costs
        except LabError as error:
            missing["native_thread_costs"] = str(error)
    tell("measuring the queue")
    enqueue = spread(measure_enqueue_us(cpus, settings.workers))
    returning = spread(*measure_return_us(cpus))
    return Apart(
        thread_costs=costs,
        native_thread_costs=native,
        enqueue=enqueue,
        returning=returning,
        missing=missing,
    )
