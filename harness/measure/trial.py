"""One trial: a fresh server, a warm-up that is thrown away, a measured window, the accounts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic

import msgspec
import pandas as pd

from harness.core.record import Died, Kernel, Settings, Traced, Trial
from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.bystanders import Count
from harness.drivers.driver import Generator, Load, LoadPhase, driver_of
from harness.drivers.open_loop.worker import Summary
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan
from harness.machine.kernel import deltas, read_kernel
from harness.measure.build_trial import build_trial
from harness.measure.bystanders import Bystanders, attach, grown, together
from harness.measure.request_rows import Rows, phase_rows, requests_frame, timeline_frame
from harness.measure.server_metrics import ServerWindow
from harness.measure.trace_rows import matched, trace_frame
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import SamplerProcess, ServerProcess
from harness.targets.sampler import Observation
from harness.targets.start import RemoteServer, start_server
from servers.report import Report
from servers.tracing import Trace

IDLE_S = 5.0
TRACED = "it was traced, which costs CPU; look at it with labrun replay"
_WATCH_S = 0.25
_READY_S = 60.0  # beyond its warm-up, for a generator to start
_LATE_S = 60.0  # one that takes this much longer than its window is given up
_ENDING_S = 0.5  # for a server that is killed to have ended once its sockets are closed


def warm_within_s(settings: Settings, targets: int = 1) -> float:
    """How long a generator may take until it has warmed up so many targets, one after the other;
    with workers of other machines also until these have come."""
    return (
        targets * (settings.warmup_s + settings.timeout_s)
        + (settings.worker_wait_s or 0.0)
        + _READY_S
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """The trial in progress, for a live view. The log is live: do not keep it."""

    planned: PlannedTrial
    elapsed_s: float
    request_log: L.PhaseLog
    observations: list[Observation]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial's record and raw rows. `failure` says what ended it early; `trace`: what the server
    kept of each request, where it was to."""

    trial: Trial
    requests: pd.DataFrame
    timeline: pd.DataFrame
    failure: str | None
    trace: pd.DataFrame | None = None


Watch = Callable[[Progress], None]


def run_trial(
    planned: PlannedTrial,
    settings: Settings,
    cpus: CpuPlan,
    descriptors: int,
    watch: Watch | None = None,
) -> TrialResult:
    """Run one trial. `descriptors` is how many the generator may open.

    Raises `LabError` when the server cannot be started. What fails later ends the trial early
    and is told in the result, with all that was measured until then.
    """
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    warmup = LoadPhase(0, planned.rps, settings.warmup_s, planned.warmup_seed)
    measured = LoadPhase(0, planned.rps, settings.duration_s, planned.seed)
    elsewhere = settings.target is not None
    with start_server(planned.arm, settings, cpus) as server, ExitStack() as stack:
        ready = server.ready
        bystanders = attach(stack, ready, settings, cpus, elsewhere)
        load = Load(
            targets=[(ready.host, ready.port)],
            warmup=[warmup] if settings.warmup_s > 0 else [],
            measured=[measured],
            settings=settings,
            cpus=cpus,
            descriptors=descriptors,
        )
        sending = driver_of(settings.driver).start(load)
        with (
            sending.process as generator,
            SamplerProcess(ready, cpus.observers, elsewhere) as sampler,
            ControlClient(ready.control_host, ready.control_port, elsewhere=elsewhere) as control,
        ):
            (log,) = sending.request_logs
            measurement = _Measurement(
                planned, settings, server, generator, sampler, control, log, watch, bystanders
            )
            return measurement.run(started)


