"""Any command as a server, observed from outside and ended as a whole: the lab's side of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from harness.core.closing import Closing
from harness.core.errors import LabError
from harness.core.text import visible
from harness.machine.child_process import START_S, ChildProcess, ProcessDied
from harness.machine.outside.log import last_line
from harness.machine.outside.look import Command, Ended, Look, Missing, Started, Status

_T = TypeVar("_T")
_ANSWER_S = 20.0
_END_S = 10.0  # for the keeper to end all, once it was told to or its input closed
_LOG_BYTES = 16 << 20


class ObservedProcess(Closing):
    """A server by command, with everything that it starts. Made by `start_command`; a context, at
    whose end nothing of it is left. One thread may use it."""

    def __init__(
        self, command: Command, keeper: _Keeper, pid: int, ended_fd: int, name: str
    ) -> None:
        self.pid = pid
        self.name = name
        self.log_path = Path(os.fsdecode(command.log_path))
        self._keeper = keeper
        self._ended_fd = ended_fd
        self._ended: Ended | None = None

    def fileno(self) -> int:
        """A descriptor that is readable once no process of the tree lives."""
        return self._ended_fd

    def alive(self, grace_s: float = 0.0) -> bool:
        """Whether any process of the tree is alive, `grace_s` seconds from now at the latest."""
        if self._ended is not None:
            return False
        return not select.select([self._ended_fd], [], [], grace_s)[0]

    def look(self, memory: bool = False) -> Look:
        """The tree now; with `memory` also what takes longer to find out. After its end: the
        totals. Raises `ProcessDied` when the keeper is gone."""
        return self._ask(b"look memory" if memory else b"look", Look)

    def count_events(self, on: bool) -> Missing | None:
        """Begin or end counting switches, births and ends, at a moment when the server is at rest.
        While it is on, each birth of a thread costs the server something; while it is not, a look
        has none of the five figures. They add up what was counted in all. None, or why it cannot
        be. Raises `ProcessDied`."""
        found = self._ask(b"count on" if on else b"count off", Missing | None)  # type: ignore[arg-type]
        return found if isinstance(found, Missing) else None

    def clear_peak(self) -> Missing | None:
        """`peak_bytes` is of what comes from now on; None, or why it is not. Raises
        `ProcessDied`."""
        found = self._ask(b"clear", Missing | None)  # type: ignore[arg-type]
        return found if isinstance(found, Missing) else None

    def exit_status(self) -> int | None:
        """How the command itself ended, negative for a signal; None while it runs. 0 of a command
        whose tree is alive: it went on in the background. Raises `ProcessDied`."""
        if self._ended is not None:
            return self._ended.exit_status
        return self._ask(b"status", Status).exit_status

    def last_line(self) -> str:
        """The last line that it printed, harmless to look at, or nothing."""
        return last_line(self.log_path)

    def died(self) -> ProcessDied:
        """How it ended, in words: its exit status or signal, and its last line."""
        try:
            status, last = self.exit_status(), self.last_line()
        except ProcessDied as error:
            return error
        said = f"the {self.name} died ({_how(status)})" + (f": {last}" if last else "")
        return ProcessDied(said, self.name)

    def stop(self, grace_s: float) -> Ended:
        """SIGTERM to the command (and to what it left behind, where that has no other parent); who
        is alive `grace_s` seconds later is killed, wherever in the tree it is. Raises
        `ProcessDied` when the keeper is gone."""
        if self._ended is None:
            self._keeper.tell(b"stop %f" % grace_s)
            self._ended = self._answer(Ended, grace_s + _END_S)
            self.close()
        return self._ended

    def _ask(self, order: bytes, kind: type[_T]) -> _T:
        self._keeper.tell(order)
        return self._answer(kind, _ANSWER_S)

    def _answer(self, kind: type[_T], timeout_s: float) -> _T:
        return msgspec.json.decode(self._keeper.must_say(timeout_s), type=kind)

    def close(self) -> None:
        self._keeper.stop()
        if self._ended_fd >= 0:
            os.close(self._ended_fd)
            self._ended_fd = -1
        if self._ended is None:
            self._ended = Ended(exit_status=None, killed=0, left=0, cpu_ns=0, switches=0)


class _Keeper(ChildProcess):
    """The keeper's process, which is given the time to end everything."""

    def stop(self) -> int:
        """Close its input, which makes it end all; its exit status."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._reap()


def start_command(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    log_path: Path,
    cpus: frozenset[int],
    keeper_cpus: frozenset[int] = frozenset(),
    count_events: bool = True,
    name: str = "server",
    log_bytes: int = _LOG_BYTES,
) -> ObservedProcess:
    """Start a command, found on the PATH of `env`, in a session of its own, with nothing to read
    and what it prints appended to `log_path`, of which no more than about `log_bytes` are kept.

    `cpus`: where it may run, empty for anywhere; `keeper_cpus`: where what observes it may.
    `count_events`: whether switches, births and ends are counted from the first on, as
    `ObservedProcess.count_events` does later. Raises `LabError` when it cannot be started.
    """
    ended_fd, theirs = os.pipe()
    command = Command(
        argv=[os.fsencode(word) for word in argv],
        env=[(os.fsencode(key), os.fsencode(value)) for key, value in env.items()],
        cwd=None if cwd is None else os.fsencode(cwd),
        log_path=os.fsencode(log_path.absolute()), log_bytes=log_bytes, cpus=sorted(cpus),
        keeper_cpus=sorted(keeper_cpus), count_events=count_events, ended_fd=theirs,
    )  # fmt: skip
    program = [sys.executable, "-P", "-m", "harness.machine.outside.keeper"]
    try:
        keeper = _Keeper("keeper of the " + name, program, pass_fds=(theirs,))
    except BaseException:
        os.close(ended_fd)
        raise
    finally:
        os.close(theirs)
    try:
        keeper.tell(msgspec.json.encode(command))
        started = msgspec.json.decode(keeper.must_say(START_S), type=Started)
        if started.pid is None:
            raise LabError(_refusal(command, started, name))
    except BaseException as error:
        keeper.stop()
        os.close(ended_fd)
        if isinstance(error, ProcessDied):
            raise LabError(str(error)) from error
        raise
    return ObservedProcess(command, keeper, started.pid, ended_fd, name)


def _refusal(command: Command, started: Started, name: str) -> str:
    """Why it could not be started, as one sentence."""
    if started.failed == "cwd":
        return f"the {name} cannot run in the folder {_shown(command.cwd)}: {started.error}"
    if started.failed == "log":
        return (
            f"what the {name} prints cannot be kept in {_shown(command.log_path)}: {started.error}"
        )
    program = _shown(command.argv[0])
    where = "" if "/" in program else "; is it installed, and on the PATH"
    mark = "?" if where else ""
    return f"cannot start the {name}: {program}: {started.error}{where}{mark}"


def _shown(word: bytes | None) -> str:
    return visible(os.fsdecode(word or b""), keep="")


def _how(status: int | None) -> str:
    if status is None:
        return "its keeper went with it"
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
