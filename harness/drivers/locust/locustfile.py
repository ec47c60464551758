"""Users of a MetricStream server for Locust: `locust -f locustfile.py --host http://HOST:PORT`.

100 of them (`-u 100`) with 20 requests a second each are the load that the design document speaks
of. Two classes do the same: `MetricStreamUser` goes through Locust's FastHttpUser, as most locust
files do; `MetricStreamSocketUser` speaks HTTP over a bare socket, which costs a third of the CPU.
Both open a connection for each request, as the lab's own generator does. `--bad-share 0.05` makes
one in twenty requests a bad one; a bad request that is turned down with a 4xx is no failure.

Each is a closed loop: a user waits for its answer before it sends again, so what a stalled server
keeps waiting is missing from the figures. The lab itself runs these classes with
`labrun compare --driver locust`, where `environment.lab` holds the window that is measured.

gevent's own sockets make two watchers and call connect() twice for each connection; with a
connection for each request that is a fourth of a client's CPU. A socket of `Exchanges` gets one
watcher, when it first has to wait: on loopback that is once, for the answer.
"""

from __future__ import annotations

import _socket
import argparse
import errno
import itertools
import random
from functools import lru_cache
from time import monotonic_ns, perf_counter, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gevent import Timeout, get_hub, getcurrent, socket
from geventhttpclient.response import HTTPParseError
from locust import FastHttpUser, User, constant_throughput, events, task
from locust.exception import StopTest

from harness.drivers import request_log as L
from harness.drivers.payloads import make_bodies
from harness.drivers.response import classify

if TYPE_CHECKING:
    from harness.drivers.locust.window import Window

_READ, _WRITE = 1, 2
_READ_BYTES = 65_536
_IP_BIND_ADDRESS_NO_PORT = 24
_KIND = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
_NOT_YET = (errno.EAGAIN, errno.ENOTCONN, errno.EINPROGRESS)
RATE_PER_USER = 20.0  # requests a second: the document's 2,000 RPS by 100 users
TIMEOUT_S = 30.0
_BODIES = 1000
_TURNED_DOWN = (400, 422)
_classified = lru_cache(maxsize=64)(classify)  # answers are much the same
_NUMBERS = itertools.count()


class Exchanges:
    """The exchanges of one user (a greenlet), one after the other, each within `timeout_s`.

    `source`: the address to send from (None: the system's choice).
    """

    def __init__(self, address: tuple[str, int], source: str | None, timeout_s: float) -> None:
        self._address = address
        self._source = source
        self._hub = get_hub()
        self._loop = self._hub.loop
        self._timer = self._loop.timer(timeout_s, timeout_s)  # started anew for each exchange
        self._user = getcurrent()
        self.connected_ns: int | None = None

    def run(self, request: bytes) -> bytes:
        """Connect, send, read to the end. `connected_ns` is then when the connection was there, by
        the monotonic clock. Raises OSError, and gevent's Timeout."""
        self.connected_ns = None
        self._timer.again(self._give_up)
        sock = _socket.socket(_socket.AF_INET, _KIND)
        try:
            if self._source is not None:
                sock.setsockopt(_socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._source, 0))
            self._connect_and_send(sock, request)
            return self._read(sock)
        finally:
            sock.close()
            self._timer.stop()

    def _give_up(self) -> None:
        """In the hub: the exchange has had its time."""
        self._user.throw(Timeout(None))

    def _connect_and_send(self, sock: _socket.socket, request: bytes) -> None:
        failed = sock.connect_ex(self._address)
        if failed and failed != errno.EINPROGRESS:
            raise OSError(failed, "connect")
        sent = 0
        while sent < len(request):
            tried_ns = monotonic_ns()
            try:
                sent += sock.send(request[sent:] if sent else request)
            except OSError as error:
                if error.errno not in _NOT_YET:
                    raise
                self._wait(sock, _WRITE)
                continue
            if self.connected_ns is None:
                self.connected_ns = tried_ns  # what send() itself takes is no connecting

    def _read(self, sock: _socket.socket) -> bytes:
        data = b""
        self._wait(sock, _READ)  # an answer is never there at once
        while True:
            try:
                piece = sock.recv(_READ_BYTES)
            except BlockingIOError:
                self._wait(sock, _READ)
                continue
            if not piece:
                return data
            data += piece

    def _wait(self, sock: _socket.socket, event: int) -> None:
        watcher = self._loop.io(sock.fileno(), event)
        try:
            self._hub.wait(watcher)
        finally:
            watcher.close()


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; give one from 0 to 1, as 0.05")
    return share


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: Any) -> None:
    parser.add_argument("--bad-share", type=_share, default=0.0, metavar="SHARE",
                        help="share of requests that are bad on purpose, 0 to 1")  # fmt: skip


