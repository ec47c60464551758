"""The metrics: each declared once, with all that table, report, notebook and sentence say of it.

Many figures are compared at once, so some intervals of 95 % miss by chance alone. Headlines are
therefore few and named before any run: the six that the design document makes claims about.
Sentences and the count of false verdicts in A/A runs are about these only; each is held to one
false verdict in twenty by itself, and none is corrected for the other five (a sentence quotes each
with its own interval, and nothing is concluded from "at least one of them"). The other figures
explain; a verdict on one of them is a reason to look, not a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.core.record import Design
from harness.core.units import Format, microseconds, number, share, size
from harness.stats.intervals import Direction

SUCCESS = "client.success_rate"
BLOCK_P99 = "client.block_response_us.p99"
LOWER, HIGHER = Direction.LOWER_IS_BETTER, Direction.HIGHER_IS_BETTER

View = Literal["table", "report", "column", "notebook", "sentence"]


@dataclass(frozen=True, slots=True)
class Unit:
    """`symbol` is for files that machines read (`1`: a count or a share); `write`, for people."""

    symbol: str
    write: Format


MICROSECONDS, BYTES = Unit("us", microseconds), Unit("bytes", size)
SHARE, COUNT, PER_SECOND = Unit("1", share), Unit("1", number), Unit("1/s", number)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a trial, by its dotted path in the record.

    `judged`: whether that direction is better for whoever uses or pays for the server, as of
    success, response times, CPU and resident memory. Of threads, context switches or reserved
    addresses neither more nor fewer is better by itself; `direction` is then the one that `regress`
    asks about.

    What it is called where it is shown (empty: it is not): `table`, a row on a terminal of 80
    columns; `report`, a row of the report; `column`, a column of the report's tables by level;
    `notebook`, a row of `Experiment.table`, a name that scripts rely on; `sentence`, with its
    article; `precision`, in `--precision`. `design`: the only one that has it. `seldom`: it has a
    row only where one of those that are shown has the figure.
    """

    path: str
    title: str
    direction: Direction
    unit: Unit
    headline: bool = False
    judged: bool = True
    table: str = ""
    report: str = ""
    column: str = ""
    notebook: str = ""
    sentence: str = ""
    precision: str = ""
    design: Design | None = None
    seldom: bool = False