class _Measurement:
    """The measured window of one trial, from warm-up to final account."""

    def __init__(
        self,
        planned: PlannedTrial,
        settings: Settings,
        server: ServerProcess | RemoteServer,
        generator: Generator,
        sampler: SamplerProcess,
        control: ControlClient,
        log: L.PhaseLog,
        watch: Watch | None,
        bystanders: Bystanders | None,
    ) -> None:
        self._bystanders = bystanders
        self._planned = planned
        self._settings = settings
        self._server = server
        self._generator = generator
        self._sampler = sampler
        self._control = control
        self._log = log
        self._watch = watch

    def run(self, started: str) -> TrialResult:
        """Measure; the result, complete or cut short."""
        summary, window, failure, died, trace = None, None, None, None, None
        beside = None
        before = read_kernel()
        try:
            self._warm_up()
            before = read_kernel()
            opened, at_start = self._open_window()
            self._sampler.tell(b"go")
            self._generator.tell(b"go")
            summary = self._wait()
            closed = self._control.report()
            observations = self._sampler.finish()
            if self._bystanders is None or at_start is None:
                rested = self._rest(closed)
                window = ServerWindow(opened, closed, rested, observations, self._load_ns())
            else:
                beside = self._bystanders.record()
                rested, at_end = self._rest_beside(self._bystanders)
                window = ServerWindow(
                    opened, closed, rested, observations, self._load_ns(),
                    together([grown(at_start, at_end)]), at_start.in_progress,
                    self._bystanders.each,
                )  # fmt: skip
                self._bystanders.stop()
            if self._settings.trace is not None:
                trace = self._control.trace()
            self._server.drain()
        except (ProcessDied, ControlLost) as error:
            failure, died = self._failure(error)
        observations = self._sampler.collect()
        looks = [o.time_wait for o in observations if o.time_wait is not None]
        kernel = deltas(before, read_kernel(), max(looks, default=None))
        if self._settings.target is not None:  # whose kernel it is that this one cannot ask
            kernel = Kernel(
                listen_overflows=None, listen_drops=None, retransmits=None, time_wait_peak=None
            )
        rows = phase_rows(self._log)
        duration_s = self._settings.duration_s
        trial = build_trial(
            self._planned, started, duration_s, rows, summary, kernel, window, failure,
            self._settings.driver, getattr(self._server, "fresh", True), died, bystanders=beside,
        )  # fmt: skip
        requests = requests_frame(self._planned, rows)
        timeline = timeline_frame(self._planned, rows.start_ns, observations)
        if failure is None and summary is not None:
            failure = summary.failure
        result = TrialResult(trial, requests, timeline, failure)
        return result if self._settings.trace is None else self._traced(result, rows, trace)

    def _traced(self, result: TrialResult, rows: Rows, trace: Trace | None) -> TrialResult:
        """The result with its trace (None: the server ended before it was asked), not valid for
        any comparison."""
        trial = result.trial
        if trial.valid:
            trial = msgspec.structs.replace(trial, valid=False, invalid_reason=TRACED)
        if trace is None:
            return replace(result, trial=trial)
        host = self._server.ready.host
        found = matched(rows, self._settings.clients, host, trace)
        traced = Traced(kept=len(found), dropped=trace.dropped)
        return replace(
            result,
            trial=msgspec.structs.replace(trial, traced=traced),
            trace=trace_frame(self._planned, rows, found, trace),
        )

    def _rest(self, looked: Report) -> Report:
        """The server's account once it has come to rest, or after a while. `looked`: how it stood
        just now. At rest with the count of the last look: a server may have nothing in progress
        while the kernel still holds connections for it, of clients that did not wait."""
        until_s = monotonic() + 2 * IDLE_S
        while True:
            rested = self._control.wait_until_idle(IDLE_S)
            if rested.counters.accepted == looked.counters.accepted or monotonic() > until_s:
                return rested
            looked = rested

    def _rest_beside(self, bystanders: Bystanders) -> tuple[Report, Count]:
        """The same where there are bystanders, who pause; and their count."""
        bystanders.count(b"hold")
        return bystanders.agreed(self._control.report, 2 * IDLE_S)

    def _open_window(self) -> tuple[Report, Count | None]:
        """The report with which the window begins, and the count of bystanders, who then go on."""
        if self._bystanders is None:
            return self._control.open_window(), None
        opened = self._bystanders.agreed(self._control.open_window, IDLE_S)
        self._bystanders.count(b"go")
        return opened

    def _load_ns(self) -> tuple[int, int]:
        """When load was to begin and to end, on this machine's monotonic clock."""
        start_ns = self._log.start_ns
        return start_ns, start_ns + int(self._settings.duration_s * 1e9)

    def _warm_up(self) -> None:
        self._sampler.wait_ready()
        self._generator.must_say(warm_within_s(self._settings))
        if self._bystanders is None:
            self._rest(self._control.report())
        else:
            self._rest_beside(self._bystanders)

    def _failure(self, error: ProcessDied | ControlLost) -> tuple[str, Died | None]:
        """The cause of the trial's end, in words, and whose end it was. A server that is gone takes
        the others with it; one that runs on and is silent has not died."""
        if not self._server.alive(_ENDING_S):
            return str(self._server.died()), "server"
        if isinstance(error, ControlLost):
            return str(error), None
        return str(error), "sampler" if error.whose == self._sampler.name else "generator"

    def _wait(self) -> Summary:
        """Until the generator is done, with a look at the server from time to time."""
        began = monotonic()
        limit_s = began + self._settings.duration_s + self._settings.timeout_s + _LATE_S
        while (line := self._generator.wait_for_line(_WATCH_S)) is None:
            if not self._server.alive():
                raise self._server.died()
            if monotonic() > limit_s:
                name = self._generator.name
                raise ProcessDied(f"the {name} did not end in time", name)
            # Watched or not: a sampler whose pipe is full stops looking.
            observations = self._sampler.collect()
            if self._watch is not None:
                elapsed_s = monotonic() - began
                self._watch(Progress(self._planned, elapsed_s, self._log, observations))
        if not self._server.alive():
            raise self._server.died()
        return self._generator.summary(line)
