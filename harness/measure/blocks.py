"""One restart in blocks: fresh servers of all arms, alive together, and load for one at a time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, monotonic_ns, sleep
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from harness.core.errors import ServerRefused
from harness.core.record import (
    QUANTILE_SHARES,
    Block,
    BlockTimes,
    CpuPerRequest,
    Kernel,
    OtherWork,
    Quantiles,
    Settings,
    Trial,
)
from harness.core.record import Bystanders as BystandersRecord
from harness.designs.trials import PlannedBlock, PlannedRestart, PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.bystanders import Count
from harness.drivers.driver import Generator, Load, LoadPhase, driver_of
from harness.drivers.open_loop.worker import Summary
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, steal_s
from harness.machine.family import family_cpu_s
from harness.machine.kernel import deltas, read_kernel
from harness.machine.other_work import OtherTasks
from harness.measure.build_trial import beyond, build_trial, quantiles
from harness.measure.bystanders import Bystanders, attach, grown, together
from harness.measure.request_rows import Rows, phase_rows, requests_frame, timeline_frame
from harness.measure.splice import BlockLook, spliced_rows, spliced_summary, spliced_window
from harness.measure.trial import (
    IDLE_S,
    Progress,
    TrialResult,
    Watch,
    warm_within_s,
)
from harness.targets.arm import Arm
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import SamplerProcess, ServerProcess
from harness.targets.sampler import Observation
from harness.targets.start import RemoteServer, start_server
from servers.options import parse_workload
from servers.report import Report

IDLE_WITHIN_MS = 50.0  # beyond the workload's own time: later, and it carries over into the next
# Of a quantile q at least this many requests must be expected beyond it, or a block has no such.
_BEYOND_A_QUANTILE = 5
_TYPICAL = ("p50", "p90", "p95", "p99")  # of a typical block
_LOOK_S = 0.005
_LATE_S = 60.0
DIED_AFTER = ", after "  # between how a server died and how many blocks it had seen
_STALL_US = 100_000.0  # an answer that takes this long, and so many times what is typical,
_STALL_TIMES = 20.0  # stood behind something
# Of a block, for somebody else: one request in 300 is delayed, a third of what a p99 has beyond it.
_DISTURBED_SHARE = 1 / 300
_UNKNOWN = Kernel(listen_overflows=None, listen_drops=None, retransmits=None, time_wait_peak=None)
_ENDING_S = 0.5  # for a server that is killed to have ended once its sockets are closed


@dataclass(slots=True)
class _Alive:
    """One arm of a restart: its server and what watches it, and its blocks so far."""

    arm: Arm
    place: int
    server: ServerProcess | RemoteServer
    control: ControlClient
    sampler: SamplerProcess
    bystanders: Bystanders | None = None
    beside: BystandersRecord | None = None  # what became of them
    died: str | None = None
    rows: list[Rows] = field(default_factory=list)
    looks: list[BlockLook] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)


def run_restart(
    planned: PlannedRestart,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    watch: Watch | None = None,
) -> list[TrialResult]:
    """Run one restart; a trial for each arm, in the order of their slots.

    `descriptors`: how many the generator may open. A server that dies in mid-block is refused from
    then on, and its trial says so; the others go on. Raises `LabError` when a server cannot be
    started, `ProcessDied` when the generator or a sampler dies.
    """
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    with ExitStack() as stack:
        alive: dict[int, _Alive] = {}
        for place, arm in enumerate(planned.arms):
            alive[arm.slot] = _start(stack, arm, place, settings, cpus)
        index = {slot: number for number, slot in enumerate(alive)}
        warmup = [
            LoadPhase(number, planned.rps, settings.warmup_s, planned.warmup_seed)
            for number in index.values()
            if settings.warmup_s > 0
        ]
        load = Load(
            targets=[(each.server.ready.host, each.server.ready.port) for each in alive.values()],
            warmup=warmup,
            measured=[
                LoadPhase(index[block.slot], planned.rps, planned.block_s, block.seed)
                for block in planned.blocks
            ],
            settings=settings,
            cpus=cpus,
            descriptors=descriptors,
        )
        sending = driver_of(settings.driver).start(load)
        generator = stack.enter_context(sending.process)
        tasks = None if settings.target is not None else OtherTasks(cpus.server)
        _Restart(planned, settings, generator, alive, tasks, watch).run(sending.request_logs)
        for each in alive.values():
            each.sampler.finish()
            if each.bystanders is not None:
                each.beside = each.bystanders.record()
                each.bystanders.stop()
            if each.died is None:
                each.server.drain()
    return [_result(planned, settings, started, alive[slot]) for slot in sorted(alive)]


def _start(stack: ExitStack, arm: Arm, place: int, settings: Settings, cpus: CpuPlan) -> _Alive:
    try:
        server = start_server(arm, settings, cpus)
    except ServerRefused as error:
        error.slot = arm.slot
        raise
    stack.enter_context(server)
    ready, elsewhere = server.ready, settings.target is not None
    bystanders = attach(stack, ready, settings, cpus, elsewhere)
    sampler = stack.enter_context(SamplerProcess(ready, cpus.observers, elsewhere))
    control = stack.enter_context(
        ControlClient(ready.control_host, ready.control_port, elsewhere=elsewhere)
    )
    return _Alive(arm, place, server, control, sampler, bystanders)


class _Restart:
    """The measured part of a restart: block after block."""

    def __init__(
        self,
        planned: PlannedRestart,
        settings: Settings,
        generator: Generator,
        alive: dict[int, _Alive],
        tasks: OtherTasks | None,
        watch: Watch | None,
    ) -> None:
        self._planned = planned
        self._settings = settings
        self._generator = generator
        self._alive = alive
        self._tasks = tasks
        self._watch = watch
        self._elsewhere = settings.target is not None
        self._block_ns = round(planned.block_s * 1e9)
        slowest_s = max(
            parse_workload(arm.chosen(settings)["workload"]).seconds for arm in planned.arms
        )
        self._idle_within_ms = IDLE_WITHIN_MS + slowest_s * 1e3

    def run(self, logs: Sequence[L.PhaseLog]) -> None:
        """Warm up, then every block in its order."""
        for each in self._alive.values():
            each.sampler.wait_ready()
        self._generator.must_say(warm_within_s(self._settings, len(self._alive)))
        for each in self._alive.values():
            self._asked(each, _begin)
        began_ns = monotonic_ns()
        for block, log in zip(self._planned.blocks, logs, strict=True):
            self._block(block, log, began_ns)

    def _asked(self, each: _Alive, ask: Callable[[_Alive], None]) -> None:
        try:
            ask(each)
        except ControlLost as error:
            self._lost(each, error)

    def _lost(self, each: _Alive, error: ControlLost) -> None:
        """Its server does not answer; whether it died is told in its words."""
        gone = not each.server.alive(_ENDING_S)
        each.died = str(each.server.died()) if gone else str(error)

    def _block(self, block: PlannedBlock, log: L.PhaseLog, began_ns: int) -> None:
        each = self._alive[block.slot]
        others = [a for a in self._alive.values() if a is not each]
        before, at_start = self._at_rest(each)
        kernel, stolen = read_kernel(), steal_s()
        idle_s = self._clocks(others)
        if self._tasks is not None:
            self._tasks.look()
        start_ns = monotonic_ns()
        if before is not None:
            each.sampler.tell(b"go")
        self._generator.tell(b"go")
        summary = self._wait(each, log)
        other_work = None if self._tasks is None else self._tasks.most()
        others_s = _grown(idle_s, self._clocks(others))
        wall_s = (monotonic_ns() - start_ns) / 1e9
        observations = self._seen(each) if before is not None else []
        rows = phase_rows(log)
        done, rested, idle_ms, at_end = self._rest(each, rows)
        theirs = None if at_start is None or at_end is None else (at_start, at_end)
        if before is not None and done is not None and rested is not None:
            look = BlockLook(before, done, rested, observations, rows.start_ns, theirs)
            each.looks.append(look)
        each.rows.append(rows)
        each.summaries.append(summary)
        each.kernels.append(_UNKNOWN if self._elsewhere else deltas(kernel, read_kernel(), None))
        each.blocks.append(
            block_record(
                block,
                rows,
                _counted(before, rested, theirs)
                if before is not None and rested is not None
                else None,
                expected=self._planned.rps * self._planned.block_s,
                block_ns=self._block_ns,
                began_s=(rows.start_ns - began_ns) / 1e9,
                idle_after_ms=idle_ms,
                late=idle_ms is None or idle_ms > self._idle_within_ms,
                others_cpu_share=None if others_s is None else others_s / wall_s,
                steal_ms=difference_ms(stolen, steal_s()),
                other_work=other_work,
            )
        )

    def _clocks(self, arms: Sequence[_Alive]) -> list[float | None]:
        """The CPU seconds of their processes so far; those of another machine cannot be read."""
        return [None if self._elsewhere else family_cpu_s(a.server.ready.pid) for a in arms]

    def _seen(self, each: _Alive) -> list[Observation]:
        """The sampler's looks in this block. One whose server is gone has ended with it."""
        try:
            return each.sampler.pause()
        except ProcessDied:
            if not self._elsewhere and each.server.alive(_ENDING_S):
                raise
            each.died = str(each.server.died())
            return []

    def _report(self, each: _Alive) -> Report | None:
        if each.died is not None:
            return None
        try:
            return each.control.report()
        except ControlLost as error:
            self._lost(each, error)
            return None

    def _wait(self, each: _Alive, log: L.PhaseLog) -> Summary:
        """Until the generator has seen every request of the block to its end."""
        began = monotonic()
        limit_s = began + self._planned.block_s + self._settings.timeout_s + _LATE_S
        place = self._planned.arms.index(each.arm)
        planned = PlannedTrial(each.arm, self._planned.rps, self._planned.round, place, 0, 0)
        while (line := self._generator.wait_for_line(0.25)) is None:
            if monotonic() > limit_s:
                raise ProcessDied("the generator did not end in time", self._generator.name)
            if self._watch is not None:
                self._watch(Progress(planned, monotonic() - began, log, []))
        return self._generator.summary(line)

    def _at_rest(self, each: _Alive) -> tuple[Report | None, Count | None]:
        """The report of a server at rest; with the count of its bystanders, if it has some."""
        if each.bystanders is None or each.died is not None:
            return self._report(each), None
        try:
            return each.bystanders.agreed(each.control.report, IDLE_S)
        except ControlLost as error:
            self._lost(each, error)
            return None, None

    def _rest(
        self, each: _Alive, rows: Rows
    ) -> tuple[Report | None, Report | None, float | None, Count | None]:
        """The server's report when the generator was done, and once it had come to rest; and how
        long after the block's planned end that was, in milliseconds. A server that is at rest at
        the first look was so when it had given its last answer. With the count of bystanders."""
        end_ns = rows.start_ns + self._block_ns
        looked_ns, done = monotonic_ns(), self._report(each)
        if done is None:
            return None, None, 0.0, None
        answered = rows.outcome == L.OK
        last_ns = int(rows.ended[answered].max()) if answered.any() else 0
        last_ms = max(0.0, (last_ns - self._block_ns) / 1e6)
        if each.bystanders is not None:
            rested, count = self._at_rest(each)
            if rested is None or count is None:
                return done, None, None, None
            if rested.counters.in_progress > count.in_progress:
                return done, rested, None, count
            at_once = monotonic_ns() - looked_ns < IDLE_WITHIN_MS * 1e6  # it takes two looks
            return done, rested, last_ms if at_once else (monotonic_ns() - end_ns) / 1e6, count
        if done.counters.in_progress <= 0:
            return done, done, last_ms, None
        until_s = monotonic() + IDLE_S
        while monotonic() < until_s:
            sleep(_LOOK_S)  # the server has no way to tell
            rested = self._report(each)
            if rested is None:
                return done, None, None, None
            if rested.counters.in_progress <= 0:
                return done, rested, (monotonic_ns() - end_ns) / 1e6, None
        return done, rested, None, None


