"""A server: listening socket, acceptor loop, backend, housekeeper, and how they start and stop."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from types import FrameType

from servers.access import TOKEN_VARIABLE, Access
from servers.backend import Backend, Overloaded
from servers.connection import AnswerTimedOut, ClientLeft, Connection
from servers.control import encode
from servers.housekeeper import Housekeeper
from servers.message import problem_response
from servers.options import ServerOptions, plain, reported
from servers.problem import Problem
from servers.rate_limit import TokenBuckets
from servers.report import (
    Counters,
    Process,
    Report,
    Sample,
    process_usage,
    prometheus,
    read_process,
)
from servers.request_path import RequestPath
from servers.restart import CannotRestart, Restart, read_restart
from servers.telemetry import Recorder, Telemetry, count_rows, stage_figures

log = logging.getLogger("servers")

# A drain ends this much later than the deadline of what was accepted last, so that a request at
# its deadline still gets its 408.
DRAIN_GRACE_S = 0.5
_CUT_OFF_S = 0.5  # for threads to notice that their connections were cut off
_ACCEPT_BACKOFF_S = 0.05
_ACCEPT_WAIT_US = 250_000
_EPISODE_GAP_NS = 1_000_000_000  # out of descriptors again after this long is a new episode
_OFFERED = b"GET /report, /sample and /metrics; POST /window and /restart\n"
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


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
        self._acceptor = Recorder()  # of the connections that never reach a handler
        self._accepted = 0
        self._rejected = {"queue_full": 0, "no_thread": 0}  # and what a backend adds
        self._dispatch_errors = 0
        self._accept_errors = 0
        self._descriptor_episodes = 0
        self._out_of_descriptors_ns = -_EPISODE_GAP_NS  # when accept was last tried again
        self._stopping = False
        self._stopping_ns = 0
        self.restart: Restart | None = None  # what is to be started after this one
        self._deadline_ns = int(options.request_deadline_s * 1e9)
        # Kept open, so that there is a report even when descriptors have run out.
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._handler_may_return = threading.Event()
        self.listener = listen(options.host, options.port, options.backlog)
        # A signal that comes just before accept() begins to wait would not interrupt it; this does.
        wait = struct.pack("@ll", 0, _ACCEPT_WAIT_US)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self.control = listen(options.control_host, options.control_port, 64)
        self._housekeeper = Housekeeper(
            self.control,
            self._respond,
            Access(self.control.getsockname()[1], options.control_host, self._needed_token()),
            self._parent_gone if options.exit_with_parent else None,
        )
        self._path = RequestPath(
            self._limiter,
            self._housekeeper.linger,
            options.workload.runner(),
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
        self._accept_loop()
        self.listener.close()
        return self._drain()

    def _accept_loop(self) -> None:
        """Until a signal. Then, once, whatever the kernel's backlog already holds: the signal
        handler makes the listener non-blocking, so that an empty backlog ends the loop.
        """
        left = self.options.backlog
        while left > 0:
            try:
                sock, address = self.listener.accept()
            except BlockingIOError:
                if self._stopping:
                    return
                continue
            except OSError as error:
                if self._accept_failed(error):
                    continue
                return
            now_ns = time.monotonic_ns()
            connection = Connection(sock, address[0], now_ns, now_ns + self._deadline_ns)
            self._accepted += 1
            try:
                self.backend.dispatch(connection)
            except BaseException as error:  # whatever a backend does, the acceptor outlives it
                self._not_dispatched(connection, error)
            if self._stopping:
                left -= 1

    def _accept_failed(self, error: OSError) -> bool:
        """Count it; where the system is out of something, wait for it to come back.

        False when the server is stopping and nothing has come back for a request's time.
        """
        self._accept_errors += 1
        if error.errno not in _OUT_OF_RESOURCES:
            return True  # this one connection failed (say, reset while it waited); the next may not
        now_ns = time.monotonic_ns()
        # At the limit each connection that ends lets one in: that is still the same episode.
        new_episode = now_ns - self._out_of_descriptors_ns > _EPISODE_GAP_NS
        if new_episode:
            self._descriptor_episodes += 1
            log.error(
                "cannot accept: %s; waiting for it to pass (raise the limit with ulimit -n)",
                error.strerror,
            )
        # Nothing tells when a descriptor comes back, so this looks again from time to time.
        time.sleep(_ACCEPT_BACKOFF_S)
        # After the pause: one that took long, on a machine that stood still, ends no episode.
        self._out_of_descriptors_ns = time.monotonic_ns()
        return not (self._stopping and now_ns - self._stopping_ns > self._deadline_ns)

    def _not_dispatched(self, connection: Connection, error: BaseException) -> None:
        """Say no at once, without waiting for the client: 503 or 500, half-close, hand over."""
        handed_over = not connection.claim()  # before it raised: its answer comes from there
        if isinstance(error, Overloaded) and not handed_over:
            counter = str(error.counter)
            self._rejected[counter] = self._rejected.get(counter, 0) + 1
            problem = Problem(503, f"The server is at its limit: {error}.", (("Retry-After", "1"),))
        else:
            log.error("the backend could not dispatch; the client gets 500", exc_info=error)
            self._dispatch_errors += 1
            problem = Problem(500, "The server made a mistake; its log says more.")
        if handed_over:
            return
        try:
            connection.send(problem_response(problem))
        except ClientLeft:
            self._acceptor.ended(connection)
            self._acceptor.reset += 1
            connection.sock.close()
        except AnswerTimedOut:
            self._acceptor.ended(connection)
            self._acceptor.timed_out += 1
            connection.sock.close()
        else:
            self._acceptor.answered(problem.status, connection)
            self._housekeeper.linger(connection.sock)

    def _drain(self) -> int:
        """Finish what was accepted, within the deadline; close the rest. The exit status.

        The control port answers until this is over; the last line of the log has the sum.
        """
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
                self._acceptor.ended(connection)
                self._acceptor.abandoned += 1
                connection.sock.close()
        end_s = time.monotonic() + _CUT_OFF_S
        while self._counters().in_progress > 0 and time.monotonic() < end_s:
            for connection in self.telemetry.in_progress():
                connection.abort()
            time.sleep(0.01)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler. The first signal drains, the second ends at once."""
        if self._stopping:
            os.write(2, b"a second signal: stopped at once, with whatever was in progress\n")
            os._exit(1)
        self._stopping = True
        self._stopping_ns = time.monotonic_ns()
        # A blocked accept() is interrupted by the signal and tried again by Python; on a
        # non-blocking listener the second try fails when there is nobody left to accept.
        os.set_blocking(self.listener.fileno(), False)

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
        if self._stopping or self.restart is not None:  # a second signal would cut the drain short
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
            accepted=self._accepted,
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
            draining=self._stopping,
            settings={
                **reported(options),
                "switch_interval_s": sys.getswitchinterval(),
                "cpus": plain(frozenset(os.sched_getaffinity(0))),
            },
        )

    def _counters(self) -> Counters:
        # Accepted is read last: a request that ends meanwhile is then never counted as ended
        # without having been accepted.
        recorders = [self._acceptor, *self.telemetry.recorders()]
        rejected = self._rejected.copy()
        by_status: dict[str, int] = {}
        for recorder in recorders:
            for status, count in recorder.statuses.copy().items():
                by_status[str(status)] = by_status.get(str(status), 0) + count
        return Counters(
            answered=sum(by_status.values()),
            answered_by_status=by_status,
            rejected_queue_full=rejected.pop("queue_full"),
            rejected_no_thread=rejected.pop("no_thread"),
            rejected_by_backend=rejected,
            rejected_rate=by_status.get("429", 0),
            timed_out=sum(r.timed_out for r in recorders),
            reset=sum(r.reset for r in recorders),
            abandoned=sum(r.abandoned for r in recorders),
            deadlines_missed=sum(r.deadlines_missed for r in recorders),
            handler_errors=sum(r.handler_errors for r in recorders),
            accept_errors=self._accept_errors,
            descriptor_episodes=self._descriptor_episodes,
            metrics_taken=sum(r.metrics for r in recorders),
            dispatch_errors=self._dispatch_errors,
            held_ns=sum(r.held_ns for r in recorders),
            clients_tracked=len(self._limiter),
            accepted=self._accepted,
        )

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
