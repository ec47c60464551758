"""The reports of several processes as one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from resource import struct_rusage
from typing import TypeVar

import msgspec

from servers.ledger import Ledger
from servers.report import Report, Sample

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Part(msgspec.Struct, frozen=True):
    """What one of several processes reports: all but the stage times, and those of each request, as
    `Telemetry` keeps them."""

    report: Report
    rows: bytes


def summed(records: Sequence[_Record]) -> _Record:
    """Each field added up: numbers, and dicts of numbers. What is None in all of them stays so."""
    first = records[0]
    total = {
        name: _sum([getattr(record, name) for record in records])
        for name in first.__struct_fields__
    }
    return type(first)(**total)


def _sum(values: Sequence[int | dict[str, int] | None]) -> int | dict[str, int] | None:
    dicts = [value for value in values if isinstance(value, dict)]
    if dicts:
        total: Counter[str] = Counter()
        for each in dicts:
            total.update(each)
        return dict(total)
    numbers = [value for value in values if isinstance(value, int)]
    return sum(numbers) if numbers else None


def together(reports: Sequence[Report]) -> Report:
    """The sums of their gauges, counters and processes, in the first of them."""
    return msgspec.structs.replace(
        reports[0],
        gauges=summed([report.gauges for report in reports]),
        counters=summed([report.counters for report in reports]),
        process=summed([report.process for report in reports]),
        stage_rows_dropped=sum(report.stage_rows_dropped for report in reports),
    )


def at_its_end(last: Report, ledger: Ledger, usage: struct_rusage, ended_ns: int) -> Report:
    """Of a process that has ended. `last`: what it had reported before; `ledger`: its counts at its
    end; `usage`: the operating system's account; `ended_ns`: when that was."""
    gauges, process, recorders = last.gauges, last.process, ledger.recorders()
    counters = ledger.counters()
    # The ledger is of before the last answer of each thread, so times may be a little behind what
    # was reported: they never go back.
    waited_ns = sum(recorder.waited_ns for recorder in recorders)
    handler_us = sum(recorder.handler_cpu_ns for recorder in recorders) // 1000
    lived_ns = gauges.threads_active * (ended_ns - last.monotonic_ns)
    return msgspec.structs.replace(
        last,
        gauges=msgspec.structs.replace(
            gauges,
            threads_active=0,
            threads_peak=0,
            threads_active_ns=gauges.threads_active_ns + lived_ns,
            queue_depth=None if gauges.queue_depth is None else 0,
            queue_depth_max=None if gauges.queue_depth_max is None else 0,
            queue_wait_ns=max(waited_ns, gauges.queue_wait_ns or 0),
        ),
        # What it had in hand is given up with it.
        counters=msgspec.structs.replace(
            counters,
            abandoned=counters.abandoned + counters.in_progress,
            held_ns=max(counters.held_ns or 0, last.counters.held_ns or 0),
        ),
        process=msgspec.structs.replace(
            process,
            cpu_us=int((usage.ru_utime + usage.ru_stime) * 1e6),
            handler_cpu_us=max(handler_us, process.handler_cpu_us),
            voluntary_switches=usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw,
            minor_faults=usage.ru_minflt,
            rss_bytes=0,
            rss_peak_bytes=0,
            vms_bytes=0,
            vms_peak_bytes=0,
        ),
        stage_rows_dropped=0,
    )


def sampled(samples: Sequence[Sample]) -> Sample:
    """The light reports as one, as of the moment of the first."""
    return msgspec.structs.replace(summed(samples), monotonic_ns=samples[0].monotonic_ns)
