"""The open loop on several machines: a master that gives each worker its share of the schedule and
writes the rows that come back into the request logs, and the worker's side of it.

What sends is the engine of the open loop, in a process of the worker's, since Locust's heartbeats
need the worker's own event loop. Each is told when the window begins by its own clock, so that all
begin together as well as their clocks are known; times of requests count from there.
"""

from __future__ import annotations

import os
import resource
import sys
from time import monotonic_ns, time_ns
from typing import Any

import gevent
import msgspec
from gevent.queue import Queue
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from harness.drivers.locust.config import ENGINE_BROKE, Stopped
from harness.drivers.locust.crew import Clocks, Crew, Offset, master_of, obituary
from harness.drivers.locust.parent import ParentChannel
from harness.drivers.locust.worker import STRAGGLE_S, wait_for
from harness.drivers.open_loop.driver import RESERVED_DESCRIPTORS
from harness.drivers.open_loop.fleet import EngineOrder, FleetConfig
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, Phase, ProcessCost, Summary, summed
from harness.drivers.request_log import START_NS, RequestLog
from harness.drivers.shipping import Outgoing, log_of, schedule_bytes, take_in, write_off
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan, plan_cpus

_LEAD_NS = 100_000_000  # between the word and the common start: for all to have heard it
_SHIP_S = 0.25

# ---- the master ---------------------------------------------------------------------------------


