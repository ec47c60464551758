"""What the control port answers, of whoever has one: a server, or the master of several."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
from abc import ABC, abstractmethod

from servers.access import TOKEN_VARIABLE, Access
from servers.control import encode
from servers.housekeeper import Control
from servers.options import ServerOptions, plain, reported
from servers.report import Report, Sample, prometheus
from servers.restart import CannotRestart, Restart, read_restart
from servers.tracing import Trace

log = logging.getLogger("servers")

_OFFERED = b"GET /report, /sample and /metrics; POST /window and /restart\n"


class CannotListen(Exception):
    """The address that a server was asked to listen on cannot be had."""


def listen(host: str, port: int, backlog: int, reuse_port: bool = False) -> socket.socket:
    """A listening socket. `reuse_port`: others of this user may listen there too. Raises
    `CannotListen` with one sentence that says what to do."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        # The server closes first, so its port is full of TIME_WAIT after a run; without this a
        # restart would find the address in use for a minute. It never shares a live listener.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"cannot listen on {host} port {port}: {reason}; "
            "stop what uses it or take another (--port 0 finds a free one)"
        ) from error
    return sock


def is_loopback(listener: socket.socket) -> bool:
    """Whether `listener` can only be reached from this machine: what it is bound to decides, not
    how that was written.
    """
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


class Answers(ABC):
    """The control port of a server or a master, and what is asked there."""

    options: ServerOptions
    restart: Restart | None = None  # what is to be started after this one

    # ---- main thread ------------------------------------------------------------------------

    def open_control(self) -> Control:
        """Listen on the control port. Raises `CannotListen`."""
        options = self.options
        control = listen(options.control_host, options.control_port, 64)
        token = None if is_loopback(control) else self._token()
        access = Access(control.getsockname()[1], options.control_host, token)
        return Control(control, self.respond, access)

    def _token(self) -> bytes:
        """What must be shown beyond loopback. Raises `CannotListen`."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise CannotListen(
                f"--control-host {self.options.control_host} leaves this machine, so the control "
                f"port needs a token: set {TOKEN_VARIABLE}, or leave --control-host out"
            )
        return os.fsencode(token)

    def warn_of_strangers(self, listener: socket.socket, control: socket.socket) -> None:
        """Say which ports others can reach."""
        if not is_loopback(listener):
            log.warning(
                "LISTENING ON %s: anybody who can reach this machine can send to this server",
                self.options.host,
            )
        if not is_loopback(control):
            log.warning(
                "THE CONTROL PORT LISTENS ON %s: anybody with the token can read the report",
                self.options.control_host,
            )

    # ---- housekeeping thread ----------------------------------------------------------------

    def respond(self, method: bytes, path: bytes, sent: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer to a request."""
        if (method, path) == (b"GET", b"/sample"):
            return 200, "application/json", encode(self.sample())
        if (method, path) == (b"GET", b"/report"):
            return 200, "application/json", encode(self.report())
        if (method, path) == (b"GET", b"/metrics"):
            return 200, "text/plain; version=0.0.4", prometheus(self.report()).encode()
        if (method, path) == (b"POST", b"/window"):
            self.open_window()
            return 200, "application/json", encode(self.report())
        trace = self.trace() if (method, path) == (b"GET", b"/trace") else None
        if trace is not None:
            return 200, "application/json", encode(trace)
        if (method, path) == (b"POST", b"/restart"):
            return self._restart(sent)
        if path in (b"/sample", b"/report", b"/metrics", b"/window", b"/restart"):
            return 405, "text/plain", _OFFERED
        return 404, "text/plain", _OFFERED

    def _restart(self, sent: bytes) -> tuple[int, str, bytes]:
        """Begin to drain; what comes after is for the supervisor."""
        if not self.options.supervised:
            return 403, "text/plain", b"not allowed: start the server with --allow-restart\n"
        if self.stopping or self.restart is not None:  # a second signal would cut the drain short
            return 409, "text/plain", b"this server is at its end already\n"
        try:
            self.restart = read_restart(sent, self.options.backend)
        except CannotRestart as error:
            return 400, "text/plain", f"{error}\n".encode()
        os.kill(os.getpid(), signal.SIGTERM)
        return 202, "text/plain", b"starting afresh\n"

    def trace(self) -> Trace | None:
        """What was kept of each request; None where nothing is."""
        return None

    @property
    @abstractmethod
    def stopping(self) -> bool:
        """Whether the drain has begun."""

    @abstractmethod
    def sample(self) -> Sample:
        """The light report."""

    @abstractmethod
    def open_window(self) -> None:
        """A measured window begins: forget peaks and stage times."""

    # ---- any thread -------------------------------------------------------------------------

    @abstractmethod
    def report(self) -> Report:
        """Everything that is known."""

    def settings(self) -> dict[str, str | int | float | bool | None]:
        """What was chosen, and what the process has."""
        return {
            **reported(self.options),
            "switch_interval_s": sys.getswitchinterval(),
            "cpus": plain(frozenset(os.sched_getaffinity(0))),
        }
