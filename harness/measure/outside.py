"""Trials of servers of any kind: all arms are seen from outside, by the same instruments.

A restart is as in `harness.measure.blocks`: all arms alive, load for one after the other. A whole
trial is one of a single arm and a single time of load. What differs from our own servers: nobody
can be asked, so an arm counts as at rest when the generator has seen its last request and it uses
no CPU time to speak of.

Context switches and births are counted in a load of their own, after all that is measured: while
they are counted each birth of a thread costs its server something.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, monotonic_ns, sleep

import msgspec
import numpy as np

from harness.core.errors import ServerRefused
from harness.core.record import Block, Kernel, Settings
from harness.core.record import Bystanders as BystandersRecord
from harness.designs.trials import PlannedBlock, PlannedRestart, PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.driver import Generator, Load, LoadPhase, driver_of
from harness.drivers.open_loop.driver import target_config
from harness.drivers.open_loop.worker import Summary
from harness.drivers.payloads import THE_METRIC
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, steal_s
from harness.machine.kernel import deltas, read_kernel
from harness.machine.other_work import OtherTasks
from harness.machine.outside.look import Look
from harness.measure.blocks import (
    IDLE_WITHIN_MS,
    block_record,
    difference_ms,
    summed,
    with_blocks,
)
from harness.measure.build_trial import build_trial
from harness.measure.bystanders import Bystanders, Cost
from harness.measure.first_request import look_at_one
from harness.measure.request_rows import Rows, looks_frame, phase_rows, requests_frame
from harness.measure.server_metrics import OutsideLook, answered, counted, grown, outside_figures
from harness.measure.splice import spliced_rows, spliced_summary
from harness.measure.trial import Progress, TrialResult, Watch, warm_within_s
from harness.targets.arm import Arm
from harness.targets.outside import OutsideServer, start_outside
from servers.options import parse_workload

_STEP_S = 0.1  # between two looks under load
_QUIET_S = 0.01  # a server is at rest that uses less than _QUIET_SHARE of a CPU for so long
_QUIET_SHARE = 0.1
_REST_S = 5.0
_LATE_S = 60.0
_MOST_COUNTED_S = 2.0  # of load under which switches and births are counted


@dataclass(slots=True)
class _Seen:
    """One arm of a restart: its server, and what was seen of it so far."""

    arm: Arm
    place: int
    server: OutsideServer
    died: str | None = None
    rows: list[Rows] = field(default_factory=list)
    looks: list[OutsideLook] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    counting: OutsideLook | None = None
    bystanders: Bystanders | None = None
    beside: BystandersRecord | None = None  # what became of them

    def look(self, memory: bool = False) -> Look | None:
        """One look; None where it has died."""
        if self.died is None and not self.server.alive():
            self.died = str(self.server.died())
        if self.died is not None:
            return None
        try:
            return self.server.look(memory)
        except ProcessDied as error:
            self.died = str(error)
            return None

    def count_events(self, on: bool) -> None:
        """Begin or end counting switches and births, unless it has died."""
        if self.died is not None:
            return
        try:
            self.server.count_events(on)
        except ProcessDied as error:
            self.died = str(error)


def run_outside(
    planned: PlannedRestart | PlannedTrial,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    logs: Path,
    watch: Watch | None = None,
) -> list[TrialResult]:
    """Run one restart, or one whole trial; a result for each arm, in the order of their slots.
    `logs`: the folder for what servers print.

    A server that dies is refused from then on, and its trial says so. Raises `LabError` when a
    server cannot be started or does not answer as expected, `ProcessDied` when the generator dies.
    """
    restart, whole = _as_restart(planned, settings), isinstance(planned, PlannedTrial)
    first = planned.order if isinstance(planned, PlannedTrial) else 0
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    with ExitStack() as stack:
        seen = {
            arm.slot: _start(stack, arm, place, restart, settings, cpus, logs)
            for place, arm in enumerate(restart.arms, first)
        }
        load = _load(restart, settings, cpus, descriptors, seen)
        sending = driver_of(settings.driver).start(load)
        generator = stack.enter_context(sending.process)
        # A server that ran already is nobody's child here, and would be taken for other work.
        started_here = all(server.url is None for server in settings.servers)
        tasks = OtherTasks(cpus.server) if started_here else None
        _Loaded(restart, settings, generator, seen, tasks, watch).run(sending.request_logs)
        for each in seen.values():
            if each.bystanders is not None:
                each.beside = each.bystanders.record()
                each.bystanders.stop()
            each.server.drain()
    return [_result(restart, settings, started, seen[slot], whole) for slot in sorted(seen)]


def _as_restart(planned: PlannedRestart | PlannedTrial, settings: Settings) -> PlannedRestart:
    """A whole trial as a restart of one arm with one time of load."""
    if isinstance(planned, PlannedRestart):
        return planned
    block = PlannedBlock(planned.slot, 1, planned.order, planned.seed)
    return PlannedRestart(
        planned.arms, planned.rps, planned.round, settings.duration_s, planned.warmup_seed, (block,)
    )


def _start(
    stack: ExitStack,
    arm: Arm,
    place: int,
    restart: PlannedRestart,
    settings: Settings,
    cpus: CpuPlan,
    logs: Path,
) -> _Seen:
    """A fresh server, whose answer to one request is looked at: what answered well in the round
    before may answer otherwise after a restart."""
    try:
        server = stack.enter_context(start_outside(arm, settings, cpus, logs))
        (request, *_) = target_config(server.host, server.port, settings).requests
        look_at_one(server, request.encode("latin-1"), settings.request or THE_METRIC)
    except ServerRefused as error:
        error.slot = arm.slot
        raise
    seen = _Seen(arm, place, server)
    if settings.bystanders:

        def cost() -> Cost:
            look = seen.look()
            return Cost(None, None) if look is None else Cost(look.rss_bytes, look.threads)

        seen.bystanders = stack.enter_context(
            Bystanders(server.host, server.port, settings, cpus, cost, lambda: None)
        )
    return seen


def _load(
    restart: PlannedRestart,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    seen: dict[int, _Seen],
) -> Load:
    index = {slot: number for number, slot in enumerate(seen)}
    return Load(
        targets=[(each.server.host, each.server.port) for each in seen.values()],
        warmup=[
            LoadPhase(number, restart.rps, settings.warmup_s, restart.warmup_seed)
            for number in index.values()
            if settings.warmup_s > 0
        ],
        measured=[
            *(
                LoadPhase(index[block.slot], restart.rps, restart.block_s, block.seed)
                for block in restart.blocks
            ),
            *(
                LoadPhase(number, restart.rps, _counted_s(restart), restart.warmup_seed)
                for number in index.values()
            ),
        ],
        settings=settings,
        cpus=cpus,
        descriptors=descriptors,
    )


def _counted_s(restart: PlannedRestart) -> float:
    return min(restart.block_s, _MOST_COUNTED_S)


class _Loaded:
    """The measured part of a restart: one time of load after another."""

    def __init__(
        self,
        restart: PlannedRestart,
        settings: Settings,
        generator: Generator,
        seen: dict[int, _Seen],
        tasks: OtherTasks | None,
        watch: Watch | None,
    ) -> None:
        self._restart = restart
        self._settings = settings
        self._generator = generator
        self._seen = seen
        self._tasks = tasks
        self._watch = watch
        self._block_ns = round(restart.block_s * 1e9)
        ours = [arm for arm in restart.arms if arm.server is None]
        slowest = [parse_workload(arm.chosen(settings)["workload"]).seconds for arm in ours]
        self._idle_within_ms = IDLE_WITHIN_MS + max(slowest, default=0.0) * 1e3

    def run(self, logs: Sequence[L.PhaseLog]) -> None:
        """Warm up, then load by load in order; at last the loads for counting, one for each arm."""
        self._generator.must_say(warm_within_s(self._settings, len(self._seen)))
        for each in self._seen.values():
            self._rest(each, each.look())
            if each.died is None:
                each.server.clear_peak()
        began_ns = monotonic_ns()
        for block, log in zip(self._restart.blocks, logs, strict=False):
            self._one(block, log, began_ns)
        self._take_peaks()
        counting = logs[len(self._restart.blocks) :]
        for each, log in zip(self._seen.values(), counting, strict=True):
            self._count(each, log)

    def _take_peaks(self) -> None:
        """The highest memory since the warm-up, into the last look of each arm."""
        for each in self._seen.values():
            memory = each.look(memory=True)
            if memory is not None and each.looks:
                last = each.looks[-1]
                after = msgspec.structs.replace(
                    last.after,
                    peak_bytes=memory.peak_bytes,
                    missing=last.after.missing | memory.missing,
                )
                each.looks[-1] = replace(last, after=after)

    def _one(self, block: PlannedBlock, log: L.PhaseLog, began_ns: int) -> None:
        each = self._seen[block.slot]
        others = [other for other in self._seen.values() if other is not each]
        idle = [other.look() for other in others]
        before, kernel, stolen = each.look(), read_kernel(), steal_s()
        if self._tasks is not None:
            self._tasks.look()
        self._generator.tell(b"go")
        summary, between = self._wait(each, log)
        other_work = None if self._tasks is None else self._tasks.most()
        rows = phase_rows(log)
        after, idle_ms = self._rest(each, each.look(), rows)
        look = None
        if before is not None and after is not None:
            look = OutsideLook(before, after, between, answered(rows), self._block_ns)
            each.looks.append(look)
        each.rows.append(rows)
        each.summaries.append(summary)
        each.kernels.append(deltas(kernel, read_kernel(), None))
        each.blocks.append(
            block_record(
                block,
                rows,
                None if look is None else counted(look),
                expected=self._restart.rps * self._restart.block_s,
                block_ns=self._block_ns,
                began_s=(rows.start_ns - began_ns) / 1e9,
                idle_after_ms=idle_ms,
                late=idle_ms is None or idle_ms > self._idle_within_ms,
                others_cpu_share=_share(idle, [other.look() for other in others]),
                steal_ms=difference_ms(stolen, steal_s()),
                other_work=other_work,
            )
        )

    def _count(self, each: _Seen, log: L.PhaseLog) -> None:
        """Load under which switches and births are counted, and nothing is measured else."""
        each.count_events(True)
        before = each.look()
        self._generator.tell(b"go")
        self._wait(each, log)
        rows = phase_rows(log)
        after, _ = self._rest(each, each.look(), rows)
        each.count_events(False)
        if before is not None and after is not None:
            count_ns = round(_counted_s(self._restart) * 1e9)
            each.counting = OutsideLook(before, after, (), answered(rows), count_ns)

    def _wait(self, each: _Seen, log: L.PhaseLog) -> tuple[Summary, list[Look]]:
        """Until the generator has seen every request to its end, with a look now and then."""
        began, between = monotonic(), []
        limit_s = began + self._restart.block_s + self._settings.timeout_s + _LATE_S
        place = self._restart.arms.index(each.arm)
        planned = PlannedTrial(each.arm, self._restart.rps, self._restart.round, place, 0, 0)
        while (line := self._generator.wait_for_line(_STEP_S)) is None:
            if monotonic() > limit_s:
                raise ProcessDied("the generator did not end in time", self._generator.name)
            look = each.look()
            if look is not None:
                between.append(look)
            if self._watch is not None:
                self._watch(Progress(planned, monotonic() - began, log, []))
        return self._generator.summary(line), between

    def _rest(
        self, each: _Seen, look: Look | None, rows: Rows | None = None
    ) -> tuple[Look | None, float | None]:
        """The last look once the server was at rest; and how long after the planned end of load it
        came to that, in milliseconds: with all requests answered, with the last answer. None: not
        within five seconds. A server that cannot be looked at is at rest with its last answer."""
        until_s = monotonic() + _REST_S
        late_ms = self._last_ms(rows)
        while look is not None:
            if look.cpu_ns is None:
                return look, late_ms or 0.0
            sleep(_QUIET_S)  # the server has no way to tell
            again = each.look()
            if again is None:
                break
            used_ns = grown(look, again, "cpu_ns") or 0
            if used_ns < _QUIET_SHARE * (again.t_ns - look.t_ns):
                return again, late_ms if late_ms is not None else self._since_ms(rows, again)
            if monotonic() > until_s:
                return again, None
            look = again
        return None, 0.0

    def _last_ms(self, rows: Rows | None) -> float | None:
        """When the last answer was there, after the planned end; None where some had none."""
        if rows is None or len(rows.code) == 0 or (rows.outcome == L.TIMEOUT).any():
            return None
        return max(0.0, (int(rows.ended.max()) - self._block_ns) / 1e6)

    def _since_ms(self, rows: Rows | None, look: Look) -> float:
        if rows is None:
            return 0.0
        return max(0.0, (look.t_ns - rows.start_ns - self._block_ns) / 1e6)


def _share(before: Sequence[Look | None], after: Sequence[Look | None]) -> float | None:
    """Of one CPU, what idle servers used between two looks; None where that is not known of all."""
    used = 0.0
    for old, new in zip(before, after, strict=True):
        cpu_ns = None if old is None or new is None else grown(old, new, "cpu_ns")
        if old is None or new is None or cpu_ns is None:
            return None
        used += cpu_ns / max(1, new.t_ns - old.t_ns)
    return used


def _result(
    restart: PlannedRestart, settings: Settings, started: str, each: _Seen, whole: bool
) -> TrialResult:
    """The trial of one arm: its times of load put end to end. `whole`: it is one alone."""
    block_ns = round(restart.block_s * 1e9)
    rows = spliced_rows(each.rows, block_ns)
    complete = each.died is None and len(each.looks) == len(each.blocks)
    plan = PlannedTrial(each.arm, restart.rps, restart.round, each.place, 0, 0)
    died = each.died if whole else None
    trial = build_trial(
        plan, started, restart.block_s * len(each.blocks), rows, spliced_summary(each.summaries),
        summed(each.kernels), None, died, settings.driver, each.server.fresh,
        "server" if died else None,
        outside_figures(
            each.looks,
            each.counting,
            each.server.fresh,
            None if each.bystanders is None else each.bystanders.each,
        )
        if complete and each.counting is not None
        else None,
        each.beside,
    )  # fmt: skip
    requests = requests_frame(plan, rows)
    if not whole:
        trial = with_blocks(trial, each.blocks, rows, block_ns, each.died, len(each.looks))
        requests["block"] = np.repeat(
            np.array([block.pair for block in each.blocks], np.int16),
            [len(part.code) for part in each.rows],
        )
    loads = [
        (part.start_ns - number * block_ns, (look.before, *look.between, look.after))
        for number, (part, look) in enumerate(zip(each.rows, each.looks, strict=False))
    ]
    return TrialResult(trial, requests, looks_frame(plan, loads), died)
