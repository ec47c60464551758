"""A server of any kind, seen from outside: started by a command, or one that runs already."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import select
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns
from types import TracebackType
from typing import Protocol, Self

import psutil

from harness.core.closing import Closing
from harness.core.errors import LabError, ServerRefused
from harness.core.record import ServerSettings, Settings
from harness.machine.child_process import ProcessDied
from harness.machine.cpus import CpuPlan
from harness.machine.outside.look import Look, Missing
from harness.machine.outside.observed import ObservedProcess, start_command
from harness.targets.arm import Arm
from harness.targets.start import Address, server_arguments

HOST = "127.0.0.1"
STOP_S = 8.0  # for a server to finish what it accepted
_OWN_READY_S = 20.0
_LOOK_S = 0.02  # between two tries to connect: a port that opens tells nobody
_CONNECT_S = 2.0
# Below what the system gives to connections that choose no port, so that none has it by chance.
_PORTS = (10_240, 32_000)
_TRIES = 50
_COUNTED = ("threads", "cpu_ns", "switches", "births", "processes_born", "rss_bytes", "peak_bytes")
_NOT_OURS = "the server was not started by the lab, which cannot look at it"


class OutsideServer(Protocol):
    """A server that is seen from outside. `where`: its name in a sentence."""

    host: str
    port: int
    where: str
    fresh: bool

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def look(self, memory: bool = False) -> Look:
        """Its use of the machine so far. Raises `ProcessDied`."""

    def clear_peak(self) -> None:
        """Its peak of memory counts from now on."""

    def count_events(self, on: bool) -> None:
        """Begin or end counting switches and births, at rest. Raises `ProcessDied`."""

    def alive(self, grace_s: float = 0.0) -> bool:
        """Whether it still runs, as far as is known."""

    def died(self) -> ProcessDied:
        """Its end, in words."""

    def drain(self) -> None:
        """Let it finish, and end it, where it is ours to end."""


@dataclass(frozen=True, slots=True)
class _Command:
    """A command, filled in."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None
    ready: str | None
    ready_timeout_s: float


