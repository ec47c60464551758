"""The sampler's process: `python -m harness.targets.sampler PID HOST CONTROL_PORT CPUS`.

From a line on standard input to the next, or to its end, it looks at a server every 100 ms, from
inside (the control port's light report) and from outside (psutil, of all of its processes), and
writes one JSON line each time. It is a process of its own so that neither the drawing of the live
view nor the driver delays it.

A PID of 0 is a server on another machine: there is no looking at it from outside, and its clock
is not ours, so the moment of a report is when it was asked for.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import BinaryIO

import msgspec
import psutil

from harness.machine.family import Family
from harness.machine.kernel import time_wait_sockets
from harness.targets.control_client import token_header
from servers.access import CONTROL_HEADER
from servers.control import SAMPLE_REQUEST
from servers.report import Sample

STEP_S = 0.1
PAUSED = b"paused"


class Observation(msgspec.Struct, frozen=True):
    """One look at a server: its own light report, and what the operating system says."""

    server: Sample
    threads_seen_by_os: int | None
    rss_bytes: int | None
    vms_bytes: int | None
    time_wait: int | None


class LightReports:
    """Asks for the light report over one kept connection. Raises OSError when there is none."""

    def __init__(self, host: str, port: int, elsewhere: bool, patience_s: float = 2.0) -> None:
        self._address = (host, port)
        self._patience_s = patience_s
        self._request = SAMPLE_REQUEST
        self._connect()
        if elsewhere and token_header():  # which only a request that is read as HTTP can show
            headers = {"Host": f"{host}:{port}", CONTROL_HEADER: "1"} | token_header()
            lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
            self._request = f"GET /sample HTTP/1.1\r\n{''.join(lines)}\r\n".encode()

    def _connect(self) -> None:
        self._sock = socket.create_connection(self._address, timeout=self._patience_s)

    def again(self) -> None:
        """Take a new connection: on this one a late answer may still come. Raises OSError."""
        self.close()
        self._connect()

    def close(self) -> None:
        self._sock.close()

    def ask(self) -> Sample:
        """One report. Raises TimeoutError when the server is silent, another OSError when it is
        gone."""
        self._sock.sendall(self._request)
        data = b""
        while True:
            received = self._sock.recv(4096)
            if not received:
                raise ConnectionResetError("the control port closed")
            data += received
            head, _, body = data.partition(b"\r\n\r\n")
            length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
            if length and len(body) >= int(length):
                return msgspec.json.decode(body, type=Sample)


def observe(family: Family | None, reports: LightReports) -> Observation:
    """One look; without processes, at another machine's server. Raises OSError or psutil.Error
    when the server is gone."""
    if family is None:
        asked_ns = time.monotonic_ns()
        sample = reports.ask()
        # Halfway: as likely as not when it was answered.
        moment_ns = (asked_ns + time.monotonic_ns()) // 2
        sample = msgspec.structs.replace(sample, monotonic_ns=moment_ns)
        return Observation(sample, None, None, None, None)
    sample = reports.ask()
    return Observation(sample, *family.look(), time_wait_sockets())


def look(family: Family | None, reports: LightReports) -> Observation | None:
    """`observe`, or None of a server that is silent. Raises OSError or psutil.Error when it is
    gone."""
    try:
        return observe(family, reports)
    except TimeoutError:
        reports.again()
        return None


def run(family: Family | None, reports: LightReports, stop: BinaryIO, out: BinaryIO) -> bool:
    """Observe at each 100 ms step until `stop` has a line or its end; False when the server is gone
    before. One that is silent, as in a stall or under more load than it can take, is asked again.
    """
    next_s = time.monotonic()
    while True:
        try:
            observation = look(family, reports)
        except (OSError, psutil.Error):
            return False  # the server is gone; the lab notices by itself
        if observation is None:
            next_s = time.monotonic()  # what was missed is not made up for
        else:
            out.write(msgspec.json.encode(observation) + b"\n")
            out.flush()
            next_s += STEP_S
        if select.select([stop], [], [], max(0.0, next_s - time.monotonic()))[0]:
            return True


def main(argv: list[str]) -> int:
    """Exit status 0 at the end of standard input."""
    pid, host, port = int(argv[0]), argv[1], int(argv[2])
    if len(argv) > 3:
        os.sched_setaffinity(0, {int(cpu) for cpu in argv[3].split(",")})
    try:
        family = Family(pid) if pid else None
        reports = LightReports(host, port, elsewhere=family is None)
        reports.ask()  # the first one costs more: it is not part of a measured window
    except (OSError, psutil.Error) as error:
        print(f"sampler: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    lines, out = sys.stdin.buffer, sys.stdout.buffer
    while lines.readline():
        if not run(family, reports, lines, out):
            return 0
        if lines.readline():  # told to pause, else it is the end
            out.write(PAUSED + b"\n")
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
