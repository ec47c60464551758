"""Figures of the server over the measured window of one trial: from its reports, or as it is seen
from outside. Pure.

One window for all figures: from the report with which it was opened to the one that found the
server at rest, so that counts fit one another and the generator's, and what is for each request has
its numerator and its denominator from the same two reports. The window is as long as its slowest
request: one that times out adds a second to it in which nothing happens. So figures for each second
are taken under load alone, counts and time alike between the sampler's first and last look within
the planned window.

From outside they are the operating system's counts of the whole tree of processes, between the look
before load and the one after it, over the answers that the generator got. What only the server
itself could say is None with the reason.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.record import (
    ONLY_INSIDE,
    ContextSwitches,
    CpuPerRequest,
    Memory,
    Requests,
    Sampling,
    Server,
    Stage,
    Stages,
)
from harness.drivers import request_log as L
from harness.drivers.bystanders import KindCount
from harness.machine.outside.look import Look
from harness.measure.bystanders import Cost, without
from harness.measure.request_rows import Rows
from harness.targets.sampler import Observation
from servers.options import KEEP_ALIVE
from servers.report import Report, Sample

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
class ServerWindow:
    """The server's reports: when the window opened, when the generator was done, and when the
    server had come to rest; what the sampler saw in between; and when load was to begin and to
    end, in nanoseconds by the clock of `observations`. `theirs`: what bystanders began between the
    first and the last report and what became of it; `open_at_start`: how many of their requests
    were in progress in the first; `each`: what one of their connections costs."""

    opened: Report
    closed: Report
    rested: Report
    observations: Sequence[Observation]
    load_ns: tuple[int, int]
    theirs: KindCount | None = None
    open_at_start: int = 0
    each: Cost | None = None

    @property
    def in_progress(self) -> tuple[int, int]:
        """Requests in progress in the first and the last report, without those of bystanders."""
        theirs = 0 if self.theirs is None else self.theirs.in_progress
        return (
            self.opened.counters.in_progress - self.open_at_start,
            self.rested.counters.in_progress - self.open_at_start - theirs,
        )


def server_figures(window: ServerWindow, fresh: bool = True) -> Server:
    """Figures of the server over the window. `fresh`: its process was started for it."""
    opened, rested = window.opened, window.rested
    elapsed_ns = rested.monotonic_ns - opened.monotonic_ns
    gauges, before = rested.gauges, opened.gauges
    answered = rested.counters.answered - opened.counters.answered
    if window.theirs is not None:
        answered -= sum(window.theirs.answered.values())
    threads_ns = gauges.threads_active_ns - before.threads_active_ns
    waited_ns = (gauges.queue_wait_ns or 0) - (before.queue_wait_ns or 0)
    seen = [o.threads_seen_by_os for o in window.observations if o.threads_seen_by_os is not None]
    cpu = _cpu_per_request(window, answered)
    created_per_s, switches_per_s = _per_second(window)
    cpus = _cpus(opened)
    return Server(
        threads_created=gauges.threads_created - before.threads_created,
        threads_created_per_s=created_per_s,
        threads_active_mean=threads_ns / elapsed_ns,
        threads_peak=gauges.threads_peak,
        threads_seen_by_os_peak=max(seen, default=None),
        queue_depth_mean=None if gauges.queue_wait_ns is None else waited_ns / elapsed_ns,
        queue_depth_max=gauges.queue_depth_max,
        context_switches=_switches(opened, rested, answered, switches_per_s),
        cpu_us_per_request=cpu,
        efficiency=None if not cpu.total or cpu.handler is None else cpu.handler / cpu.total,
        memory=_memory(window),
        stages_us=_stages(rested),
        requests=_requests(window),
        threads_per_connection=None if window.each is None else window.each.threads,
        sampling=_sampling(opened, window.closed, len(window.observations)),
        pid=rested.pid,
        window_s=elapsed_ns / 1e9,
        fresh_process=fresh,
        python_version=rested.python_version,
        gil_enabled=rested.gil_enabled,
        processes=gauges.processes,
        processes_replaced=_more(before.processes_replaced, gauges.processes_replaced),
        cpus=cpus,
        efficiency_per_cpu=_per_cpu(window, cpus),
    )


def _cpus(report: Report) -> int | None:
    """How many CPUs a server may use, by its own settings (`0,2`); None where these do not say."""
    told = report.settings.get("cpus")
    return len(told.split(",")) if isinstance(told, str) and told else None


def _per_cpu(window: ServerWindow, cpus: int | None) -> float | None:
    """Of the time of two or more CPUs, what went into handlers. One that may use several and keeps
    one busy is as efficient as ever by its own CPU time; by theirs it is not."""
    if cpus is None or cpus < 2:
        return None
    opened, rested = window.opened, window.rested
    handler_us = rested.process.handler_cpu_us - opened.process.handler_cpu_us
    return handler_us * 1e3 / ((rested.monotonic_ns - opened.monotonic_ns) * cpus)


def _more(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def process_warnings(server: Server) -> list[str]:
    """What is to be said of a server of several processes, a sentence each."""
    if not server.processes_replaced:
        return []
    number = server.processes_replaced
    died = "1 process" if number == 1 else f"{number:,} processes"
    return [
        f"{died} of the server died and had to be replaced: what was in hand there was reset, and "
        "what had been counted there is in the sums"
    ]


def _cpu_per_request(window: ServerWindow, answered: int) -> CpuPerRequest:
    if answered == 0:
        return CpuPerRequest(total=None, handler=None, overhead=None)
    opened, rested = window.opened.process, window.rested.process
    # Waiting for rest means asking for reports, and making those is no part of any request.
    asking_us = rested.housekeeping_cpu_us - window.closed.process.housekeeping_cpu_us
    total = (rested.cpu_us - opened.cpu_us - asking_us) / answered
    handler = (rested.handler_cpu_us - opened.handler_cpu_us) / answered
    return CpuPerRequest(total=total, handler=handler, overhead=total - handler)


def _per_second(window: ServerWindow) -> tuple[float, float]:
    """Threads created and context switches a second: between the first and the last look under
    load, or over the whole window where the sampler saw less than half of the load."""
    opened, rested = _so_far(window.opened), _so_far(window.rested)
    begin_ns, end_ns = window.load_ns
    looks = [o.server for o in window.observations if o.server.monotonic_ns <= end_ns]
    if looks and looks[-1].monotonic_ns - looks[0].monotonic_ns > (end_ns - begin_ns) / 2:
        opened, rested = _seen_so_far(looks[0]), _seen_so_far(looks[-1])
    nanoseconds, created, switches = np.subtract(rested, opened).tolist()
    return created / nanoseconds * 1e9, switches / nanoseconds * 1e9


def _so_far(report: Report) -> tuple[int, int, int]:
    """When a report was made, and threads created and context switches until then."""
    process = report.process
    switches = process.voluntary_switches + process.involuntary_switches
    return report.monotonic_ns, report.gauges.threads_created, switches


def _seen_so_far(look: Sample) -> tuple[int, int, int]:
    """The same of a look."""
    switches = look.voluntary_switches + look.involuntary_switches
    return look.monotonic_ns, look.threads_created, switches


def _switches(opened: Report, rested: Report, answered: int, per_s: float) -> ContextSwitches:
    voluntary = rested.process.voluntary_switches - opened.process.voluntary_switches
    involuntary = rested.process.involuntary_switches - opened.process.involuntary_switches
    return ContextSwitches(
        voluntary=voluntary,
        involuntary=involuntary,
        per_s=per_s,
        per_request=(voluntary + involuntary) / answered if answered else None,
    )


def _memory(window: ServerWindow) -> Memory:
    process, gauges = window.rested.process, window.rested.gauges
    resident = [o.rss_bytes for o in window.observations if o.rss_bytes is not None]
    return Memory(
        rss_peak_bytes=process.rss_peak_bytes,
        rss_mean_bytes=float(np.mean(resident)) if resident else None,
        vms_peak_bytes=process.vms_peak_bytes,
        stack_reserved_bytes=gauges.threads_peak * process.stack_size_bytes,
        per_connection_bytes=None if window.each is None else window.each.rss_bytes,
    )


def _stages(report: Report) -> Stages | None:
    if not report.stages_us:
        return None
    found = {
        name: Stage(mean=figures.mean, p50=figures.p50, p99=figures.p99)
        for name, figures in report.stages_us.items()
    }
    return Stages(**found)


def _requests(window: ServerWindow) -> Requests:
    opened, rested = window.opened, window.rested
    before, after = opened.counters, rested.counters
    statuses = {
        status: count - before.answered_by_status.get(status, 0)
        for status, count in after.answered_by_status.items()
    }
    counted = Requests(
        accepted=after.accepted - before.accepted,
        answered=after.answered - before.answered,
        answered_by_status={status: count for status, count in statuses.items() if count},
        timed_out=after.timed_out - before.timed_out,
        reset=after.reset - before.reset,
        abandoned=after.abandoned - before.abandoned,
        in_progress=window.in_progress[1],
        in_progress_at_start=window.in_progress[0],
        connections=_grown_connections(opened, rested),
        held_s=None
        if after.held_ns is None or before.held_ns is None
        else (after.held_ns - before.held_ns) / 1e9,
    )
    return counted if window.theirs is None else without(counted, window.theirs)


def _grown_connections(opened: Report, rested: Report) -> int | None:
    """How many connections were accepted, where that is another number than requests."""
    before, after = opened.counters.connections, rested.counters.connections
    if before is None or after is None or rested.settings.get("connections") != KEEP_ALIVE:
        return None
    return after - before


def _sampling(opened: Report, closed: Report, samples: int) -> Sampling:
    """Until the generator was done: what the lab asks after that is in no other figure either."""
    spent = closed.process.housekeeping_cpu_us - opened.process.housekeeping_cpu_us
    total = closed.process.cpu_us - opened.process.cpu_us
    switches = closed.process.housekeeping_switches - opened.process.housekeeping_switches
    return Sampling(
        cpu_us=spent,
        cpu_share=spent / total if total else None,
        context_switches=switches,
        samples=samples,
    )


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


def outside_figures(
    looks: Sequence[OutsideLook], counting: OutsideLook, fresh: bool, each: Cost | None = None
) -> Server:
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
            per_connection_bytes=None if each is None else each.rss_bytes,
        ),
        threads_per_connection=None if each is None else each.threads,
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
