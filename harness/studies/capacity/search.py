"""The trials of a capacity search, one by one: the backends take turns until time is up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.core.record import Condition, Run, Settings, Trial
from harness.designs.stopping import Budget
from harness.designs.trials import PlannedTrial, StartOver, trial_seed
from harness.drivers.request_log import UNSENT_CAUSES, UNSENT_LATE
from harness.machine.cpus import more_generators
from harness.studies.capacity.estimate import CapacitySearch, build_capacity, result_of
from harness.studies.compare.comparison import build_cells
from harness.studies.search_sentences import capacity_finding
from harness.targets.arm import arms_of

LATE = UNSENT_CAUSES[UNSENT_LATE]


class CapacityPlanner:
    """Each backend's search in turn, so that a slow drift of the machine meets all alike; the
    order within a round alternates. A search that is content leaves its time to the others.

    Where the generator's limit comes first, there are CPUs for more processes that send, and there
    is time to come as far again, all begin anew with them: they may take CPUs that the server had,
    and what was found is then of another machine.
    """

    most_deaths = 0

    def __init__(
        self, settings: Settings, objective: str, conditions: Sequence[Condition], budget: Budget
    ) -> None:
        self._settings = settings
        self._objective, self._conditions = objective, list(conditions)
        self.budget = budget
        self.searches = [CapacitySearch() for _ in settings.backends]
        self._began_with_s = budget.left_s
        self._seen = 0
        self._round = 0
        self._turns: list[int] = []

    def next_trial(self, trials: Sequence[Trial]) -> PlannedTrial | StartOver | None:
        for trial in trials[self._seen :]:
            self.searches[trial.slot].add(trial.rps, result_of(self._conditions, trial))
        self._seen = len(trials)
        more = self._more_generators(trials)
        if more is not None:
            return self._start_over(more)
        wanted = {slot: search.next_rate() for slot, search in enumerate(self.searches)}
        if all(rate is None for rate in wanted.values()) or not self.budget.begin_step():
            return None
        while True:
            if not self._turns:
                self._round += 1
                slots = list(wanted)
                self._turns = slots if self._round % 2 else slots[::-1]
            slot = self._turns.pop(0)
            rate = wanted[slot]
            if rate is not None:
                return self._planned(slot, rate)

    def _more_generators(self, trials: Sequence[Trial]) -> int | None:
        """How many are to send, where those that do are the limit; None where they are not, or
        there can be no more, or too late in the search."""
        limited = [slot for slot, search in enumerate(self.searches) if search.is_limited()]
        spent_s = self._began_with_s - self.budget.left_s
        if not limited or self.budget.left_s < spent_s:
            return None
        mine = [t for t in trials if t.slot in limited and t.class_ == "generator-limited"]
        if any(t.client.unsent_causes.keys() - {LATE} for t in mine):
            return None  # it had no ports or descriptors, which more processes do not have either
        return more_generators(self._settings)

    def _start_over(self, generators: int) -> StartOver:
        """Every search anew, with so many processes that send."""
        self._settings = msgspec.structs.replace(self._settings, generators=generators)
        self.searches = [CapacitySearch() for _ in self._settings.backends]
        self._began_with_s = self.budget.left_s
        self._seen, self._round, self._turns = 0, 0, []
        return StartOver(
            None,
            f"The generator's limit came first, so the search began anew with {generators} "
            "processes that send",
            generators,
        )

    def _planned(self, slot: int, rate: float) -> PlannedTrial:
        place = len(self._settings.backends) - len(self._turns) - 1
        seed = trial_seed(self._settings.seed, rate, self._round)
        arm = arms_of(self._settings)[slot]
        return PlannedTrial(arm, rate, self._round, place, seed, seed + 1)

    def total(self, trials: Sequence[Trial]) -> int:
        return max(len(trials) + 1, len(trials) + self.budget.steps_left())

    def conclude(self, run: Run, results: Path) -> Run:
        rates = sorted({trial.rps for trial in run.trials})
        rounds = max((trial.round for trial in run.trials), default=0)
        settings = msgspec.structs.replace(self._settings, rps=rates, rounds=rounds)
        tried = {(trial.slot, trial.rps) for trial in run.trials}
        cells = build_cells(settings, run.trials)
        found = build_capacity(settings, run.trials, self._objective, self._conditions)
        return msgspec.structs.replace(
            run,
            settings=settings,
            cells=[cell for cell in cells if (cell.slot, cell.rps) in tried],
            capacity=found,
            finding=capacity_finding(found, settings),
        )
