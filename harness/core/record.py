"""The record of a run: `run.json` as typed, immutable records.

Others rely on the names here (the contract); the JSON Schema beside this file is generated from
it. Missing is None, never 0. Units stand in names: `_us` microseconds, `_bytes` bytes, `_s`
seconds, `per_s` for each second of the measured window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from inspect import cleandoc
from typing import Annotated, Any, Literal

import msgspec

SCHEMA_VERSION = 2

Outcome = Literal[
    "ok", "timeout", "refused", "reset", "rejected", "http_error", "bad_response", "unsent"
]
OUTCOMES: tuple[Outcome, ...] = (
    "ok",
    "timeout",
    "refused",
    "reset",
    "rejected",
    "http_error",
    "bad_response",
    "unsent",
)
TrialClass = Literal["sound", "server-saturated", "generator-limited"]
Died = Literal["server", "generator", "sampler"]
Verdict = Literal["better", "worse", "more", "fewer", "cannot-tell", "not-comparable"]
DriverName = Literal["open-loop", "closed-loop", "locust"]
Arrivals = Literal["poisson", "constant"]
Design = Literal["trials", "blocks"]
Instrument = Literal["inside", "outside"]
ONLY_INSIDE = "only the server itself could say"  # why a figure is None that is seen from outside
UserClass = Literal["fast", "socket"]


# The quantiles of a trial's times, by their names in the record, and the share that each is of.
QUANTILE_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True, slots=True)
class Choice:
    """`words`: how a heading names it where it is other than usual, `{}` being the value. `usual`:
    its default, unless it is an option of the servers, which have it themselves.

    Of an option of the servers: `help`, why one would change it, makes it an option of `labrun`
    too. `lowest`: where the lab takes less than the servers would.
    """

    words: str
    help: str | None = None
    usual: object = None
    lowest: float | None = None


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of one kind of time, in microseconds, over all requests that were sent or refused, or that a
    client of a closed loop was never allowed to send.

    A request that failed is slower than any that was answered, so a quantile may lie beyond every
    answer: it is None then, as are mean and maximum where anything failed, and their names are in
    the client's `beyond`. All are None where nothing was sent.
    """

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """The generator's own lateness, in microseconds, over what it sent."""

    p50: float | None
    p99: float | None
    max: float | None


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the scheduled requests ended in each outcome."""

    ok: int
    timeout: int
    refused: int
    reset: int
    rejected: int
    http_error: int
    bad_response: int
    unsent: int

    def total(self) -> int:
        """All of them: equals `scheduled`."""
        return sum(getattr(self, name) for name in OUTCOMES)


class BlockTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Response times of a typical block: the median over the blocks of a trial of each quantile, in
    microseconds. None where too few requests stand behind it, or where it lies among the failures
    in half of the blocks (then it is in `beyond`)."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    beyond: list[str] = []


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Of clients whose connections stay: how many were `opened` while it was measured, how many
    requests were sent over one that was there (`reused`), and how many of those were sent once more
    on a new one (`retried`), since the server had closed theirs before any byte of the answer."""

    opened: int
    reused: int
    retried: int


