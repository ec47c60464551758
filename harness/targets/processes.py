"""The three processes of a trial: server, generator, sampler.

Each is started in a session of its own, so that Ctrl-C reaches the lab alone, and each ends by
itself when its standard input closes, so that none outlives the lab, however it dies.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import msgspec

from harness.core.errors import ServerRefused
from harness.machine.child_process import START_S, ChildProcess, ProcessDied
from harness.targets.sampler import PAUSED, Observation

_STOP_S = 8.0


class ServerReady(msgspec.Struct, frozen=True):
    """The first line of a server."""

    backend: str
    pid: int
    host: str
    port: int
    control_port: int
    control_host: str = "127.0.0.1"


class ServerProcess(ChildProcess):
    """A fresh server. `arguments` are those of `python -m servers`, without the address; `folder`
    and `environment` are where and with what it runs, when not where the lab does."""

    def __init__(
        self,
        arguments: list[str],
        python: str = sys.executable,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # -P: a folder of the same name where the lab is run must not shadow the package.
        command = [python, "-P", "-m", "servers", *arguments]
        command += ["--port", "0", "--exit-with-parent"]
        super().__init__("server", command, folder=folder, environment=environment)
        try:
            self.ready = msgspec.json.decode(self.must_say(START_S), type=ServerReady)
        except (ProcessDied, msgspec.MsgspecError) as error:
            last = self.last_words()
            self.stop()
            raise ServerRefused(last or str(error)) from error

    def alive(self, grace_s: float = 0.0) -> bool:
        """Whether it is still running, `grace_s` from now: the sockets of a process that is killed
        close a moment before it has ended."""
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return True
        return False

    def last_words(self) -> str:
        """The last line on standard error; that it was ready says nothing about its end."""
        last = super().last_words()
        return "" if " is ready: " in last else last

    def drain(self) -> int:
        """SIGTERM, and wait for it to finish what it accepted; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self.stop()


class SamplerProcess(ChildProcess):
    """The sampler of one server; its lines are kept until they are asked for."""

    def __init__(self, server: ServerReady, cpus: frozenset[int], elsewhere: bool = False) -> None:
        pid = 0 if elsewhere else server.pid  # its number says nothing on this machine
        command = [sys.executable, "-P", "-m", "harness.targets.sampler", str(pid)]
        command += [server.control_host, str(server.control_port)]
        command += [",".join(map(str, sorted(cpus)))]
        super().__init__("sampler", command)
        self.observations: list[Observation] = []

    def wait_ready(self) -> None:
        """Until it may be told to begin. Raises `ProcessDied`."""
        self.must_say(START_S)

    def collect(self) -> list[Observation]:
        """All that it has seen so far, without waiting."""
        while True:
            try:
                line = self.wait_for_line(0.0)
            except ProcessDied:
                return self.observations  # the server went, and the sampler with it
            if line is None:
                return self.observations
            self.observations.append(msgspec.json.decode(line, type=Observation))

    def pause(self) -> list[Observation]:
        """Let it stop looking, until it is told to go on; what it has seen since it last was.
        Raises `ProcessDied`."""
        self.tell(b"pause")
        while (line := self.must_say(_STOP_S)) != PAUSED:
            self.observations.append(msgspec.json.decode(line, type=Observation))
        seen, self.observations = self.observations, []
        return seen

    def finish(self) -> list[Observation]:
        """Let it end; all that it has seen. Killed when it does not end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        until_s = monotonic() + _STOP_S
        try:
            while (left_s := until_s - monotonic()) > 0:
                line = self.wait_for_line(left_s)
                if line is not None:
                    self.observations.append(msgspec.json.decode(line, type=Observation))
        except ProcessDied:
            return self.observations  # it has closed its output: that was all
        self.process.kill()
        return self.observations
