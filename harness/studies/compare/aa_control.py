"""A run's own control: what it could have seen, and what a backend against itself came to.

A run's intervals say how small a difference it could have told from none. How often such a verdict
is false only A/A runs can tell, of the same machine and at the same settings: `labrun
doctor --aa` makes them and keeps them in `results/control/control.json`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.core.errors import LabError
from harness.core.foreign import read_json
from harness.core.metrics import BLOCK_P99, BY_PATH, HEADLINES
from harness.core.record import Comparison, Control, Environment, HeadlineControl, Run, Settings
from harness.core.trials import tells_other_work
from harness.core.units import percent
from harness.core.wording import slot_names

CONTROL_SCHEMA = 2  # since 2 the p99 of a typical block is without disturbed ones
CONTROL_FILE = Path("control") / "control.json"
FEWEST_RUNS = 20  # of which one may be false: fewer cannot show a rate of 1 in 20
_REMEDY = "labrun doctor --aa makes them"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The settings and machine that a run and its A/A control must share."""

    cpu_model: str | None
    cpu_count: int
    kernel: str
    python_version: str

    @classmethod
    def of(cls, environment: Environment) -> Machine:
        """The machine of a run."""
        return cls(
            cpu_model=environment.cpu_model,
            cpu_count=environment.cpu_count,
            kernel=environment.kernel,
            python_version=environment.python_version,
        )


class ControlRun(msgspec.Struct, frozen=True, kw_only=True):
    """The headline comparisons of one run, and what may explain them."""

    seed: int
    created: str
    load_average: float
    trials: int
    invalid: int
    comparisons: list[Comparison]


class ControlData(msgspec.Struct, frozen=True, kw_only=True):
    """All A/A runs of one backend at one level on one machine. `settings.seed` is the first."""

    machine: Machine
    settings: Settings
    runs: list[ControlRun]
    headline: list[HeadlineControl]


class ControlRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    schema: int
    controls: list[ControlData]


def control_run(run: Run) -> ControlRun:
    """The part of an A/A run that is kept."""
    headlines = {metric.path for metric in HEADLINES}
    return ControlRun(
        seed=run.settings.seed,
        created=run.created,
        load_average=run.environment.load_average_at_start[0],
        trials=len(run.trials),
        invalid=sum(not t.valid for t in run.trials),
        comparisons=[c for c in run.comparisons if c.metric in headlines],
    )


def headline_controls(runs: Sequence[ControlRun]) -> list[HeadlineControl]:
    """False verdicts and what was ruled out, for each headline metric, over A/A runs."""
    found = []
    for metric in HEADLINES:
        here = [c for run in runs for c in run.comparisons if c.metric == metric.path]
        if runs and not here:
            continue  # another design's
        judged = [c for c in here if c.ci_low is not None and c.ci_high is not None]
        limits = [c.ruled_out for c in judged if c.ruled_out is not None]
        found.append(
            HeadlineControl(
                metric=metric.path,
                judged=len(judged),
                false_alarms=sum(c.verdict != "cannot-tell" for c in judged),
                ruled_out=statistics.median(limits) if limits else None,
            )
        )
    return found


def same_settings(one: Settings, other: Settings, rps: float) -> bool:
    """Whether two runs were made alike at a level: all but backends, seed, and other levels."""

    def plain(settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, rps=[rps], backends=[], seed=0)

    return rps in one.rps and rps in other.rps and plain(one) == plain(other)


def read_controls(results: Path) -> ControlRecord | None:
    """The record below a folder of runs; None where there is none that can be read."""
    try:
        return msgspec.convert(read_json(results / CONTROL_FILE), ControlRecord)
    except (OSError, LabError, msgspec.ValidationError):
        return None


def find_control(run: Run, record: ControlRecord | None) -> Control:
    """The control of a run: of its baseline first, else of any of its backends."""
    if record is None or record.schema != CONTROL_SCHEMA or not record.controls:
        return _none(f"no A/A data are on record; {_REMEDY}")
    machine = Machine.of(run.environment)
    here = [data for data in record.controls if data.machine == machine]
    if not here:
        return _none(f"the A/A data on record are of another machine; {_REMEDY}")
    for backend in run.settings.backends:
        for data in here:
            for rps in data.settings.rps:
                if data.settings.backends[0] == backend and same_settings(
                    run.settings, data.settings, rps
                ):
                    headline = [each for each in data.headline if _is_of(run, each.metric)]
                    return Control(backend=backend, rps=rps, runs=len(data.runs), headline=headline)
    return _none(f"the A/A data on record were made with other settings; {_REMEDY}")


def _is_of(run: Run, metric: str) -> bool:
    """Whether a headline of today's A/A runs is the run's: the p99 of a typical block was another
    figure before disturbed blocks were told."""
    return metric != BLOCK_P99 or tells_other_work(run)


def _none(why: str) -> Control:
    return Control(backend=None, rps=None, runs=0, headline=[], mismatch=why)


def control_sentences(run: Run) -> list[str]:
    """For every level: what could have been seen and what is ruled out; then the false alarms."""
    found = []
    names = slot_names(run.settings)
    for rps in run.settings.rps:
        for slot, contender in enumerate(names[1:], start=1):
            level = [c for c in run.comparisons if (c.rps, c.slot) == (rps, slot)]
            if any(c.rounds for c in level):  # else the finding says why there is nothing
                found += _level(rps, contender, level)
    if found:
        found.append(_false_alarms(run.control))
    return found


def _level(rps: float, contender: str, comparisons: Sequence[Comparison]) -> list[str]:
    by_metric = {c.metric: c for c in comparisons}
    seen, open_, unseen = [], [], []
    for metric in HEADLINES:
        comparison = by_metric.get(metric.path)
        if comparison is None:
            continue
        if comparison.smallest_difference is None:
            unseen.append(metric.title)
        else:
            seen.append(f"{metric.title} {percent(comparison.smallest_difference)}")
        if comparison.verdict == "cannot-tell" and comparison.ruled_out is not None:
            open_.append(f"{metric.title} (more than {percent(comparison.ruled_out)} is ruled out)")
    head = f"At {rps:,.0f} RPS, {contender}"
    if not seen:
        return [f"{head}: no difference of any size could have been seen; run more rounds."]
    lines = [f"{head}: the smallest difference that could have been seen: {', '.join(seen)}"]
    lines[0] += f"; none in {', '.join(unseen)}." if unseen else "."
    if open_:
        lines.append(f"{head}: cannot tell: {', '.join(open_)}.")
    return lines


def _false_alarms(control: Control | None) -> str:
    if control is None or control.mismatch is not None:
        why = "no A/A data are on record" if control is None else control.mismatch
        return f"False-alarm rate of this machine at these settings: not known ({why})."
    told = ", ".join(
        f"{BY_PATH[h.metric].title} {h.false_alarms} of {h.judged}"
        for h in control.headline
        if h.metric in BY_PATH
    )
    few = "" if control.runs >= FEWEST_RUNS else f" ({control.runs} runs are too few for a rate)"
    return (
        f"False alarms on this machine in {control.runs} runs of {control.backend} against itself "
        f"at {control.rps:,.0f} RPS: {told}{few}."
    )
