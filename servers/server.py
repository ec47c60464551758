"""A server: listening socket, acceptor loop, backend, housekeeper, and how they start and stop."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

from servers.backend import Backend, Overloaded
from servers.connection import AnswerTimedOut, ClientLeft, Connection
from servers.control import encode, prometheus
from servers.housekeeper import Housekeeper
from servers.message import problem_response
from servers.options import ServerOptions
from servers.problem import Problem
from servers.rate_limit import TokenBuckets
from servers.report import Counters, Process, Report, Sample
from servers.request_path import RequestPath
from servers.telemetry import ROW_WIDTH, Recorder, Telemetry, process_usage, stage_figures

log = logging.getLogger("servers")

DRAIN_S = 5.0
_ACCEPT_BACKOFF_S = 0.05
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
        self._rejected = {"queue_full": 0, "no_thread": 0}
        self._accept_errors = 0
        self._descriptor_episodes = 0
        self._out_of_descriptors = False
        self._abandoned = 0
        self._stopping = False
        self._handler_may_return = threading.Event()
        self.listener = listen(options.host, options.port, options.backlog)
        self.control = listen("127.0.0.1", options.control_port, 64)
        self._housekeeper = Housekeeper(
            self.control,
            self._respond, self._parent_gone if options.exit_with_parent else None
        )
        path = RequestPath(
            self._limiter,
            self._housekeeper.linger,
            options.workload.runner(),
            options.stage_clocks,
        )
        self.backend = backend_class(options, path, self.telemetry)

    # ---- main thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Everything up to accepting: after this, clients may connect."""
        if not ipaddress_is_loopback(self.options.host):
            log.warning(
                "LISTENING ON %s: anybody who can reach this machine can send to this server",
                self.options.host,
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
        handler makes the listener non-blocking, so that an empty backlog ends the loop."""
        left = self.options.backlog
        while left > 0:
            try:
                sock, address = self.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(error)
                continue
            connection = Connection(sock, address[0], time.monotonic_ns())
            self._accepted += 1
            self._out_of_descriptors = False
            try:
                self.backend.dispatch(connection)
            except Overloaded as overloaded:
                self._reject(connection, overloaded)
            if self._stopping:
                left -= 1

    def _accept_failed(self, error: OSError) -> None:
        """Count it; where the system is out of something, wait for it to come back."""
        self._accept_errors += 1
        if error.errno not in _OUT_OF_RESOURCES:
            return  # this one connection failed (say, reset while it waited); the next may not
        if not self._out_of_descriptors:
            self._out_of_descriptors = True
            self._descriptor_episodes += 1
            log.error(
                "cannot accept: %s; waiting for it to pass (raise the limit with ulimit -n)",
                error.strerror,
            )
        # Nothing tells when a descriptor comes back, so this looks again from time to time.
        time.sleep(_ACCEPT_BACKOFF_S)

    def _reject(self, connection: Connection, overloaded: Overloaded) -> None:
        """Say no at once, without waiting for the client: 503, half-close, hand over."""
        self._rejected[overloaded.counter] += 1
        problem = Problem(503, f"The server is at its limit: {overloaded}.", (("Retry-After", "1"),))
        try:
            connection.send(problem_response(problem))
        except ClientLeft:
            self._acceptor.reset += 1
            connection.sock.close()
        except AnswerTimedOut:
            self._acceptor.timed_out += 1
            connection.sock.close()
        else:
            self._acceptor.answered(503)
            self._housekeeper.linger(connection.sock)

    def _drain(self) -> int:
        """Finish what was accepted, within the deadline; close the rest. The exit status."""
        finished = self.backend.drain(DRAIN_S)
        if not finished:
            left = self.backend.abandon()
            for connection in left:
                connection.sock.close()
            cut_off = self.telemetry.in_progress()
            for connection in cut_off:
                connection.abort()
            self._abandoned += len(left) + len(cut_off)
        self._housekeeper.stop()
        counters = self._counters()
        log.info(
            "stopped: accepted %d, answered %d, abandoned %d",
            counters.accepted, counters.answered, counters.abandoned,
        )  # fmt: skip
        return 1 if counters.abandoned else 0

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler. The first signal drains, the second ends at once."""
        if self._stopping:
            os._exit(1)
        self._stopping = True
        # A blocked accept() is interrupted by the signal and tried again by Python; on a
        # non-blocking listener the second try fails when there is nobody left to accept.
        os.set_blocking(self.listener.fileno(), False)

    # ---- housekeeping thread ----------------------------------------------------------------

    def _parent_gone(self) -> None:
        log.error("the parent process is gone; stopping")
        os._exit(1)

    def _respond(self, method: bytes, path: bytes) -> tuple[int, str, bytes]:
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
        if path in (b"/sample", b"/report", b"/metrics", b"/window"):
            return 405, "text/plain", b"GET /report, /sample and /metrics; POST /window\n"
        return 404, "text/plain", b"GET /report, /sample and /metrics; POST /window\n"

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
            stage_rows=len(rows) // ROW_WIDTH,
            stage_rows_dropped=self.telemetry.rows_dropped(),
            draining=self._stopping,
            settings={
                "workers": options.workers,
                "queue_size": options.queue_size,
                "stack_size_bytes": options.stack_size_bytes,
                "backlog": options.backlog,
                "rate_limit_per_s": options.rate_limit_per_s,
                "workload": str(options.workload),
                "switch_interval_s": sys.getswitchinterval(),
                "lock_stacks": options.lock_stacks,
                "cpus": ",".join(map(str, sorted(os.sched_getaffinity(0)))),
            },
        )

    def _counters(self) -> Counters:
        # Accepted is read last: a request that ends meanwhile is then never counted as ended
        # without having been accepted.
        recorders = [self._acceptor, *self.telemetry.recorders()]
        by_status: dict[str, int] = {}
        for recorder in recorders:
            for status, count in list(recorder.statuses.items()):
                by_status[str(status)] = by_status.get(str(status), 0) + count
        return Counters(
            answered=sum(by_status.values()),
            answered_by_status=by_status,
            rejected_queue_full=self._rejected["queue_full"],
            rejected_no_thread=self._rejected["no_thread"],
            rejected_rate=by_status.get("429", 0),
            timed_out=sum(r.timed_out for r in recorders),
            reset=sum(r.reset for r in recorders),
            abandoned=self._abandoned + sum(r.abandoned for r in recorders),
            deadlines_missed=sum(r.deadlines_missed for r in recorders),
            handler_errors=sum(r.handler_errors for r in recorders),
            accept_errors=self._accept_errors,
            descriptor_episodes=self._descriptor_episodes,
            metrics_taken=sum(r.metrics for r in recorders),
            clients_tracked=len(self._limiter),
            accepted=self._accepted,
        )

    def _process(self) -> Process:
        usage = process_usage()
        memory = memory_bytes()
        return Process(
            cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6),
            handler_cpu_us=sum(r.handler_cpu_ns for r in self.telemetry.recorders()) // 1000,
            housekeeping_cpu_us=self._housekeeper.cpu_us,
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            housekeeping_switches=self._housekeeper.switches,
            minor_faults=usage.ru_minflt,
            rss_bytes=memory["VmRSS"],
            rss_peak_bytes=memory["VmHWM"],
            vms_bytes=memory["VmSize"],
            vms_peak_bytes=memory["VmPeak"],
            stack_size_bytes=self.options.stack_size_bytes,
        )


def memory_bytes() -> dict[str, int]:
    """The lines of /proc/self/status that end in kB, in bytes.

    Not ru_maxrss: that one starts from the resident set of whoever started this process.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        lines = [line.split() for line in file if line.endswith(" kB\n")]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def ipaddress_is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
