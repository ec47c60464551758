"""What else had the server's CPUs: the CPU time of each task that is no part of this run.

A generator that never sleeps has its CPU to itself, so on a machine of two whatever wakes up runs
on the server's. Five milliseconds of it delay one request in a hundred of a block of half a second,
which is the whole of its p99. Who it was and how long it took is read from the scheduler's account
of each task (`/proc/PID/task/TID/schedstat`: nanoseconds on a CPU). That knows nothing of the
server and is not moved by it, so what is left out by it flatters nobody. For the same reason kernel
threads that do the load's own work (`ksoftirqd` and the like) are not counted. Tasks of other
containers are not seen, nor those that ended before they could be read: it is a lower bound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from harness.core.record import OtherWork

Task: TypeAlias = tuple[int, int]  # the numbers of its process and of itself
_OF_THE_LOAD = ("ksoftirqd/", "rcu", "migration/", "irq/", "napi/")
_PARENT, _CPU = 1, 36  # fields of /proc/PID/stat behind the name in brackets
_TOLD_NS = 100_000  # what took less is nobody


class OtherTasks:
    """Looks at all tasks of this machine but those of this process and of its descendants."""

    def __init__(self, cpus: frozenset[int], proc: Path = Path("/proc")) -> None:
        """`cpus`: those that matter; what a task did before it came to them counts as well."""
        self._cpus = cpus
        self._proc = proc
        self._other: dict[int, bool] = {}  # by process
        self._was: dict[Task, int] = {}

    def look(self) -> None:
        """From now on. Takes some 20 us for each task."""
        self._was = dict(self.times())

    def most(self) -> OtherWork | None:
        """The task that took the most CPU time since the last look; None where the kernel keeps no
        such account, or nobody can be seen."""
        if not self._was:
            return None
        grown = [(now - self._was.get(task, 0), task) for task, now in self.times()]
        for taken_ns, task in sorted(grown, reverse=True):
            if taken_ns < _TOLD_NS:
                break
            if (name := self._here(task)) is not None:
                return OtherWork(cpu_ms=taken_ns / 1e6, name=name)
        return OtherWork(cpu_ms=0.0, name=None)

    def times(self) -> Iterator[tuple[Task, int]]:
        """Nanoseconds that each task has been on a CPU."""
        pids = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        self._other = {pid: other for pid, other in self._other.items() if pid in pids}
        for pid in pids:
            if not self._is_other(pid):
                continue
            try:
                for thread in os.listdir(self._proc / str(pid) / "task"):
                    yield (pid, int(thread)), self._time_ns(pid, thread)
            except (OSError, ValueError):
                continue  # it is gone, or this kernel does not say

    def _time_ns(self, pid: int, thread: str) -> int:
        with open(f"{self._proc}/{pid}/task/{thread}/schedstat", "rb", buffering=0) as file:
            return int(file.read().split(b" ", 1)[0])

    def _is_other(self, pid: int) -> bool:
        """Whether a process is neither this one, nor its descendant, nor the load's own work."""
        known = self._other.get(pid)
        if known is None:
            name, fields = self._stat(f"{pid}/stat")
            parent = int(fields[_PARENT]) if fields else 0
            ours = pid == os.getpid() or (parent > 0 and not self._is_other(parent))
            of_the_load = parent == 2 and name.startswith(_OF_THE_LOAD)
            known = self._other[pid] = not ours and not of_the_load
        return known

    def _here(self, task: Task) -> str | None:
        """The name of a task that was last on one of the CPUs, None of another."""
        name, fields = self._stat(f"{task[0]}/task/{task[1]}/stat")
        return name if fields and int(fields[_CPU]) in self._cpus else None

    def _stat(self, path: str) -> tuple[str, list[str]]:
        """The name of a task and its fields behind it; no fields when it is gone."""
        try:
            text = (self._proc / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "", []
        name, _, rest = text.rpartition(") ")
        return name.partition("(")[2], rest.split()
