"""A server: listening socket, acceptor, backend, housekeeper, and how they start and stop."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
import time
from collections import Counter
from types import FrameType

from servers.acceptor import Acceptor
from servers.access import TOKEN_VARIABLE, Access
from servers.backend import Backend
from servers.control import encode
from servers.housekeeper import Housekeeper
from servers.keeping import Keeping
from servers.options import KEEP_ALIVE, ServerOptions, plain, reported
from servers.rate_limit import TokenBuckets
from servers.report import (
    Counters,
    Process,
    Report,
    Sample,
    gil_is_enabled,
    process_usage,
    prometheus,
    read_process,
)
from servers.request_path import RequestPath
from servers.restart import CannotRestart, Restart, read_restart
from servers.telemetry import Telemetry, count_rows, stage_figures

log = logging.getLogger("servers")

# A drain ends this much later than the deadline of what was accepted last, so that a request at
# its deadline still gets its 408.
DRAIN_GRACE_S = 0.5
_CUT_OFF_S = 0.5  # for threads to notice that their connections were cut off
_OFFERED = b"GET /report, /sample and /metrics; POST /window and /restart\n"


class CannotListen(Exception):
    """The address that a server was asked to listen on cannot be had."""


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket. Raises `CannotListen` with one sentence that says what to do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        # The server closes first, so its port is full of TIME_WAIT after a run; without this a
        # restart would find the address in use for a minute. It never shares a live listener.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on {host} port {port}: {reason}; "
            "stop what uses it or take another (--port 0 finds a free one)"
        ) from error
    return sock


class Server:
    """One backend behind one listening socket. `run` is the life of the process."""

    def __init__(self, options: ServerOptions, backend_class: type[Backend]) -> None:
        self.options = options
        self.telemetry = Telemetry()
        self._limiter = TokenBuckets(options.rate_limit_per_s)
        self.restart: Restart | None = None  # what is to be started after this one
        # Kept open, so that there is a report even when descriptors have run out.
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self.listener = listen(options.host, options.port, options.backlog)
        self.control = listen(options.control_host, options.control_port, 64)
        self._housekeeper = Housekeeper(
            self.control,
            self._respond,
            Access(self.control.getsockname()[1], options.control_host, self._needed_token()),
            self._parent_gone if options.exit_with_parent else None,
        )
        self._keeping = (
            Keeping(options.idle_deadline_s, options.request_deadline_s)
            if options.connections == KEEP_ALIVE
            else None
        )
        self.acceptor = Acceptor(
            self.listener,
            options.backlog,
            int(options.request_deadline_s * 1e9),
            self._housekeeper.linger,
            keeps=self._keeping is not None,
        )
        self._path = RequestPath(
            self._limiter, self._housekeeper.linger, options.workload, self._keeping
        )
        self.backend = backend_class(options, self._path, self.telemetry)

    def _needed_token(self) -> bytes | None:
        """The token that the control port asks for; None on loopback. Raises `CannotListen`."""
        if is_loopback(self.control):
            return None
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise CannotListen(
                f"--control-host {self.options.control_host} leaves this machine, so the control "
                f"port needs a token: set {TOKEN_VARIABLE}, or leave --control-host out"
            )
        return os.fsencode(token)

    # ---- main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Everything up to accepting: after this, clients may connect."""
        if not is_loopback(self.listener):
            log.warning(
                "LISTENING ON %s: anybody who can reach this machine can send to this server",
                self.options.host,
            )
        if not is_loopback(self.control):
            log.warning(
                "THE CONTROL PORT LISTENS ON %s: anybody with the token can read the report",
                self.options.control_host,
            )
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
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
        counters = self._counters()
        abandoned = counters.abandoned + counters.in_progress  # those outlived even the cut-off
        log.info(
            "stopped: accepted %d = answered %d + timed out %d + reset %d + abandoned %d",
            counters.accepted, counters.answered, counters.timed_out, counters.reset, abandoned,
        )  # fmt: skip
        return 1 if abandoned else 0

    def _cut_off(self) -> None:
        """End what a drain left over, and give its threads a moment to notice and count it."""
        self._path.cut_off = True
        for connection in self.backend.abandon():
            if connection.claim():
                self.acceptor.recorder.unanswered(connection, "abandoned")
        end_s = time.monotonic() + _CUT_OFF_S
        while self._counters().in_progress > 0 and time.monotonic() < end_s:
            for connection in self.telemetry.in_progress():
                connection.abort()
            time.sleep(0.01)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler. The first signal drains, the second ends at once."""
        if self.acceptor.stopping:
            os.write(2, b"a second signal: stopped at once, with whatever was in progress\n")
            os._exit(1)
        if self._keeping is not None:
            self._keeping.closing = True
        self.acceptor.stop()

    # ---- housekeeping thread ----------------------------------------------------------------

    def _parent_gone(self) -> None:
        log.error("the parent process is gone; stopping")
        os._exit(1)

    def _respond(self, method: bytes, path: bytes, sent: bytes) -> tuple[int, str, bytes]:
        if (method, path) == (b"GET", b"/sample"):
            return 200, "application/json", encode(self._sample())
        if (method, path) == (b"GET", b"/report"):
            return 200, "application/json", encode(self.report())
        if (method, path) == (b"GET", b"/metrics"):
            return 200, "text/plain; version=0.0.4", prometheus(self.report()).encode()
        if (method, path) == (b"POST", b"/window"):
            self.telemetry.open_window()
            self.backend.open_window()
            return 200, "application/json", encode(self.report())
        if (method, path) == (b"POST", b"/restart"):
            return self._restart(sent)
        if path in (b"/sample", b"/report", b"/metrics", b"/window", b"/restart"):
            return 405, "text/plain", _OFFERED
        return 404, "text/plain", _OFFERED

    def _restart(self, sent: bytes) -> tuple[int, str, bytes]:
        """Begin to drain; what comes after is for the supervisor."""
        if not self.options.supervised:
            return 403, "text/plain", b"not allowed: start the server with --allow-restart\n"
        if (
            self.acceptor.stopping or self.restart is not None
        ):  # a second signal would cut the drain short
            return 409, "text/plain", b"this server is at its end already\n"
        try:
            self.restart = read_restart(sent, self.options.backend)
        except CannotRestart as error:
            return 400, "text/plain", f"{error}\n".encode()
        os.kill(os.getpid(), signal.SIGTERM)
        return 202, "text/plain", b"starting afresh\n"

    def _sample(self) -> Sample:
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
        options = self.options
        rows = self.telemetry.stage_rows()
        return Report(
            backend=options.backend,
            pid=os.getpid(),
            monotonic_ns=time.monotonic_ns(),
            started_ns=self.telemetry.started_ns,
            window_ns=self.telemetry.window_ns,
            gauges=self.backend.gauges(),
            counters=self._counters(),
            process=self._process(),
            stages_us=stage_figures(rows),
            stage_rows=count_rows(rows),
            stage_rows_dropped=self.telemetry.rows_dropped(),
            draining=self.acceptor.stopping,
            settings={
                **reported(options),
                "switch_interval_s": sys.getswitchinterval(),
                "cpus": plain(frozenset(os.sched_getaffinity(0))),
            },
            python_version=sys.version.split()[0],
            gil_enabled=gil_is_enabled(),
        )

    def _counters(self) -> Counters:
        # Accepted is read last: a request that ends meanwhile is then never counted as ended
        # without having been accepted.
        acceptor = self.acceptor
        recorders = [acceptor.recorder, *self.telemetry.recorders()]
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
            clients_tracked=len(self._limiter),
            connections=acceptor.connections,
            idle_connections=len(self.telemetry.idle),
            idle_closed=sum(r.idle_closed for r in recorders),
            accepted=self._accepted(),
        )

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


def is_loopback(listener: socket.socket) -> bool:
    """Whether `listener` can only be reached from this machine: what it is bound to decides, not
    how that was written.
    """
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