class Fleet:
    """The workers of a run, and what they said."""

    def __init__(self, config: FleetConfig, runner: MasterRunner) -> None:
        self._config = config
        where = f"{config.master_host}:{config.master_port}"
        self._crew = Crew(runner, len(config.measured), where, config.wait_s)
        self._clocks = Clocks(self._crew)
        self._logs = [
            [RequestLog.attach(worker[phase].fd) for worker in config.measured]
            for phase in range(len(config.measured_s))
        ]
        self._phase: int | None = None  # under way
        self._warm: set[int] = set()
        self._broken: dict[int, str] = {}  # what became of the engine, by worker
        self._done: dict[int, tuple[int, Summary]] = {}  # rows and cost, of the phase under way
        self._arrived: dict[int, int] = {}  # rows, of the phase under way
        for name in ("warm", "shipped", "finished", "broken"):
            self._crew.listen(f"lab_{name}", getattr(self, f"_on_{name}"))

    def warm_up(self) -> None:
        """Wait for all workers, and until their engines are warm. Raises `Stopped`."""
        self._crew.gather("lab_engine", self._order)
        wait_for(lambda: len(self._warm) == self._crew.count or self._lost(),
                 self._config.warmup_s + 2 * STRAGGLE_S, "the end of the warm-up")  # fmt: skip
        if self._lost():
            raise Stopped(self._obituary())

    def run_phase(self, phase: int) -> Summary:
        """One measured phase to its end. Raises `Stopped` where none has an account of it, or there
        are more phases and a worker was lost, whose clients would be missing from those."""
        self._phase, self._done, self._arrived = phase, {}, {}
        offsets = {number: self._clocks.offset(number) for number in self._numbers()}
        start_ns = monotonic_ns() + _LEAD_NS
        for log in self._logs[phase]:
            log.header[START_NS] = start_ns
        for number, offset in offsets.items():
            self._crew.tell(
                number, "lab_begin", {"phase": phase, "start_ns": start_ns + offset.monotonic_ns}
            )
        limit_s = self._config.measured_s[phase] + 2 * STRAGGLE_S
        wait_for(lambda: len(self._done) + len(self._lost()) == self._crew.count, limit_s,
                 "the end of the window")  # fmt: skip
        self._phase = None
        return self._account(phase, offsets)

    def dismiss(self) -> None:
        """Tell them that the trial is over."""
        self._crew.dismiss()

    def _account(self, phase: int, offsets: dict[int, Offset]) -> Summary:
        """What all of them said of a phase, and what is missing from it."""
        lost, told = self._lost(), []
        if lost and (len(self._logs) > 1 or not self._done):
            raise Stopped(self._obituary())
        if lost:
            gone = sum(write_off(self._logs[phase][number - 1]) for number in lost)
            told.append(f"{self._obituary()}; {gone:,} requests that were still to come are unsent")
        for number, (rows, _) in sorted(self._done.items()):
            arrived = self._arrived.get(number, 0)
            if arrived != rows:
                told.append(f"worker {number} recorded {rows:,} requests and {arrived:,} arrived")
        parts = {number: summary for number, (_, summary) in self._done.items()}
        costs = [
            _cost(parts.get(number), self._crew.machine(number), offsets[number])
            for number in self._numbers()
        ]
        recorded = [self._done[number][0] for number in sorted(self._done)]
        return msgspec.structs.replace(
            summed(list(parts.values()), costs), recorded=recorded, failure="; ".join(told) or None
        )

    def _order(self, number: int) -> EngineOrder:
        """What that worker is to do. Client k is that of worker k modulo their number."""
        warmup, measured = self._config.warmup[number - 1], self._config.measured[number - 1]
        targets = [
            msgspec.structs.replace(
                target,
                requests=[
                    text if client % self._crew.count == number - 1 else ""
                    for client, text in enumerate(target.requests)
                ],
            )
            for target in self._config.config.targets
        ]
        return EngineOrder(
            number,
            msgspec.structs.replace(
                self._config.config,
                targets=targets,
                warmup=[Phase(phase.target, -1) for phase in warmup],
                measured=[Phase(phase.target, -1) for phase in measured],
            ),
            [schedule_bytes(RequestLog.attach(phase.fd)) for phase in warmup],
            [schedule_bytes(RequestLog.attach(phase.fd)) for phase in measured],
        )

    def _numbers(self) -> range:
        return range(1, self._crew.count + 1)

    def _lost(self) -> list[int]:
        """Those that have no account of the phase under way, and will not have one."""
        gone = {*self._crew.lost(), *self._broken}
        return sorted(number for number in gone if number not in self._done)

    def _obituary(self) -> str:
        told = obituary(self._lost(), self._crew.count, self._arrived)
        return "; ".join([told, *(self._broken[n] for n in self._lost() if n in self._broken)])

    # ---- messages -------------------------------------------------------------------------------

    def _on_warm(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._warm.add(msg.data["number"])

    def _on_shipped(self, environment: Environment, msg: Any, **_: Any) -> None:
        number, phase = msg.data["number"], msg.data["phase"]
        if phase != self._phase:
            return  # it was given up, and is written off
        rows = take_in(self._logs[phase][number - 1], msg.data["rows"])
        self._arrived[number] = self._arrived.get(number, 0) + rows

    def _on_finished(self, environment: Environment, msg: Any, **_: Any) -> None:
        summary = msgspec.convert(msg.data["summary"], type=Summary)
        self._done[msg.data["number"]] = msg.data["recorded"], summary

    def _on_broken(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._broken[msg.data["number"]] = msg.data["said"]


def _cost(summary: Summary | None, machine: str, offset: Offset) -> ProcessCost:
    """What the worker on that machine took; None: it has no account."""
    return ProcessCost(
        window_ns=0 if summary is None else summary.window_ns,
        cpu_ns=0 if summary is None else summary.cpu_ns,
        start_late_ns=0 if summary is None else summary.start_late_ns,
        machine=machine,
        clock_ahead_ns=offset.wall_ns,
        clock_error_ns=offset.error_ns,
    )


def run_engines(config: FleetConfig, parent: ParentChannel) -> None:
    """The master of the workers; `parent`: whom to tell. Raises `Stopped`."""
    environment = Environment(user_classes=[])
    runner = master_of(environment, config.master_host, config.master_port)
    fleet = Fleet(config, runner)
    parent.leave = fleet.dismiss
    try:
        fleet.warm_up()
        parent.say_warm()
        for phase in range(len(config.measured_s)):
            if phase:
                parent.line()
            parent.say(fleet.run_phase(phase))
    finally:
        fleet.dismiss()
        runner.quit()


# ---- a worker -----------------------------------------------------------------------------------


class EngineWorker:
    """A worker's side: its engine, and the master's words to it."""

    def __init__(self) -> None:
        self._begun: Queue[dict[str, Any]] = Queue()
        self._number = 0
        # Known before the first word to the master, who may answer at once.
        self.heard = {"lab_begin": self._on_begin, "lab_clock": self._on_clock}

    def work(self, order: EngineOrder, runner: WorkerRunner) -> None:
        """Run every phase; returns when the last account has left. Ends the process when the engine
        breaks."""
        self._number = order.number
        try:
            self._work(order, runner)
        except ProcessDied as error:
            self._say(runner, "broken", said=str(error))
            print(error, file=sys.stderr, flush=True)
            gevent.sleep(_SHIP_S)  # for the message to leave
            os._exit(ENGINE_BROKE)

    def _work(self, order: EngineOrder, runner: WorkerRunner) -> None:
        warmup, measured = [*map(log_of, order.warmup)], [*map(log_of, order.measured)]
        cpus = plan_cpus()
        if cpus.placed:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), cpus.observers)
        with GeneratorProcess(_own_config(order, cpus, warmup, measured), "engine") as engine:
            self._say(runner, "ready")
            while engine.wait_for_line(1.0) is None:
                pass  # the master says when it takes too long
            self._say(runner, "warm")
            for log in measured:
                begun = self._begun.get()
                engine.tell(b"go %d" % begun["start_ns"])
                self._run(engine, runner, begun["phase"], log)

    def _run(
        self, engine: GeneratorProcess, runner: WorkerRunner, phase: int, log: RequestLog
    ) -> None:
        """Ship rows while the engine goes on, the rest when it is done, and then what it took."""
        outgoing = Outgoing(log)
        try:
            while (line := engine.wait_for_line(_SHIP_S)) is None:
                self._say(runner, "shipped", phase=phase, rows=outgoing.take())
        except ProcessDied:
            self._say(runner, "shipped", phase=phase, rows=outgoing.take())  # so far it came
            raise
        self._say(runner, "shipped", phase=phase, rows=outgoing.take(ended=False))
        summary = msgspec.to_builtins(engine.summary(line))
        self._say(runner, "finished", recorded=log.rows, summary=summary)

    def _say(self, runner: WorkerRunner, what: str, **data: Any) -> None:
        runner.send_message(f"lab_{what}", {"number": self._number, **data})

    def _on_begin(self, environment: Environment, msg: Any, **_: Any) -> None:
        self._begun.put(msg.data)

    def _on_clock(self, environment: Environment, msg: Any, **_: Any) -> None:
        assert isinstance(environment.runner, WorkerRunner)
        self._say(environment.runner, "clock", asked_ns=msg.data["asked_ns"],
                  monotonic_ns=monotonic_ns(), wall_ns=time_ns())  # fmt: skip


def _own_config(
    order: EngineOrder, cpus: CpuPlan, warmup: list[RequestLog], measured: list[RequestLog]
) -> GeneratorConfig:
    """The engine's config on this machine: its logs, its CPU and its descriptors."""
    asked = order.config
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return msgspec.structs.replace(
        asked,
        warmup=[Phase(p.target, log.fd) for p, log in zip(asked.warmup, warmup, strict=True)],
        measured=[Phase(p.target, log.fd) for p, log in zip(asked.measured, measured, strict=True)],
        max_in_flight=allowed - RESERVED_DESCRIPTORS - len(warmup) - len(measured),
        own_cpu=cpus.pinned,
        cpus=sorted(cpus.generator) if cpus.placed else [],
    )
