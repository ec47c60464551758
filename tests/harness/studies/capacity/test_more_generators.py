"""Where the generator's limit comes first, a search begins anew with one more process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from harness.core.record import Run, Settings, Trial
from harness.designs.stopping import Budget
from harness.designs.trials import PlannedTrial, StartOver, plan_trials
from harness.machine.cpus import more_generators
from harness.session.run import Silent, record_run
from harness.session.settings import CompareOptions, make_settings
from harness.studies.capacity.search import CapacityPlanner
from harness.studies.capacity.slo import parse_slo
from tests.support.made import make_trial

CPUS = sorted(os.sched_getaffinity(0))
needs_two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="two processes need two CPUs")


def settings_on(*cpus: int, **options: object) -> Settings:
    """Those of a short run whose generators may have these CPUs."""
    return make_settings(
        CompareOptions(
            backends="thread-pool", rps="200", rounds=1, duration_s=0.5, warmup_s=0.0,
            generator_cpus=",".join(map(str, cpus)), **options,  # type: ignore[arg-type]
        )
    )  # fmt: skip


def trial_of(rps: float, limited: bool) -> Trial:
    trial = msgspec.structs.replace(make_trial(0, 1), rps=rps)
    if not limited:
        return trial
    return msgspec.structs.replace(
        trial, class_="generator-limited", valid=False, invalid_reason="late"
    )


def results(*rates: tuple[float, bool]) -> list[Trial]:
    return [trial_of(rps, limited) for rps, limited in rates]


class Clock:
    """A time that the test moves on."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@needs_two_cpus
def test_there_can_be_as_many_as_there_are_cpus_and_clients_for() -> None:
    both = settings_on(*CPUS[:2])
    assert more_generators(both) == 2
    assert more_generators(msgspec.structs.replace(both, generators=2)) is None
    assert more_generators(msgspec.structs.replace(both, clients=1)) is None
    assert more_generators(settings_on(CPUS[0])) is None


@needs_two_cpus
def test_every_search_begins_anew_once_the_generator_is_known_to_be_the_limit() -> None:
    objective = parse_slo("success>=0.5")
    budget = Budget(600.0, 1.0)
    planner = CapacityPlanner(settings_on(*CPUS[:2]), "success>=0.5", objective, budget)
    met, late = [(1000.0, False), (2000.0, False)], (4000.0, True)
    grown = [results(*met[:many]) for many in range(3)] + [
        results(*met, *[late] * many) for many in range(1, 6)
    ]
    for trials in grown:
        assert isinstance(planner.next_trial(trials), PlannedTrial)
    step = planner.next_trial(results(*met, *[late] * 6))
    assert isinstance(step, StartOver)
    assert (step.rps, step.generators) == (None, 2)
    assert step.why == (
        "The generator's limit came first, so the search began anew with 2 processes that send"
    )
    again = planner.next_trial([])
    assert isinstance(again, PlannedTrial)
    assert (again.rps, again.round) == (1000.0, 1)
    for trials in grown[1:]:
        assert isinstance(planner.next_trial(trials), PlannedTrial)
    # There is no third CPU for one, so the limit is said.
    assert not isinstance(planner.next_trial(results(*met, *[late] * 6)), StartOver)
    assert planner.searches[0].found().why == "the generator's limit comes first"


@needs_two_cpus
@pytest.mark.parametrize("reason", ["no time", "no ports", "one bad moment"])
def test_it_does_not_begin_anew_where_that_is_no_help(reason: str) -> None:
    clock = Clock()
    budget = Budget(100.0, 1.0, clock)
    planner = CapacityPlanner(
        settings_on(*CPUS[:2]), "success>=0.5", parse_slo("success>=0.5"), budget
    )
    planner.next_trial([])
    clock.now_s = 60.0 if reason == "no time" else 40.0
    trials = results((1000.0, False), (2000.0, False), *[(4000.0, True)] * 6)
    if reason == "no ports":
        client = msgspec.structs.replace(trials[-1].client, unsent_causes={"no ports": 9})
        trials[-1] = msgspec.structs.replace(trials[-1], client=client)
    if reason == "one bad moment":
        trials = results(*[(1000.0, True)] * 3, (500.0, False), (250.0, False))
    assert not isinstance(planner.next_trial(trials), StartOver)


class Two:
    """One trial, then it begins anew with two processes."""

    most_deaths = 0

    def __init__(self, settings: Settings) -> None:
        (self._planned,) = plan_trials(settings)
        self._steps: list[PlannedTrial | StartOver] = [
            self._planned, StartOver(None, "one was not enough", 2), self._planned,
        ]  # fmt: skip

    def next_trial(self, trials: Sequence[Trial]) -> PlannedTrial | StartOver | None:
        return self._steps.pop(0) if self._steps else None

    def total(self, trials: Sequence[Trial]) -> int:
        return 2

    def conclude(self, run: Run, results: Path) -> Run:
        return run


@needs_two_cpus
def test_what_one_process_sent_is_forgotten_and_two_send_from_then_on(tmp_path: Path) -> None:
    settings = settings_on(*CPUS[:2], arrivals="constant")
    silent = nullcontext(Silent())
    result = record_run(settings, tmp_path, "two", "a test", silent, Two(settings))
    run = result.run
    assert run.complete
    assert run.settings.generators == 2
    assert "one was not enough" in run.warnings
    (trial,) = run.trials
    assert [part.scheduled for part in trial.client.generators] == [50, 50]
    rows = pd.read_parquet(result.folder.path / "requests.parquet")
    assert len(rows) == trial.client.scheduled == trial.client.outcomes.total() == 100
