"""The control port: the server's own report as JSON, and for Prometheus.

GET  /report    everything, stage times included
GET  /sample    the light report, for asking ten times a second
POST /window    begin a measured window: forget peaks and stage times; answers with the report
POST /restart   end, drained, and start afresh on the same ports; only with --allow-restart
GET  /metrics   Prometheus text format

On loopback everybody on the machine may ask, but no page of a browser (`servers.access`): what
changes something needs `X-Lab-Control: 1`, and so does /sample, which begins a new step. Beyond
loopback a token is needed with each request: `Authorization: Bearer` and what LABRUN_TOKEN was in
the server's environment.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from http import HTTPStatus

import httptools
import msgspec

from servers.access import Access
from servers.problem import PROBLEM_TYPE, Problem
from servers.report import Report

log = logging.getLogger("servers")

# What answers a request: (method, path, body) -> (status, content type, body)
Respond = Callable[[bytes, bytes, bytes], tuple[int, str, bytes]]

_REJECTED = ("queue_full", "no_thread", "rate")
_MAX_REQUEST_BYTES = 16 * 1024
# The sampler sends exactly this, over one kept connection; parsing it ten times a second would
# cost the server more than answering it. No browser can: it would add headers. Unchanged since the
# first version, so that servers of older commits cost as little.
SAMPLE_REQUEST = b"GET /sample HTTP/1.1\r\nHost: control\r\n\r\n"


class ControlConnection:
    """One kept connection to the control port. Housekeeping thread only.

    `access` says who is answered; `trusted` is whether this one has been, so that who only connects
    cannot keep others out.
    """

    def __init__(self, sock: socket.socket, respond: Respond, access: Access) -> None:
        self.trusted = False
        self._sock = sock
        self._respond = respond
        self._access = access
        self._begin()

    def _begin(self) -> None:
        """Ready for the next request."""
        self._url = b""
        self._body = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._received = 0
        self._complete = False
        self._keep = False
        self._parser = httptools.HttpRequestParser(self)

    def readable(self) -> bool:
        """Take in what has come and answer it; False when the connection is to be closed."""
        try:
            data = self._sock.recv(_MAX_REQUEST_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data == SAMPLE_REQUEST and self._received == 0 and self._access.token is None:
            return self._answer(b"GET", b"/sample", b"", keep=True)
        self._received += len(data)
        if not data or self._received > _MAX_REQUEST_BYTES:
            return False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        if not self._complete:
            return True
        keep = self._keep
        method, path = self._parser.get_method(), self._url.partition(b"?")[0]
        sent = self._body
        try:
            self._access.check(method, path, self._headers, self._sock.getsockname()[0])
        except Problem as problem:
            lines = "".join(f"{name}: {value}\r\n" for name, value in problem.headers)
            self._send(problem.status, PROBLEM_TYPE, problem.body(), False, lines)
            return False
        self._begin()
        return self._answer(method, path, sent, keep)

    def _answer(self, method: bytes, path: bytes, sent: bytes, keep: bool) -> bool:
        self.trusted = True
        try:
            status, content_type, body = self._respond(method, path, sent)
        except Exception:  # a backend's own gauges are asked here; the thread must outlive them
            log.exception("the control port could not answer %r", path)
            status, content_type, body = 500, "text/plain", b"see the server's log\n"
        return self._send(status, content_type, body, keep) and keep

    def _send(
        self, status: int, content_type: str, body: bytes, keep: bool, header: str = ""
    ) -> bool:
        """False when the client did not take it."""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{header}"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self._sock.settimeout(1.0)  # a report is small; whoever does not take it is cut off
        try:
            self._sock.sendall(head.encode("ascii") + body)
        except OSError:
            return False
        self._sock.setblocking(False)
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep = self._parser.should_keep_alive()  # it knows until the next message begins


def prometheus(report: Report) -> str:
    """The report in Prometheus text format 0.0.4; what is None is left out."""
    counters, gauges, process = report.counters, report.gauges, report.process
    lines: list[str] = []

    def add(name: str, kind: str, help_text: str, value: float | None, labels: str = "") -> None:
        if value is None:
            return
        header = f"# HELP metricstream_{name} {help_text}\n# TYPE metricstream_{name} {kind}"
        if header not in lines:
            lines.append(header)
        lines.append(f"metricstream_{name}{labels} {value}")

    add("accepted_total", "counter", "Connections accepted.", counters.accepted)
    for status, count in sorted(counters.answered_by_status.items()):
        add("answered_total", "counter", "Responses sent.", count, f'{{status="{status}"}}')
    rejected = {cause: getattr(counters, f"rejected_{cause}") for cause in _REJECTED}
    for cause, count in (counters.rejected_by_backend | rejected).items():
        add("rejected_total", "counter", "Requests that the server said no to.",
            count, f'{{cause="{label(cause)}"}}')  # fmt: skip
    for name, help_text in (
        ("timed_out", "Requests that ended at the deadline without an answer."),
        ("reset", "Connections that the client closed or reset before its answer."),
        ("abandoned", "Requests given up when the server stopped or a thread was killed."),
        ("deadlines_missed", "Requests not complete in time."),
        ("handler_errors", "Handlers that raised."),
        ("dispatch_errors", "Connections that the backend could not dispatch."),
        ("accept_errors", "Failed calls of accept."),
        ("descriptor_episodes", "Times that file descriptors ran out."),
        ("metrics_taken", "Metrics in accepted requests."),
    ):
        add(f"{name}_total", "counter", help_text, getattr(counters, name))
    add("held_seconds_total", "counter", "Time from accept to the end of requests that ended.",
        None if counters.held_ns is None else counters.held_ns / 1e9)  # fmt: skip
    add("in_progress", "gauge", "Connections accepted and not at their end.", counters.in_progress)
    add("clients_tracked", "gauge", "Clients in the rate limiter.", counters.clients_tracked)
    add("threads_created_total", "counter", "Threads created.", gauges.threads_created)
    add("threads_replaced_total", "counter", "Workers replaced.", gauges.threads_replaced)
    add("threads_active", "gauge", "Threads of the backend.", gauges.threads_active)
    add("threads_peak", "gauge", "Most threads at once in this window.", gauges.threads_peak)
    add("queue_depth", "gauge", "Connections waiting for a worker.", gauges.queue_depth)
    add("queue_depth_max", "gauge", "Most waiting in this window.", gauges.queue_depth_max)
    add("cpu_seconds_total", "counter", "CPU time of the process.", process.cpu_us / 1e6)
    add("handler_cpu_seconds_total", "counter", "CPU time in handlers.",
        process.handler_cpu_us / 1e6)  # fmt: skip
    for kind in ("voluntary", "involuntary"):
        add("context_switches_total", "counter", "Context switches of the process.",
            getattr(process, f"{kind}_switches"), f'{{kind="{kind}"}}')  # fmt: skip
    add("resident_bytes", "gauge", "Resident set.", process.rss_bytes)
    add("virtual_bytes", "gauge", "Address space.", process.vms_bytes)
    for stage, figures in report.stages_us.items():
        for quantile, value in (("0.5", figures.p50), ("0.99", figures.p99)):
            add("stage_microseconds", "gauge", "Time of each step of the request path.",
                value, f'{{stage="{stage}",quantile="{quantile}"}}')  # fmt: skip
    return "\n".join(lines) + "\n"


def label(value: str) -> str:
    """`value` as it stands in a label of the text format."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def encode(record: msgspec.Struct) -> bytes:
    """A record as JSON."""
    return msgspec.json.encode(record)
