"""The plan of a comparison, and what its trials come to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness.core.record import Comparison, Run, Settings, Trial
from harness.core.units import percent, rate
from harness.designs.blocks import not_for_blocks, plan_restart, too_much_at_once
from harness.designs.stopping import LOOKS, Looks, wider
from harness.designs.trials import (
    PlannedTrial,
    StartOver,
    Step,
    plan_repeats,
    plan_round,
    plan_trials,
)
from harness.machine.probe import Room, read_room
from harness.studies.compare.aa_control import find_control, read_controls
from harness.studies.compare.blocks import as_compared
from harness.studies.compare.comparison import build_cells, build_comparisons
from harness.studies.compare.summary import run_finding


class ComparePlanner:
    """Every arm once a round at every level, in blocks or in whole trials, and the repeats that an
    interval needs. A level that blocks cannot measure is measured in whole trials: one for which
    all servers at once are too much for this machine (`room`; None: as it is now), and one that
    was measured in blocks and is no measure."""

    most_deaths = 1

    def __init__(self, settings: Settings, room: Room | None = None) -> None:
        self._settings = settings
        self._room = room
        self._planned = plan_trials(settings)
        self._in_blocks = set(settings.rps) if settings.design == "blocks" else set()
        self._looks = Looks(settings)

    def next_trial(self, trials: Sequence[Trial]) -> Step | None:
        self._looks.begin()
        spoilt = self._spoilt(trials)
        if spoilt is not None:
            self._in_blocks.discard(spoilt.rps)
            return spoilt
        done = {(trial.rps, trial.round, trial.slot) for trial in trials}
        for again in (False, True):
            if again:
                self._planned += plan_repeats(self._settings, trials) or self._further(trials)
            for planned in self._planned:
                if (planned.rps, planned.round, planned.slot) not in done:
                    return self._step(planned)
        return None

    def _further(self, trials: Sequence[Trial]) -> list[PlannedTrial]:
        """The restarts up to the next look, where it is not known well enough."""
        if not self._in_blocks:
            return []
        so_far = self._looks.restarts
        comparisons = build_comparisons(self._settings, as_compared(trials))
        until = self._looks.more(self._in_turns(comparisons))
        return [
            planned
            for number in range(so_far + 1, until + 1)
            for level in range(len(self._settings.rps))
            for planned in plan_round(self._settings, level, number)
        ]

    def _in_turns(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """Those of levels in blocks: precision is of these."""
        return [c for c in comparisons if c.rps in self._in_blocks]

    def _step(self, planned: PlannedTrial) -> Step:
        """The trial, or the restart that it is a part of."""
        if planned.rps not in self._in_blocks:
            return planned
        return plan_restart(self._settings, planned.rps, planned.round)

    def _spoilt(self, trials: Sequence[Trial]) -> StartOver | None:
        """A level in blocks of which these cannot be the measure, and why."""
        for rps in self._settings.rps if self._in_blocks and not trials else ():
            if rps not in self._in_blocks:
                continue
            self._room = read_room() if self._room is None else self._room
            why = too_much_at_once(self._settings, rps, self._room)
            if why is not None:
                return StartOver(rps, f"{rate(rps)}: {why}, so this level was measured in whole "
                                      "trials")  # fmt: skip
        for rps in self._settings.rps:
            mine = [trial for trial in trials if trial.rps == rps and trial.blocks]
            why = not_for_blocks(mine, self._settings.rounds) if rps in self._in_blocks else None
            if why is not None:
                return StartOver(rps, f"{rate(rps)}: {why}, so this level was measured again in "
                                      "whole trials")  # fmt: skip
        return None

    def _reached(self, run: Run) -> Iterator[str]:
        """Whether it is known as well as was asked for, and if not, how well."""
        wanted = self._settings.precision
        if not wanted:
            return
        if not self._in_blocks:
            yield "--precision is for blocks, and none of these levels was measured in blocks."
            return
        missed = wider(self._in_turns(run.comparisons), wanted)
        restarts = max((trial.round for trial in run.trials), default=0)
        if not missed:
            asked = ", ".join(f"{name} to {percent(limit)}" for name, limit in wanted.items())
            yield f"After {restarts} restarts {asked} or better is known."
            return
        why = "there was no time for more" if self._looks.out_of_time else "the run ended"
        if run.complete and restarts >= LOOKS[-1]:
            why = "more is never tried"
        got = ", ".join(
            f"{name} is known to {percent(width) if math.isfinite(width) else 'no width'} "
            f"(asked for: {percent(wanted[name])})"
            for name, width in missed.items()
        )
        yield f"After {restarts} restarts {got}; {why}."

    def total(self, trials: Sequence[Trial]) -> int:
        return len(self._planned)

    def conclude(self, run: Run, results: Path) -> Run:
        trials = as_compared(run.trials)
        run = msgspec.structs.replace(
            run,
            trials=trials,
            cells=build_cells(self._settings, trials),
            comparisons=build_comparisons(self._settings, trials),
        )
        told = [run_finding(run), *self._reached(run)]
        run = msgspec.structs.replace(run, finding=" ".join(told))
        if not run.comparisons:
            return run
        return msgspec.structs.replace(run, control=find_control(run, read_controls(results)))
