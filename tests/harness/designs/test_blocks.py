"""The plan of a restart in blocks: balanced, at random, on one schedule a pair."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.designs.blocks import block_length_s, plan_restart
from tests.support.made import make_settings

THREE = ["thread-per-request", "thread-pool", "thread-pool"]


@pytest.mark.parametrize("backends", [THREE[:2], THREE], ids=["two", "three"])
def test_every_arm_is_as_often_at_every_place(backends: list[str]) -> None:
    settings = make_settings(
        design="blocks", block_s=0.5, duration_s=3.5, rounds=12, backends=backends
    )
    places: Counter[tuple[int, int]] = Counter()
    for number in range(1, 13):
        planned = plan_restart(settings, 2000.0, number)
        for pair in range(1, 8):
            mine = [block for block in planned.blocks if block.pair == pair]
            assert sorted(block.slot for block in mine) == list(range(len(backends)))
            assert [block.place for block in mine] == list(range(len(backends)))
            assert len({block.seed for block in mine}) == 1
        places.update((block.slot, block.place) for block in planned.blocks)
    assert len(set(places.values())) == 1


def test_the_order_is_drawn_and_the_same_seed_draws_it_again() -> None:
    settings = make_settings(design="blocks", block_s=0.5, duration_s=10.0)
    first = plan_restart(settings, 2000.0, 1)
    assert first == plan_restart(settings, 2000.0, 1)
    orders = [
        tuple(b.slot for b in plan_restart(settings, 2000.0, number).blocks) for number in (1, 3, 5)
    ]
    assert len(set(orders)) == 3
    assert len({block.seed for block in first.blocks}) == 20


def test_the_arms_start_in_either_order() -> None:
    settings = make_settings(design="blocks", block_s=0.5)
    assert [arm.slot for arm in plan_restart(settings, 2000.0, 1).arms] == [0, 1]
    assert [arm.slot for arm in plan_restart(settings, 2000.0, 2).arms] == [1, 0]


@pytest.mark.parametrize(
    ("rps", "block_s"), [(10_000.0, 0.5), (1000.0, 0.5), (999.0, 1.0), (500.0, 1.0), (100.0, 3.5)]
)
def test_a_block_is_as_long_as_its_p99_needs(rps: float, block_s: float) -> None:
    settings = make_settings(design="blocks", block_s=0.5, duration_s=3.5, rps=[rps])
    assert block_length_s(settings, rps) == block_s
    planned = plan_restart(settings, rps, 1)
    assert planned.block_s == block_s
    assert len(planned.blocks) == 2 * max(1, round(3.5 / block_s))
