"""Context switches, and threads as they are born and end, of a process and all that come from it.

perf_event_open(2), attached to every thread that there is (one, where it is before a server's exec)
and inherited by all threads and processes that come from it. Each birth then costs the server some
microseconds, so it is detached where CPU time is measured. A dummy event writes a record of each
birth and end, and where nothing better is allowed of each switch, into a ring for each CPU, which
is read by `drain`. Where counting what happens in the kernel is allowed (root, or
kernel.perf_event_paranoid of 1 or less), switches are a counter instead. Records that were lost
leave the figures unknown.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.machine.outside.look import Missing, SwitchesBy

_SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_TYPE_SOFTWARE, _CONTEXT_SWITCHES, _DUMMY = 1, 3, 9
_ATTR_BYTES = 128
# Flags of struct perf_event_attr.
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 1, 1 << 5, 1 << 6
_TASK, _CONTEXT_SWITCH = 1 << 13, 1 << 26
_CLOSE_ON_EXEC = 8
# enum perf_event_type, and a bit of the header's `misc`.
_LOST, _EXIT, _FORK, _SWITCH = 2, 4, 7, 14
_SWITCH_OUT = 1 << 13
_LONGEST_RECORD = 64  # bytes, and more
_DATA_HEAD, _DATA_TAIL = 1024, 1032  # of struct perf_event_mmap_page
# Without privileges a user may lock 516 KiB for each CPU, for all servers that are alive.
_RING_BYTES = (256 << 10, 128 << 10, 64 << 10)
_SET_OUTPUT = 0x2405  # PERF_EVENT_IOC_SET_OUTPUT
RECORDED = ("births", "ends", "processes_born", "processes_ended")
_LOST_SOME = Missing(
    "records of switches, births and ends were lost, since they came faster than they were read",
    "take a lower rate, or a CPU for the observers alone",
)
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


class CannotCount(Exception):
    """Why events cannot be counted here."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.reason)
        self.missing = missing


@dataclass(slots=True)
class Counts:
    """Since the start. `lost`: records that nobody will see."""

    switches: int = 0
    births: int = 0
    ends: int = 0
    processes_born: int = 0
    processes_ended: int = 0
    lost: int = 0

    def add(self, words: memoryview) -> None:
        """The records of a piece of a ring: whole ones, in words of eight bytes."""
        at = 0
        while at < len(words):
            head = words[at]
            kind = head & 0xFFFFFFFF
            if kind == _SWITCH:
                self.switches += head >> 32 & _SWITCH_OUT != 0
            elif kind in (_FORK, _EXIT):
                self._task(kind, words[at + 1], words[at + 2])
            elif kind == _LOST:
                self.lost += words[at + 2]
            at += head >> 51  # the record's length

    def _task(self, kind: int, processes: int, threads: int) -> None:
        """Of FORK and EXIT: the process and its parent, the thread and its parent."""
        pid, tid = processes & 0xFFFFFFFF, threads & 0xFFFFFFFF
        if kind == _FORK:
            self.births += pid != tid
            self.processes_born += pid == tid
        else:
            self.ends += pid != tid
            self.processes_ended += pid == tid


class Events:
    """Counted while it is attached. `cpus`: where alone the tree runs. One thread may use it."""

    def __init__(self, cpus: frozenset[int]) -> None:
        self._cpus = sorted(cpus)
        self._counts = Counts()
        self._before = 0  # switches that the counters of earlier times had
        self._counters: list[int] = []
        self._rings: list[_Ring] = []

    def attach(self, threads: list[int]) -> None:
        """Count from now on what these threads do, and all that come from them. Raises
        `CannotCount`; ProcessLookupError when one of them has ended."""
        if sys.byteorder != "little" or platform.machine() not in _SYSCALL:
            raise CannotCount(Missing(f"perf events are not known here for {platform.machine()}"))
        try:
            with_counters = _may_count(threads[0])
            flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HV | _TASK
            if not with_counters:
                flags |= _CONTEXT_SWITCH
            self._rings = [_Ring(_open(_DUMMY, flags, threads[0], cpu)) for cpu in self._cpus]
            for thread in threads:
                if with_counters:
                    self._counters.append(_open(_CONTEXT_SWITCHES, _INHERIT, thread, -1))
                if thread != threads[0]:
                    for cpu, ring in zip(self._cpus, self._rings, strict=True):
                        ring.share(_open(_DUMMY, flags, thread, cpu))
        except (CannotCount, ProcessLookupError):
            self.detach()
            raise
        except OSError as error:
            self.detach()
            raise CannotCount(_why(error)) from error

    def detach(self) -> None:
        """Count no longer; what was counted stays."""
        self.drain()
        self._before = self._switches() - self._counts.switches
        for ring in self._rings:
            ring.close()
        for counter in self._counters:
            os.close(counter)
        self._rings, self._counters = [], []

    @property
    def switches_by(self) -> SwitchesBy:
        """How switches are counted."""
        return "counter" if self._counters else "records"

    def filenos(self) -> list[int]:
        """Readable once a ring is half full, so that it is to be drained."""
        return [ring.fd for ring in self._rings]

    def drain(self) -> None:
        """Read what the rings have."""
        for ring in self._rings:
            ring.drain(self._counts)

    def figures(self) -> dict[str, int | Missing]:
        """All up to now by the fields of a `Look`, each or why it is not known."""
        self.drain()
        counts = self._counts
        found: dict[str, int | Missing] = {
            name: _LOST_SOME if counts.lost else getattr(counts, name) for name in RECORDED
        }
        if self._counters or not counts.lost:
            found["switches"] = self._switches()
        else:
            found["switches"] = _LOST_SOME
        return found

    def _switches(self) -> int:
        """Of counters and records: where there are counters, no switch is recorded."""
        read = [int.from_bytes(os.read(counter, 8), sys.byteorder) for counter in self._counters]
        return self._before + sum(read) + self._counts.switches


