"""The server's own report: the records that cross the control port, what the operating system adds
to them, and the same for Prometheus."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence

import msgspec

STAGES = ("dispatch", "read", "parse", "rate_limit", "decode", "validate", "write", "close")
_REJECTED = ("queue_full", "no_thread", "rate")


class StageFigures(msgspec.Struct, frozen=True):
    """How long one step took, in microseconds, over the requests answered 202."""

    mean: float
    p50: float
    p99: float


class Gauges(msgspec.Struct, frozen=True):
    """A backend's threads and queue at this moment.

    `threads_active`: handler threads that are alive, whether they serve a request or wait for one.
    `threads_active_ns` is the time lived by all of them together since the start, so that a
    difference over a window, divided by the window, is their mean number. The
    `queue_*` fields are None where there is no queue; `queue_wait_ns` likewise adds up waiting.
    Peaks are since the window was opened. Of several processes (`processes`, None where there is
    one alone) all are sums, of peaks too, so those are what the peak was at most;
    `processes_replaced`: how many have ended and been replaced.
    """

    threads_created: int
    threads_active: int
    threads_peak: int
    threads_active_ns: int
    threads_replaced: int = 0
    queue_depth: int | None = None
    queue_depth_max: int | None = None
    queue_wait_ns: int | None = None
    processes: int | None = None
    processes_replaced: int | None = None


class Counters(msgspec.Struct, frozen=True):
    """Requests since the start. Once nothing is in progress,
    accepted = answered + timed_out + reset + abandoned.

    `held_ns` adds up, over the requests that have come to an end, the time from accept to that
    end (for an answer: sent whole), so that a difference over a window at whose edges nothing is
    in progress, divided by the window, is the mean number of requests in the server.
    `rejected_by_backend` are refusals by limits that a backend has names of its own for. None: a
    server of before there was this.

    `connections`: how many were accepted. Where they stay that is another number than requests: a
    request is accepted with its first bytes, so `idle_connections`, those that have none now, are
    not in progress, and `idle_closed`, those that had none for too long, are in no other count.
    """

    accepted: int
    answered: int
    answered_by_status: dict[str, int]
    rejected_queue_full: int
    rejected_no_thread: int
    rejected_rate: int
    timed_out: int
    reset: int
    abandoned: int
    deadlines_missed: int
    handler_errors: int
    accept_errors: int
    descriptor_episodes: int
    metrics_taken: int
    clients_tracked: int
    held_ns: int | None = None
    dispatch_errors: int | None = None
    rejected_by_backend: dict[str, int] = {}
    connections: int | None = None
    idle_connections: int | None = None
    idle_closed: int | None = None

    @property
    def in_progress(self) -> int:
        """Requests that were accepted and have not come to an end yet."""
        return self.accepted - self.answered - self.timed_out - self.reset - self.abandoned


class Process(msgspec.Struct, frozen=True):
    """The operating system's account of the server process (getrusage RUSAGE_SELF, which covers
    threads that have ended too, and /proc/self). `housekeeping_*` is the share of the thread
    that serves the control port.

    Of several processes all are sums. Resident memory that they share is counted once
    (`resident_together`), and the peak is that and what each had more at a peak of its own."""

    cpu_us: int
    handler_cpu_us: int
    housekeeping_cpu_us: int
    voluntary_switches: int
    involuntary_switches: int
    housekeeping_switches: int
    minor_faults: int
    rss_bytes: int
    rss_peak_bytes: int
    vms_bytes: int
    vms_peak_bytes: int
    stack_size_bytes: int


class Sample(msgspec.Struct, frozen=True):
    """The light report, cheap enough to ask for ten times a second.

    `threads_step_peak` and `queue_step_max` are peaks since the last sample.
    """

    monotonic_ns: int
    accepted: int
    cpu_us: int
    voluntary_switches: int
    involuntary_switches: int
    threads_created: int
    threads_active: int
    threads_step_peak: int
    queue_depth: int | None
    queue_step_max: int | None


class Report(msgspec.Struct, frozen=True):
    """`GET /report`. `stages_us` covers the window: since the start, or since `POST /window`.

    `python_version` and `gil_enabled`: what runs the server, and whether its GIL is on now, after
    all imports (None: no Python, or a server of before there was this)."""

    backend: str
    pid: int
    monotonic_ns: int
    started_ns: int
    window_ns: int
    gauges: Gauges
    counters: Counters
    process: Process
    stages_us: dict[str, StageFigures]
    stage_rows: int
    stage_rows_dropped: int
    draining: bool
    settings: dict[str, str | int | float | bool | None]
    python_version: str | None = None
    gil_enabled: bool | None = None


def gil_is_enabled() -> bool:
    """Whether threads take turns in this interpreter: always, but in a build without the GIL that
    no extension has switched it on in again."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def process_usage() -> resource.struct_rusage:
    """CPU time and context switches of the whole process, ended threads included."""
    return resource.getrusage(resource.RUSAGE_SELF)


def read_process(
    status_fd: int,
    *,
    handler_cpu_us: int,
    housekeeping_cpu_us: int,
    housekeeping_switches: int,
    stack_size_bytes: int,
) -> Process:
    """The operating system's account now, by an open /proc/self/status too, beside what only the
    server knows."""
    usage, memory = process_usage(), memory_bytes(status_fd)
    return Process(
        cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6),
        handler_cpu_us=handler_cpu_us,
        housekeeping_cpu_us=housekeeping_cpu_us,
        voluntary_switches=usage.ru_nvcsw,
        involuntary_switches=usage.ru_nivcsw,
        housekeeping_switches=housekeeping_switches,
        minor_faults=usage.ru_minflt,
        rss_bytes=memory["VmRSS"],
        rss_peak_bytes=memory["VmHWM"],
        vms_bytes=memory["VmSize"],
        vms_peak_bytes=memory["VmPeak"],
        stack_size_bytes=stack_size_bytes,
    )