class PacedUser(User):
    """The base of both classes: when to send, what to send, and the account."""

    abstract = True
    wait_time = constant_throughput(RATE_PER_USER)

    def on_start(self) -> None:
        """Locust: this user begins."""
        self.number = next(_NUMBERS)
        self.window: Window | None = getattr(self.environment, "lab", None)
        if self.window is None:
            bad_share = getattr(self.environment.parsed_options, "bad_share", 0.0)
            self.bodies = make_bodies(_BODIES, self.number, bad_share)
            self.client_id = f"user-{self.number}"
        else:
            self.bodies = [self.window.body]
            self.client_id = f"client-{self.window.worker}-{self.number}"
        self.chance = random.Random(self.number)

    @task
    def send_metrics(self) -> None:
        """One request; in a trial of the lab's all of them, each when it is due."""
        window = self.window
        if window is None:
            self.post(self.chance.choice(self.bodies))
            return
        while True:  # until the window raises StopUser; Locust's own way round costs 20 us
            intended_ns = window.admit(self.number)
            sent_ns = monotonic_ns()
            connected_ns, code = self.post(self.bodies[0])
            window.record(self.number, intended_ns, sent_ns, connected_ns, monotonic_ns(), code)

    def post(self, body: bytes) -> tuple[int | None, int]:
        """Send `body` and wait for the answer: when the connection was there (monotonic clock, in
        nanoseconds; None: not known), and the outcome's code as in the lab's request log."""
        raise NotImplementedError


class MetricStreamUser(FastHttpUser, PacedUser):
    """By FastHttpUser (geventhttpclient), which does not tell when a connection was there."""

    host = "http://127.0.0.1:8080"
    connection_timeout = TIMEOUT_S
    network_timeout = TIMEOUT_S
    max_retries = 0
    max_redirects = 0

    def post(self, body: bytes) -> tuple[int | None, int]:
        """Through Locust's client, which tells Locust's statistics of it."""
        headers = {"Content-Type": "application/json", "X-Client-Id": self.client_id,
                   "Connection": "close"}  # fmt: skip
        with self.client.post(
            "/metrics", data=body.decode(), headers=headers, catch_response=True
        ) as answer:
            if answer.status_code in _TURNED_DOWN and self.window is None:
                answer.success()
            return None, _code(answer.status_code, getattr(answer, "error", None))


class MetricStreamSocketUser(PacedUser):
    """By a bare gevent socket."""

    host = "http://127.0.0.1:8080"
    timeout_s = TIMEOUT_S

    def on_start(self) -> None:
        """Locust: this user begins."""
        super().on_start()
        found = urlsplit(self.host or "")
        if found.scheme != "http" or not found.hostname:
            raise StopTest(f"--host {self.host}: give http://HOST:PORT")
        address = (socket.gethostbyname(found.hostname), found.port or 80)
        source = None if self.window is None else self.window.source_address(self.number)
        self.exchanges = Exchanges(address, source, self.timeout_s)
        self.head = (
            f"POST /metrics HTTP/1.1\r\nHost: {found.netloc}\r\nX-Client-Id: {self.client_id}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\nContent-Length: "
        ).encode("latin-1")

    def post(self, body: bytes) -> tuple[int | None, int]:
        """An exchange; Locust's statistics hear of it where the lab does not keep its own."""
        began_s, start_time, data = perf_counter(), time(), b""
        failure: BaseException | None = None
        try:
            data = self.exchanges.run(b"%b%d\r\n\r\n%b" % (self.head, len(body), body))
            code, _ = _classified(data)
        except (OSError, Timeout) as error:
            failure, code = error, _code(0, error)
        if self.window is None:
            outcome, status = code % L.DETAIL, code // L.DETAIL
            if outcome != L.OK and failure is None and status not in _TURNED_DOWN:
                failure = OSError(f"{L.OUTCOME_NAMES[outcome]} {status or ''}".rstrip())
            self.environment.events.request.fire(
                request_type="POST", name="/metrics", context={}, start_time=start_time,
                response_time=(perf_counter() - began_s) * 1e3, response_length=len(data),
                exception=failure,
            )  # fmt: skip
        return self.exchanges.connected_ns, code


def _code(status: int, error: BaseException | None) -> int:
    """The outcome of an exchange that ended with `status`, or without one by `error`."""
    if status == 202:
        return L.OK + L.DETAIL * status
    if status:
        return (L.REJECTED if status in (429, 503) else L.HTTP_ERROR) + L.DETAIL * status
    if isinstance(error, TimeoutError | Timeout):
        return L.TIMEOUT
    if isinstance(error, HTTPParseError):
        return L.BAD_RESPONSE
    return L.REFUSED if isinstance(error, ConnectionRefusedError) else L.RESET