class _Ring:
    """The ring into which the kernel writes the events of one CPU."""

    def __init__(self, fd: int) -> None:
        """Raises `CannotCount`."""
        self.fd = fd
        self._sharers: list[int] = []
        for self._bytes in _RING_BYTES:
            try:
                self._map = mmap.mmap(fd, mmap.PAGESIZE + self._bytes)
                return
            except OSError as error:
                refused = error
        os.close(fd)
        raise CannotCount(
            Missing(
                f"there is no memory for the kernel's records of events ({refused.strerror})",
                "raise kernel.perf_event_mlock_kb or ulimit -l, or observe fewer servers at a time",
            )
        ) from refused

    def share(self, fd: int) -> None:
        """Have another event of the same CPU write here too. Raises OSError."""
        self._sharers.append(fd)
        fcntl.ioctl(fd, _SET_OUTPUT, self.fd)

    def drain(self, counts: Counts) -> None:
        """Add what is there to `counts`, and make room."""
        (head,) = struct.unpack_from("=Q", self._map, _DATA_HEAD)
        (tail,) = struct.unpack_from("=Q", self._map, _DATA_TAIL)
        if head == tail:
            return
        # The kernel says that records did not fit only with the next one that does, so a ring
        # that has no room for one counts as one that lost some.
        counts.lost += head - tail > self._bytes - _LONGEST_RECORD
        first, start = tail % self._bytes, mmap.PAGESIZE
        data = self._map[start + first : start + min(first + head - tail, self._bytes)]
        data += self._map[start : start + head - tail - len(data)]
        struct.pack_into("=Q", self._map, _DATA_TAIL, head)
        counts.add(memoryview(data).cast("Q"))

    def close(self) -> None:
        """Give the events back."""
        self._map.close()
        for fd in (*self._sharers, self.fd):
            os.close(fd)


def _may_count(thread: int) -> bool:
    """Whether this user may count what happens in the kernel, as switches do."""
    try:
        os.close(_open(_CONTEXT_SWITCHES, _INHERIT, thread, -1))
    except PermissionError:
        return False
    return True


def _open(config: int, flags: int, pid: int, cpu: int) -> int:
    """A software event on a process that every one inherits. Raises OSError."""
    # struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags
    head = struct.pack("=IIQQQQQ", _TYPE_SOFTWARE, _ATTR_BYTES, config, 0, 0, 0, flags)
    attributes = ctypes.create_string_buffer(head, _ATTR_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYSCALL[platform.machine()]
    fd: int = libc.syscall(number, attributes, pid, cpu, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def _why(error: OSError) -> Missing:
    """Why perf events are not to be had, and what would mend it."""
    what = "the kernel does not allow perf events"
    if error.errno == errno.ENOSYS:
        return Missing("this kernel has no perf events")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return Missing(f"{what}: no descriptors are left", "raise ulimit -n")
    try:
        level = int(_PARANOID.read_text("ascii"))
    except (OSError, ValueError):
        level = None
    if level is not None and level > 2:
        remedy = "sysctl -w kernel.perf_event_paranoid=2, or run as root"
        return Missing(f"{what} (kernel.perf_event_paranoid is {level})", remedy)
    return Missing(
        f"{what} ({error.strerror})",
        "in a container, allow perf_event_open in its seccomp profile, or add the capability "
        "CAP_PERFMON",
    )
