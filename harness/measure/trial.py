"""One trial: a fresh server, a warm-up that is thrown away, a measured window, the accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import numpy as np
import pandas as pd

from harness.core.record import Died, Kernel, Settings, Trial
from harness.designs.trials import PlannedTrial
from harness.drivers import request_log as L
from harness.drivers.locust.config import LocustConfig, most_requests
from harness.drivers.locust.process import LocustProcess
from harness.drivers.open_loop.process import GeneratorProcess
from harness.drivers.open_loop.worker import GeneratorConfig, Phase, Summary, TargetConfig
from harness.drivers.schedule import make_schedule
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan
from harness.machine.kernel import deltas, read_kernel
from harness.measure.build_trial import build_trial
from harness.measure.request_rows import copy_rows, requests_frame, timeline_frame
from harness.measure.server_metrics import ServerWindow
from harness.targets.control_client import ControlClient, ControlLost
from harness.targets.processes import SamplerProcess, ServerProcess
from harness.targets.remote import RemoteServer
from harness.targets.sampler import Observation
from harness.targets.start import start_server
from servers.report import Report

IDLE_S = 5.0
_WATCH_S = 0.25
READY_S = 60.0  # beyond its warm-up, for a generator to start
_LATE_S = 60.0  # one that takes this much longer than its window is given up
_ENDING_S = 0.5  # for a server that is killed to have ended once its sockets are closed
# 50 ms of work and a metric a request, 96 bytes of JSON, as the design document's clients send.
BODY = (
    '{"name":"cpu.load.average","value":0.42,"timestamp":1700000000,'
    '"tags":{"host":"web-1","dc":"a"}}'
)
RESERVED_DESCRIPTORS = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live view may show of the trial in progress. The log is live: do not keep it."""

    planned: PlannedTrial
    elapsed_s: float
    request_log: L.RequestLog
    observations: list[Observation]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial's record and raw rows. `failure` says what ended it early."""

    trial: Trial
    requests: pd.DataFrame
    timeline: pd.DataFrame
    failure: str | None


Watch = Callable[[Progress], None]


def new_request_log(settings: Settings, rps: float, duration_s: float, seed: int) -> L.RequestLog:
    """A request log with the schedule of one phase in it."""
    schedule = make_schedule(rps, duration_s, settings.clients, settings.arrivals, seed)
    log = L.RequestLog.create(len(schedule))
    for column, values in ((L.INTENDED, schedule.intended_ns), (L.CLIENT, schedule.client)):
        np.frombuffer(log.column(column), dtype=np.int64)[:] = values
    for column in (L.ALLOWED, L.SENT, L.CONNECTED, L.ENDED):
        np.frombuffer(log.column(column), dtype=np.int64)[:] = L.NOT_YET
    return log


def source_address(client: int, host: str) -> str | None:
    """Each client has a loopback address of its own, so that ports do not run out in a stall.

    None for another machine's server: there the system chooses.
    """
    if not host.startswith("127."):
        return None
    return f"127.{1 + client // 62_500}.{client // 250 % 250}.{1 + client % 250}"


def generator_config(
    targets: Sequence[TargetConfig],
    settings: Settings,
    cpus: CpuPlan,
    warmup: Sequence[Phase],
    measured: Sequence[Phase],
    max_in_flight: int,
) -> GeneratorConfig:
    """What the generator is to do."""
    return GeneratorConfig(
        targets=list(targets),
        warmup=list(warmup),
        measured=list(measured),
        timeout_ns=int(settings.timeout_s * 1e9),
        max_in_flight=max_in_flight,
        closed_loop=settings.driver == "closed-loop",
        own_cpu=cpus.pinned,
        cpus=sorted(cpus.generator) if cpus.pinned else [],
    )


def target_config(server: ServerProcess | RemoteServer, settings: Settings) -> TargetConfig:
    """Where the server is, and what each client sends to it."""
    clients = range(settings.clients)
    host, port = server.ready.host, server.ready.port
    requests = [
        f"POST /metrics HTTP/1.1\r\nHost: {host}:{port}\r\nX-Client-Id: client-{client}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
        f"Connection: close\r\n\r\n{BODY}"
        for client in clients
    ]
    sources = [source_address(client, host) for client in clients]
    return TargetConfig(host, port, requests, sources)


