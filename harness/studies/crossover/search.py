"""The trials of a crossover search: pairs, one load after the other, until time is up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from harness.core.record import Condition, Run, Settings, Trial, Vary
from harness.designs.stopping import Budget
from harness.designs.trials import PlannedTrial, trial_seed
from harness.studies.crossover.estimate import (
    RowSearch,
    advantage,
    advice,
    build_crossover,
    to_answer,
    value_of,
)
from harness.studies.search_sentences import crossover_finding
from harness.targets.arm import arms_of


class CrossoverPlanner:
    """A pair at each load in turn, each load with a search of its own, so that a run that is cut
    short has seen them all. Both trials of a pair get the same schedule; their order alternates."""

    most_deaths = 0

    def __init__(
        self,
        settings: Settings,
        vary: Vary,
        lowest: float,
        highest: float,
        budget: Budget,
        objective: str | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        self._objective, self._conditions = objective, list(conditions)
        self._settings, self._vary = settings, vary
        self._lowest, self._highest = lowest, highest
        self.budget = budget
        self.searches = {rps: RowSearch(vary, lowest, highest) for rps in settings.rps}
        self._round = 0
        self._rows: list[float] = []
        self._second: PlannedTrial | None = None
        self._seen = 0

    def next_trial(self, trials: Sequence[Trial]) -> PlannedTrial | None:
        if self._second is not None:
            second, self._second = self._second, None
            return second
        self._take_in(trials)
        wanted = {rps: search.next_value() for rps, search in self.searches.items()}
        if all(value is None for value in wanted.values()) or not self.budget.begin_step():
            return None
        while True:
            if not self._rows:
                self._round += 1
                self._rows = list(self._settings.rps)
            rps = self._rows.pop(0)
            value = wanted[rps]
            if value is not None:
                first, self._second = self._pair(rps, value)
                return first

    def _take_in(self, trials: Sequence[Trial]) -> None:
        """Tell the searches about the pairs that have ended."""
        while self._seen + 1 < len(trials):
            first, second = sorted(trials[self._seen : self._seen + 2], key=lambda t: t.slot)
            better = advantage(first, second, self._conditions)
            answer = to_answer(better, self._settings.backends[0])
            self.searches[first.rps].add(value_of(self._vary, first), answer)
            self._seen += 2

    def _pair(self, rps: float, value: float) -> tuple[PlannedTrial, PlannedTrial]:
        slots = arms_of(self._settings)
        level = self._settings.rps.index(rps)
        seed = trial_seed(self._settings.seed, rps, self._round)
        workload = workers = None
        if self._vary == "workers":
            workers = round(value)
        else:
            workload = f"{self._vary}:{value * 1e3:.6g}ms"
        first, second = (
            PlannedTrial(
                replace(arm, workload=workload, workers=workers),
                rps,
                self._round,
                place,
                seed,
                seed + 1,
            )
            for place, arm in enumerate(slots if (self._round + level) % 2 else slots[::-1])
        )
        return first, second

    def total(self, trials: Sequence[Trial]) -> int:
        return max(len(trials) + 1, len(trials) + 2 * self.budget.steps_left())

    def conclude(self, run: Run, results: Path) -> Run:
        rounds = max((trial.round for trial in run.trials), default=0)
        settings = msgspec.structs.replace(self._settings, rounds=rounds)
        found = build_crossover(
            settings, run.trials, self._vary, self._lowest, self._highest,
            self._objective, self._conditions,
        )  # fmt: skip
        told = " ".join([crossover_finding(found, settings), *advice(found)])
        return msgspec.structs.replace(run, settings=settings, crossover=found, finding=told)
