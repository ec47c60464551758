"""Who runs on which CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CpuPlan:
    """Disjoint CPUs for server and generator, where there are two or more.

    Observers (the lab itself and its sampler) stay off the generator's CPU, because what delays
    the generator spoils every latency; with two CPUs they share the server's, alike for both
    backends. With one CPU nothing is pinned and the generator must not spin.
    """

    server: frozenset[int]
    generator: frozenset[int]
    observers: frozenset[int]

    @property
    def pinned(self) -> bool:
        """Whether the generator has a CPU of its own."""
        return not self.server & self.generator


def plan_cpus(available: frozenset[int] | None = None) -> CpuPlan:
    """A plan for the CPUs that this process may use."""
    cpus = sorted(os.sched_getaffinity(0) if available is None else available)
    everyone = frozenset(cpus)
    if len(cpus) == 1:
        return CpuPlan(everyone, everyone, everyone)
    if len(cpus) <= 3:
        rest = frozenset(cpus[:-1])
        return CpuPlan(rest, frozenset(cpus[-1:]), rest)
    return CpuPlan(frozenset(cpus[:-2]), frozenset(cpus[-1:]), frozenset(cpus[-2:-1]))
