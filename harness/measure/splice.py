"""Blocks of one arm put end to end, as if its load had never stopped. Pure.

Between two blocks of an arm the others have theirs, and it is idle. What it counted then (the lab's
own questions, mostly) belongs to no request, so counters and clocks are moved back by it. What
comes out has the form of one long window, and is summed up like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

from harness.drivers import request_log as L
from harness.drivers.bystanders import Count
from harness.drivers.open_loop.worker import Summary, summed
from harness.measure.bystanders import Cost, grown, together
from harness.measure.request_rows import Ints, Rows
from harness.measure.server_metrics import ServerWindow
from harness.targets.sampler import Observation
from servers.report import Report, Sample

Record = TypeVar("Record", bound=msgspec.Struct)

# What only grows: counts, and time that adds up.
_GROWING = {
    "counters": (
        "accepted", "answered", "rejected_queue_full", "rejected_no_thread", "rejected_rate",
        "timed_out", "reset", "abandoned", "deadlines_missed", "handler_errors", "accept_errors",
        "descriptor_episodes", "metrics_taken", "held_ns", "dispatch_errors", "connections",
        "idle_closed",
    ),
    "gauges": ("threads_created", "threads_active_ns", "queue_wait_ns"),
    "process": (
        "cpu_us", "handler_cpu_us", "housekeeping_cpu_us", "voluntary_switches",
        "involuntary_switches", "housekeeping_switches", "minor_faults",
    ),
}  # fmt: skip
_SAMPLED = ("accepted", "cpu_us", "voluntary_switches", "involuntary_switches", "threads_created")


@dataclass(frozen=True, slots=True)
class BlockLook:
    """The server's reports around one block: before it, when the generator was done, and when it
    had come to rest; what the sampler saw; and when load began, on the clock of both, in ns.
    `theirs`: the counts of bystanders with the first and the last of the reports."""

    before: Report
    done: Report
    rested: Report
    observations: Sequence[Observation]
    start_ns: int
    theirs: tuple[Count, Count] | None = None


def spliced_rows(blocks: Sequence[Rows], block_ns: int) -> Rows:
    """The rows of all blocks, each `block_ns` long, with times from the first one's start."""

    def moved(name: str) -> Ints:
        columns = []
        for number, rows in enumerate(blocks):
            times = getattr(rows, name)
            columns.append(np.where(times == L.NOT_YET, times, times + number * block_ns))
        return np.concatenate(columns)

    def joined(name: str) -> Ints:
        return np.concatenate([getattr(rows, name) for rows in blocks])

    held = [rows.in_flight_ns for rows in blocks if rows.in_flight_ns is not None]
    return Rows(
        start_ns=blocks[0].start_ns,
        client=joined("client"),
        code=joined("code"),
        in_flight_max=max(rows.in_flight_max for rows in blocks),
        in_flight_ns=sum(held) if len(held) == len(blocks) else None,
        **{name: moved(name) for name in ("intended", "allowed", "sent", "connected", "ended")},
    )


def spliced_summary(parts: Sequence[Summary]) -> Summary:
    """The generator's summaries of all blocks, together, and what is missing from the account of
    the first that lacks something. Of the clock of another machine, what was known best."""
    processes = [
        msgspec.structs.replace(
            min(costs, key=lambda cost: cost.clock_error_ns or 0),
            window_ns=sum(cost.window_ns for cost in costs),
            cpu_ns=sum(cost.cpu_ns for cost in costs),
            start_late_ns=max(cost.start_late_ns for cost in costs),
        )
        for costs in zip(*(part.processes for part in parts), strict=True)
    ]
    failure = next((part.failure for part in parts if part.failure is not None), None)
    return msgspec.structs.replace(summed(parts, processes), failure=failure)


def spliced_window(
    looks: Sequence[BlockLook], block_ns: int, each: Cost | None = None
) -> ServerWindow:
    """One window over all blocks: what was counted between them is in it nowhere."""
    first, last = looks[0], looks[-1]
    idle: Any = None
    observations: list[Observation] = []
    for number, look in enumerate(looks):
        if number:
            idle = _add(idle, _growth(looks[number - 1].rested, look.before))
        offset_ns = first.start_ns + number * block_ns - look.start_ns
        observations += [_moved(o, idle, offset_ns) for o in look.observations]
    rested = _without(last.rested, idle)
    asked = _zero()
    for look in looks:
        asked = _add(asked, _growth(look.done, look.rested))
    closed = _without(rested, {"process": {"housekeeping_cpu_us": _of(asked, "housekeeping_cpu_us"),
                                           "cpu_us": 0, "housekeeping_switches": 0}})  # fmt: skip
    return ServerWindow(
        first.before,
        closed,
        rested,
        observations,
        (first.start_ns, first.start_ns + len(looks) * block_ns),
        together([grown(*look.theirs) for look in looks if look.theirs is not None])
        if first.theirs is not None
        else None,
        0 if first.theirs is None else first.theirs[0].in_progress,
        each,
    )


def _of(growth: Any, name: str) -> int:
    return int(growth["process"][name])


def _zero() -> Any:
    return {part: dict.fromkeys(names, 0) for part, names in _GROWING.items()} | {"ns": 0}


def _growth(before: Report, after: Report) -> Any:
    """Increments of the counters between two reports."""
    grown: Any = {"ns": after.monotonic_ns - before.monotonic_ns}
    for part, names in _GROWING.items():
        old, new = getattr(before, part), getattr(after, part)
        grown[part] = {
            name: (getattr(new, name) or 0) - (getattr(old, name) or 0) for name in names
        }
    return grown


def _add(one: Any, other: Any) -> Any:
    if one is None:
        return other
    summed: Any = {"ns": one["ns"] + other["ns"]}
    for part, names in _GROWING.items():
        summed[part] = {name: one[part][name] + other[part][name] for name in names}
    return summed


def _without(report: Report, growth: Any) -> Report:
    """The report less what grew elsewhere."""
    if growth is None:
        return report
    parts = {part: _less(getattr(report, part), growth.get(part, {})) for part in _GROWING}
    return msgspec.structs.replace(
        report, monotonic_ns=report.monotonic_ns - growth.get("ns", 0), **parts
    )


def _less(record: Record, growth: dict[str, int]) -> Record:
    changes = {
        name: value - growth[name]
        for name in growth
        if (value := getattr(record, name)) is not None
    }
    return msgspec.structs.replace(record, **changes)


def _moved(observation: Observation, growth: Any, offset_ns: int) -> Observation:
    """A look less what grew between blocks, at its time under load."""
    sample: Sample = observation.server
    if growth is not None:
        flat = growth["counters"] | growth["gauges"] | growth["process"]
        sample = _less(sample, {name: flat[name] for name in _SAMPLED})
    sample = msgspec.structs.replace(sample, monotonic_ns=sample.monotonic_ns + offset_ns)
    return msgspec.structs.replace(observation, server=sample)
