"""The trace of a run, read back, and in the Trace Event format that Perfetto and chrome://tracing
open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from harness.core.errors import LabError
from harness.core.record import OUTCOMES, Run
from harness.core.wording import slot_names
from harness.reading.runs import load_run
from harness.report.source import run_frame
from harness.store import TRACE_FILE
from harness.views.style import nearest_level
from servers.report import STAGES

AGAIN = "make one with labrun compare --trace"
_TIMES = ("intended_us", "sent_us", "connected_us", "answered_us", "accepted_us", "started_us",
          "ended_us", *(f"{stage}_us" for stage in STAGES))  # fmt: skip
_COLUMNS = ("slot", "level", "round", "client", "outcome", "thread", "status", *_TIMES)
_LONGEST_US = 86_400e6  # a run's times are within a day of its start
_BEFORE_WORK = ("read", "parse", "rate_limit", "decode", "validate")
_AFTER_WORK = ("write", "close")
Step = tuple[str, float, float]


@dataclass(frozen=True, slots=True)
class TracedArm:
    """One server in one round: its requests by intended time, and whether it makes a thread for
    each. `dropped`: how many requests it kept no more of; `works`: whether a handler has work
    besides (`--workload`)."""

    name: str
    rows: pd.DataFrame
    own_threads: bool
    dropped: int
    works: bool


@dataclass(frozen=True, slots=True)
class TracedRun:
    """One level of a traced run, in its first round that has a trace of every server."""

    run: Run
    rps: float
    round: int
    arms: list[TracedArm]


def load_trace(path: Path, rps: float | None = None) -> TracedRun:
    """The trace of a level (None: the one nearest to 2,000 RPS). Raises `LabError` for a run that
    has none, or of which it is missing, cut short or not this lab's."""
    run = load_run(path)
    folder = path if path.is_dir() else path.parent
    if run.settings.trace is None:
        raise LabError(f"{path} has no trace; {AGAIN}")
    kept = [trial for trial in run.trials if trial.traced is not None]
    if not kept:
        raise LabError(f"{path} has no trace, since it ended before its first one; {AGAIN}")
    rows = run_frame(folder, TRACE_FILE, _COLUMNS, True)
    _must_be_times(folder / TRACE_FILE, rows)
    level = nearest_level(run) if rps is None else rps
    rounds = sorted({trial.round for trial in kept if trial.rps == level})
    if not rounds:
        levels = ", ".join(f"{r:g}" for r in dict.fromkeys(trial.rps for trial in kept))
        raise LabError(f"{path} has no trace at {level:g} RPS; take one of {levels}")
    slots = {r: {t.slot for t in kept if (t.rps, t.round) == (level, r)} for r in rounds}
    chosen = max(rounds, key=lambda r: (len(slots[r]), -r))
    names, arms = slot_names(run.settings), []
    for trial in sorted(kept, key=lambda t: t.slot):
        if (trial.rps, trial.round) != (level, chosen) or trial.traced is None:
            continue
        mine = rows[(rows["slot"] == trial.slot) & (rows["level"] == level)
                    & (rows["round"] == chosen)]  # fmt: skip
        known = int((mine["thread"] > 0).sum())
        if known != trial.traced.kept:
            raise LabError(
                f"{folder / TRACE_FILE} is cut short: it has {known:,} of the "
                f"{trial.traced.kept:,} requests of {names[trial.slot]}; copy it again, or "
                "measure again (labrun compare --trace)"
            )
        one_each = mine.loc[mine["thread"] > 0, "thread"].is_unique and len(mine) > 1
        mine = mine.sort_values("intended_us", kind="stable").reset_index(drop=True)
        own = run.settings.arms[trial.slot].options if run.settings.arms else {}
        works = own.get("workload", run.settings.workload) != "ingest"
        arms.append(TracedArm(names[trial.slot], mine, one_each, trial.traced.dropped, works))
    return TracedRun(run, level, chosen, arms)


