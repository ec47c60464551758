"""All processes below this one: found, added up, signalled, reaped.

This process is their subreaper (prctl(2)): whose parent ends becomes its child, so that nobody
leaves the tree, whatever sessions and double forks it goes through.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from dataclasses import dataclass

from harness.machine.outside.look import Missing

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PASSES = 5
_CLEAR_PEAK = b"5"  # proc(5), /proc/PID/clear_refs
_OFTEN = Missing(
    "processes of the server end faster than their CPU time can be added up",
    "compare its whole life (the exit account), or let it keep its processes",
)
_UNWAITED = Missing(
    "a process of the server ignores SIGCHLD, and the kernel adds the CPU time of its ended "
    "children to nobody",
    "let it wait for its children",
)


@dataclass(slots=True)
class _Member:
    """A process of the tree by its open `/proc/PID/stat`, which stays its own when its number is
    given to another."""

    pid: int
    stat: int
    parent: int


@dataclass(frozen=True, slots=True)
class _Stat:
    """Of proc(5): `threads` that have not ended, CPU time of children that it has reaped."""

    parent: int
    threads: int
    children_ns: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Sum:
    """The tree at one moment, as `Look` has it; `cpu_ns` or the reason why not."""

    processes: int
    threads: int
    cpu_ns: int | Missing
    rss_bytes: int


class _Gone(Exception):
    """A process has ended and been reaped."""


class Tree:
    """The descendants of this process, which has SIGCHLD blocked. One thread may use it."""

    def __init__(self) -> None:
        self._members: dict[int, _Member] = {}  # parents before their children
        self._strangers: dict[int, int] = {}  # by number: the inode of /proc/PID
        self._unwaited = False
        self.statuses: dict[int, int] = {}  # of those reaped; negative for a signal
        self.reaped_ns = 0
        self.reaped_switches = 0

    def reap(self) -> bool:
        """Take leave of all children that have ended. False: there is no process left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.statuses[pid] = os.waitstatus_to_exitcode(status)
            self.reaped_ns += _cpu_ns(usage)
            self.reaped_switches += usage.ru_nvcsw + usage.ru_nivcsw
            self._forget(pid)

    def look(self) -> Sum:
        """Find all and add up."""
        found = None
        for _ in range(_PASSES):
            self.reap()
            self._find()
            try:
                found = self._add_up()
                break
            except _Gone:
                continue
        if found is None:
            found = self._add_up(strict=False)
        return found

    def pids(self) -> list[int]:
        """All that have not ended, parents first."""
        self._find()
        alive = []
        for member in list(self._members.values()):
            try:
                if _read(member.stat).threads:
                    alive.append(member.pid)
            except _Gone:
                self._drop(member)
        return alive

    def tids(self) -> list[int]:
        """All threads that have not ended, processes parents first."""
        found: list[int] = []
        for pid in self.pids():
            try:
                found += sorted(map(int, os.listdir(f"/proc/{pid}/task")))
            except FileNotFoundError:
                continue
        return found

    def roots(self) -> list[int]:
        """Those whose parent is this process: the command, and what it left behind."""
        self._find()
        found = []
        for member in self._members.values():
            try:
                if _read(member.stat).parent == os.getpid():
                    found.append(member.pid)
            except _Gone:
                continue
        return found

    def signal(self, pids: list[int], number: int) -> int:
        """Send it; how many may not be sent a signal, being another user's."""
        refused = 0
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
            except PermissionError:
                refused += 1
        return refused

    def kill(self, until_s: float) -> tuple[int, int]:
        """SIGKILL to all, until no process is left or the monotonic clock says `until_s`: how many
        were killed, and how many are left because they are not ours to kill."""
        killed: set[int] = set()
        refused = 0
        while self.reap():
            alive = self.pids()
            refused = self.signal(alive, signal.SIGKILL)
            killed |= set(alive)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return len(killed) - refused, len(self.pids())
            signal.sigtimedwait([signal.SIGCHLD], min(left_s, 0.05))
        return len(killed), 0

    def unpinned(self, cpus: frozenset[int]) -> bool:
        """Whether a process may run elsewhere than on `cpus`."""
        for pid in self._members:
            try:
                if not os.sched_getaffinity(pid) <= cpus:
                    return True
            except OSError:
                continue
        return False

    def pss_bytes(self) -> int | Missing:
        """Resident memory, shared pages divided among those who have them."""
        return self._kilobytes("smaps_rollup", b"Pss:")

    def peak_bytes(self) -> int | Missing:
        """The highest resident memory of each, added up."""
        return self._kilobytes("status", b"VmHWM:")

    def clear_peak(self) -> Missing | None:
        """The highest resident memory is from now on; None, or why it is not."""
        self._find()
        for pid in list(self._members):
            try:
                with open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
                    file.write(_CLEAR_PEAK)
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError as error:
                return Missing(
                    f"the kernel does not let /proc/PID/clear_refs be written ({error.strerror}), "
                    "so the peak is since the server's start",
                    "run as the server's user on a kernel with CONFIG_PROC_PAGE_MONITOR",
                )
        return None

    def _kilobytes(self, name: str, key: bytes) -> int | Missing:
        total = 0
        for pid in list(self._members):
            try:
                with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError) as error:
                if os.path.exists(f"/proc/{pid}/stat") and isinstance(error, FileNotFoundError):
                    return Missing(f"this kernel has no /proc/PID/{name}", None)
                continue
            except OSError as error:
                return Missing(
                    f"/proc/PID/{name} of the server may not be read ({error.strerror})",
                    "run the lab as the user that the server runs as, or as root",
                )
            at = text.find(key)
            if at >= 0:  # one that has ended and is not reaped yet has no memory
                total += int(text[at + len(key) :].split(None, 1)[0]) * 1024
        return total

    def _add_up(self, strict: bool = True) -> Sum:
        """One pass, parents first: a child that its parent reaps meanwhile is then gone when it is
        its turn (`_Gone`), and never counted twice."""
        processes = threads = rss = 0
        cpu_ns = self.reaped_ns
        for member in list(self._members.values()):
            try:
                stat = _read(member.stat)
                cpu_ns += time.clock_gettime_ns(~member.pid << 3 | 2) + stat.children_ns
            except (_Gone, OSError) as error:
                self._drop(member)
                if strict:
                    raise _Gone from error
                continue
            processes += stat.threads > 0
            threads += stat.threads
            rss += stat.rss_bytes
        cpu: int | Missing = cpu_ns if strict else _OFTEN
        return Sum(processes, threads, _UNWAITED if self._unwaited else cpu, rss)

    def _find(self) -> None:
        """Look for processes that are new."""
        new: dict[int, tuple[int, int, int]] = {}
        with os.scandir("/proc") as entries:
            for entry in entries:
                if not entry.name.isdigit():
                    continue
                pid, inode = int(entry.name), entry.inode()
                if pid in self._members or self._strangers.get(pid) == inode:
                    continue
                self._strangers.pop(pid, None)  # its number is another's now
                try:
                    stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
                except OSError:
                    continue
                try:
                    new[pid] = (stat, _read(stat).parent, inode)
                except _Gone:
                    os.close(stat)
        self._sort(new)

    def _sort(self, new: dict[int, tuple[int, int, int]]) -> None:
        """Into members and strangers. Of whom neither is known (a parent that came and went
        meanwhile), nothing is kept: the next look asks again."""
        own, changed = os.getpid(), True
        while changed:
            changed = False
            for pid, (stat, parent, inode) in list(new.items()):
                if parent == own or parent in self._members:
                    self._members[pid] = _Member(pid, stat, parent)
                elif pid in (1, own) or parent == 0 or parent in self._strangers:
                    self._strangers[pid] = inode
                    os.close(stat)
                else:
                    continue
                del new[pid]
                changed = True
        for stat, _, _ in new.values():
            os.close(stat)

    def _drop(self, member: _Member) -> None:
        """It was reaped by another than this process: by its parent, or by nobody."""
        parent = self._members.get(member.parent)
        if parent is not None and _ignores_children(parent.pid):
            self._unwaited = True
        self._forget(member.pid)

    def _forget(self, pid: int) -> None:
        member = self._members.pop(pid, None)
        if member is not None:
            os.close(member.stat)


def _read(stat: int) -> _Stat:
    """An open /proc/PID/stat. Raises `_Gone`."""
    try:
        text = os.pread(stat, 1024, 0)
    except ProcessLookupError as error:
        raise _Gone from error
    words = text[text.rindex(b")") + 2 :].split()
    ended = words[0] in (b"Z", b"X")  # the main thread, which is counted until it is reaped
    return _Stat(
        parent=int(words[1]),
        threads=int(words[17]) - ended,
        children_ns=(int(words[13]) + int(words[14])) * _TICK_NS,
        rss_bytes=int(words[21]) * _PAGE,
    )


def _ignores_children(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return False
    mask = int(text[text.index(b"SigIgn:") + 7 :].split(None, 1)[0], 16)
    return bool(mask >> (signal.SIGCHLD - 1) & 1)


def _cpu_ns(usage: resource.struct_rusage) -> int:
    return round((usage.ru_utime + usage.ru_stime) * 1e9)
