"""The plan of a run: which trial comes when. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.core.record import Run, Settings, Trial
from harness.core.trials import comparable
from harness.stats.intervals import LEAST_ROUNDS
from harness.targets.arm import Arm, arms_of

MOST_REPEATS = 2

# What a trial takes besides warm-up and measured window: two processes to start, a server to
# drain, figures to add up. Only the time left on the screen depends on it.
OVERHEAD_S = 1.2
BLOCK_OVERHEAD_S = 0.05  # of each block: the server at rest, two reports


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One trial to be run. Seeds are equal for all backends of a round, so that they get the
    same schedule (common random numbers)."""

    arm: Arm
    rps: float
    round: int
    order: int
    seed: int
    warmup_seed: int

    @property
    def backend(self) -> str:
        return self.arm.backend

    @property
    def name(self) -> str:
        """Its arm's name, else its backend's."""
        return self.arm.name or self.arm.backend

    @property
    def slot(self) -> int:
        return self.arm.slot

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The one that it has."""
        return (self.arm,)


@dataclass(frozen=True, slots=True)
class StartOver:
    """Drops what was measured at a level so far, for it says nothing: the level is measured
    otherwise. `rps` None: at every level, and by so many processes (`generators`) from now on.
    `why`: a sentence without a full stop."""

    rps: float | None
    why: str
    generators: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """Load for the arm of one slot. `pair`: from 1; the blocks of a pair share `seed`, and so
    their schedule. `place`: the arm's place in it, 0 first."""

    slot: int
    pair: int
    place: int
    seed: int


@dataclass(frozen=True, slots=True)
class PlannedRestart:
    """Fresh processes of all arms, in the order in which they are started, and load for one after
    the other, each block `block_s` seconds long. `warmup_seed`: of the load before it. It comes to
    a trial for each arm."""

    arms: tuple[Arm, ...]
    rps: float
    round: int
    block_s: float
    warmup_seed: int
    blocks: tuple[PlannedBlock, ...]

    @property
    def name(self) -> str:
        """Names of its arms, for a line of progress."""
        names = dict.fromkeys(arm.name or arm.backend for arm in self.arms)
        return " and ".join(names) + " in turns"


Planned = PlannedTrial | PlannedRestart
Step = Planned | StartOver


def name_of(planned: Planned, names: Sequence[str]) -> str:
    """Whose turn it is, for a person who looks on; `names` has those of all slots."""
    return planned.name if len(planned.arms) > 1 else names[planned.arms[0].slot]


class Planner(Protocol):
    """Who says what comes next, given the trials that ended, and what they come to.

    `most_deaths`: how many restarts in which a server died the run goes on after.
    """

    most_deaths: int

    def next_trial(self, trials: Sequence[Trial]) -> Step | None:
        """The next trial, or the next restart of several; None when the run is over."""

    def total(self, trials: Sequence[Trial]) -> int:
        """About how many trials the run has in all, as far as can be told now."""

    def conclude(self, run: Run, results: Path) -> Run:
        """The run with what follows from its trials, however many there are; `results`: the folder
        that has its folder, and what else is known there."""


def plan_trials(settings: Settings) -> list[PlannedTrial]:
    """All trials in the order in which they are run.

    Rounds are outermost, so that a run that is cut short has seen every level. Within a round
    the backends come one after the other, their order reversed from round to round (AB, BA, ...).
    """
    return [
        planned
        for round_number in range(1, settings.rounds + 1)
        for level in range(len(settings.rps))
        for planned in plan_round(settings, level, round_number)
    ]


def plan_repeats(settings: Settings, trials: Sequence[Trial]) -> list[PlannedTrial]:
    """One more round for each level that asked for enough rounds for an interval but, the
    generator having been late in some, has too few left. None when nothing is to be repeated.

    Whether to repeat depends on the generator alone, never on what was measured of a server, and
    what is repeated stays in the record. A level that fails in most rounds is beyond the
    generator, and no repeat would help.
    """
    planned = []
    for level, rps in enumerate(settings.rps):
        rounds: dict[int, bool] = {}
        for trial in trials:
            if trial.rps == rps:
                rounds[trial.round] = rounds.get(trial.round, True) and comparable(trial)
        valid, last = sum(rounds.values()), max(rounds, default=0)
        short = settings.rounds >= LEAST_ROUNDS > valid > len(rounds) / 2
        if short and last < settings.rounds + MOST_REPEATS:
            planned += plan_round(settings, level, last + 1)
    return planned


def plan_round(settings: Settings, level: int, round_number: int) -> list[PlannedTrial]:
    """Every backend once at a level (its place among the settings' rates)."""
    arms = arms_of(settings)
    # Levels start in different orders, so that neither backend is always first.
    order = arms if (round_number + level) % 2 else arms[::-1]
    rps = settings.rps[level]
    seed = trial_seed(settings.seed, rps, round_number)
    return [
        PlannedTrial(arm, rps, round_number, place, seed, seed + 1)
        for place, arm in enumerate(order)
    ]


def trial_seed(seed: int, rps: float, round_number: int) -> int:
    """A seed of its own for each level and round; even, so that the next is free for warm-up."""
    return ((seed * 1_000_003 + int(rps * 1000)) * 1_009 + round_number) * 2


def expected_s(settings: Settings) -> float:
    """About how long the trials of a plan take, in seconds."""
    trials = len(settings.rps) * len(settings.backends) * settings.rounds
    overhead_s = OVERHEAD_S
    if settings.block_s is not None:
        overhead_s += BLOCK_OVERHEAD_S * settings.duration_s / settings.block_s
    return math.ceil(trials * (settings.warmup_s + settings.duration_s + overhead_s))
