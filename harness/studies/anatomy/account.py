"""The life of one request, step by step, beside what the document says of it; and
`anatomy.json`, in which it is kept.

dispatch   from accept() to the handler's first instruction: starting a thread, or queueing for a
           worker, and in both cases waiting for the CPU and the interpreter's lock. Stamped.
read .. close   the seven steps of useful work, stamped inside the server for every request.
thread end / return to the queue   cannot be stamped from inside (a thread that ends runs nothing
           more), so it is measured apart, on a machine that does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from harness.core.options import beside
from harness.core.record import Run, Settings, Stage, ThreadCosts, Trial
from harness.core.wording import slot_names
from harness.stats.intervals import location_estimate
from harness.store import as_json, load_beside_run, write_whole
from harness.studies.claims.document_figures import (
    CREATE_US,
    DESTROY_US,
    POOL_OVERHEAD_US,
    STEPS_US,
)
from servers.native.build import NATIVE

ANATOMY_SCHEMA = 1
ANATOMY_FILE = "anatomy.json"
WORK = ("read", "parse", "rate_limit", "decode", "validate", "write", "close")
Kind = Literal["dispatch", "work", "after"]

# Of the document: before and after the work. The pool's put of 1 and wait of 0 to 10 it adds up
# to 11.
_DOCUMENT_WORK_US = dict(zip(WORK, map(float, STEPS_US), strict=True))
_DOCUMENT_US = {
    "thread-per-request": (float(CREATE_US), float(DESTROY_US)),
    "thread-pool": (float(POOL_OVERHEAD_US), 0.0),
}
_AFTER = {"thread-per-request": "thread end", "thread-pool": "return to the queue"}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A time measured apart, in microseconds: median over batches of each batch's median, its 95 %
    interval (None: too few), and the median of their 99th percentiles."""

    p50_us: float
    ci_low_us: float | None
    ci_high_us: float | None
    p99_us: float | None


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """Steps that no trial can stamp, measured beside the trials; `missing`: why one is absent.
    `native_thread_costs`: of the servers in C++."""

    thread_costs: ThreadCosts | None = None
    native_thread_costs: ThreadCosts | None = None
    enqueue: Spread | None = None
    returning: Spread | None = None
    missing: dict[str, str] = msgspec.field(default_factory=dict)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step, in microseconds: medians over the valid rounds of each round's mean, median and
    99th percentile, with the 95 % interval of the median. None: not known."""

    name: str
    kind: Kind
    mean_us: float | None = None
    p50_us: float | None = None
    ci_low_us: float | None = None
    ci_high_us: float | None = None
    p99_us: float | None = None
    document_us: float | None = None


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A request's life in one backend, or in what else the run calls it.

    `typical_us` is the sum of the medians that are known, `useful_us` of those of the seven steps;
    `useful_share` their ratio (of wall time), `useful_cpu_share` the handler's share of the
    server's CPU time. Medians of different steps need not be of the same request.
    """

    backend: str
    slot: int
    rounds: int
    steps: list[Step]
    typical_us: float | None
    useful_us: float | None
    useful_share: float | None
    useful_cpu_share: float | None
    document_us: float | None
    document_useful_share: float | None


class Anatomy(msgspec.Struct, frozen=True, kw_only=True):
    """`anatomy.json`: the lives of a run at one level, and what was measured apart."""

    schema: int
    run: str
    rps: float
    complete: bool
    apart: Apart
    lives: list[Life]


def spread(p50_us: Sequence[float], p99_us: Sequence[float] = ()) -> Spread:
    """Of batches, in microseconds. Raises ValueError without any."""
    middle, late = location_estimate(p50_us), location_estimate(p99_us)
    if middle is None:
        raise ValueError("no batch was measured")
    return Spread(
        p50_us=middle.value,
        ci_low_us=middle.low,
        ci_high_us=middle.high,
        p99_us=None if late is None else late.value,
    )


