"""The plan of a comparison, and what its trials come to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.core.record import Run, Settings, Trial
from harness.designs.trials import PlannedTrial, plan_repeats, plan_trials
from harness.studies.compare.aa_control import find_control, read_controls
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import finding


class ComparePlanner:
    """Every backend once a round at every level, and the repeats that an interval needs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._planned = plan_trials(settings)

    def next_trial(self, trials: Sequence[Trial]) -> PlannedTrial | None:
        if len(trials) == len(self._planned):
            self._planned += plan_repeats(self._settings, trials)
        return self._planned[len(trials)] if len(trials) < len(self._planned) else None

    def total(self, trials: Sequence[Trial]) -> int:
        return len(self._planned)

    def conclude(self, run: Run, results: Path) -> Run:
        run = msgspec.structs.replace(
            run,
            cells=build_cells(self._settings, run.trials),
            comparisons=build_comparisons(self._settings, run.trials),
        )
        told = (finding(rps, run.comparisons, run.cells, run.trials) for rps in run.settings.rps)
        run = msgspec.structs.replace(run, finding=" ".join(told))
        if not run.comparisons:
            return run
        return msgspec.structs.replace(run, control=find_control(run, read_controls(results)))