def _begin(each: _Alive) -> None:
    """Its window is opened once it is at rest."""
    if each.bystanders is None:
        each.control.wait_until_idle(IDLE_S)
        each.control.open_window()
    else:
        each.bystanders.agreed(each.control.open_window, IDLE_S)


def _grown(before: Sequence[float | None], after: Sequence[float | None]) -> float | None:
    grown = [b - a for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    return sum(grown) if len(grown) == len(before) else None


def difference_ms(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before) * 1e3


def block_record(
    block: PlannedBlock,
    rows: Rows,
    counted: Mapping[str, Any] | None,
    *,
    expected: float,
    block_ns: int,
    began_s: float,
    idle_after_ms: float | None,
    late: bool,
    others_cpu_share: float | None,
    steal_ms: float | None,
    other_work: OtherWork | None,
) -> Block:
    """The figures of one block: of its requests (`expected`: as many as its rate comes to) by their
    intended time, and of what was `counted` of the server meanwhile; None where nothing was.
    `block_ns`: its length."""
    ok, sent = rows.outcome == L.OK, rows.sent >= 0
    failed = len(ok) - int(ok.sum())
    times = quantiles((rows.ended - rows.intended)[ok] / 1e3, failed)
    lag_us = (rows.sent - rows.allowed)[sent] / 1e3
    return Block(
        pair=block.pair,
        place=block.place,
        began_s=began_s,
        scheduled=len(ok),
        ok=int(ok.sum()),
        response_us=_told(times, expected),
        beyond=[name for name in beyond(times, failed) if _enough(name, expected)],
        lag_us_p99=float(np.quantile(lag_us, 0.99, method="inverted_cdf")) if len(lag_us) else None,
        idle_after_ms=idle_after_ms,
        late=late and counted is not None,
        others_cpu_share=others_cpu_share,
        steal_ms=steal_ms,
        other_work=other_work,
        disturbed=max(steal_ms or 0.0, other_work.cpu_ms if other_work else 0.0)
        > block_ns / 1e6 * _DISTURBED_SHARE,
        settled_response_us=_settled(rows, block_ns, expected),
        **(NOTHING if counted is None else counted),
    )


def _settled(rows: Rows, block_ns: int, expected: float) -> BlockTimes:
    """Its quantiles without the first tenth. They are there where all of its requests are enough:
    half a request less beyond a quantile is no reason to have none."""
    late = rows.intended >= block_ns // 10
    ok = late & (rows.outcome == L.OK)
    failed = int(late.sum()) - int(ok.sum())
    times = quantiles((rows.ended - rows.intended)[ok] / 1e3, failed)
    told, infinite = _told(times, expected), beyond(times, failed)
    return BlockTimes(
        **{name: getattr(told, name) for name in _TYPICAL},
        beyond=[name for name in infinite if name in _TYPICAL and _enough(name, expected)],
    )


NOTHING: Mapping[str, Any] = {
    "accepted": None, "answered": None, "context_switches_per_request": None,
    "context_switches_per_s": None, "threads_created": None,
    "cpu_us_per_request": CpuPerRequest(total=None, handler=None, overhead=None),
}  # fmt: skip


def _counted(before: Report, rested: Report, theirs: tuple[Count, Count] | None) -> dict[str, Any]:
    """What the server counted meanwhile, without its bystanders."""
    old, new = before.process, rested.process
    answered = rested.counters.answered - before.counters.answered
    accepted = rested.counters.accepted - before.counters.accepted
    if theirs is not None:
        other = together([grown(*theirs)])
        answered -= sum(other.answered.values())
        accepted -= other.begun
    switches = (
        new.voluntary_switches + new.involuntary_switches
        - old.voluntary_switches - old.involuntary_switches
    )  # fmt: skip
    seconds = (rested.monotonic_ns - before.monotonic_ns) / 1e9
    total_us, handler_us = new.cpu_us - old.cpu_us, new.handler_cpu_us - old.handler_cpu_us
    return {
        "accepted": accepted,
        "answered": answered,
        "cpu_us_per_request": CpuPerRequest(
            total=total_us / answered, handler=handler_us / answered,
            overhead=(total_us - handler_us) / answered,
        ) if answered else NOTHING["cpu_us_per_request"],
        "context_switches_per_request": switches / answered if answered else None,
        "context_switches_per_s": switches / seconds,
        "threads_created": rested.gauges.threads_created - before.gauges.threads_created,
    }  # fmt: skip


def _enough(name: str, requests: float) -> bool:
    """Whether a block of so many requests has that quantile."""
    share = QUANTILE_SHARES.get(name)
    return share is None or requests * (1 - share) >= _BEYOND_A_QUANTILE - 1e-9


def _told(times: Quantiles, requests: float) -> Quantiles:
    few = {name: None for name in QUANTILE_SHARES if not _enough(name, requests)}
    return msgspec.structs.replace(times, **few)


def typical(blocks: Sequence[Block], settled: bool = False) -> BlockTimes | None:
    """The median over the blocks of each quantile; a quantile among the failures is longer than any
    answer. `settled`: without the first tenth of each. None without blocks."""
    if not blocks:
        return None
    found: dict[str, float | None] = {}
    infinite = []
    for name in _TYPICAL:
        values = [block_time(block, name, settled) for block in blocks]
        known = [value for value in values if value is not None]
        middle = statistics.median(known) if known else None
        if middle is not None and middle == float("inf"):
            infinite.append(name)
            middle = None
        found[name] = middle
    return BlockTimes(**found, beyond=infinite)


def block_time(block: Block, name: str, settled: bool) -> float | None:
    """A quantile of a block, infinite among the failures; `settled`: without its first tenth."""
    if not settled:
        return math.inf if name in block.beyond else getattr(block.response_us, name)
    times = block.settled_response_us
    if times is None:
        return None
    return math.inf if name in times.beyond else getattr(times, name)


def curve_us(rows: Rows, block_ns: int) -> list[float | None]:
    """The median response time of the answers of each tenth of the blocks, by their intended times;
    None where there is none."""
    ok = rows.outcome == L.OK
    times_us = (rows.ended - rows.intended)[ok] / 1e3
    tenths = np.minimum(rows.intended[ok] % block_ns // (block_ns // 10), 9)
    return [
        float(np.median(mine)) if len(mine := times_us[tenths == tenth]) else None
        for tenth in range(10)
    ]


def start_ratio(rows: Rows, block_ns: int) -> float | None:
    """The median response time in the first tenth of the blocks over that in the rest; None where
    either has no answer. What is not 1 is a burn-in: caches, or threads, that went cold while the
    others had their turn."""
    ok = rows.outcome == L.OK
    times = (rows.ended - rows.intended)[ok]
    first = rows.intended[ok] % block_ns < block_ns // 10
    if not first.any() or first.all():
        return None
    return float(np.median(times[first]) / np.median(times[~first]))


def stall_warning(blocks: Sequence[Block]) -> list[str]:
    """When the server stood still: blocks with an answer that took far longer than is typical, by
    no fault of the generator's. A typical block does not show it; all requests do, and the maximum.
    """
    typical_us = [b.response_us.p50 for b in blocks if b.response_us.p50 is not None]
    if not typical_us:
        return []
    limit_us = max(_STALL_US, _STALL_TIMES * statistics.median(typical_us))
    stalls = [
        block
        for block in blocks
        if (longest := block.response_us.max) is not None
        and longest > limit_us
        and (block.lag_us_p99 or 0.0) < longest / 10
    ]
    if not stalls:
        return []
    when = ", ".join(
        f"{b.began_s:.1f} s ({(b.response_us.max or 0.0) / 1e3:,.0f} ms)" for b in stalls[:4]
    )
    more = f" and {len(stalls) - 4} more" if len(stalls) > 4 else ""
    return [
        f"single answers took far longer than is typical in {len(stalls)} of {len(blocks)} blocks, "
        f"which began at {when}{more}: a typical block does not show that, the maximum does"
    ]


def _result(planned: PlannedRestart, settings: Settings, started: str, each: _Alive) -> TrialResult:
    """The trial of one arm: its blocks put end to end."""
    block_ns = round(planned.block_s * 1e9)
    duration_s = planned.block_s * len(each.blocks)
    rows = spliced_rows(each.rows, block_ns)
    whole = each.died is None and len(each.looks) == len(each.blocks)
    cost = None if each.bystanders is None else each.bystanders.each
    window = spliced_window(each.looks, block_ns, cost) if whole else None
    trial_plan = PlannedTrial(each.arm, planned.rps, planned.round, each.place, 0, 0)
    summary = spliced_summary(each.summaries)
    trial = build_trial(
        trial_plan, started, duration_s, rows, summary, summed(each.kernels), window, None,
        settings.driver, getattr(each.server, "fresh", True), bystanders=each.beside,
    )  # fmt: skip
    trial = with_blocks(trial, each.blocks, rows, block_ns, each.died, len(each.looks))
    requests = requests_frame(trial_plan, rows)
    requests["block"] = np.repeat(
        np.array([block.pair for block in each.blocks], np.int16), [len(r.code) for r in each.rows]
    )
    steps: Sequence[Observation] = window.observations if window is not None else []
    timeline: pd.DataFrame = timeline_frame(trial_plan, rows.start_ns, steps)
    return TrialResult(trial, requests, timeline, None)


def with_blocks(
    trial: Trial, blocks: Sequence[Block], rows: Rows, block_ns: int, died: str | None, seen: int
) -> Trial:
    """The trial with its blocks, and what is to be said of them. `died`: how its server did, after
    `seen` whole blocks; None where it did not."""
    client = msgspec.structs.replace(
        trial.client,
        block_response_us=typical(blocks),
        block_start_ratio=start_ratio(rows, block_ns),
        block_curve_us=curve_us(rows, block_ns),
    )
    warnings = [*trial.warnings, *stall_warning(blocks)]
    trial = msgspec.structs.replace(trial, client=client, blocks=list(blocks), warnings=warnings)
    if died is None:
        return trial
    told = [*warnings, f"{died}{DIED_AFTER}{seen} whole blocks"]
    return msgspec.structs.replace(trial, died="server", warnings=told)


def summed(kernels: Sequence[Kernel]) -> Kernel:
    def total(name: str) -> int | None:
        values = [getattr(kernel, name) for kernel in kernels]
        return None if None in values or not values else sum(values)

    return Kernel(
        listen_overflows=total("listen_overflows"),
        listen_drops=total("listen_drops"),
        retransmits=total("retransmits"),
        time_wait_peak=None,
    )
