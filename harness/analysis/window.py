"""What a server said of itself over the measured window of one trial. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.observe.sampler import Observation
from harness.record import (
    ContextSwitches,
    CpuPerRequest,
    Memory,
    Requests,
    Sampling,
    Server,
    Stage,
    Stages,
)
from servers.report import Report


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """The server's reports: when the window opened, when the generator was done, and when the
    server had come to rest; and what the sampler saw in between."""

    opened: Report
    closed: Report
    rested: Report
    observations: Sequence[Observation]


def server_figures(window: ServerWindow) -> Server:
    """What the server said of itself over the window."""
    opened, closed, rested = window.opened, window.closed, window.rested
    elapsed_ns = closed.monotonic_ns - opened.monotonic_ns
    elapsed_s = elapsed_ns / 1e9
    gauges, before = closed.gauges, opened.gauges
    answered = closed.counters.answered - opened.counters.answered
    created = gauges.threads_created - before.threads_created
    threads_ns = gauges.threads_active_ns - before.threads_active_ns
    waited_ns = (gauges.queue_wait_ns or 0) - (before.queue_wait_ns or 0)
    seen = [o.threads_seen_by_os for o in window.observations if o.threads_seen_by_os is not None]
    cpu = _cpu_per_request(opened, closed, answered)
    return Server(
        threads_created=created,
        threads_created_per_s=created / elapsed_s,
        threads_active_mean=threads_ns / elapsed_ns,
        threads_peak=rested.gauges.threads_peak,
        threads_seen_by_os_peak=max(seen, default=None),
        queue_depth_mean=None if gauges.queue_wait_ns is None else waited_ns / elapsed_ns,
        queue_depth_max=rested.gauges.queue_depth_max,
        context_switches=_switches(opened, closed, answered, elapsed_s),
        cpu_us_per_request=cpu,
        efficiency=None if not cpu.total or cpu.handler is None else cpu.handler / cpu.total,
        memory=_memory(window),
        stages_us=_stages(rested),
        requests=_requests(opened, rested),
        sampling=_sampling(opened, closed, len(window.observations)),
        pid=closed.pid,
    )


def _cpu_per_request(opened: Report, closed: Report, answered: int) -> CpuPerRequest:
    if answered == 0:
        return CpuPerRequest(total=None, handler=None, overhead=None)
    total = (closed.process.cpu_us - opened.process.cpu_us) / answered
    handler = (closed.process.handler_cpu_us - opened.process.handler_cpu_us) / answered
    return CpuPerRequest(total=total, handler=handler, overhead=total - handler)


def _switches(opened: Report, closed: Report, answered: int, elapsed_s: float) -> ContextSwitches:
    voluntary = closed.process.voluntary_switches - opened.process.voluntary_switches
    involuntary = closed.process.involuntary_switches - opened.process.involuntary_switches
    both = voluntary + involuntary
    return ContextSwitches(
        voluntary=voluntary,
        involuntary=involuntary,
        per_s=both / elapsed_s,
        per_request=both / answered if answered else None,
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
    )


def _sampling(opened: Report, closed: Report, samples: int) -> Sampling:
    spent = closed.process.housekeeping_cpu_us - opened.process.housekeeping_cpu_us
    total = closed.process.cpu_us - opened.process.cpu_us
    switches = closed.process.housekeeping_switches - opened.process.housekeeping_switches
    return Sampling(
        cpu_us=spent,
        cpu_share=spent / total if total else None,
        context_switches=switches,
        samples=samples,
    )