def dissect(run: Run, rps: float, apart: Apart | None = None) -> Anatomy:
    """The lives in a run's valid trials at one level."""
    apart = Apart() if apart is None else apart
    lives = [
        _life(run, slot, backend, rps, apart) for slot, backend in enumerate(run.settings.backends)
    ]
    return Anatomy(
        schema=ANATOMY_SCHEMA,
        run=run.id,
        rps=rps,
        complete=run.complete,
        apart=apart,
        lives=lives,
    )


def _life(run: Run, slot: int, backend: str, rps: float, apart: Apart) -> Life:
    trials = [t for t in run.trials if t.slot == slot and t.rps == rps and t.valid and t.server]
    in_cpp = backend in NATIVE
    design = backend.removeprefix("native-") if in_cpp else backend
    before, after = _DOCUMENT_US.get(design, (None, None))
    steps = [_stamped("dispatch", "dispatch", trials, before)]
    steps += [_stamped(name, "work", trials, _DOCUMENT_WORK_US[name]) for name in WORK]
    if design in _AFTER:
        steps.append(_after(design, in_cpp, apart, after))
    typical_us, useful_us = _sum(steps), _sum([s for s in steps if s.kind == "work"])
    document_us = None if before is None else sum(s.document_us or 0.0 for s in steps)
    cpu = _middle(trials, lambda t: None if t.server is None else t.server.efficiency)
    return Life(
        backend=slot_names(run.settings)[slot],
        slot=slot,
        rounds=len(trials),
        steps=steps,
        typical_us=typical_us,
        useful_us=useful_us,
        useful_share=useful_us / typical_us if typical_us and useful_us is not None else None,
        useful_cpu_share=cpu,
        document_us=document_us,
        document_useful_share=(
            sum(_DOCUMENT_WORK_US.values()) / document_us if document_us else None
        ),
    )


def _stamped(name: str, kind: Kind, trials: Sequence[Trial], document_us: float | None) -> Step:
    stages = [stage for t in trials if (stage := _stage(t, name)) is not None]
    middle = location_estimate([stage.p50 for stage in stages if stage.p50 is not None])
    mean = location_estimate([stage.mean for stage in stages if stage.mean is not None])
    late = location_estimate([stage.p99 for stage in stages if stage.p99 is not None])
    return Step(
        name=name,
        kind=kind,
        mean_us=None if mean is None else mean.value,
        p50_us=None if middle is None else middle.value,
        ci_low_us=None if middle is None else middle.low,
        ci_high_us=None if middle is None else middle.high,
        p99_us=None if late is None else late.value,
        document_us=document_us,
    )


def _stage(trial: Trial, name: str) -> Stage | None:
    stages = trial.server.stages_us if trial.server is not None else None
    return None if stages is None else getattr(stages, name)


def _after(design: str, in_cpp: bool, apart: Apart, document_us: float | None) -> Step:
    """The steps after the last stamp, as they were measured apart."""
    name = _AFTER[design]
    if design == "thread-pool":
        found = None if in_cpp else apart.returning
    else:
        costs = apart.native_thread_costs if in_cpp else apart.thread_costs
        found = None if costs is None else Spread(
            p50_us=costs.end_us.median,
            ci_low_us=costs.end_us.ci_low,
            ci_high_us=costs.end_us.ci_high,
            p99_us=None if costs.end_p99_us is None else costs.end_p99_us.median,
        )  # fmt: skip
    if found is None:
        return Step(name=name, kind="after", document_us=document_us)
    return Step(
        name=name,
        kind="after",
        p50_us=found.p50_us,
        ci_low_us=found.ci_low_us,
        ci_high_us=found.ci_high_us,
        p99_us=found.p99_us,
        document_us=document_us,
    )


def _sum(steps: Sequence[Step]) -> float | None:
    known = [step.p50_us for step in steps if step.p50_us is not None]
    return sum(known) if known else None


def _middle(trials: Sequence[Trial], read: Callable[[Trial], float | None]) -> float | None:
    found = location_estimate([value for t in trials if (value := read(t)) is not None])
    return None if found is None else found.value


