"""Figures of the server over the measured window of one trial, from its reports. Pure.

One window for all figures: from the report with which it was opened to the one that found the
server at rest, so that counts fit one another and the generator's, and what is for each request has
its numerator and its denominator from the same two reports. The window is as long as its slowest
request: one that times out adds a second to it in which nothing happens. So figures for each second
are taken under load alone, counts and time alike between the sampler's first and last look within
the planned window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.record import (
    ContextSwitches,
    CpuPerRequest,
    Memory,
    Requests,
    Sampling,
    Server,
    Stage,
    Stages,
)
from harness.targets.sampler import Observation
from servers.report import Report, Sample


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """The server's reports: when the window opened, when the generator was done, and when the
    server had come to rest; what the sampler saw in between; and when load was to begin and to
    end, in nanoseconds by the clock of `observations`."""

    opened: Report
    closed: Report
    rested: Report
    observations: Sequence[Observation]
    load_ns: tuple[int, int]


def server_figures(window: ServerWindow, fresh: bool = True) -> Server:
    """Figures of the server over the window. `fresh`: its process was started for it."""
    opened, rested = window.opened, window.rested
    elapsed_ns = rested.monotonic_ns - opened.monotonic_ns
    gauges, before = rested.gauges, opened.gauges
    answered = rested.counters.answered - opened.counters.answered
    threads_ns = gauges.threads_active_ns - before.threads_active_ns
    waited_ns = (gauges.queue_wait_ns or 0) - (before.queue_wait_ns or 0)
    seen = [o.threads_seen_by_os for o in window.observations if o.threads_seen_by_os is not None]
    cpu = _cpu_per_request(window, answered)
    created_per_s, switches_per_s = _per_second(window)
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
        requests=_requests(opened, rested),
        sampling=_sampling(opened, window.closed, len(window.observations)),
        pid=rested.pid,
        window_s=elapsed_ns / 1e9,
        fresh_process=fresh,
    )


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
    )


def _stages(report: Report) -> Stages | None:
    if not report.stages_us:
        return None
    found = {
        name: Stage(mean=figures.mean, p50=figures.p50, p99=figures.p99)
        for name, figures in report.stages_us.items()
    }
    return Stages(**found)


def _requests(opened: Report, rested: Report) -> Requests:
    before, after = opened.counters, rested.counters
    statuses = {
        status: count - before.answered_by_status.get(status, 0)
        for status, count in after.answered_by_status.items()
    }
    return Requests(
        accepted=after.accepted - before.accepted,
        answered=after.answered - before.answered,
        answered_by_status={status: count for status, count in statuses.items() if count},
        timed_out=after.timed_out - before.timed_out,
        reset=after.reset - before.reset,
        abandoned=after.abandoned - before.abandoned,
        in_progress=after.in_progress,
        in_progress_at_start=before.in_progress,
        held_s=None
        if after.held_ns is None or before.held_ns is None
        else (after.held_ns - before.held_ns) / 1e9,
    )


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
