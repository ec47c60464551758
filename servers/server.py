"""A server: listening socket, acceptor, backend, housekeeper, and how they start and stop."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NamedTuple, Protocol

import msgspec

from servers.acceptor import Acceptor, Linger
from servers.answers import Answers, listen
from servers.backend import Backend
from servers.housekeeper import Housekeeper
from servers.keeping import Keeping
from servers.options import KEEP_ALIVE, ServerOptions
from servers.rate_limit import TokenBuckets
from servers.report import (
    Counters,
    Process,
    Report,
    Sample,
    gil_is_enabled,
    process_usage,
    read_process,
)
from servers.request_path import RequestPath
from servers.signals import hear_stops, stop_at_once
from servers.telemetry import Recorder, Telemetry, count_rows, stage_figures
from servers.tracing import Trace, TracedPath, TraceLog

log = logging.getLogger("servers")

# A drain ends this much later than the deadline of what was accepted last, so that a request at
# its deadline still gets its 408.
DRAIN_GRACE_S = 0.5
MAIN_THREAD_FIRST_S = 0.05  # to begin to stop, before the housekeeper does it
CUT_OFF_S = 0.5  # for threads to notice that their connections were cut off


class Place(NamedTuple):
    """What a server works with that it may share with others: the socket that it accepts on, its
    counts, the buckets of its clients."""

    listener: socket.socket
    telemetry: Telemetry
    limiter: TokenBuckets
    make_acceptor: Callable[[socket.socket, int, int, Linger, bool], Acceptor] = Acceptor


def alone(options: ServerOptions) -> Place:
    """The place of a server that shares nothing. Raises `CannotListen`."""
    listener = listen(options.host, options.port, options.backlog)
    return Place(listener, Telemetry(), TokenBuckets(options.rate_limit_per_s))


class Server(Answers):
    """One backend behind one listening socket. `run` is the life of the process."""

    def __init__(
        self, options: ServerOptions, backend_class: type[Backend], place: Place | None = None
    ) -> None:
        self.options = options
        # Kept open, so that there is a report even when descriptors have run out.
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self.listener, self.telemetry, self._limiter, make_acceptor = place or alone(options)
        self._housekeeper = self._make_housekeeper()
        self._stops = 0  # signals to stop that were heard
        self._stop_begun = threading.Lock()  # taken once, never given back
        self._keeping = (
            Keeping(options.idle_deadline_s, options.request_deadline_s)
            if options.connections == KEEP_ALIVE
            else None
        )
        self.acceptor = make_acceptor(
            self.listener,
            options.backlog,
            int(options.request_deadline_s * 1e9),
            self._housekeeper.linger,
            self._keeping is not None,
        )
        self._trace = None if options.trace is None else TraceLog(options.trace)
        self._path = self._request_path()
        self.backend = backend_class(options, self._path, self.telemetry)

    def _make_housekeeper(self) -> Housekeeper:
        """With the control port. Raises `CannotListen`."""
        control = self.open_control()
        self.control: socket.socket | None = control.listener
        return Housekeeper(control, self._parent_gone if self.options.exit_with_parent else None)

    def _request_path(self) -> RequestPath:
        """The one that keeps no trace, unless it is asked for."""
        limiter, linger = self._limiter, self._housekeeper.linger
        if self._trace is None:
            return RequestPath(limiter, linger, self.options.workload, self._keeping)
        return TracedPath(limiter, linger, self.options.workload, self._trace)

    # ---- main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Everything up to accepting: after this, clients may connect."""
        if self.control is not None:
            self.warn_of_strangers(self.listener, self.control)
        self._heard = hear_stops(self._stop)
        self._housekeeper.watch(self._heard.read_end, self._signalled)
        self._housekeeper.start()
        self.backend.start()

    def run(self) -> int:
        """Accept until told to stop, then drain; the exit status of the process."""
        self.backend.serve(self.acceptor)
        self.listener.close()
        return self._drain()

    def _drain(self) -> int:
        """Finish what was accepted, within the deadline; close the rest. The exit status.

        The control port answers until this is over; the last line of the log has the sum.
        """
        self.backend.let_go()
        if not self.backend.drain(self.options.request_deadline_s + DRAIN_GRACE_S):
            self._cut_off()
        self._housekeeper.stop()
        return self._last_account()

    def _last_account(self) -> int:
        return last_account(self.counters())

    def _cut_off(self) -> None:
        """End what a drain left over, and give its threads a moment to notice and count it."""
        self._path.cut_off = True
        for connection in self.backend.abandon():
            if connection.claim():
                self.acceptor.recorder.unanswered(connection, "abandoned")
        end_s = time.monotonic() + CUT_OFF_S
        while self.counters().in_progress > 0 and time.monotonic() < end_s:
            for connection in self.telemetry.in_progress():
                connection.abort()
            time.sleep(0.01)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: drain."""
        self._begin_to_stop()

    def _begin_to_stop(self) -> None:
        """Signal handler, or housekeeper: who comes first does it, and is never waited for."""
        if not self._stop_begun.acquire(blocking=False):
            return
        if self._keeping is not None:
            self._keeping.closing = True
        self.acceptor.stop()

    # ---- housekeeping thread ----------------------------------------------------------------

    def _signalled(self) -> None:
        """The first signal drains, the second ends at once: here, since the main thread hears of a
        signal only after what it waits for. That is rare, and it is quicker where it waits in
        accept(), which the signal itself has ended; so it has a moment to do it."""
        self._stops += len(self._heard.stops())
        if self._stops > 1:
            self._stop_again()
        elif self._stops:
            self._housekeeper.later(MAIN_THREAD_FIRST_S, self._begin_to_stop)

    def _stop_again(self) -> None:
        stop_at_once()

    def _parent_gone(self) -> None:
        log.error("the parent process is gone; stopping")
        os._exit(1)

    @property
    def stopping(self) -> bool:
        return self.acceptor.stopping

    def open_window(self) -> None:
        self.telemetry.open_window()
        self.backend.open_window()
        if self._trace is not None:
            self._trace.open_window()

    def trace(self) -> Trace | None:
        return None if self._trace is None else self._trace.trace()

    def sample(self) -> Sample:
        usage = process_usage()
        gauges = self.backend.gauges()
        threads_step_peak, queue_step_max = self.backend.step_peaks()
        return Sample(
            monotonic_ns=time.monotonic_ns(),
            accepted=self._accepted(),
            cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6),
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            threads_created=gauges.threads_created,
            threads_active=gauges.threads_active,
            threads_step_peak=threads_step_peak,
            queue_depth=gauges.queue_depth,
            queue_step_max=queue_step_max,
        )

    # ---- any thread -------------------------------------------------------------------------

    def report(self) -> Report:
        """Everything the server knows of itself."""
        rows = self.telemetry.stage_rows()
        return msgspec.structs.replace(
            self.report_without_stages(),
            stages_us=stage_figures(rows),
            stage_rows=count_rows(rows),
        )

    def report_without_stages(self) -> Report:
        """The report but for the stage times, which take longest to sum up."""
        return Report(
            backend=self.options.backend,
            pid=os.getpid(),
            monotonic_ns=time.monotonic_ns(),
            started_ns=self.telemetry.started_ns,
            window_ns=self.telemetry.window_ns,
            gauges=self.backend.gauges(),
            counters=self.counters(),
            process=self._process(),
            stages_us={},
            stage_rows=0,
            stage_rows_dropped=self.telemetry.rows_dropped(),
            draining=self.acceptor.stopping,
            settings=self.settings(),
            python_version=sys.version.split()[0],
            gil_enabled=gil_is_enabled(),
        )

    def counters(self) -> Counters:
        """The requests so far."""
        handlers, telemetry = self.telemetry.recorders(), self.telemetry
        return count(self.acceptor, handlers, len(self._limiter), len(telemetry.idle))

    def _accepted(self) -> int:
        """Requests accepted: by the acceptor, and on connections that stay by handlers."""
        if self._keeping is None:
            return self.acceptor.accepted
        begun = sum(recorder.begun for recorder in self.telemetry.recorders())
        return self.acceptor.accepted + begun

    def _process(self) -> Process:
        return read_process(
            self._status,
            handler_cpu_us=sum(r.handler_cpu_ns for r in self.telemetry.recorders()) // 1000,
            housekeeping_cpu_us=self._housekeeper.cpu_us,
            housekeeping_switches=self._housekeeper.switches,
            stack_size_bytes=self.options.stack_size_bytes,
        )


class Accepting(Protocol):
    """What an acceptor counts. Of one in this process it goes on."""

    @property
    def recorder(self) -> Recorder: ...
    @property
    def accepted(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def dispatch_errors(self) -> int: ...
    @property
    def accept_errors(self) -> int: ...
    @property
    def descriptor_episodes(self) -> int: ...


def count(
    acceptor: Accepting,
    handlers: Sequence[Recorder],
    clients_tracked: int,
    idle_connections: int = 0,
) -> Counters:
    """The requests so far, of an acceptor and of all recorders of handlers."""
    # Accepted is read last: a request that ends meanwhile is then never counted as ended
    # without having been accepted.
    recorders = [acceptor.recorder, *handlers]
    by_status: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for recorder in recorders:
        by_status.update({str(code): n for code, n in recorder.statuses.copy().items()})
        rejected.update(recorder.rejected.copy())
    return Counters(
        answered=sum(by_status.values()),
        answered_by_status=dict(by_status),
        rejected_queue_full=rejected.pop("queue_full", 0),
        rejected_no_thread=rejected.pop("no_thread", 0),
        rejected_by_backend=dict(rejected),
        rejected_rate=by_status.get("429", 0),
        timed_out=sum(r.timed_out for r in recorders),
        reset=sum(r.reset for r in recorders),
        abandoned=sum(r.abandoned for r in recorders),
        deadlines_missed=sum(r.deadlines_missed for r in recorders),
        handler_errors=sum(r.handler_errors for r in recorders),
        accept_errors=acceptor.accept_errors,
        descriptor_episodes=acceptor.descriptor_episodes,
        metrics_taken=sum(r.metrics for r in recorders),
        dispatch_errors=acceptor.dispatch_errors,
        held_ns=sum(r.held_ns for r in recorders),
        clients_tracked=clients_tracked,
        connections=acceptor.connections,
        idle_connections=idle_connections,
        idle_closed=sum(r.idle_closed for r in recorders),
        # By the acceptor, and on connections that stay by handlers.
        accepted=acceptor.accepted + sum(r.begun for r in recorders),
    )


def last_account(counters: Counters) -> int:
    """The last line of the log, and the exit status: 1 where requests were given up."""
    abandoned = counters.abandoned + counters.in_progress  # those outlived even the cut-off
    log.info(
        "stopped: accepted %d = answered %d + timed out %d + reset %d + abandoned %d",
        counters.accepted, counters.answered, counters.timed_out, counters.reset, abandoned,
    )  # fmt: skip
    return 1 if abandoned else 0
