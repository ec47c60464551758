"""A server's processes: the one that was started, and those that it has forked."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import psutil

from harness.machine.cpus import process_cpu_s
from servers.report import resident_together

_MEMORY_EVERY = 10  # looks: what is shared is found by walking the page tables


class Seen(NamedTuple):
    """All of them at one moment, as the operating system has them. Memory that they share is
    counted once in `rss_bytes`."""

    threads: int
    rss_bytes: int
    vms_bytes: int


def family_of(pid: int) -> list[int]:
    """A process and its children."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:  # it is gone, or this kernel does not say (CONFIG_PROC_CHILDREN)
        return [pid]
    return [pid, *map(int, found.split())]


def family_cpu_s(pid: int) -> float | None:
    """CPU seconds of a process and of its children that have not ended; None where one of them
    cannot be read."""
    clocks = [process_cpu_s(each) for each in family_of(pid)]
    known = [clock for clock in clocks if clock is not None]
    return sum(known) if len(known) == len(clocks) else None


class Family:
    """Looks at a server's processes again and again."""

    def __init__(self, pid: int) -> None:
        """Raises psutil.Error where there is no such process."""
        self._pid = pid
        self._known = {pid: psutil.Process(pid)}
        self._numbers = itertools.count()
        self._together = (0, 0)  # of several: how many there were, and their memory

    def look(self) -> Seen:
        """Raises psutil.Error when the server is gone; a child that has just gone is left out."""
        pids = family_of(self._pid)
        seen = [self._look_at(self._pid)]
        for pid in pids[1:]:
            try:
                seen.append(self._look_at(pid))
            except psutil.NoSuchProcess:
                self._known.pop(pid, None)
        together = Seen(*map(sum, zip(*seen, strict=True)))
        if len(seen) == 1:
            return together
        return together._replace(rss_bytes=self._memory(pids) or together.rss_bytes)

    def _look_at(self, pid: int) -> Seen:
        if pid not in self._known:
            self._known[pid] = psutil.Process(pid)
        process = self._known[pid]
        with process.oneshot():
            threads, memory = process.num_threads(), process.memory_info()
        return Seen(threads, memory.rss, memory.vms)

    def _memory(self, pids: list[int]) -> int:
        """Resident, of several, as it was at most ten looks ago; 0 where it is not known."""
        if next(self._numbers) % _MEMORY_EVERY == 0 or self._together[0] != len(pids):
            found = resident_together(pids)
            if found is not None:
                self._together = len(pids), found
        return self._together[1]