def memory_bytes(status_fd: int) -> dict[str, int]:
    """The lines of an open /proc/self/status that end in kB, in bytes.

    Not ru_maxrss: that one starts from the resident set of whoever started this process.
    """
    return _in_bytes(os.pread(status_fd, 16 * 1024, 0))


def _in_bytes(text: bytes) -> dict[str, int]:
    lines = [line.split() for line in text.decode("ascii", "replace").splitlines()]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[-1:] == ["kB"]}


def resident_together(pids: Sequence[int]) -> int | None:
    """The resident memory of processes of which one has forked the others, each page once.

    What they have in common is divided among those who have it (PSS, proc(5) on smaps_rollup), but
    for pages of files (the interpreter's code): those others have too, so they are as many as in
    the process that has most of them. Of one process alone it is its resident set. None where the
    kernel does not say, or one is gone.
    """
    own, files = 0, [0]
    try:
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
                found = _in_bytes(rollup.read())
            own += found["Pss_Anon"] + found["Pss_Shmem"]
            with open(f"/proc/{pid}/status", "rb") as status:
                files.append(_in_bytes(status.read())["RssFile"])
    except (OSError, KeyError):
        return None
    return own + max(files)


# Of `Counters`: the field, and what it counts.
_COUNTED = (
    ("timed_out", "Requests that ended at the deadline without an answer."),
    ("reset", "Connections that the client closed or reset before its answer."),
    ("abandoned", "Requests given up when the server stopped or a thread was killed."),
    ("deadlines_missed", "Requests not complete in time."),
    ("handler_errors", "Handlers that raised."),
    ("dispatch_errors", "Connections that the backend could not dispatch."),
    ("accept_errors", "Failed calls of accept."),
    ("descriptor_episodes", "Times that file descriptors ran out."),
    ("metrics_taken", "Metrics in accepted requests."),
    ("connections", "Connections accepted."),
    ("idle_closed", "Connections closed that had no request for too long."),
)


def prometheus(report: Report) -> str:
    """The report in Prometheus text format 0.0.4; what is None is left out."""
    counters, gauges, process = report.counters, report.gauges, report.process
    lines: list[str] = []

    def add(name: str, kind: str, help_text: str, value: float | None, labels: str = "") -> None:
        if value is None:
            return
        header = f"# HELP metricstream_{name} {help_text}\n# TYPE metricstream_{name} {kind}"
        if header not in lines:
            lines.append(header)
        lines.append(f"metricstream_{name}{labels} {value}")

    add("accepted_total", "counter", "Requests accepted.", counters.accepted)
    for status, count in sorted(counters.answered_by_status.items()):
        add("answered_total", "counter", "Responses sent.", count, f'{{status="{status}"}}')
    rejected = {cause: getattr(counters, f"rejected_{cause}") for cause in _REJECTED}
    for cause, count in (counters.rejected_by_backend | rejected).items():
        add("rejected_total", "counter", "Requests that the server said no to.",
            count, f'{{cause="{label(cause)}"}}')  # fmt: skip
    for name, help_text in _COUNTED:
        add(f"{name}_total", "counter", help_text, getattr(counters, name))
    add("held_seconds_total", "counter", "Time from accept to the end of requests that ended.",
        None if counters.held_ns is None else counters.held_ns / 1e9)  # fmt: skip
    add("in_progress", "gauge", "Requests accepted and not at their end.", counters.in_progress)
    add("idle_connections", "gauge", "Connections without a request.", counters.idle_connections)
    add("clients_tracked", "gauge", "Clients in the rate limiter.", counters.clients_tracked)
    add("threads_created_total", "counter", "Threads created.", gauges.threads_created)
    add("threads_replaced_total", "counter", "Workers replaced.", gauges.threads_replaced)
    add("threads_active", "gauge", "Handler threads alive.", gauges.threads_active)
    add("threads_peak", "gauge", "Most threads at once in this window.", gauges.threads_peak)
    add("processes", "gauge", "Processes that serve.", gauges.processes)
    add("processes_replaced_total", "counter", "Processes replaced.", gauges.processes_replaced)
    add("queue_depth", "gauge", "Connections waiting for a worker.", gauges.queue_depth)
    add("queue_depth_max", "gauge", "Most waiting in this window.", gauges.queue_depth_max)
    add("cpu_seconds_total", "counter", "CPU time of the process.", process.cpu_us / 1e6)
    add("handler_cpu_seconds_total", "counter", "CPU time in handlers.",
        process.handler_cpu_us / 1e6)  # fmt: skip
    for kind in ("voluntary", "involuntary"):
        add("context_switches_total", "counter", "Context switches of the process.",
            getattr(process, f"{kind}_switches"), f'{{kind="{kind}"}}')  # fmt: skip
    add("resident_bytes", "gauge", "Resident set.", process.rss_bytes)
    add("virtual_bytes", "gauge", "Address space.", process.vms_bytes)
    for stage, figures in report.stages_us.items():
        for quantile, value in (("0.5", figures.p50), ("0.99", figures.p99)):
            add("stage_microseconds", "gauge", "Time of each step of the request path.",
                value, f'{{stage="{stage}",quantile="{quantile}"}}')  # fmt: skip
    return "\n".join(lines) + "\n"


def label(value: str) -> str:
    """`value` as it stands in a label of the text format."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
