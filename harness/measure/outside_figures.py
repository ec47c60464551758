"""A server's figures over the measured window, seen from outside. Pure.

The operating system's counts of the whole tree of processes, between the look before load and the
one after it, over the answers that the generator got. What only the server itself could say is None
with the reason.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.record import ONLY_INSIDE, ContextSwitches, CpuPerRequest, Memory, Server
from harness.drivers import request_log as L
from harness.machine.outside.look import Look
from harness.measure.request_rows import Rows

_ANSWERED = (L.OK, L.REJECTED, L.HTTP_ERROR)
_ONLY_INSIDE = (
    "cpu_us_per_request.handler", "cpu_us_per_request.overhead", "efficiency",
    "context_switches.voluntary", "context_switches.involuntary", "threads_active_mean",
    "threads_peak", "queue_depth_mean", "queue_depth_max", "memory.vms_peak_bytes",
    "memory.stack_reserved_bytes", "stages_us", "requests",
)  # fmt: skip
# What a look has, and the figures that follow from it.
_FIGURES = {
    "cpu_ns": ("cpu_us_per_request.total",),
    "switches": ("context_switches.per_s", "context_switches.per_request"),
    "births": ("threads_created", "threads_created_per_s"),
    "rss_bytes": ("memory.rss_mean_bytes",),
    "peak_bytes": ("memory.rss_peak_bytes",),
    "threads": ("threads_seen_by_os_peak",),
}


_COUNTED = ("switches", "births")  # in a load of their own


@dataclass(frozen=True, slots=True)
class OutsideLook:
    """One time of load, seen from outside: before it and after it, and looks in between (threads
    and memory now); how many answers the generator got, and how long load was to last, in ns."""

    before: Look
    after: Look
    between: Sequence[Look]
    answered: int
    load_ns: int


def answered(rows: Rows) -> int:
    """How many whole answers the generator got, whatever they said."""
    return int(np.isin(rows.outcome, _ANSWERED).sum())


def grown(before: Look, after: Look, name: str) -> int | None:
    """How much a count grew; None where one of the two is missing."""
    old, new = getattr(before, name), getattr(after, name)
    return None if old is None or new is None else int(new - old)


def born(before: Look, after: Look) -> int | None:
    """Threads and processes born between two looks."""
    threads = grown(before, after, "births")
    processes = grown(before, after, "processes_born")
    return None if threads is None else threads + (processes or 0)


def counted(look: OutsideLook) -> dict[str, Any]:
    """Those figures of it that a block has; switches and births are not counted in blocks."""
    cpu_ns = grown(look.before, look.after, "cpu_ns")
    total = None if cpu_ns is None or not look.answered else cpu_ns / 1e3 / look.answered
    return {
        "accepted": None,
        "answered": look.answered,
        "cpu_us_per_request": CpuPerRequest(total=total, handler=None, overhead=None),
        "context_switches_per_request": None,
        "context_switches_per_s": None,
        "threads_created": None,
    }


def outside_figures(looks: Sequence[OutsideLook], counting: OutsideLook, fresh: bool) -> Server:
    """The figures of a trial: of all its times of load together; switches and births of the load
    for counting."""
    answers = sum(look.answered for look in looks)
    elapsed_s = sum(look.after.t_ns - look.before.t_ns for look in looks) / 1e9
    cpu_ns = _sum([grown(look.before, look.after, "cpu_ns") for look in looks])
    switches = grown(counting.before, counting.after, "switches")
    created = born(counting.before, counting.after)
    counted_s = (counting.after.t_ns - counting.before.t_ns) / 1e9
    seen = [one for look in looks for one in (*look.between, look.after) if one.processes]
    resident = [one.rss_bytes for one in seen if one.rss_bytes is not None]
    peaks = [look.after.peak_bytes for look in looks if look.after.peak_bytes is not None]
    return Server(
        threads_created=created,
        threads_created_per_s=_ratio(created, counted_s),
        threads_active_mean=None,
        threads_peak=None,
        threads_seen_by_os_peak=max((one.threads for one in seen), default=None),
        queue_depth_mean=None,
        queue_depth_max=None,
        context_switches=ContextSwitches(
            voluntary=None,
            involuntary=None,
            per_s=_ratio(switches, counted_s),
            per_request=_ratio(switches, counting.answered),
        ),
        cpu_us_per_request=CpuPerRequest(
            total=_ratio(None if cpu_ns is None else cpu_ns / 1e3, answers),
            handler=None,
            overhead=None,
        ),
        efficiency=None,
        memory=Memory(
            rss_peak_bytes=max(peaks, default=None),
            rss_mean_bytes=statistics.fmean(resident) if resident else None,
            vms_peak_bytes=None,
            stack_reserved_bytes=None,
        ),
        stages_us=None,
        requests=None,
        fresh_process=fresh,
        window_s=elapsed_s,
        instrument="outside",
        missing=_missing(looks, counting),
    )


def _missing(looks: Sequence[OutsideLook], counting: OutsideLook) -> dict[str, str]:
    """Why figures are None, by their names."""
    told = dict.fromkeys(_ONLY_INSIDE, ONLY_INSIDE)
    measured = [one for look in looks for one in (look.before, look.after)]
    for name, figures in _FIGURES.items():
        counted = name in _COUNTED
        for one in (counting.before, counting.after) if counted else measured:
            if name in one.missing:
                missing = one.missing[name]
                remedy = f"; {missing.remedy}" if missing.remedy else ""
                for figure in figures:
                    told.setdefault(figure, missing.reason + remedy)
    return told


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _ratio(value: float | None, by: float) -> float | None:
    return None if value is None or not by else value / by