METRICS = (
    Metric(SUCCESS, "success rate", HIGHER, SHARE, headline=True,
           table="Success", report="Success", notebook="success"),
    Metric("client.achieved_rps", "achieved rate", HIGHER, PER_SECOND),
    Metric("client.response_us.mean", "mean response time", LOWER, MICROSECONDS),
    Metric("client.response_us.p50", "median response time", LOWER, MICROSECONDS, headline=True,
           table="Latency, median", report="Response time, median", column="Median",
           notebook="median response, µs", sentence="the median response time"),
    Metric("client.response_us.p90", "response time p90", LOWER, MICROSECONDS,
           report="Response time, p90", column="p90"),
    Metric("client.response_us.p95", "response time p95", LOWER, MICROSECONDS),
    Metric("client.response_us.p99", "response time p99", LOWER, MICROSECONDS, headline=True,
           table="Latency, p99", report="Response time, p99", column="p99",
           notebook="p99 response, µs", sentence="the p99"),
    Metric("client.response_us.p999", "response time p99.9", LOWER, MICROSECONDS,
           report="Response time, p99.9", column="p99.9"),
    # By these small differences can be told.
    Metric("client.block_response_us.p50", "median response time of a typical block", LOWER,
           MICROSECONDS, headline=True, table="Median of a block",
           report="Median of a typical block", notebook="median of a typical block, µs",
           sentence="the median response time of a typical block", design="blocks",
           precision="p50"),
    Metric("client.block_response_us.p90", "p90 of a typical block", LOWER, MICROSECONDS,
           design="blocks",
           precision="p90"),
    Metric("client.block_response_us.p95", "p95 of a typical block", LOWER, MICROSECONDS,
           design="blocks",
           precision="p95"),
    Metric(BLOCK_P99, "p99 of a typical block", LOWER, MICROSECONDS,
           headline=True, table="p99 of a block", report="p99 of a typical block",
           notebook="p99 of a typical block, µs", sentence="the p99 of a typical block",
           design="blocks",
           precision="p99"),
    Metric("client.service_us.p50", "median service time", LOWER, MICROSECONDS),
    Metric("client.service_us.p99", "service time p99", LOWER, MICROSECONDS),
    Metric("client.connect_us.p50", "median connect time", LOWER, MICROSECONDS),
    Metric("server.cpu_us_per_request.total", "CPU per request", LOWER, MICROSECONDS, headline=True,
           table="CPU per request", report="CPU per request", notebook="CPU per request, µs",
           sentence="the CPU per request",
           precision="cpu"),
    Metric("server.cpu_us_per_request.handler", "handler CPU per request", LOWER, MICROSECONDS,
           report="of it in the handler"),
    Metric("server.cpu_us_per_request.overhead", "overhead CPU per request", LOWER, MICROSECONDS,
           headline=True, table="Overhead CPU/request", report="of it overhead",
           notebook="overhead CPU per request, µs", sentence="the overhead CPU",
           precision="overhead"),
    Metric("server.efficiency", "efficiency", HIGHER, SHARE, judged=False,
           table="Efficiency", report="Efficiency"),
    Metric("server.efficiency_per_cpu", "efficiency of each CPU", HIGHER, SHARE, judged=False,
           table="Efficiency per CPU", report="Efficiency per CPU", seldom=True),
    Metric("server.stages_us.dispatch.p50", "median dispatch", LOWER, MICROSECONDS,
           report="Dispatch, median"),
    Metric("server.context_switches.per_s", "context switches a second", LOWER, PER_SECOND,
           headline=True, judged=False,
           table="Context switches/s", report="Context switches a second",
           notebook="context switches per second", sentence="the context switches",
           precision="switches"),
    Metric("server.context_switches.per_request", "context switches a request", LOWER, COUNT,
           judged=False, report="Context switches a request"),
    Metric("server.threads_active_mean", "threads alive", LOWER, COUNT, judged=False,
           table="Threads alive, mean", report="Threads alive, mean", column="Alive, mean",
           notebook="threads alive, mean"),
    Metric("server.threads_peak", "threads at the peak", LOWER, COUNT, judged=False,
           table="Threads at the peak", report="Threads at the peak", column="Peak"),
    Metric("server.threads_created_per_s", "threads created a second", LOWER, PER_SECOND,
           judged=False, table="Thread creations/s", report="Threads created a second",
           column="Created a second", notebook="threads created per second"),
    Metric("server.queue_depth_mean", "queue depth", LOWER, COUNT, judged=False,
           report="Queue depth, mean"),
    Metric("server.queue_depth_max", "queue depth at the peak", LOWER, COUNT, judged=False,
           report="Queue depth at the peak", column="Queue, peak", notebook="queue depth, most"),
    Metric("server.memory.rss_peak_bytes", "resident peak", LOWER, BYTES, table="Resident peak",
           report="Resident memory, peak", notebook="resident memory, bytes"),
    Metric("server.memory.per_connection_bytes", "memory a connection", LOWER, BYTES,
           table="Memory/connection", report="Resident memory a connection", seldom=True),
    Metric("server.threads_per_connection", "threads a connection", LOWER, COUNT, judged=False,
           table="Threads/connection", report="Threads a connection", seldom=True),
    Metric("server.memory.rss_mean_bytes", "resident mean", LOWER, BYTES),
    Metric("server.memory.vms_peak_bytes", "address space peak", LOWER, BYTES, judged=False),
    Metric("server.memory.stack_reserved_bytes", "stack reservation", LOWER, BYTES, judged=False,
           table="Stack reservation", report="Stack reservation"),
    Metric("client.lag_us.p99", "generator's lag p99", LOWER, MICROSECONDS, judged=False,
           report="Generator's lag, p99"),
)  # fmt: skip
HEADLINES = tuple(metric for metric in METRICS if metric.headline)
BY_PATH = {metric.path: metric for metric in METRICS}

# Views have the order of `METRICS`, but for these: by the first of the beginnings that fits.
_ORDER: dict[View, tuple[str, ...]] = {
    "table": ("server.threads", "server.memory", "server.", "client.response", "client.block", ""),
    "sentence": ("server.cpu", "client.block", "client.response", ""),
}


def metrics_of(design: Design) -> tuple[Metric, ...]:
    """The figures that a run of a design has."""
    return tuple(metric for metric in METRICS if metric.design in (None, design))


def shown(view: View, design: Design = "blocks") -> list[tuple[str, Metric]]:
    """Metrics shown in one place for a run of a design (blocks have all), in order: what each is
    called there, and the metric."""
    order = _ORDER.get(view, ("",))

    def place(metric: Metric) -> int:
        return next(n for n, start in enumerate(order) if metric.path.startswith(start))

    chosen = [(getattr(metric, view), metric) for metric in metrics_of(design)]
    return sorted((pair for pair in chosen if pair[0]), key=lambda pair: place(pair[1]))
