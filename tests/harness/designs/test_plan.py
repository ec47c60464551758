from __future__ import annotations

from itertools import pairwise

import msgspec

from harness.core.record import Settings
from harness.designs.trials import plan_trials
from harness.machine.cpus import plan_cpus

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
