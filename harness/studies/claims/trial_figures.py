"""Single figures of one trial, or of the trials of one round. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.core.record import Run, Settings, Stage, Trial, metric_value, ordered_value

STEPS = ("read", "parse", "rate_limit", "decode", "validate", "write", "close")

# Infinite: it lies among the failures, slower than any answer. NaN: something failed, and the
# figure is that of the answered requests alone. None: there is no such figure.
OfTrial = Callable[[Trial, Settings], float | None]
OfRound = Callable[[Sequence[Trial], Run], float | None]


# ---- what is read from a trial ---------------------------------------------------------------


def at(path: str, factor: float = 1.0) -> OfTrial:
    """The figure at a dotted path of the record, times a factor that turns its unit."""

    def read(trial: Trial, settings: Settings) -> float | None:
        value = ordered_value(trial, path)
        if value is None:
            return None if metric_value(trial, path) is None else math.nan
        return value * factor

    return read


def dispatch(name: str, share: float | None = None) -> OfTrial:
    """The mean or a quantile (that of `share`) of dispatch, in microseconds, over all connections
    that were accepted: one that was not answered 202 left no stamp, and counts as slower than any
    that did."""

    def read(trial: Trial, settings: Settings) -> float | None:
        value = metric_value(trial, f"server.stages_us.dispatch.{name}")
        if value is None or trial.server is None:
            return None
        requests = trial.server.requests
        if requests is None:
            return None
        stamped = requests.answered_by_status.get("202", requests.answered)
        if stamped >= requests.accepted:
            return value
        return math.inf if share is not None and stamped < share * requests.accepted else math.nan

    return read


_DISPATCH_MEAN = dispatch("mean")


def work_us(settings: Settings) -> float:
    """Microseconds that `--workload io:40ms` adds to each request; they belong to no step."""
    _, _, length = settings.workload.partition(":")
    return float(length.removesuffix("ms")) * 1e3 if length else 0.0


def steps_us(trial: Trial, settings: Settings) -> float | None:
    """Mean time of the seven steps together, with the workload, in microseconds."""
    stages = None if trial.server is None else trial.server.stages_us
    if stages is None:
        return None
    found: list[Stage] = [getattr(stages, name) for name in STEPS]
    means = [stage.mean for stage in found if stage.mean is not None]
    return sum(means) + work_us(settings) if len(means) == len(STEPS) else None


def server_time_us(trial: Trial, settings: Settings) -> float | None:
    """Mean time from accept to the end of close, in microseconds."""
    steps, before = steps_us(trial, settings), _DISPATCH_MEAN(trial, settings)
    return None if steps is None or before is None else steps + before


def lock_tail(trial: Trial, settings: Settings) -> float | None:
    """How much longer the tail of the step with the shared lock is than that of its neighbours.

    p99 / p50 of the rate limit over the geometric mean of the same of decode and validate, which
    take as long and share no lock: whatever else makes a thread wait (the interpreter's lock, the
    scheduler) lengthens all three alike, so what is left above 1 is waiting for the lock.
    """
    stages = None if trial.server is None else trial.server.stages_us
    if stages is None:
        return None
    tails = []
    for stage in (stages.rate_limit, stages.decode, stages.validate):
        if not stage.p50 or not stage.p99:
            return None
        tails.append(stage.p99 / stage.p50)
    return tails[0] / math.sqrt(tails[1] * tails[2])


def thread_life_ms(trial: Trial, settings: Settings) -> float | None:
    """Little's law (1961): mean number of threads = creations a second x mean life."""
    if trial.server is None or not trial.server.threads_created_per_s:
        return None
    active = trial.server.threads_active_mean
    return None if active is None else active / trial.server.threads_created_per_s * 1e3


def waiting_for_thread(trial: Trial, settings: Settings) -> float | None:
    """Little's law: mean number that wait = answered a second x mean dispatch."""
    dispatch_us = _DISPATCH_MEAN(trial, settings)
    if trial.server is None or trial.server.requests is None or dispatch_us is None:
        return None
    return trial.server.requests.answered / trial.window_s * dispatch_us / 1e6


def per_worker_per_s(trial: Trial, settings: Settings) -> float | None:
    """Requests answered, for each worker and second of the window."""
    if trial.server is None or trial.server.requests is None:
        return None
    return trial.server.requests.answered / trial.window_s / settings.workers


def worker_busy(trial: Trial, settings: Settings) -> float | None:
    """Share of its time that a worker spends in the handler (Little's law, over the workers)."""
    rate, steps = per_worker_per_s(trial, settings), steps_us(trial, settings)
    return None if rate is None or steps is None else min(1.0, rate * steps / 1e6)


# ---- what is read from a round ---------------------------------------------------------------


def best(of: OfTrial, trials: Sequence[Trial], run: Run) -> float | None:
    """The largest of a figure over some trials; None where none has it."""
    return max((v for t in trials if (v := of(t, run.settings)) is not None), default=None)


def worker_most_per_s(trials: Sequence[Trial], run: Run) -> float | None:
    """1 s over the mean time in the handler, at the level where that is least."""

    def rate(trial: Trial, settings: Settings) -> float | None:
        steps = steps_us(trial, settings)
        return 1e6 / steps if steps else None

    return best(rate, trials, run)


def cpu_most_per_s(trials: Sequence[Trial], run: Run) -> float | None:
    """The server's CPUs over CPU per request, at the level where that is least."""
    cpus = len(run.environment.server_cpus or ()) or 1  # not pinned: one CPU for all

    def rate(trial: Trial, settings: Settings) -> float | None:
        cpu_us = metric_value(trial, "server.cpu_us_per_request.total")
        return cpus * 1e6 / cpu_us if cpu_us else None

    return best(rate, trials, run)


def stacks_spread(trials: Sequence[Trial], run: Run) -> float | None:
    """Most over least address space of stacks over the levels of a round."""
    path = "server.memory.stack_reserved_bytes"
    values = [v for t in trials if (v := metric_value(t, path))]
    return max(values) / min(values) if len(values) > 1 else None


def queue_depth_worst(trials: Sequence[Trial], run: Run) -> float | None:
    """Deepest queue over the levels of a round."""
    return best(at("server.queue_depth_max"), trials, run)
