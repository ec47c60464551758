"""What several processes are together, for whoever asks the control port of their master: sums."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from servers.answers import Answers
from servers.child import PART, SAMPLE, WINDOW, Child, ChildLost
from servers.options import ServerOptions
from servers.report import (
    Process,
    Report,
    Sample,
    process_usage,
    read_process,
    resident_together,
)
from servers.shared_rate_limit import SharedTokenBuckets
from servers.sums import sampled, summed, together
from servers.telemetry import count_rows, stage_figures

_Answer = TypeVar("_Answer")


class Group(Answers):
    """The processes that there are, and what those had counted that there were. One thread.

    Of a subclass: `_bury` for one that is found to have ended, and `_limiter`.
    """

    _limiter: SharedTokenBuckets

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self._children: dict[int, Child] = {}  # by their places
        self._gone: list[Report] = []  # one, the sum of those that have ended; or none
        self._replaced = 0
        self._looked_us = 0  # CPU time for looking at memory
        self._lost_rows = 0  # stage times of this window that ended with a process
        self._stopping = False
        self._started_ns = self._window_ns = time.monotonic_ns()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def report(self) -> Report:
        """The sums. Raises TimeoutError where a process is silent."""
        parts = self._each(PART, Child.part)
        total = together([*(part.report for part in parts), *self._gone])
        rows = [part.rows for part in parts if part.rows]
        return msgspec.structs.replace(
            total,
            pid=os.getpid(),
            monotonic_ns=time.monotonic_ns(),
            started_ns=self._started_ns,
            window_ns=self._window_ns,
            gauges=msgspec.structs.replace(
                total.gauges, processes=len(self._children), processes_replaced=self._replaced
            ),
            counters=msgspec.structs.replace(total.counters, clients_tracked=len(self._limiter)),
            process=self._process(total.process),
            stages_us=stage_figures(rows),
            stage_rows=count_rows(rows),
            stage_rows_dropped=total.stage_rows_dropped + self._lost_rows,
            draining=self._stopping and all(part.report.draining for part in parts),
            settings=self.settings(),
        )

    def sample(self) -> Sample:
        """The sums. Raises TimeoutError where a process is silent."""
        usage = process_usage()
        own = Sample(
            monotonic_ns=time.monotonic_ns(),
            accepted=0,
            cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6) - self._looked_us,
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            threads_created=0,
            threads_active=0,
            threads_step_peak=0,
            queue_depth=None,
            queue_step_max=None,
        )
        there = self._each(SAMPLE, Child.sample)
        return sampled([own, *there, *(_sample_of(report) for report in self._gone)])

    def open_window(self) -> None:
        self._lost_rows, self._window_ns = 0, time.monotonic_ns()
        self._each(WINDOW, Child.window)

    def _each(self, what: bytes, take: Callable[[Child], _Answer]) -> list[_Answer]:
        """Ask all at once; their answers. One that turns out to have ended is counted as such."""
        asked = list(self._children.values())
        for child in asked:
            child.ask(what)
        answers = []
        for child in asked:
            try:
                answers.append(take(child))
            except ChildLost:
                self._bury(child)
        return answers

    def _bury(self, child: Child) -> None:
        """It has ended: what it had counted stays."""
        del self._children[child.place]
        last = child.bury()
        self._lost_rows += last.counters.answered_by_status.get("202", 0) - child.rows_before
        self._gone = [together([*self._gone, last])]

    def _process(self, children: Process) -> Process:
        """Their account and this process's own, all of whose work is for the control port; but for
        the time that it takes to look at their memory, which would be long beside a short window's.
        """
        began_ns = time.thread_time_ns()
        resident = resident_together([os.getpid(), *(c.pid for c in self._children.values())])
        self._looked_us += (time.thread_time_ns() - began_ns) // 1000
        usage = process_usage()
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6) - self._looked_us
        own = read_process(
            self._status,
            handler_cpu_us=0,
            housekeeping_cpu_us=cpu_us,
            housekeeping_switches=usage.ru_nvcsw + usage.ru_nivcsw,
            stack_size_bytes=0,
        )
        total = summed([children, msgspec.structs.replace(own, cpu_us=cpu_us)])
        if resident is None:
            resident = total.rss_bytes
        return msgspec.structs.replace(
            total,
            rss_bytes=resident,
            rss_peak_bytes=resident + total.rss_peak_bytes - total.rss_bytes,
            stack_size_bytes=self.options.stack_size_bytes,
        )


def _sample_of(gone: Report) -> Sample:
    """What is left of those that have ended."""
    return Sample(
        monotonic_ns=gone.monotonic_ns,
        accepted=gone.counters.accepted,
        cpu_us=gone.process.cpu_us,
        voluntary_switches=gone.process.voluntary_switches,
        involuntary_switches=gone.process.involuntary_switches,
        threads_created=gone.gauges.threads_created,
        threads_active=0,
        threads_step_peak=0,
        queue_depth=None,
        queue_step_max=None,
    )