class StartedServer(Closing):
    """A server that was started by its command, and has its port. Ended as a whole."""

    fresh = True

    def __init__(self, command: _Command, port: int, cpus: CpuPlan, log: Path) -> None:
        self.host, self.port = HOST, port
        self.where = f"the server {command.name}"
        self._command = command
        self._process: ObservedProcess = start_command(
            command.words, command.environment, command.folder, log, cpus.server, cpus.observers,
            count_events=False, name=f"server {command.name}",
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process.close()

    @property
    def pid(self) -> int:
        """The process of the command."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it printed."""
        return self._process.log_path

    def exit_status(self) -> int | None:
        """How the command ended, negative for a signal; None while it runs."""
        return self._process.exit_status()

    def look(self, memory: bool = False) -> Look:
        """The whole tree's use of the machine so far. Raises `ProcessDied`."""
        return self._process.look(memory)

    def clear_peak(self) -> None:
        """The peak of memory counts from now on."""
        self._process.clear_peak()

    def count_events(self, on: bool) -> None:
        """Begin or end counting switches and births; where it may not, the looks say why."""
        self._process.count_events(on)

    def alive(self, grace_s: float = 0.0) -> bool:
        """Whether any process of the tree lives, `grace_s` from now."""
        return self._process.alive(grace_s)

    def died(self) -> ProcessDied:
        """How it ended, with its last line."""
        return self._process.died()

    def drain(self) -> None:
        """SIGTERM; what has not ended after a while is killed."""
        self._process.stop(STOP_S)

    def _wait(self) -> None:
        """Until it is ready. Raises `ServerRefused`."""
        until_s = monotonic() + self._command.ready_timeout_s
        while True:
            if not self._process.alive():
                raise ServerRefused(self._ended())
            if _accepts(self.port) and self._answers():
                return
            if monotonic() > until_s:
                raise ServerRefused(self._silent())
            select.select([self._process.fileno()], [], [], _LOOK_S)

    def _answers(self) -> bool:
        """Whether it says that it is ready, where it can be asked."""
        if self._command.ready is None:
            return True
        method, _, path = self._command.ready.partition(":")
        asked = http.client.HTTPConnection(HOST, self.port, timeout=_CONNECT_S)
        with contextlib.closing(asked):
            try:
                asked.request(method, path)
                return 200 <= asked.getresponse().status < 300
            except (OSError, http.client.HTTPException):
                return False

    def _ended(self) -> str:
        status, last = self._process.exit_status(), self._process.last_line()
        how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        said = f" and said: {last}" if last else " and said nothing"
        return f"{self.where} ended before it listened ({how}){said}; mend its command"

    def _silent(self) -> str:
        """Why it never became ready, as far as can be seen."""
        limit = f"{self._command.ready_timeout_s:g} s"
        last = self._process.last_line()
        said = f" (its last line: {last})" if last else ""
        if _accepts(self.port):
            return (
                f"{self.where} did not answer --ready {self._command.ready} with a 2xx within "
                f"{limit}{said}; name a path that says so, or raise --ready-timeout"
            )
        others = _listening(self._process.pid)
        if others:
            ports = " and ".join(map(str, others))
            return (
                f"{self.where} listens on port {ports} and not on the one that it was given "
                f"({self.port}); write {{port}} in its command where the port goes, or have it "
                "read PORT"
            )
        return (
            f"{self.where} did not listen on port {self.port} within {limit}{said}; write {{port}} "
            "in its command where the port goes, have it read PORT, or raise --ready-timeout"
        )


class RunningServer(Closing):
    """A server that runs already. What cannot be seen of it is None."""

    fresh = False

    def __init__(self, server: ServerSettings) -> None:
        assert server.url is not None
        self.where = f"the server {server.name}"
        address = Address.parse("--url", server.url.removeprefix("http://"))
        self.host, self.port = address.host, address.port
        try:
            socket.create_connection((self.host, self.port), _CONNECT_S).close()
        except OSError as error:
            raise ServerRefused(
                f"{self.where} does not answer at {server.url} ({error.strerror or error}); is it "
                "up?"
            ) from error

    def close(self) -> None:
        """It is not ours to end."""

    def look(self, memory: bool = False) -> Look:
        """Nothing but when."""
        return unseen()

    def clear_peak(self) -> None:
        """Nothing."""

    def count_events(self, on: bool) -> None:
        """Nothing."""

    def alive(self, grace_s: float = 0.0) -> bool:
        """As far as is known."""
        return True

    def died(self) -> ProcessDied:
        """For whoever asks all the same."""
        return ProcessDied(f"{self.where} is gone", "server")

    def drain(self) -> None:
        """Nothing: it runs on."""


def unseen() -> Look:
    """A look at a server that cannot be looked at."""
    why = Missing(_NOT_OURS, "name its command by --server")
    return Look(t_ns=monotonic_ns(), processes=0, threads=0, missing=dict.fromkeys(_COUNTED, why))


def start_outside(arm: Arm, settings: Settings, cpus: CpuPlan, logs: Path) -> OutsideServer:
    """A fresh server of an arm, or the one that runs. `logs`: the folder for what it prints. Raises
    `LabError`: `ServerRefused` where it would not start, or is not there."""
    if arm.server is not None and arm.server.url is not None:
        return RunningServer(arm.server)
    port, workers = free_port(), arm.workers or settings.workers
    command = (
        _foreign(arm.server, port, workers) if arm.server else _ours(arm, settings, cpus, port)
    )
    logs.mkdir(exist_ok=True)
    log = logs / f"{_file_name(arm)}.log"
    try:
        return StartedServer(command, port, cpus, log)
    except ServerRefused:
        raise
    except LabError as error:
        raise ServerRefused(f"--server {command.name}: {error}") from error


def _foreign(server: ServerSettings, port: int, workers: int) -> _Command:
    def filled(text: str) -> str:
        return text.replace("{port}", str(port)).replace("{workers}", str(workers))

    own = {name: filled(value) for name, value in server.environment.items()}
    return _Command(
        server.name,
        [filled(word) for word in server.command],
        {**os.environ, "PORT": str(port), **own},
        Path(server.folder) if server.folder else None,
        server.ready,
        server.ready_timeout_s,
    )


def _ours(arm: Arm, settings: Settings, cpus: CpuPlan, port: int) -> _Command:
    """One of our own, by a command like any other: observed by the same instrument."""
    arguments, source = server_arguments(arm, settings, cpus), arm.source
    python, folder, environment = sys.executable, None, dict(os.environ)
    if source is not None:
        arguments = source.accepted(arguments)
        python, folder, environment = source.python, source.where, source.environment()
    words = [python, "-P", "-m", "servers", *arguments, f"--port={port}"]
    return _Command(arm.name or arm.backend, words, environment, folder, None, _OWN_READY_S)


def _file_name(arm: Arm) -> str:
    name = arm.name or arm.backend
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return f"{arm.slot + 1}-{kept.strip('.') or 'server'}"


def free_port() -> int:
    """A port that nobody has, on any address. Raises `LabError`."""
    for _ in range(_TRIES):
        port = random.randint(*_PORTS)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("", port))
            except OSError:
                continue
            return port
    raise LabError("no free port was found for a server; end what listens on so many")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), _CONNECT_S).close()
    except OSError:
        return False
    return True


def _listening(pid: int) -> list[int]:
    """The ports on which a process or one that it started listens."""
    try:
        root = psutil.Process(pid)
        found = [
            connection.laddr.port
            for process in (root, *root.children(recursive=True))
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
    except (psutil.Error, OSError):
        return []
    return sorted(set(found))
