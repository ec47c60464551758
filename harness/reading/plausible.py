"""Records of runs that may come from strangers: what cannot be true of a run is refused.

Whoever uses a record may so rely on its being about its own backends and levels.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from harness.core.foreign import short
from harness.core.metrics import BY_PATH
from harness.core.options import can_be
from harness.core.record import Cell, CellMetric, Comparison, Run, Settings, Trial
from harness.core.wording import arm_names
from harness.studies.capacity.slo import SUCCESS, TIMES

_MOST_LEVELS, _MOST_BACKENDS = 1000, 100
_LONGEST_NAME = 300


def of_known_metrics(run: Run) -> Run:
    """The run with every metric of this lab in each cell, None where it has none, and no other: a
    later lab may have more, and an earlier one fewer."""
    nothing = CellMetric(median=None, ci_low=None, ci_high=None)
    cells = [
        replace(cell, metrics={path: cell.metrics.get(path, nothing) for path in BY_PATH})
        for cell in run.cells
    ]
    control = run.control
    if control is not None:
        control = replace(control, headline=[h for h in control.headline if h.metric in BY_PATH])
    comparisons = [c for c in run.comparisons if c.metric in BY_PATH]
    return replace(run, cells=cells, comparisons=comparisons, control=control)


def contradiction(run: Run) -> str | None:
    """The first thing that cannot be true of a run, in words; None where there is none."""
    return next(_contradictions(run), None)


def _contradictions(run: Run) -> Iterator[str]:
    yield from _of_settings(run.settings)
    yield from _of_names(run)
    yield from _of_places(run)
    for trial in run.trials:
        yield from _of_trial(trial)
    if run.capacity is None and run.crossover is None:
        yield from _of_levels(run)
    yield from _of_searches(run)


def _of_names(run: Run) -> Iterator[str]:
    settings = run.settings
    labels = (*arm_names(settings), *(source.label for source in run.sources))
    for name in (run.id, settings.workload, *settings.backends, *labels):
        if len(name) > _LONGEST_NAME:
            yield f"it has a name of {len(name):,} letters"


def _of_places(run: Run) -> Iterator[str]:
    """Whether all is about backends that the settings name."""
    names = run.settings.backends
    placed: list[Trial | Cell] = [*run.trials, *run.cells]
    for what in placed:
        if not 0 <= what.slot < len(names) or names[what.slot] != what.backend:
            yield f"it names {what.backend!r} as backend {what.slot + 1} and its settings do not"
    called = arm_names(run.settings)
    for comparison in run.comparisons:
        if comparison.baseline not in called or comparison.contender not in called:
            yield f"it compares {comparison.contender!r}, which it did not run"
        if not 0 < comparison.slot < len(names):
            yield f"it compares backend {comparison.slot + 1} and has {len(names)}"
    for source in run.sources:
        if not 0 <= source.slot < len(names):
            yield f"it has code of backend {source.slot + 1} and {len(names)} backends"


def _of_levels(run: Run) -> Iterator[str]:
    levels = set(run.settings.rps)
    about: list[Trial | Cell | Comparison] = [*run.trials, *run.cells, *run.comparisons]
    for what in about:
        if what.rps not in levels:
            yield f"it has {what.rps:g} RPS, which is none of its levels"


def _of_settings(settings: Settings) -> Iterator[str]:
    if not 0 < len(settings.backends) <= _MOST_BACKENDS:
        yield f"it has {len(settings.backends)} backends"
    if settings.arms and [arm.backend for arm in settings.arms] != settings.backends:
        yield "its arms are not of its backends"
    for name, value in (pair for arm in settings.arms for pair in arm.options.items()):
        if not can_be(name, value):
            yield f"an arm has {short(f'{name} {value!r}')}, which no server can have"
    if not 0 < len(settings.rps) <= _MOST_LEVELS:
        yield f"it has {len(settings.rps)} levels"
    if len(set(settings.rps)) < len(settings.rps):
        yield "it has a level twice"
    if min(settings.rps, default=1) <= 0:
        yield f"it has a level of {min(settings.rps):g} RPS"
    for name in ("rounds", "duration_s", "clients", "timeout_s", "workers", "stack_size_bytes"):
        if getattr(settings, name) <= 0:
            yield f"its {name} are {getattr(settings, name):g}"


def _of_trial(trial: Trial) -> Iterator[str]:
    where = f"a trial of {trial.backend}"
    counts = msgspec.structs.asdict(trial.client.outcomes)
    if min(counts.values()) < 0 or trial.client.scheduled != sum(counts.values()):
        yield f"the outcomes of {where} are not those of {trial.client.scheduled:,} requests"
    if trial.window_s < 0 or trial.rps <= 0 or trial.round < 1:
        yield f"{where} has {trial.rps:g} RPS for {trial.window_s:g} s in round {trial.round}"


def _of_searches(run: Run) -> Iterator[str]:
    if run.capacity is not None:
        for estimate in run.capacity.estimates:
            if estimate.bound == "interval" and None in (
                estimate.rps, estimate.low_rps, estimate.high_rps
            ):  # fmt: skip
                yield f"the capacity of {estimate.backend} is an interval without ends"
        if len(run.capacity.ratios) != max(0, len(run.capacity.estimates) - 1):
            yield "it has ratios of other capacities than it found"
        for condition in run.capacity.conditions:
            if condition.metric not in (SUCCESS, *TIMES.values()):
                yield f"its objective is about {condition.metric!r}"
    if run.crossover is not None:
        for pair in run.crossover.cells:
            if len(pair.success) != 2 or len(pair.p99_us) != 2:
                yield "it has a pair of trials that is none"
        for point in run.crossover.line:
            if point.bound == "interval" and None in (point.value, point.low, point.high):
                yield f"the change of places at {point.rps:g} RPS is an interval without ends"