def locust_config(
    planned: PlannedTrial,
    server: ServerProcess | RemoteServer,
    settings: Settings,
    cpus: CpuPlan,
    measured: L.RequestLog,
) -> LocustConfig:
    """What Locust is to do."""
    # Without workers of other machines the master takes a port that is free, on loopback.
    master_host, _, master_port = (settings.master or "127.0.0.1:0").rpartition(":")
    return LocustConfig(
        host=server.ready.host,
        port=server.ready.port,
        body=BODY,
        users=settings.clients,
        rps=planned.rps,
        user_class=settings.user_class or "socket",
        workers=settings.expect_workers or settings.locust_workers or 0,
        warmup_s=settings.warmup_s,
        duration_s=settings.duration_s,
        timeout_s=settings.timeout_s,
        cpus=sorted(cpus.generator) if cpus.pinned else [],
        measured_fd=measured.fd,
        master_host=master_host,
        master_port=int(master_port),
        expected=settings.expect_workers is not None,
        wait_s=settings.worker_wait_s or 0.0,
    )


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
    by_locust = settings.driver == "locust"
    warmup = None
    if by_locust:
        most = most_requests(settings.clients, planned.rps, settings.duration_s)
        measured = L.RequestLog.create(most)
    else:
        measured = new_request_log(settings, planned.rps, settings.duration_s, planned.seed)
    if settings.warmup_s > 0 and not by_locust:
        warmup = new_request_log(settings, planned.rps, settings.warmup_s, planned.warmup_seed)
    elsewhere = settings.target is not None
    with start_server(planned.arm, settings, cpus) as server:
        ready = server.ready
        generator: GeneratorProcess
        if by_locust:
            generator = LocustProcess(locust_config(planned, server, settings, cpus, measured))
        else:
            config = generator_config(
                [target_config(server, settings)],
                settings,
                cpus,
                [] if warmup is None else [Phase(0, warmup.fd)],
                [Phase(0, measured.fd)],
                descriptors - RESERVED_DESCRIPTORS,
            )
            generator = GeneratorProcess(config)
        with (
            generator,
            SamplerProcess(ready, cpus.observers, elsewhere) as sampler,
            ControlClient(ready.control_host, ready.control_port, elsewhere=elsewhere) as control,
        ):
            for log in (warmup, measured):
                if log is not None:
                    log.close()  # both processes have it mapped; the descriptor has served
            measurement = _Measurement(
                planned, settings, server, generator, sampler, control, measured, watch
            )
            return measurement.run(started)


class _Measurement:
    """The measured window of one trial, from warm-up to final account."""

    def __init__(
        self,
        planned: PlannedTrial,
        settings: Settings,
        server: ServerProcess | RemoteServer,
        generator: GeneratorProcess,
        sampler: SamplerProcess,
        control: ControlClient,
        log: L.RequestLog,
        watch: Watch | None,
    ) -> None:
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
        summary, window, failure, died = None, None, None, None
        before = read_kernel()
        try:
            self._warm_up()
            before = read_kernel()
            opened = self._control.open_window()
            self._sampler.tell(b"go")
            self._generator.tell(b"go")
            summary = self._wait()
            closed = self._control.report()
            observations = self._sampler.finish()
            rested = self._rest(closed)
            window = ServerWindow(opened, closed, rested, observations, self._load_ns())
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
        rows = copy_rows(self._log)
        if self._settings.driver == "locust":  # its schedule is what its users came to send
            rows = rows.first(self._log.header[L.CURSOR])
        duration_s = self._settings.duration_s
        trial = build_trial(
            self._planned, started, duration_s, rows, summary, kernel, window, failure,
            self._settings.driver, getattr(self._server, "fresh", True), died,
        )  # fmt: skip
        requests = requests_frame(self._planned, rows)
        timeline = timeline_frame(self._planned, rows.start_ns, observations)
        if failure is None and summary is not None:
            failure = summary.failure
        return TrialResult(trial, requests, timeline, failure)

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

    def _load_ns(self) -> tuple[int, int]:
        """When load was to begin and to end, on this machine's monotonic clock."""
        start_ns = self._log.header[L.START_NS]
        return start_ns, start_ns + int(self._settings.duration_s * 1e9)

    def _warm_up(self) -> None:
        self._sampler.wait_ready()
        limit_s = self._settings.warmup_s + self._settings.timeout_s + READY_S
        limit_s += self._settings.worker_wait_s or 0.0
        self._generator.must_say(limit_s)
        self._rest(self._control.report())

    def _failure(self, error: ProcessDied | ControlLost) -> tuple[str, Died | None]:
        """What ended the trial, in words, and whose end it was. A server that is gone takes the
        others with it; one that runs on and is silent has not died."""
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
