"""Runs in the order of their commits, as series: each headline figure, each ratio. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99, BY_PATH, HEADLINES, Metric
from harness.core.options import unusual
from harness.core.record import Environment, Run, Settings
from harness.core.trials import tells_other_work
from harness.core.wording import (
    NOT_ANSWERED,
    Ends,
    arm_names,
    counted,
    figure_ends,
    is_time,
    ratio_ends,
)
from harness.designs.stopping import ratio_confidence_words
from harness.stats.steps import Step, find_changes, least_runs
from harness.studies.regress.comparability import machine_difference, settings_difference


@dataclass(frozen=True, slots=True)
class Point:
    """One run in a series. `place` counts runs from 0; `machine` counts machines from 0.

    `value` and the ends are infinite where a figure is not answered (it lies among the failures),
    and a ratio is 0 where the backend that it is taken over does not answer.
    """

    place: int
    run: str
    commit: str
    created: str
    machine: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One figure over the runs. `reference`: a ratio of `backend` over it, from the same rounds.

    Steps of an absolute figure are looked for within one machine only; a ratio's, across all.
    `Step.index` counts the points of this series. `drifts`: it changes, and at no single place.
    """

    backend: str
    reference: str | None
    rps: float
    metric: Metric
    points: tuple[Point, ...]
    steps: tuple[Step, ...] = ()
    drifts: bool = False

    @property
    def title(self) -> str:
        """`CPU per request of thread-pool over thread-per-request at 2,000 RPS`."""
        over = f" over {self.reference}" if self.reference else ""
        return f"{self.metric.title} of {self.backend}{over} at {self.rps:,.0f} RPS"


@dataclass(frozen=True, slots=True)
class History:
    """All series of runs with equal settings. `machines`: place of the first run, what changed.
    `mixed`: runs that are no part of it lay among them, of another study or with other settings."""

    runs: tuple[str, ...]
    commits: tuple[str, ...]
    machines: tuple[tuple[int, str], ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...]
    mixed: bool = False


def tell_steps(history: History) -> list[str]:
    """A sentence for each step: the figure, how large, and the commit it came with."""
    told = []
    for series in history.series:
        for step in series.steps:
            point = series.points[step.index]
            told.append(
                f"{series.title} stepped {step_size(series, step)} with {point.commit} "
                f"({point.run}, p = {step.p_value:.2g})"
            )
    return told


def step_size(series: Series, step: Step) -> str:
    """`to 1.20×`; to or from what is not answered, or 0, there is no size."""
    beyond = NOT_ANSWERED if is_time(series.metric.path) else "infinite"
    if math.isinf(step.after):
        return f"to {beyond}"
    if math.isinf(step.before):
        return f"from {beyond}"
    return f"to {step.ratio:.2f}×" if step.before else "from 0"


def build_history(found: Sequence[tuple[Path, Run]], left_out: Sequence[str] = ()) -> History:
    """The history of some runs, oldest first. Searches, which compare no levels, partial runs and
    runs with other settings than most are left out, and said so. Raises `LabError`: none left, or
    two runs with one id."""
    _must_be_distinct(found)
    notes = list(left_out)
    whole = _whole_comparisons(found, notes)
    groups = sorted(_by_settings(whole), key=len)
    runs = sorted(_newest_design(groups), key=lambda run: (run.created, run.id))
    if len(runs) < len(whole):
        other = next(run for run in whole if run not in runs)
        told = settings_difference(runs[0].settings, other.settings)
        notes.append(
            f"{len(whole) - len(runs)} runs with other settings are left out, the first "
            f"{other.id}: {told}"
        )
    runs = _with_one_p99(runs, notes)
    otherwise = unusual(runs[0].settings)
    if otherwise:
        notes.insert(0, f"all of them: {', '.join(otherwise)}")
    notes += _other_levels(runs)
    machines = _machines([run.environment for run in runs])
    starts = [place for place, _ in machines]
    series, least = _with_changes(_all_series(runs, starts))
    if len(runs) == 1:
        notes.append("one run is no history: make more to see a change")
    elif len(runs) < least:
        notes.append(
            f"{len(runs)} runs are too few to tell a step from chance among {len(series)} series "
            f"(it takes {least})"
        )
    drifting = [s for s in series if s.drifts]
    if drifting:
        many = f"{len(drifting)} series drift" if len(drifting) > 1 else "one series drifts"
        notes.append(f"{many}, with no step that stands out: {drifting[0].title}")
    return History(
        runs=tuple(run.id for run in runs),
        commits=tuple(_commit(run) for run in runs),
        machines=tuple(machines),
        series=tuple(series),
        notes=tuple(notes),
        mixed=len(runs) < len(whole) or any(study(run) != "compare" for _, run in found),
    )


