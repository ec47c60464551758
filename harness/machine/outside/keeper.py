"""The process that a server from outside belongs to: `python -m harness.machine.outside.keeper`.

It starts the command, is the subreaper of all that comes from it, looks at it when it is asked, and
ends it when it is told to or when its own standard input closes, which happens also when the lab is
killed. It reads a `Command` and then orders, each a line, and answers each with a line.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import sys
import time
from typing import NoReturn

import msgspec

from harness.machine.outside.events import RECORDED, CannotCount, Events
from harness.machine.outside.log import BoundedLog
from harness.machine.outside.look import Command, Ended, Look, Missing, Started, Status
from harness.machine.outside.tree import Tree

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LOG_LOOK_S = 0.25  # files tell nobody when they grow
_KILL_S = 5.0
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NOT_COUNTED = Missing("switches, births and ends were not being counted at that time")
_ENDED = Missing("no process of the server is left")
_BORN_MEANWHILE = Missing(
    "the server starts and ends threads while it has nothing to do, so that not all can be found",
    "count from its start",
)
_TRIES = 5
_UNPINNED = Missing(
    "the server has moved itself to CPUs that it was not given, where its switches, births and "
    "ends are not counted",
    "let it keep the CPUs that it is started on",
)
_LIBC = ctypes.CDLL(None, use_errno=True)


class CannotStart(Exception):
    """The command was not executed: what failed (`cwd`, `exec`, `log`), and the error's number."""

    def __init__(self, failed: str, number: int) -> None:
        super().__init__(failed, number)
        self.failed, self.number = failed, number


class Keeper:
    """One server, from its start to its end."""

    def __init__(self, command: Command, signals: int) -> None:
        """Start it. `signals`: readable when a signal has come. Raises `CannotStart`."""
        os.set_inheritable(command.ended_fd, False)
        self._ended_fd: int | None = command.ended_fd
        self._signals = signals
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = self._descriptors[1]  # a thread of the server may take two for each of its CPUs
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._orders = b""
        self._lab_gone = False
        self._cpus = _pinned(command.keeper_cpus, command.cpus)
        try:
            self._log = BoundedLog(command.log_path, command.log_bytes)
        except OSError as error:
            raise CannotStart("log", error.errno or 0) from error
        self._tree = Tree()
        self._events = Events(self._cpus)
        self._not_counted: Missing | None = _NOT_COUNTED
        self._poll = select.poll()
        self._polled: set[int] = set()
        for fd in (0, signals):
            self._poll.register(fd, select.POLLIN)
        self.pid = self._start(command)

    def run(self) -> None:
        """Until it is over, one way or the other."""
        grace_s = None
        while grace_s is None and not self._lab_gone:
            self._wait(_LOG_LOOK_S)
            while b"\n" in self._orders and grace_s is None:
                order, _, self._orders = self._orders.partition(b"\n")
                grace_s = self._obey(order)
        if grace_s is not None:
            self._ask_to_end(grace_s)
        killed, left = self._tree.kill(time.monotonic() + _KILL_S)
        self._log.finish()
        if grace_s is None:
            return  # nobody asked
        _say(
            Ended(
                exit_status=self._tree.statuses.get(self.pid),
                killed=killed,
                left=left,
                cpu_ns=self._tree.reaped_ns,
                switches=self._tree.reaped_switches,
            )
        )

    def _obey(self, order: bytes) -> float | None:
        """Carry out an order; seconds of grace where it is to end everything."""
        what, _, rest = order.partition(b" ")
        if what == b"stop":
            return float(rest)
        if what == b"clear":
            _say(self._tree.clear_peak())
        elif what == b"count":
            self._count(rest == b"on")
            _say(self._not_counted if rest == b"on" else None)
        elif what == b"status":
            _say(Status(self._tree.statuses.get(self.pid)))
        else:
            _say(self._look(memory=rest == b"memory"))
        return None

    def _look(self, memory: bool) -> Look:
        counts = self._counts()  # first, so that what looking takes is not in between
        found = self._tree.look()
        t_ns = time.monotonic_ns()
        figures: dict[str, int | Missing] = {
            "cpu_ns": found.cpu_ns, "rss_bytes": found.rss_bytes, **counts,
        }  # fmt: skip
        if memory:
            figures["pss_bytes"] = self._tree.pss_bytes()
            figures["peak_bytes"] = self._tree.peak_bytes()
        known = {name: value for name, value in figures.items() if isinstance(value, int)}
        return Look(
            t_ns=t_ns, processes=found.processes, threads=found.threads, **known,
            switches_by=None if self._not_counted is not None else self._events.switches_by,
            missing={name: why for name, why in figures.items() if isinstance(why, Missing)},
        )  # fmt: skip

    def _counts(self) -> dict[str, int | Missing]:
        why = self._not_counted
        if why is None and self._tree.unpinned(self._cpus):
            why = _UNPINNED
        if why is not None:
            return dict.fromkeys(("switches", *RECORDED), why)
        return self._events.figures()

    def _count(self, on: bool) -> None:
        """Begin or end counting what the threads do that there are, and those that they start."""
        self._unpoll()
        if self._not_counted is None:
            self._events.detach()
        self._not_counted = _NOT_COUNTED
        if on:
            self._not_counted = self._attach()

    def _attach(self) -> Missing | None:
        """To every thread; None, or why not. A thread that is born meanwhile would be missed or
        counted twice, so that it is tried again."""
        for _ in range(_TRIES):
            threads = self._tree.tids()
            if not threads:
                return _ENDED
            try:
                self._events.attach(threads)
            except CannotCount as error:
                return error.missing
            except ProcessLookupError:
                continue
            if self._tree.tids() == threads:
                self._poll_rings()
                return None
            self._events.detach()
        return _BORN_MEANWHILE

    def _poll_rings(self) -> None:
        for fd in self._events.filenos():
            self._poll.register(fd, select.POLLIN)
            self._polled.add(fd)

    def _unpoll(self) -> None:
        for fd in self._polled:
            self._poll.unregister(fd)
        self._polled.clear()

    def _wait(self, timeout_s: float) -> None:
        """Until something has come, and see to it."""
        for fd, event in self._poll.poll(max(0.0, timeout_s) * 1000):
            if fd == 0:
                self._hear()
            elif fd == self._signals:
                self._reap()
            elif event & select.POLLHUP and fd in self._polled:
                # The thread that it was opened on is gone, so it would never wait again.
                self._poll.unregister(fd)
                self._polled.discard(fd)
        self._events.drain()
        self._log.bound()

    def _hear(self) -> None:
        data = os.read(0, 65536)
        self._orders += data
        self._lab_gone = not data

    def _reap(self) -> None:
        """Signals came: children have ended, or somebody ends this process."""
        sent = os.read(self._signals, 128 * 64)
        self._lab_gone |= any(sent[at] in _ENDS for at in range(0, len(sent), 128))
        if not self._tree.reap() and self._ended_fd is not None:
            os.close(self._ended_fd)
            self._ended_fd = None

    def _ask_to_end(self, grace_s: float) -> None:
        """SIGTERM to whom this process is the parent of, and wait."""
        until_s = time.monotonic() + grace_s
        self._tree.signal(self._tree.roots(), signal.SIGTERM)
        while self._ended_fd is not None and not self._lab_gone:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            self._wait(min(left_s, _LOG_LOOK_S))

    def _start(self, command: Command) -> int:
        """Fork, let the kernel count the child's events, and only then have it execute."""
        go_read, go_write = os.pipe()
        failed_read, failed_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            if os.read(go_read, 1):
                _execute(command, self._log.fd, failed_write, self._descriptors)
            os._exit(127)  # the keeper was killed meanwhile
        os.close(go_read)
        os.close(failed_write)
        if command.count_events:
            self._count(on=True)
        os.write(go_write, b"\n")
        os.close(go_write)
        with os.fdopen(failed_read, "rb") as failed:
            said = failed.read().decode("ascii").split()
        if said:
            os.waitpid(pid, 0)
            raise CannotStart(said[0], int(said[1]))
        return pid


