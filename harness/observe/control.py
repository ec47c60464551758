"""A client of a server's control port."""

from __future__ import annotations

import http.client
import time
from types import TracebackType
from typing import Self

import msgspec

from servers.report import Report


class ControlLost(Exception):
    """The control port did not answer, or not with a report."""


class ControlClient:
    """One kept connection to a control port. `timeout_s` bounds each call."""

    def __init__(self, host: str, port: int, timeout_s: float = 5.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._where = f"{host}:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def report(self) -> Report:
        """Everything the server knows of itself. Raises `ControlLost`."""
        return self._ask("GET", "/report")

    def open_window(self) -> Report:
        """Begin a measured window; the report at its start. Raises `ControlLost`."""
        return self._ask("POST", "/window")

    def wait_until_idle(self, timeout_s: float) -> Report:
        """Ask until no request is in progress, or `timeout_s` is over; the last report."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            report = self.report()
            if report.counters.in_progress <= 0 or time.monotonic() > deadline_s:
                return report
            # The server has no way to tell; between looks it must get on with its work.
            time.sleep(0.02)

    def _ask(self, method: str, path: str) -> Report:
        try:
            self._connection.request(method, path)
            body = self._connection.getresponse().read()
            return msgspec.json.decode(body, type=Report)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            self._connection.close()
            raise ControlLost(f"the control port {self._where} did not answer: {error}") from error