def _with_one_p99(runs: list[Run], notes: list[str]) -> list[Run]:
    """The runs without the p99 of a typical block where it is another figure than the newest
    run's: only one of the two is without what others did on the machine."""
    newest = tells_other_work(runs[-1])
    alike = [tells_other_work(run) == newest for run in runs]
    other = [run for run, same in zip(runs, alike, strict=True) if not same]
    if not any(map(_has_p99, other)):
        return runs
    how = "not " if newest else ""
    notes.append(
        f"the {BY_PATH[BLOCK_P99].title} is left out of {counted(len(other), 'run')}, the first "
        f"{other[0].id}: unlike the newest run's it is {how}without what other work disturbed"
    )
    return [run if same else _without_p99(run) for run, same in zip(runs, alike, strict=True)]


def _has_p99(run: Run) -> bool:
    return any(BLOCK_P99 in cell.metrics for cell in run.cells)


def _without_p99(run: Run) -> Run:
    cells = [
        msgspec.structs.replace(
            c, metrics={path: m for path, m in c.metrics.items() if path != BLOCK_P99}
        )
        for c in run.cells
    ]
    comparisons = [c for c in run.comparisons if c.metric != BLOCK_P99]
    return msgspec.structs.replace(run, cells=cells, comparisons=comparisons)


def _other_levels(runs: Sequence[Run]) -> list[str]:
    """Of which runs the intervals of ratios are at another level than the page says."""
    asked = [run.settings for run in runs if run.settings.precision]
    if not asked:
        return []
    return [
        f"bars of ratios of {counted(len(asked), 'run')} with --precision are "
        f"{ratio_confidence_words(asked[0])} intervals"
    ]


def _whole_comparisons(found: Sequence[tuple[Path, Run]], notes: list[str]) -> list[Run]:
    """The runs that compared levels and came to their end; what is left out is added to `notes`.
    Raises `LabError` where there is none."""
    searches = [run for _, run in found if study(run) != "compare"]
    if searches:
        notes.append(
            f"runs of another study are left out ({len(searches)}), the first {searches[0].id} "
            f"({study(searches[0])}): they compare no levels"
        )
    compared = [run for _, run in found if study(run) == "compare"]
    if not compared:
        raise LabError(
            f"there is no comparison to draw: {searches[0].id} is a search "
            f"({study(searches[0])}); make some with labrun compare --out"
        )
    traced = [run for run in compared if run.settings.trace is not None]
    if traced:
        notes.append(
            f"traced runs are left out ({len(traced)}), the first {traced[0].id}: tracing costs CPU"
        )
    compared = [run for run in compared if run.settings.trace is None]
    if not compared:
        raise LabError(
            f"there is no run to draw: every one was traced, the first {traced[0].id}; make some "
            "without --trace"
        )
    whole = [run for run in compared if run.complete and run.cells]
    if len(whole) < len(compared):
        partial = next(run for run in compared if not (run.complete and run.cells))
        notes.append(
            f"{len(compared) - len(whole)} partial runs are left out, the first {partial.id}"
        )
    if not whole:
        raise LabError("there is no whole run to draw: every one is partial; make one again")
    return whole


# What goes with the design of a run: where it changes, a new series begins.
_OF_DESIGN = ("design", "block_s", "rounds", "duration_s", "warmup_s")


def _newest_design(groups: Sequence[list[Run]]) -> list[Run]:
    """Of runs grouped by settings, the fewest first, the largest group; or the one that differs
    from it by its design alone and has the newest run."""
    largest = groups[-1]

    def plain(run: Run) -> Settings:
        kept = {name: getattr(largest[0].settings, name) for name in _OF_DESIGN}
        return msgspec.structs.replace(run.settings, **kept)

    alike = [
        group
        for group in groups
        if group is largest
        or (
            group[0].settings.design != largest[0].settings.design
            and settings_difference(plain(group[0]), largest[0].settings) is None
        )
    ]
    return max(alike, key=lambda group: max(run.created for run in group))


def study(run: Run) -> str:
    """The kind of a run: `capacity`, `crossover`, or `compare`."""
    if run.capacity is not None:
        return "capacity"
    return "compare" if run.crossover is None else "crossover"