def _execute(command: Command, log: int, failed: int, descriptors: tuple[int, int]) -> NoReturn:
    """In the child: become the command, with its own limit of descriptors, or tell why not."""
    step = "exec"
    try:
        os.setsid()
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        if command.cwd is not None:
            step = "cwd"
            os.chdir(command.cwd)
        if command.cpus:
            _pin(command.cpus)
        step = "exec"
        os.execvpe(command.argv[0], command.argv, dict(command.env))
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a word
        code = error.errno if isinstance(error, OSError) else errno.EINVAL
        os.write(failed, f"{step} {code or 0}".encode("ascii"))
    finally:
        os._exit(127)


def _pin(cpus: list[int]) -> bool:
    """Stay on these CPUs, where that is allowed."""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError:
        return False
    return True


def _pinned(keeper_cpus: list[int], cpus: list[int]) -> frozenset[int]:
    """Pin this process; the CPUs that its server will be on."""
    before = os.sched_getaffinity(0)
    could = bool(cpus) and _pin(cpus)
    there = os.sched_getaffinity(0) if could else range(os.cpu_count() or 1)
    _pin(keeper_cpus or list(before))
    return frozenset(there)


def _signals() -> int:
    """Block the signals that this process is to hear of; a descriptor that tells of them."""
    numbers = (signal.SIGCHLD, *_ENDS)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    mask = ctypes.create_string_buffer(128)  # sigset_t
    word = sum(1 << (number - 1) for number in numbers)
    mask.raw = word.to_bytes(8, sys.byteorder) + bytes(120)
    fd: int = _LIBC.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def _say(what: msgspec.Struct | None) -> None:
    try:
        os.write(1, msgspec.json.encode(what) + b"\n")
    except BrokenPipeError:
        return  # the lab is gone, which standard input tells too


def main() -> int:
    """Keep one server."""
    line = b""
    while not line.endswith(b"\n"):  # no order comes before the answer to this
        data = os.read(0, 65536)
        if not data:
            return 0
        line += data
    command = msgspec.json.decode(line, type=Command)
    signals = _signals()
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        keeper = Keeper(command, signals)
    except CannotStart as error:
        _say(Started(failed=error.failed, error=os.strerror(error.number)))
        return 1
    _say(Started(pid=keeper.pid))
    keeper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