class GeneratorShare(msgspec.Struct, frozen=True):
    """One of several processes that send: its requests, how late it sent them, how much of its time
    it was on a CPU (None: it was lost), and how long after the start that all have in common it was
    ready (0: before). On another machine: its name, how far the clock that tells the time there was
    ahead of the lab's, and within what that is known. It is in no other figure; the start is
    aligned by the same messages, and as exactly.
    """

    scheduled: int
    lag_us: Lag
    cpu_share: float | None
    start_late_us: float
    machine: str | None = None
    clock_ahead_us: float | None = None
    clock_error_us: float | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The generator's figures. `response_us` counts from the intended time, `service_us` from the
    actual send, `connect_us` from the send to the connection's being established.

    `beyond`: which figures of `response_us` and `service_us` (the same ones) lie among the failures
    (`p99`, ...); `connect_beyond`: which of `connect_us` do, a connection that never came about
    being slower than any that did. `response_us_by_outcome` has the quantiles of each outcome
    by itself; those of `ok` are the survivors'. `block_curve_us`: in blocks, the median response
    time of the answers of each tenth of them, by their intended times (None: no answer);
    `block_start_ratio`: of the first tenth over the rest; `block_start_left_out`: the two differ,
    so `block_response_us` and what is compared by it leave out the first tenth;
    `block_disturbed_left_out`: their p99 leaves out the blocks that were disturbed. `survivors`:
    figures of `response_us` and `service_us` that a lab before schema 2 took of the answered
    requests alone although others failed; they are shown and never compared. `in_flight_mean`:
    by the generator's own account of what was in flight, beside its rows (Locust: by these);
    `little_gap_us`: how much more that account has than they, for each request, or None without
    one. `closed_by_server`: of the connections whose response ended by its framing, how many the
    server had closed when the generator came to close them (the others are the generator's, which
    then keeps their TIME_WAIT); None where the server is to close, as our own do. Where connections
    stay (`connections`), how many the server closed after an answer or while they were free.
    `generators`: where several processes send, each of them; `generator_cpu_share` is their mean.
    """

    scheduled: int
    outcomes: Outcomes
    success_rate: float | None
    achieved_rps: float
    lag_us: Lag
    response_us: Quantiles
    service_us: Quantiles
    connect_us: Quantiles
    beyond: list[str] = []
    connect_beyond: list[str] = []
    survivors: list[str] = []
    response_us_by_outcome: dict[str, Quantiles] = {}
    unsent_causes: dict[str, int] = {}
    in_flight_mean: float | None = None
    little_gap_us: float | None = None
    in_flight_max: int | None = None
    generator_cpu_share: float | None = None
    block_response_us: BlockTimes | None = None
    block_start_ratio: float | None = None
    block_curve_us: list[float | None] = []
    block_start_left_out: bool = False
    block_disturbed_left_out: bool = False
    closed_by_server: int | None = None
    connections: Connections | None = None
    generators: list[GeneratorShare] = []


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """Deltas over the trial from /proc/net/netstat and /proc/net/snmp (whole machine)."""

    listen_overflows: int | None
    listen_drops: int | None
    retransmits: int | None
    time_wait_peak: int | None


class ContextSwitches(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole server process, ended threads included (getrusage RUSAGE_SELF): over the
    window, and a second under load."""

    voluntary: int | None
    involuntary: int | None
    per_s: float | None
    per_request: float | None


class CpuPerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """CPU microseconds for each request answered: all, inside handlers, and the rest."""

    total: float | None
    handler: float | None
    overhead: float | None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of the server process. `stack_reserved_bytes` is address space: peak threads x stack size.
    `per_connection_bytes`: resident memory for each bystander, once all were there, before load."""

    rss_peak_bytes: int | None
    rss_mean_bytes: float | None
    vms_peak_bytes: int | None
    stack_reserved_bytes: int | None
    per_connection_bytes: float | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the request path, in microseconds, over the requests answered 202."""

    mean: float | None
    p50: float | None
    p99: float | None


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """The steps, in order."""

    dispatch: Stage
    read: Stage
    parse: Stage
    rate_limit: Stage
    decode: Stage
    validate: Stage
    write: Stage
    close: Stage


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """The server's own count over the measured window, taken once it had come to rest. `held_s`:
    the times from accept to each request's end, added up, by the server's clock. `connections`: how
    many it accepted, where they stay; then a request is accepted with its first bytes."""

    accepted: int
    answered: int
    answered_by_status: dict[str, int] = {}
    timed_out: int = 0
    reset: int = 0
    abandoned: int = 0
    in_progress: int = 0
    in_progress_at_start: int = 0
    held_s: float | None = None
    connections: int | None = None


class BystanderKind(msgspec.Struct, frozen=True, kw_only=True):
    """What became of bystanders of one kind, from before the warm-up until load was over: how many
    were `asked` for at a time; connections that were made, and that could not be (`refused`); their
    answers by status, requests that ended without one, and how many were open at the end."""

    asked: int
    connections: int
    refused: int
    answered_by_status: dict[str, int]
    unanswered: int
    open: int


