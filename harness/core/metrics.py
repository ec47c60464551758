"""Which figures are summed up and compared, what they are called, and which way is better.

Many figures are compared at once, so some intervals of 95 % miss by chance alone. Headlines are
therefore few and named before any run: the six that the design document makes claims about.
Sentences and the count of false verdicts in A/A runs are about these only; each is held to one
false verdict in twenty by itself, and none is corrected for the other five (a sentence quotes each
with its own interval, and nothing is concluded from "at least one of them"). The other figures
explain; a verdict on one of them is a reason to look, not a result.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.record import Design
from harness.stats.intervals import Direction

SUCCESS = "client.success_rate"
LOWER, HIGHER = Direction.LOWER_IS_BETTER, Direction.HIGHER_IS_BETTER


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a trial, by its dotted path in the record.

    `judged`: whether that direction is better for whoever uses or pays for the server, as of
    success, response times, CPU and resident memory. Of threads, context switches or reserved
    addresses neither more nor fewer is better by itself; `direction` is then the one that `regress`
    asks about.
    """

    path: str
    title: str
    direction: Direction
    headline: bool = False
    judged: bool = True


METRICS = (
    Metric(SUCCESS, "success rate", HIGHER, headline=True),
    Metric("client.achieved_rps", "achieved rate", HIGHER),
    Metric("client.response_us.mean", "mean response time", LOWER),
    Metric("client.response_us.p50", "median response time", LOWER, headline=True),
    Metric("client.response_us.p90", "response time p90", LOWER),
    Metric("client.response_us.p95", "response time p95", LOWER),
    Metric("client.response_us.p99", "response time p99", LOWER, headline=True),
    Metric("client.response_us.p999", "response time p99.9", LOWER),
    Metric("client.service_us.p50", "median service time", LOWER),
    Metric("client.service_us.p99", "service time p99", LOWER),
    Metric("client.connect_us.p50", "median connect time", LOWER),
    Metric("client.lag_us.p99", "generator's lag p99", LOWER, judged=False),
    Metric("server.cpu_us_per_request.total", "CPU per request", LOWER, headline=True),
    Metric("server.cpu_us_per_request.handler", "handler CPU per request", LOWER),
    Metric("server.cpu_us_per_request.overhead", "overhead CPU per request", LOWER, headline=True),
    Metric("server.efficiency", "efficiency", HIGHER, judged=False),
    Metric(
        "server.context_switches.per_s",
        "context switches a second",
        LOWER,
        headline=True,
        judged=False,
    ),
    Metric(
        "server.context_switches.per_request", "context switches a request", LOWER, judged=False
    ),
    Metric("server.threads_active_mean", "threads active", LOWER, judged=False),
    Metric("server.threads_peak", "threads at the peak", LOWER, judged=False),
    Metric("server.threads_created_per_s", "threads created a second", LOWER, judged=False),
    Metric("server.queue_depth_mean", "queue depth", LOWER, judged=False),
    Metric("server.queue_depth_max", "queue depth at the peak", LOWER, judged=False),
    Metric("server.memory.rss_peak_bytes", "resident peak", LOWER),
    Metric("server.memory.rss_mean_bytes", "resident mean", LOWER),
    Metric("server.memory.vms_peak_bytes", "address space peak", LOWER, judged=False),
    Metric("server.memory.stack_reserved_bytes", "stack reservation", LOWER, judged=False),
    Metric("server.stages_us.dispatch.p50", "median dispatch", LOWER),
)

# Of runs in blocks, beside the others: by these small differences can be told.
BLOCK_METRICS = (
    Metric("client.block_response_us.p50", "median response time of a typical block", LOWER),
    Metric("client.block_response_us.p90", "p90 of a typical block", LOWER),
    Metric("client.block_response_us.p95", "p95 of a typical block", LOWER),
    Metric("client.block_response_us.p99", "p99 of a typical block", LOWER),
)

HEADLINES = tuple(metric for metric in METRICS if metric.headline)
BY_PATH = {metric.path: metric for metric in (*METRICS, *BLOCK_METRICS)}


def metrics_of(design: Design) -> tuple[Metric, ...]:
    """The figures that a run of a design has."""
    return (*METRICS, *BLOCK_METRICS) if design == "blocks" else METRICS