def anatomy_finding(anatomy: Anatomy, settings: Settings) -> str:
    """Total and largest steps of a request, in a sentence for each backend."""
    told = [_told(life) for life in anatomy.lives if life.useful_share is not None]
    head = f"At {anatomy.rps:,.0f} RPS{beside(settings)}"
    if not told:
        return f"{head} nothing can be said of the steps: no valid trial has stamps of them."
    return f"{head} {'; '.join(told)}."


def _told(life: Life) -> str:
    said = (
        f"{life.useful_share:.0%} of a typical request's {life.typical_us:,.0f} µs in "
        f"{life.backend} is useful work"
    )
    unknown = [step.name for step in life.steps if step.p50_us is None]
    if unknown:
        said += f" ({' and '.join(unknown)} not counted)"
    if life.document_useful_share is None:
        return said
    return f"{said} (the document: {life.document_useful_share:.0%} of {life.document_us:,.0f} µs)"


def notes(anatomy: Anatomy) -> list[str]:
    """How the figures came about, in sentences."""
    apart = anatomy.apart
    lines = [
        "A typical request is the sum of the medians of its steps; p99s do not add up.",
        "Dispatch is from accept() to the handler's first instruction; it and the seven steps of "
        "useful work are stamped inside the server for every request.",
    ]
    steps = {step.name for life in anatomy.lives for step in life.steps}
    if _AFTER["thread-per-request"] in steps:
        lines.append(_thread_note(apart))
        if apart.native_thread_costs is not None:
            costs = apart.native_thread_costs
            lines.append(
                f"In C++ creating a thread takes {costs.create_us.median:.1f} µs until the call "
                f"returns and {costs.start_us.median:.1f} µs until its first instruction."
            )
    if _AFTER["thread-pool"] in steps:
        lines.append(_queue_note(apart))
    for life in anatomy.lives:
        if life.useful_cpu_share is not None:
            lines.append(
                f"Of the CPU time of {life.backend}, {life.useful_cpu_share:.0%} is the handler's."
            )
    if not anatomy.complete:
        lines.append("The run is PARTIAL.")
    return lines


def _thread_note(apart: Apart) -> str:
    costs = apart.thread_costs
    if costs is None:
        why = apart.missing.get("thread_costs", "the run was not made by labrun anatomy")
        return f"Thread end is not measured: {why}."
    return (
        "Thread end is measured apart, one thread after the other while nothing else runs: from a "
        "thread's last instruction until the kernel no longer knows its number (tgkill with "
        f"signal 0). So measured, creating a thread takes {costs.create_us.median:.1f} µs until "
        f"the call returns and {costs.start_us.median:.1f} µs until its first instruction; the "
        "rest of dispatch is waiting."
    )


def _queue_note(apart: Apart) -> str:
    if apart.returning is None:
        why = apart.missing.get("returning", "the run was not made by labrun anatomy")
        return f"The return to the queue is not measured: {why}."
    put = (
        ""
        if apart.enqueue is None
        else f" A put into the queue takes {apart.enqueue.p50_us:.1f} µs in the acceptor, waking a "
        "worker included; the rest of dispatch is waiting."
    )
    return (
        "The return to the queue is measured apart too: from a worker's last instruction in one "
        f"handler to its first in the next, where that is already queued.{put}"
    )


def save_anatomy(folder: Path, anatomy: Anatomy) -> None:
    """`anatomy.json`, into the run's folder. Raises `LabError` when it cannot be written."""
    write_whole(folder / ANATOMY_FILE, as_json(anatomy))


def saved_anatomy(folder: Path) -> Anatomy | None:
    """The record that `labrun anatomy` left in a run's folder. Raises `LabError` if unreadable."""
    return load_beside_run(
        folder / ANATOMY_FILE,
        Anatomy,
        ANATOMY_SCHEMA,
        "delete it, and make a new one with labrun anatomy",
    )
