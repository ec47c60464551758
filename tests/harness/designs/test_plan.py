from __future__ import annotations

import os
from itertools import pairwise

import msgspec
import pytest

from harness.core.errors import LabError
from harness.core.record import Settings
from harness.designs.trials import plan_trials
from harness.machine.cpus import overlap_warning, plan_cpus, plan_of
from harness.session.settings import CompareOptions, make_settings

SETTINGS = Settings(
    rps=[500.0, 2000.0],
    backends=["thread-per-request", "thread-pool"],
    rounds=4,
    duration_s=1.0,
    warmup_s=0.5,
    clients=100,
    timeout_s=1.0,
    arrivals="poisson",
    workload="ingest",
    driver="open-loop",
    workers=16,
    queue_size=10_000,
    stack_size_bytes=2 * 1024 * 1024,
    backlog=4096,
    rate_limit_per_s=1000,
    lock_stacks=False,
    switch_interval_s=None,
    seed=1,
)


def test_every_round_has_each_backend_once_at_each_level() -> None:
    planned = plan_trials(SETTINGS)
    places = {(p.round, p.rps, p.backend) for p in planned}
    assert len(planned) == len(places) == 4 * 2 * 2


def test_the_order_alternates_from_round_to_round_at_every_level() -> None:
    planned = plan_trials(SETTINGS)
    for rps in SETTINGS.rps:
        first = [p.backend for p in planned if p.rps == rps and p.order == 0]
        assert all(a != b for a, b in pairwise(first))


def test_the_backends_of_a_round_get_the_same_schedule_and_no_other_trial_does() -> None:
    planned = plan_trials(SETTINGS)
    seeds = {(p.round, p.rps): set[int]() for p in planned}
    for p in planned:
        seeds[p.round, p.rps].add(p.seed)
    assert all(len(found) == 1 for found in seeds.values())
    everything = [p.seed for p in planned] + [p.warmup_seed for p in planned]
    assert len(set(everything)) == 2 * len(seeds)


def test_a_backend_against_itself_has_two_slots() -> None:
    settings = msgspec.structs.replace(SETTINGS, backends=["thread-pool", "thread-pool"])
    assert {p.slot for p in plan_trials(settings)} == {0, 1}


def test_server_and_generator_never_share_a_cpu_where_there_are_two() -> None:
    for count in range(2, 9):
        plan = plan_cpus(frozenset(range(count)))
        assert plan.pinned
        assert all((plan.server, plan.generator, plan.observers))
        assert not plan.generator & (plan.server | plan.observers)
    assert not plan_cpus(frozenset({3})).pinned


def settings_on(server_cpus: str | None = None, generator_cpus: str | None = None) -> Settings:
    return make_settings(CompareOptions(server_cpus=server_cpus, generator_cpus=generator_cpus))


def test_cpus_that_were_asked_for_are_taken_and_the_others_keep_off_them() -> None:
    there = sorted(os.sched_getaffinity(0))
    first, every = str(there[0]), ",".join(map(str, there))
    assert plan_of(settings_on()) == plan_cpus()
    plan = plan_of(settings_on(server_cpus=first))
    assert plan.server == {there[0]}
    assert plan.placed
    assert len(there) == 1 or plan.pinned
    plan = plan_of(settings_on(generator_cpus=first))
    assert plan.generator == {there[0]}
    assert len(there) == 1 or plan.pinned
    plan = plan_of(settings_on(server_cpus=every, generator_cpus=every))
    assert (plan.server, plan.generator) == (frozenset(there), frozenset(there))
    assert plan.placed
    assert not plan.pinned  # so the generator does not spin


def test_cpus_that_both_have_are_told() -> None:
    first = str(min(os.sched_getaffinity(0)))
    shared = plan_of(settings_on(server_cpus=first, generator_cpus=first))
    (told,) = overlap_warning(shared)
    assert f"the server and the generator share CPU {first}" in told
    assert overlap_warning(plan_cpus()) == []


@pytest.mark.parametrize("option", ["server_cpus", "generator_cpus"])
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "no list of CPUs"), ("x", "no list of CPUs"), ("0-", "no list of CPUs"),
        ("-1", "no list of CPUs"), ("3-1", "has none in it"), ("0,,1", "no list of CPUs"),
        ("0-99999999999", "no list of CPUs"), ("4095", "there is no CPU 4095 here"),
    ],
)  # fmt: skip
def test_cpus_that_cannot_be_are_refused(option: str, typed: str, words: str) -> None:
    with pytest.raises(LabError, match=words) as refused:
        settings_on(**{option: typed})
    assert str(refused.value).startswith("--" + option.replace("_", "-"))
