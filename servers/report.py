"""The server's own report: the records that cross the control port."""

from __future__ import annotations

import msgspec

STAGES = ("dispatch", "read", "parse", "rate_limit", "decode", "validate", "write", "close")


class StageFigures(msgspec.Struct, frozen=True):
    """How long one step took, in microseconds, over the requests answered 202."""

    mean: float
    p50: float
    p99: float


class Gauges(msgspec.Struct, frozen=True):
    """What a backend says of its threads and its queue at this moment.

    `threads_active_ns` is the time lived by all its threads together since the start, so that
    a difference over a window, divided by the window, is the mean number of threads. The
    `queue_*` fields are None where there is no queue; `queue_wait_ns` likewise adds up waiting.
    Peaks are since the window was opened.
    """

    threads_created: int
    threads_active: int
    threads_peak: int
    threads_active_ns: int
    threads_replaced: int = 0
    queue_depth: int | None = None
    queue_depth_max: int | None = None
    queue_wait_ns: int | None = None


class Counters(msgspec.Struct, frozen=True):
    """Requests since the start. Once nothing is in progress,
    accepted = answered + timed_out + reset + abandoned.

    `held_ns` adds up, over the requests that have come to an end, the time from accept to that
    end (for an answer: sent whole), so that a difference over a window at whose edges nothing is
    in progress, divided by the window, is the mean number of requests in the server.
    `rejected_by_backend` are refusals by limits that a backend has names of its own for. None: a
    server of before there was this.
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

    @property
    def in_progress(self) -> int:
        """Connections that were accepted and have not come to an end yet."""
        return self.accepted - self.answered - self.timed_out - self.reset - self.abandoned


class Process(msgspec.Struct, frozen=True):
    """What the operating system says of the server process (getrusage RUSAGE_SELF, which covers
    threads that have ended too, and /proc/self). `housekeeping_*` is the share of the thread
    that serves the control port."""

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
    """`GET /report`. `stages_us` covers the window: since the start, or since `POST /window`."""

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