def _must_be_distinct(found: Sequence[tuple[Path, Run]]) -> None:
    seen: dict[str, Path] = {}
    for path, run in found:
        if run.id in seen:
            raise LabError(
                f"{seen[run.id]} and {path} hold runs with one id, {run.id}; "
                "a run counted twice looks like two: remove one"
            )
        seen[run.id] = path


def _by_settings(runs: Sequence[Run]) -> list[list[Run]]:
    groups: list[tuple[Settings, list[Run]]] = []
    for run in runs:
        for settings, members in groups:
            if settings is run.settings or settings_difference(settings, run.settings) is None:
                members.append(run)
                break
        else:
            groups.append((run.settings, [run]))
    return [members for _, members in groups]


def _commit(run: Run) -> str:
    """Short hash of what was measured, `+` with changes; `?` where it is not known."""
    if run.sources:
        source = run.sources[-1]
        commit, dirty = source.commit, source.dirty
    else:
        commit, dirty = run.environment.git_commit, bool(run.environment.git_dirty)
    return (commit[:7] if commit else "?") + ("+" if dirty else "")


def _machines(environments: Sequence[Environment]) -> list[tuple[int, str]]:
    found = [(0, environments[0].cpu_model or "a machine without a name")]
    for place in range(1, len(environments)):
        told = machine_difference(environments[place - 1], environments[place])
        if told is not None:
            found.append((place, told))
    return found


def _all_series(runs: Sequence[Run], machine_starts: Sequence[int]) -> list[Series]:
    levels = Counter(rps for run in runs for rps in run.settings.rps)
    backends = list(dict.fromkeys(name for run in runs for name in arm_names(run.settings)))
    found = []
    for rps in sorted(levels):
        for metric in HEADLINES:
            for name in backends:
                found.append(_absolute(runs, machine_starts, name, rps, metric))
            for name in backends[1:]:
                found.append(_ratio(runs, machine_starts, backends[0], name, rps, metric))
    return [series for series in found if series.points]


def _with_changes(every: Sequence[Series]) -> tuple[list[Series], int]:
    """The series with their steps, and how many runs it takes to find one. All are shown on one
    page, so they are tested together."""
    parts = [
        (number, start, stop)
        for number, series in enumerate(every)
        for start, stop in _comparable_parts(series)
    ]
    values = [[point.value for point in every[n].points[a:b]] for n, a, b in parts]
    found = list(zip(parts, find_changes(values), strict=True))
    changed = []
    for number, series in enumerate(every):
        own = [(start, changes) for (n, start, _), changes in found if n == number]
        steps = [replace(s, index=s.index + start) for start, c in own for s in c.steps]
        drifts = any(changes.drifts for _, changes in own)
        changed.append(replace(series, steps=tuple(steps), drifts=drifts))
    return changed, least_runs(values)


def _comparable_parts(series: Series) -> list[tuple[int, int]]:
    """Where a series may be searched: from one machine to the next; a ratio, as a whole."""
    points = series.points
    edges = [
        i
        for i in range(1, len(points))
        if series.reference is None and points[i].machine != points[i - 1].machine
    ]
    return list(pairwise([0, *edges, len(points)]))


def _machine_of(place: int, starts: Sequence[int]) -> int:
    return sum(start <= place for start in starts) - 1


def _absolute(
    runs: Sequence[Run], starts: Sequence[int], name: str, rps: float, metric: Metric
) -> Series:
    points: list[Point] = []
    for place, run in enumerate(runs):
        # Of old beside new, the new one is what the run is about: the last slot of that name.
        names = arm_names(run.settings)
        cells = [c for c in run.cells if (names[c.slot], c.rps) == (name, rps)]
        figure = cells[-1].metrics.get(metric.path) if cells else None
        if figure is not None:
            points += _point(place, run, starts, figure_ends(figure))
    return Series(name, None, rps, metric, tuple(points))


def _point(place: int, run: Run, starts: Sequence[int], ends: Ends) -> list[Point]:
    """The point of a run; none where there is no value."""
    value, low, high = ends
    if value is None:
        return []
    machine = _machine_of(place, starts)
    return [Point(place, run.id, _commit(run), run.created, machine, value, low, high)]


def _ratio(
    runs: Sequence[Run], starts: Sequence[int], reference: str, name: str, rps: float,
    metric: Metric,
) -> Series:  # fmt: skip
    wanted = (rps, metric.path, reference, name)
    points: list[Point] = []
    for place, run in enumerate(runs):
        for c in run.comparisons:
            if (c.rps, c.metric, c.baseline, c.contender) == wanted:
                points += _point(place, run, starts, ratio_ends(c))
                break
    return Series(name, reference, rps, metric, tuple(points))
