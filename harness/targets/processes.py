"""The three processes of a trial: server, generator, sampler.

Each is started in a session of its own, so that Ctrl-C reaches the lab alone, and each ends by
itself when its standard input closes, so that none outlives the lab, however it dies.
"""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Self

import msgspec

from harness.core.errors import LabError, ServerRefused
from harness.drivers.locust.order import LocustOrder, WebOrder, WebReady, WorkerOrder
from harness.drivers.open_loop.worker import Order, Summary
from harness.targets.sampler import Observation

_START_S = 20.0
_STOP_S = 8.0


class ProcessDied(Exception):
    """A process of a trial ended before its time, or did not answer; says what it said last.

    `whose`: the name of the process (`server`, `generator`, `locust`, `sampler`, ...).
    """

    def __init__(self, said: str, whose: str) -> None:
        super().__init__(said)
        self.whose = whose


class _Child:
    """A child process that speaks in lines and dies with this one."""

    def __init__(
        self,
        name: str,
        command: list[str],
        pass_fds: tuple[int, ...] = (),
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._buffered = b""
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=pass_fds,
                cwd=folder,
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise LabError(f"cannot start the {name}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """End it, kindly if it lets us; its exit status."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()
        return status

    def tell(self, line: bytes) -> None:
        """Write one line to it. Raises `ProcessDied` when it is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
        except BrokenPipeError as error:
            raise self.died() from error

    def wait_for_line(self, timeout_s: float) -> bytes | None:
        """Its next line, or None when there is none within `timeout_s`. Raises `ProcessDied`."""
        assert self.process.stdout is not None
        while b"\n" not in self._buffered:
            if not select.select([self.process.stdout], [], [], timeout_s)[0]:
                return None
            data = self.process.stdout.read(65536)
            if not data:
                raise self.died()
            self._buffered += data
        line, _, self._buffered = self._buffered.partition(b"\n")
        return line

    def must_say(self, timeout_s: float) -> bytes:
        """Its next line. Raises `ProcessDied` when it does not come in time."""
        line = self.wait_for_line(timeout_s)
        if line is None:
            raise ProcessDied(f"the {self.name} did not answer within {timeout_s:g} s", self.name)
        return line

    def died(self) -> ProcessDied:
        """What to say of its end."""
        try:
            status = self.process.wait(2.0)
        except subprocess.TimeoutExpired:
            return ProcessDied(f"the {self.name} closed its output without ending", self.name)
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        if status < 0:
            how = signal.Signals(-status).name
        last = self.last_words()
        said = f"the {self.name} died ({how})" + (f": {last}" if last else "")
        return ProcessDied(said, self.name)

    def last_words(self) -> str:
        """The last line that it wrote to standard error, or nothing."""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""


class ServerReady(msgspec.Struct, frozen=True):
    """The first line of a server."""

    backend: str
    pid: int
    host: str
    port: int
    control_port: int
    control_host: str = "127.0.0.1"


class ServerProcess(_Child):
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
            self.ready = msgspec.json.decode(self.must_say(_START_S), type=ServerReady)
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

    def drain(self) -> int:
        """SIGTERM, and wait for it to finish what it accepted; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self.stop()


class GeneratorProcess(_Child):
    """The load generator, given its order."""

    def __init__(self, order: Order) -> None:
        fds = tuple(fd for fd in (order.warmup_fd, order.measured_fd) if fd is not None)
        command = [sys.executable, "-P", "-m", "harness.drivers.open_loop.worker"]
        super().__init__("generator", command, pass_fds=fds)
        self.tell(msgspec.json.encode(order))

    def summary(self, line: bytes) -> Summary:
        """Its last line."""
        return msgspec.json.decode(line, type=Summary)


class LocustProcess(GeneratorProcess):
    """Locust in the generator's place: the same ledger, the same words."""

    def __init__(self, order: LocustOrder) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run"]
        _Child.__init__(self, "locust", command, pass_fds=(order.measured_fd,))
        self.tell(msgspec.json.encode(order))


class DistantWorker(_Child):
    """A Locust worker for one trial of a lab on another machine."""

    def __init__(self, order: WorkerOrder) -> None:
        command = [sys.executable, "-P", "-m", "harness.drivers.locust.run", "--distant"]
        super().__init__("locust worker", command)
        self.tell(msgspec.json.encode(order))

    def until_its_end(self) -> tuple[int, str]:
        """Its exit status and what it said last."""
        status = self.process.wait()
        return status, self.last_words()


class LocustPage(_Child):
    """Locust's web page. Raises `LabError` when there can be none."""

    def __init__(self, order: WebOrder) -> None:
        super().__init__("locust page", [sys.executable, "-P", "-m", "harness.drivers.locust.web"])
        try:
            self.tell(msgspec.json.encode(order))
            self.url = msgspec.json.decode(self.must_say(_START_S), type=WebReady).url
        except ProcessDied as error:
            last = self.last_words()
            self.stop()
            raise LabError(last or str(error)) from error


class SamplerProcess(_Child):
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
        self.must_say(_START_S)

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
