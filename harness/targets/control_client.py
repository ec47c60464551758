"""A client of a server's control port."""

from __future__ import annotations

import http.client
import os
import time

import msgspec

from harness.core.closing import Closing
from servers.access import CONTROL_HEADER, TOKEN_VARIABLE
from servers.report import Report
from servers.restart import Restart
from servers.tracing import Trace


class ControlLost(Exception):
    """The control port did not answer, or not with a report."""


class RestartNotAllowed(Exception):
    """The server stays as it is; why, in its own words."""


def token_header() -> dict[str, str]:
    """The header that shows LABRUN_TOKEN, where there is one."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    return {"Authorization": f"Bearer {token}"} if token else {}


class ControlClient(Closing):
    """One kept connection to a control port. `timeout_s` bounds each call.

    `elsewhere`: it is another machine's, which wants to see the token.
    """

    def __init__(
        self, host: str, port: int, timeout_s: float = 5.0, elsewhere: bool = False
    ) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._where = f"{host}:{port}"
        # What no page of a browser can send. A server of an older commit does not look at it.
        self._headers = {CONTROL_HEADER: "1"} | (token_header() if elsewhere else {})

    def close(self) -> None:
        self._connection.close()

    def report(self) -> Report:
        """Everything the server knows of itself. Raises `ControlLost`."""
        return self._ask("GET", "/report")

    def open_window(self) -> Report:
        """Begin a measured window; the report at its start. Raises `ControlLost`."""
        return self._ask("POST", "/window")

    def trace(self) -> Trace:
        """The requests that a server with `--trace` has kept. Raises `ControlLost`."""
        status, body = self._exchange("GET", "/trace")
        try:
            return msgspec.json.decode(body, type=Trace)
        except msgspec.MsgspecError as error:
            raise ControlLost(f"{self._where} keeps no trace: it answered {status}") from error

    def wait_until_idle(self, timeout_s: float) -> Report:
        """Ask until no request is in progress, or `timeout_s` is over; the last report."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            report = self.report()
            if report.counters.in_progress <= 0 or time.monotonic() > deadline_s:
                return report
            # The server has no way to tell; between looks it must get on with its work.
            time.sleep(0.02)

    def restart(self, order: Restart) -> None:
        """Let a fresh server take this one's place, which takes a moment.

        Raises `RestartNotAllowed` and `ControlLost`; ValueError with the reason for an order that
        the server cannot carry out.
        """
        status, body = self._exchange("POST", "/restart", msgspec.json.encode(order))
        self._connection.close()
        if status in (403, 404):
            raise RestartNotAllowed(body.decode("utf-8", "replace").strip())
        if status != 202:
            raise ValueError(body.decode("utf-8", "replace").strip())

    def may_restart(self) -> bool:
        """Whether this server would be replaced if asked; nothing is. Raises `ControlLost`."""
        status, _ = self._exchange("POST", "/restart", b"{}")
        return status not in (403, 404)

    def _ask(self, method: str, path: str) -> Report:
        status, body = self._exchange(method, path)
        try:
            return msgspec.json.decode(body, type=Report)
        except msgspec.MsgspecError as error:
            self._connection.close()
            raise ControlLost(
                f"{self._where} is no control port of a MetricStream: {method} {path} was answered "
                f"{status} without a report"
            ) from error

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            found = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ControlLost(f"the control port {self._where} did not answer: {reason}") from error
        if found[0] == 401:
            raise ControlLost(
                f"the control port {self._where} refused the token; set {TOKEN_VARIABLE} to what "
                "it was in the server's environment"
            )
        if found[0] == 421:
            raise ControlLost(f"the control port {self._where} says: {_detail(found[1])}")
        return found


def _detail(body: bytes) -> str:
    """The sentence of a problem document."""
    try:
        return str(msgspec.json.decode(body, type=dict[str, object])["detail"])
    except (msgspec.MsgspecError, KeyError):
        return body.decode("utf-8", "replace").strip()
