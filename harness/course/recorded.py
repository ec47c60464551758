"""Recorded runs instead of measurements, where nothing may be measured (`LAB_OFFLINE=1`): what was
asked for, as far as it was recorded, and a sentence on what was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from harness.core.errors import LabError
from harness.core.record import Run, Settings
from harness.course.files import recorded_folder
from harness.report.source import Source, load_source
from harness.session.experiment import Experiment
from harness.studies.compare.comparison import build_cells, build_comparisons


def recorded(name: str, asked: Mapping[str, Any]) -> tuple[Experiment, str | None]:
    """The recorded run of that name, and how it differs from what was asked for (by the names of
    `harness.lab.compare`), as a sentence; None: in nothing. Of more rounds than were asked for it
    has the first alone. Raises `LabError` where no run of that name was recorded."""
    folder = recorded_folder() / name
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in recorded_folder().glob("*")))
        raise LabError(
            f"no run {name!r} was recorded; unset LAB_OFFLINE to measure it, or take {known}"
        )
    source = load_source(folder)
    rounds = asked.get("rounds")
    if isinstance(rounds, int) and 0 < rounds < source.run.settings.rounds:
        source = first_rounds(source, rounds)
    return Experiment(source, folder), difference(source.run.settings, asked)


def first_rounds(source: Source, rounds: int) -> Source:
    """The same run as if it had ended after so many rounds."""
    run = source.run
    trials = [trial for trial in run.trials if trial.round <= rounds]
    settings = msgspec.structs.replace(run.settings, rounds=rounds)
    shorter: Run = msgspec.structs.replace(
        run, settings=settings, trials=trials, cells=build_cells(settings, trials),
        comparisons=build_comparisons(settings, trials),
    )  # fmt: skip
    rows = (frame[frame["round"] <= rounds] for frame in (source.requests, source.timeline))
    requests, timeline = rows
    return replace(source, run=shorter, requests=requests, timeline=timeline)


def difference(settings: Settings, asked: Mapping[str, Any]) -> str | None:
    """`rounds=5 where 9 was asked for`, of every option that a recorded run has otherwise."""
    told = []
    for option, value in asked.items():
        field = next((f for f in (option, f"{option}_s") if hasattr(settings, f)), None)
        if value is None:
            continue
        if field is None:
            told.append(f"{option} as it was then, and not {value!r}")
            continue
        has = getattr(settings, field)
        if _plain(has) != _plain(value):
            told.append(f"{option}={_plain(has)} where {_plain(value)} was asked for")
    return "; ".join(told) or None


def _plain(value: Any) -> Any:
    """A value in one form: a list of one as that one, 2000.0 as 2000."""
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return items[0] if len(items) == 1 else items
    return int(value) if isinstance(value, float) and value.is_integer() else value
