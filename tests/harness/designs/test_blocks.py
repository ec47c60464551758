"""The plan of a restart in blocks: balanced, at random, on one schedule a pair; and too little room
for all servers at once (memory, descriptors): whole trials, said."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.core.record import Settings
from harness.designs.blocks import block_length_s, plan_restart, too_much_at_once
from harness.designs.trials import PlannedRestart, PlannedTrial, StartOver
from harness.machine.probe import Room, available_bytes, read_room
from harness.studies.compare.planner import ComparePlanner
from tests.support.made import make_settings

THREE = ["thread-per-request", "thread-pool", "thread-pool"]
GIB = 1 << 30
WIDE = Room(descriptors=1 << 20, available_bytes=64 * GIB)


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


def in_blocks(**changes: Any) -> Settings:
    usual = {"design": "blocks", "block_s": 0.5, "duration_s": 3.5, "rounds": 8}
    return make_settings(**(usual | changes))


def test_what_there_is_can_be_read() -> None:
    room = read_room()
    assert room.descriptors > 0
    assert room.available_bytes > 0
    assert available_bytes() > 0


@pytest.mark.parametrize("arms", [2, 6])
def test_the_defaults_fit_onto_a_small_machine(arms: int) -> None:
    """1,024 descriptors and 1 GiB."""
    settings = in_blocks(backends=["thread-pool"] * arms)
    assert too_much_at_once(settings, 2000.0, Room(1024, GIB)) is None


@pytest.mark.parametrize(
    ("changes", "room", "words"),
    [
        ({}, Room(540, GIB), "2 servers and the logs of 14 blocks at once need 550 file"),
        ({"block_s": 0.1, "duration_s": 60.0, "rps": [10_000.0]}, Room(1024, 64 * GIB),
         "the logs of 1,200 blocks at once need 1,736 file descriptors, and 1,024 are allowed"),
        ({}, Room(1 << 20, 400 << 20), "2 servers at once need about"),
        ({"backends": ["thread-pool"] * 6}, Room(1 << 20, 600 << 20), "6 servers at once need"),
        ({"lock_stacks": True, "workers": 256}, Room(1 << 20, GIB), "are available"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(changes: dict[str, Any], room: Room, words: str) -> None:
    settings = in_blocks(**changes)
    why = too_much_at_once(settings, settings.rps[0], room)
    assert why is not None
    assert words in why
    assert too_much_at_once(settings, settings.rps[0], WIDE) is None


def test_a_server_of_another_machine_takes_no_memory_of_this_one() -> None:
    settings = in_blocks(
        backends=["thread-pool"] * 6, target="10.0.0.5:8080", control="10.0.0.5:8090"
    )
    assert too_much_at_once(settings, 2000.0, Room(1 << 20, 600 << 20)) is None


def test_a_level_that_does_not_fit_is_measured_in_whole_trials() -> None:
    """Each level by itself, before anything is measured; the others stay in blocks."""
    settings = in_blocks(rps=[100.0, 60_000.0])
    planner = ComparePlanner(settings, Room(1 << 20, 530 << 20))
    step = planner.next_trial([])
    assert isinstance(step, StartOver)
    assert step.rps == 60_000.0
    assert step.why.endswith("are available, so this level was measured in whole trials")
    first = planner.next_trial([])
    assert isinstance(first, PlannedRestart)
    narrow = ComparePlanner(settings, Room(512, GIB))
    assert [type(narrow.next_trial([])) for _ in range(3)] == [StartOver, StartOver, PlannedTrial]