class Bystanders(msgspec.Struct, frozen=True, kw_only=True):
    """Clients beside those that were measured: `slow` ones, and `idle` connections. They are in no
    other count of the trial."""

    slow: BystanderKind | None
    idle: BystanderKind | None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of sampling to the server: its housekeeping thread's share of the process."""

    cpu_us: int | None
    cpu_share: float | None
    context_switches: int | None
    samples: int


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The server's own figures over the measured window, which lasts until it has come to
    rest: `window_s` seconds. What is for each second is taken under load alone.

    `instrument`: who took the figures; `outside`: the operating system, of the whole tree of
    processes and without the server's help, and `missing` says why figures are None, by their
    names. Then the answers are those that the generator got, threads created are births of threads
    and processes, and there is no account of requests. `python_version` and `gil_enabled`: what ran
    it and whether its GIL was on, as the running server said after its imports (None: no Python, or
    an earlier lab's).

    `processes`: how many served at the end, where a server has several (all figures are then sums
    over them and their master; peaks are sums of peaks, so at most that; memory that they share is
    counted once); `processes_replaced`: how many died in the window and were replaced. `cpus`: how
    many CPUs it had; `efficiency_per_cpu`: where they are two or more, its CPU time in handlers
    over the time that all of them had, used or not. `threads_per_connection`: handler
    threads for each bystander, once all were there.
    """

    threads_created: int | None
    threads_created_per_s: float | None
    threads_active_mean: float | None
    threads_peak: int | None
    threads_seen_by_os_peak: int | None
    queue_depth_mean: float | None
    queue_depth_max: int | None
    context_switches: ContextSwitches
    cpu_us_per_request: CpuPerRequest
    efficiency: float | None
    memory: Memory
    stages_us: Stages | None
    requests: Requests | None
    sampling: Sampling | None = None
    pid: int | None = None
    fresh_process: bool = True
    window_s: float | None = None
    threads_per_connection: float | None = None
    instrument: Instrument = "inside"
    missing: dict[str, str] = {}
    python_version: str | None = None
    gil_enabled: bool | None = None
    processes: int | None = None
    processes_replaced: int | None = None
    cpus: int | None = None
    efficiency_per_cpu: float | None = None

    @property
    def account(self) -> Requests:
        """Its own account of requests. Raises ValueError of one that was seen from outside."""
        if self.requests is None:
            raise ValueError("a server that was seen from outside has no account of requests")
        return self.requests


class OtherWork(msgspec.Struct, frozen=True, kw_only=True):
    """The task that took most of the server's CPUs while a block was measured, of those that are no
    part of the run: how long it was on a CPU, in milliseconds, and its name as the operating system
    has it (None: nobody took a tenth of a millisecond)."""

    cpu_ms: float
    name: str | None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A short time of load for one arm, while the others of its restart were alive and idle.

    `pair`: from 1; each arm has one block in it, all on the same schedule. `place`: its place among
    them (0 first). `began_s`: when, in seconds from the first block of the restart. `response_us`:
    quantiles over its requests by their intended times; one that too few requests stand behind
    (fewer than 5 / (1 - q)) is None, one among the failures is None and in `beyond`.
    `settled_response_us`: the same of those requests whose intended time is not in its first tenth.
    `idle_after_ms`: how long after its planned end the server had nothing in progress (None: not
    within five seconds); `late`: that was too long, so its pair is not compared.
    `others_cpu_share`: of one CPU, what the idle arms used meanwhile; None where it cannot be read.
    `steal_ms`: CPU time that the hypervisor took from this machine meanwhile. `other_work`: who
    else had the server's CPUs; None where that cannot be read. `disturbed`: either took more than
    one three-hundredth of the block, a third of what a p99 has beyond it.
    """

    pair: int
    place: int
    began_s: float
    scheduled: int
    ok: int
    response_us: Quantiles
    beyond: list[str] = []
    lag_us_p99: float | None
    accepted: int | None
    answered: int | None
    cpu_us_per_request: CpuPerRequest
    context_switches_per_request: float | None
    context_switches_per_s: float | None
    threads_created: int | None
    idle_after_ms: float | None
    late: bool
    others_cpu_share: float | None
    steal_ms: float | None
    other_work: OtherWork | None = None
    disturbed: bool = False
    settled_response_us: BlockTimes | None = None


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests `trace.parquet` has of a trial with what the server kept of them, and how
    many the server kept no more of, since it was to keep so many."""

    kept: int
    dropped: int


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One measured run: one backend, one level, one fresh server process.

    In the design of blocks a trial is one arm, level and restart; `blocks` has its blocks, and its
    times are those under load, one block put right after the other.

    `order` is the trial's place within its round (0 first); `slot` tells apart the two sides of
    an A/A run, where both have the same backend. `arm`: the name of its arm, where arms have names
    (`Settings.arms`). `workload` and `workers` are this trial's own,
    where they are other than the settings have it. `died`: whose process ended the trial by dying
    or by not ending in time; `generator` is Locust too, and only the server's end is the server's.
    """

    backend: str
    rps: float
    round: int
    order: int
    slot: int
    class_: TrialClass = msgspec.field(name="class")
    valid: bool
    invalid_reason: str | None
    started: str
    window_s: float
    client: Client
    kernel: Kernel
    server: Server | None
    warnings: list[str] = []
    died: Died | None = None
    workload: str | None = None
    workers: int | None = None
    blocks: list[Block] = []
    arm: str | None = None
    traced: Traced | None = None
    bystanders: Bystanders | None = None

    @property
    def name(self) -> str:
        """The name to show: its arm's, else its backend's."""
        return self.arm or self.backend


class CellMetric(msgspec.Struct, frozen=True, kw_only=True):
    """The median of one metric over a cell's valid rounds, with a 95 % interval where there is
    one (None: too few rounds to say). Of the success rate: the share of all their requests.

    `beyond`: which of `median`, `ci_low` and `ci_high` are None because they lie among the
    failures, slower than any answer.
    """

    median: float | None
    ci_low: float | None
    ci_high: float | None
    beyond: list[str] = []


_NO_FIGURE = CellMetric(median=None, ci_low=None, ci_high=None)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """All trials of one backend at one level. `rounds` counts the valid ones."""

    backend: str
    slot: int
    rps: float
    rounds: int
    metrics: dict[str, CellMetric]

    def metric(self, path: str) -> CellMetric:
        """One of them; without any figure where the record is older than the metric."""
        return self.metrics.get(path, _NO_FIGURE)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The typical within-round ratio contender / baseline of one metric, with its interval. Of the
    success rate: the ratio of the two shares of all requests.

    `baseline` and `contender`: the backends, or the names of their arms where those have some.
    `slot`: the contender's place among the backends. A round that the contender did not answer has
    an infinite ratio, one that the baseline did not answer the ratio 0: `beyond` names which of
    `ratio`, `ci_low` and `ci_high` are None because they are infinite. `note`: how many rounds say
    less than the others, and why. `ruled_out`: a relative difference above this, either way, is
    outside the interval (0.12 is 12 %). `smallest_difference`: the smallest one that an interval of
    this width could have told from none. Both None where there is no interval that could say so.
    `sd_within` and `sd_between`: of what was compared in pairs of blocks, the standard deviation of
    the log ratio from pair to pair of a restart, and of its typical value from restart to restart.
    """

    rps: float
    baseline: str
    contender: str
    metric: str
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: Verdict
    rounds: int
    note: str | None = None
    ruled_out: float | None = None
    smallest_difference: float | None = None
    slot: int = 1
    beyond: list[str] = []
    sd_within: float | None = None
    sd_between: float | None = None


class HeadlineControl(msgspec.Struct, frozen=True, kw_only=True):
    """A backend against itself (A/A) in one headline metric. `judged` runs had an interval;
    `false_alarms` of them told two equal sides apart. `ruled_out`: the median over the runs."""

    metric: str
    judged: int
    false_alarms: int
    ruled_out: float | None


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The A/A data that a run is to be read with: of the same machine, at the same settings.
    `mismatch` says why there is none; then `runs` is 0."""

    backend: str | None
    rps: float | None
    runs: int
    headline: list[HeadlineControl]
    mismatch: str | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an objective: a figure of a trial by its dotted path, and its limit (a share, or
    microseconds)."""

    metric: str
    operator: Literal[">=", "<="]
    limit: float


Bound = Literal["interval", "at-least", "at-most", "unknown"]


class CapacityEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate that one backend sustains within the objective, in requests a second.

    `bound` says what is known: an interval (95 %), only that it is at least `low_rps` (then
    there is no `high_rps`) or at most `high_rps`, or nothing. `why` says why there is no interval.
    `met` and `missed` count the valid trials, `invalid` those that say nothing of the server.
    """

    backend: str
    slot: int
    bound: Bound
    rps: float | None
    low_rps: float | None
    high_rps: float | None
    met: int
    missed: int
    invalid: int
    generator_limit_rps: float | None
    why: str | None = None


class CapacityRatio(msgspec.Struct, frozen=True, kw_only=True):
    """Contender's capacity / baseline's, with a 95 % interval, or a bound where one side is one."""

    baseline: str
    contender: str
    bound: Bound
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: Verdict
    why: str | None = None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `labrun capacity`. `overload_seen`: the smallest overload (a share of the
    capacity) that lengthens the queue enough to show within one trial; None without a time in the
    objective."""

    objective: str
    conditions: list[Condition]
    estimates: list[CapacityEstimate]
    ratios: list[CapacityRatio]
    overload_seen: float | None


Vary = Literal["io", "cpu", "workers"]


class CrossoverCell(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of trials: at this load and value (seconds of handler time, or workers), who was
    better: a backend's name, `even`, or `cannot-tell` (a trial was invalid)."""

    rps: float
    value: float
    round: int
    better: str
    success: list[float | None]
    p99_us: list[float | None]


class CrossoverPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the places change at one load, in the unit of `Crossover.vary`; see `Bound`.
    `predicted` is by Little's law."""

    rps: float
    bound: Bound
    value: float | None
    low: float | None
    high: float | None
    predicted: float
    pairs: int
    invalid: int
    why: str | None = None


class Crossover(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `labrun crossover`: `baseline` is better above the line (workers: below).
    `objective` and `conditions`: what the contender must meet, where `--slo` said it; by then it
    loses where it does not, whatever the baseline does."""

    vary: Vary
    baseline: str
    contender: str
    rule: str
    prediction: str
    cells: list[CrossoverCell]
    line: list[CrossoverPoint]
    objective: str | None = None
    conditions: list[Condition] = []


class ThreadCost(msgspec.Struct, frozen=True, kw_only=True):
    """One cost, in microseconds: the median over batches of threads, its 95 % interval (None: too
    few batches), and the range of the batches."""

    median: float
    ci_low: float | None
    ci_high: float | None
    least: float
    most: float
    batches: int


class ThreadCosts(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one thread that does nothing, in microseconds.

    Wall time: `create_us` until the call returns, `start_us` from the call to the new thread's
    first instruction, `end_us` from its last one until the kernel no longer knows it;
    `fresh_start_us` is a start on a stack that was never used before, while many threads are alive
    (else it is the last one's). CPU time: `create_cpu_us` of the creator within the call,
    `life_cpu_us` of the process for a whole life.
    """

    stack_size_bytes: int
    lock_stacks: bool
    cpus: list[int]
    create_us: ThreadCost
    start_us: ThreadCost
    end_us: ThreadCost
    create_cpu_us: ThreadCost
    life_cpu_us: ThreadCost
    fresh_start_us: ThreadCost
    end_p99_us: ThreadCost | None = None  # None: measured by an earlier lab


class ArmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One arm of a run in which some have options of their own (`--arm`): its name, its backend,
    and the options of its server that are other than the settings have them, by their names."""

    name: str
    backend: str
    options: dict[str, str | int | float | bool] = {}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A server of any kind: started by its command, or one that runs already at `url`.

    `command`: as it was split, `{port}` standing for the port; `environment`: what it has beside
    the lab's own; `ready`: what must be answered before it counts as started (`GET:/healthz`; None:
    its port accepts), within `ready_timeout_s`.
    """

    name: str
    command: list[str] = []
    url: str | None = None
    folder: str | None = None
    environment: dict[str, str] = {}
    ready: str | None = None
    ready_timeout_s: float = 20.0


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The request that every server gets, and which statuses are `ok`. `headers`: beside those that
    the lab sends itself (`Host`, `Content-Length`, `Connection`, `X-Client-Id`)."""

    method: str = "POST"
    path: str = "/metrics"
    headers: list[tuple[str, str]] = []
    body: str = ""
    expect: list[int] = msgspec.field(default_factory=lambda: [202])


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was chosen. Runs that differ in one of these are not comparable. An option of
    the servers has its default, its limits and its reader from `servers.options`. `arms`: one for
    each of `backends` where any was asked for as such; else none. `servers`: those of `backends`
    that are servers of any kind; with one of them all are observed from outside, ours too.
    `request`: what is sent, where it is not the document's metric. `pythons`: where interpreters
    are compared (`--pythons`), that of each arm's servers as it was named; else none."""

    rps: list[float]
    backends: list[str]
    rounds: int
    duration_s: float
    warmup_s: float
    clients: Annotated[int, Choice("{:,} clients", usual=100)]
    timeout_s: Annotated[float, Choice("timeout {:g} s", usual=1.0)]
    arrivals: Annotated[Arrivals, Choice("{} arrivals", usual="poisson")]
    workload: Annotated[
        str,
        Choice(
            "workload {}",
            "ingest; io:40ms, a handler that waits (how many workers then: labrun crossover "
            "--vary workers); cpu:2ms, one that computes.",
        ),
    ]
    driver: Annotated[DriverName, Choice("{}", usual="open-loop")]
    workers: Annotated[
        int, Choice("{:,} workers", "Threads of the pool; handlers that wait need more.")
    ]
    queue_size: Annotated[
        int,
        Choice("queue of {:,}", "What may wait for them, else 503; smaller bounds the wait."),
    ]
    stack_size_bytes: Annotated[
        int,
        Choice(
            "stacks of {}", "Address space for each thread's stack; less, where it limits threads."
        ),
    ]
    backlog: Annotated[
        int,
        Choice(
            "backlog of {:,}",
            "Connections that the kernel holds until accept; less shows bursts overflow.",
        ),
    ]
    rate_limit_per_s: Annotated[int, Choice("rate limit {:,}/s")]
    lock_stacks: Annotated[
        bool,
        Choice("locked stacks", "Stacks resident from the start, as the document counts memory."),
    ]
    switch_interval_s: Annotated[
        float | None,
        Choice(
            "switch interval {:g} s",
            "Seconds a thread may keep the GIL (Python: 0.005): its part in switches.",
        ),
    ]
    seed: int
    max_threads: Annotated[
        int | None,
        Choice(
            "at most {:,} threads",
            "Bound thread-per-request: is it the pool that helps, or the bound?",
            lowest=1,
        ),
    ] = None
    connections: Annotated[
        str,
        Choice(
            "{} connections",
            "per-request, as the document has it; keep-alive: clients and servers keep theirs.",
        ),
    ] = "per-request"
    queue_policy: Annotated[
        str,
        Choice(
            "{} queue",
            "fifo, lifo or drop-expired: a queue longer than its clients' patience serves those "
            "who have left.",
        ),
    ] = "fifo"
    patience_s: Annotated[
        float, Choice("patience of {:g} s", "How long drop-expired takes clients to wait.")
    ] = 1.0
    processes: Annotated[
        int | None,
        Choice("{:,} processes", "Processes of prefork (default: one for each CPU of the server)."),
    ] = None
    listener: Annotated[
        str,
        Choice(
            "{} listener",
            "How prefork's share the port: inherited (one socket), or reuseport (one for each).",
        ),
    ] = "inherited"
    generators: Annotated[int, Choice("{:,} generators", usual=1)] = 1  # processes that send
    server_cpus: Annotated[str | None, Choice("server on CPUs {}")] = None  # as taskset has them;
    generator_cpus: Annotated[str | None, Choice("generator on CPUs {}")] = None  # None: as usual
    trace: Annotated[int | None, Choice("traced: up to {:,} requests a trial")] = None
    python: Annotated[str | None, Choice("servers under {}")] = None
    user_class: UserClass | None = None  # Locust's, and how many processes they are in beside
    locust_workers: int | None = None  # the master; 0: one process for all
    target: Annotated[str | None, Choice("server at {}")] = (
        None  # HOST:PORT of a server on another machine, and of its control port; with commas, of
    )
    control: str | None = None  # one for each arm
    # Workers of other machines, where they find the lab, and how long it waits for them.
    expect_workers: Annotated[int | None, Choice("{} workers of other machines")] = None
    master: str | None = None
    worker_wait_s: float | None = None
    design: Design = "trials"
    block_s: float | None = None  # of the design of blocks: seconds of each
    precision: dict[str, float] = {}  # half-widths to go on for, as shares, and for how long at
    most_s: float | None = None  # most
    arms: list[ArmSettings] = []
    servers: list[ServerSettings] = []
    request: RequestSettings | None = None
    pythons: list[str] = []
    slow_clients: Annotated[int, Choice("{:,} slow clients", usual=0)] = 0
    idle_connections: Annotated[int, Choice("{:,} idle connections", usual=0)] = 0

    @property
    def bystanders(self) -> bool:
        """Whether there are clients beside those that are measured."""
        return self.slow_clients + self.idle_connections > 0

    @property
    def outside(self) -> bool:
        """Whether all servers are observed from outside: a figure is compared only if the same
        instrument took it on both sides."""
        return bool(self.servers)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the machine, as `labrun doctor` judges it for the rate asked for.

    `spoils`: a run would not be sound; `doubtful`: its figures may be noisier or off. `mend`: how.
    """

    check: str
    level: Literal["good", "doubtful", "spoils"]
    found: str
    mend: str | None


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python that ran servers, when it was not the lab's own (`--python`, `--pythons`), as it
    answered after it had imported what the servers do. `gil_enabled_by`: the extension whose import
    switched the GIL on again, in a build without; `path`: where it is."""

    version: str
    build: str
    free_threaded_build: bool
    gil_enabled: bool
    packages: dict[str, str]
    path: str | None = None
    gil_enabled_by: str | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the machine that could explain a figure; None where it cannot be read.
    `server_pythons`: the interpreters that were compared, by their names in `Settings.pythons`."""

    cpu_model: str | None
    cpu_count: int
    server_cpus: list[int] | None
    generator_cpus: list[int] | None
    governor: str | None
    kernel: str
    virtualisation: str | None
    python_version: str
    python_build: str
    gil_enabled: bool
    switch_interval_s: float
    packages: dict[str, str]
    somaxconn: int | None
    tcp_tw_reuse: int | None
    tcp_max_syn_backlog: int | None
    port_range: list[int] | None
    nofile_soft: int
    nofile_hard: int
    malloc_arena_max: str | None
    timer_slack_ns: int | None
    clock_source: str | None
    memory_bytes: int
    load_average_at_start: list[float]
    git_commit: str | None
    git_dirty: bool | None
    server_python: Interpreter | None = None
    findings: list[Finding] = []
    server_pythons: dict[str, Interpreter] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server's code of one slot came from, when not from the lab's own installation.

    `commit` is the full hash; `dirty`: with changes that no commit holds; `packages`: what was
    installed beside it because that tree needs other versions.
    """

    slot: int
    label: str
    commit: str | None
    dirty: bool
    packages: list[str] = []


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A set of cells, in one folder under `results/`. `refused`: the slot whose server would not
    start, which ended the run."""

    schema: int
    id: str
    created: str
    complete: bool
    command: str
    environment: Environment
    settings: Settings
    trials: list[Trial]
    cells: list[Cell]
    comparisons: list[Comparison]
    incomplete_reason: str | None = None
    warnings: list[str] = []
    finding: str | None = None
    control: Control | None = None
    capacity: Capacity | None = None
    crossover: Crossover | None = None
    sources: list[Source] = []
    refused: int | None = None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every `run.json` validates against."""
    schema = with_clean_descriptions(msgspec.json.schema(Run))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"MetricStream lab run, schema {SCHEMA_VERSION}",
        **schema,
    }


def with_clean_descriptions(value: Any) -> Any:
    """Each description without the indentation of its docstring, which Python 3.13 leaves out."""
    if isinstance(value, list):
        return [with_clean_descriptions(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: cleandoc(item)
        if key == "description" and isinstance(item, str)
        else with_clean_descriptions(item)
        for key, item in value.items()
    }


def metric_value(trial: Trial, path: str) -> float | None:
    """The figure at a dotted path (`client.response_us.p50`) of a trial; None where missing."""
    value: Any = trial
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
    return None if value is None else float(value)


def ordered_value(trial: Trial, path: str) -> float | None:
    """The same for comparing: infinite where the figure lies among the failures, and None where it
    is of the survivors alone (a trial of schema 1 in which something failed)."""
    client, (part, _, name) = trial.client, path.rpartition(".")
    if part == "client.block_response_us":
        times = client.block_response_us
        return math.inf if times is not None and name in times.beyond else metric_value(trial, path)
    if part in ("client.response_us", "client.service_us"):
        if name in client.beyond:
            return math.inf
        if name in client.survivors:
            return None
    if part == "client.connect_us":
        if name in client.connect_beyond:
            return math.inf
        if "connect" in client.survivors:
            return None
    return metric_value(trial, path)


if __name__ == "__main__":
    import json

    # python -m harness.core.record > harness/run.schema.json
    print(json.dumps(json_schema(), indent=1))