def _must_be_times(file: Path, rows: pd.DataFrame) -> None:
    """Raise `LabError` for times that no run has, and outcomes that there are none of."""
    times = rows[list(_TIMES)].to_numpy(np.float64)
    wrong = bool((np.abs(times[~np.isnan(times)]) > _LONGEST_US).any())
    wrong |= bool(rows["intended_us"].isna().any()) or not set(rows["outcome"]) <= set(OUTCOMES)
    if wrong:
        raise LabError(f"{file} has times or outcomes that no run has; take a folder as it was "
                       "written")  # fmt: skip


def each_row(frame: pd.DataFrame) -> Iterator[Any]:
    """Its rows, with a column as an attribute."""
    yield from frame.itertuples(index=False)


def steps_of(row: Any, works: bool) -> list[Step]:
    """The steps of a request on its thread: name, start and length in microseconds. One that was
    not answered 202 has `handle` alone; where a handler `works`, that is what no other step is."""
    if np.isnan(row.read_us):
        return [("handle", row.started_us, row.ended_us - row.started_us)]
    steps, at = [], row.accepted_us + row.dispatch_us
    for name in _BEFORE_WORK:
        length = getattr(row, f"{name}_us")
        steps.append((name, at, length))
        at += length
    after_us = sum(getattr(row, f"{name}_us") for name in _AFTER_WORK)
    if works:
        work_us = max(0.0, row.ended_us - after_us - at)
        steps.append(("work", at, work_us))
        at += work_us
    for name in _AFTER_WORK:
        length = getattr(row, f"{name}_us")
        steps.append((name, at, length))
        at += length
    return steps


def trace_events(traced: TracedRun) -> bytes:
    """The whole as JSON: a process for each server, a thread for each of its threads, complete
    events for steps, asynchronous ones for each request from its intended time to its end, and a
    counter for how many wait for a thread."""
    events: list[dict[str, Any]] = []
    for number, arm in enumerate(traced.arms, start=1):
        events.append({"ph": "M", "pid": number, "tid": 0, "ts": 0, "name": "process_name",
                       "args": {"name": arm.name}})  # fmt: skip
        events += _arm_events(number, arm)
    whole = {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "run": traced.run.id, "rps": traced.rps, "round": traced.round,
            "dropped": sum(arm.dropped for arm in traced.arms),
        },
    }  # fmt: skip
    return msgspec.json.encode(whole) + b"\n"


def _arm_events(pid: int, arm: TracedArm) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    named: set[int] = set()
    depth: list[tuple[float, int]] = []
    for number, row in enumerate(each_row(arm.rows)):
        own = {"cat": "request", "id": number, "pid": pid, "tid": 0, "name": "request"}
        told = {"client": int(row.client), "outcome": str(row.outcome)}
        ends = [t for t in (row.answered_us, row.ended_us, row.intended_us) if not np.isnan(t)]
        events.append(own | {"ph": "b", "ts": row.intended_us, "args": told})
        events.append(own | {"ph": "e", "ts": max(row.intended_us, ends[0])})
        if row.thread <= 0:
            continue
        if row.thread not in named:
            named.add(row.thread)
            name = {"name": f"thread {row.thread}"}
            events.append({"ph": "M", "pid": pid, "tid": int(row.thread), "ts": 0,
                           "name": "thread_name", "args": name})  # fmt: skip
        events += [
            {"ph": "X", "pid": pid, "tid": int(row.thread), "ts": at, "dur": max(0.0, length),
             "cat": "step", "name": name, "args": {"request": number}}
            for name, at, length in steps_of(row, arm.works)
        ]  # fmt: skip
        depth += [(row.accepted_us, 1), (max(row.started_us, row.accepted_us), -1)]
    waiting = 0
    for at, change in sorted(depth):
        waiting += change
        events.append({"ph": "C", "pid": pid, "tid": 0, "ts": at, "name": "wait for a thread",
                       "args": {"requests": waiting}})  # fmt: skip
    return events
