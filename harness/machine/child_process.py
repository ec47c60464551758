"""A process of its own that speaks in lines and does not outlive the lab."""

from __future__ import annotations

import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from harness.core.closing import Closing
from harness.core.errors import LabError

START_S = 20.0  # for a process to say its first line


class ProcessDied(Exception):
    """A process of a trial ended before its time, or did not answer; says what it said last.

    `whose`: the name of the process (`server`, `generator`, `locust`, `sampler`, ...).
    """

    def __init__(self, said: str, whose: str) -> None:
        super().__init__(said)
        self.whose = whose


class ChildProcess(Closing):
    """A child process that speaks in lines and dies with this one. `leave_s`: how long it may take
    to take its leave of others, once standard input is closed, before it is killed."""

    leave_s = 0.0

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

    def close(self) -> None:
        """End it."""
        self.stop()

    def stop(self) -> int:
        """End it, kindly if it lets us; its exit status."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(self.leave_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._errors.close()
        return status

    @property
    def output(self) -> IO[bytes]:
        """What it says, to wait for."""
        assert self.process.stdout is not None
        return self.process.stdout

    def tell(self, line: bytes) -> None:
        """Write one line to it. Raises `ProcessDied` when it is gone."""
        assert self.process.stdin is not None
        unwritten = memoryview(line + b"\n")
        try:
            while unwritten:  # a pipe takes what it has room for, and gevent does not wait for more
                unwritten = unwritten[self.process.stdin.write(unwritten) or 0 :]
        except BrokenPipeError as error:
            raise self.died() from error

    def wait_for_line(self, timeout_s: float) -> bytes | None:
        """Its next line, or None when there is none within `timeout_s`. Raises `ProcessDied`."""
        while b"\n" not in self._buffered:
            if not select.select([self.output], [], [], timeout_s)[0]:
                return None
            data = self.output.read(65536)
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
        """How it ended, in words: its exit status or signal, and its last line."""
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
