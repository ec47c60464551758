"""Times threads and puts into the pool's queue in C++: `native_cost.cpp`, built and run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.core.errors import LabError
from harness.core.record import ThreadCosts
from harness.machine.thread_cost import Batches, costs_of
from servers.native.build import CannotBuild, compiled

_SOURCE = Path(__file__).with_name("native_cost.cpp")
_LIMIT_S = 120.0


class NativeCosts(NamedTuple):
    """`enqueue_us`: the median of each batch, in microseconds."""

    thread_costs: ThreadCosts
    enqueue_us: list[float]


class _Batches(Batches, frozen=True):
    enqueue_us: list[float]


def measure_native_costs(
    stack_size_bytes: int, lock_stacks: bool, cpus: frozenset[int], workers: int
) -> NativeCosts:
    """As `measure_thread_costs` and `measure_enqueue_us`. Raises `LabError` where it cannot be."""
    try:
        program = compiled("native-cost", _SOURCE)
        done = subprocess.run(
            [program, str(stack_size_bytes), str(int(lock_stacks)), str(workers)],
            capture_output=True, timeout=_LIMIT_S, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )  # fmt: skip
    except (CannotBuild, OSError, subprocess.SubprocessError) as error:
        raise LabError(f"the cost of a thread in C++ cannot be measured: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it just ended"]
        raise LabError(f"the cost of a thread in C++ cannot be measured: {lines[-1]}")
    found = msgspec.json.decode(done.stdout, type=_Batches)
    costs = costs_of(found, stack_size_bytes, lock_stacks, sorted(cpus))
    return NativeCosts(costs, found.enqueue_us)
