"""Too little memory or too few descriptors for all servers at once: whole trials, said."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.record import Settings
from harness.designs.blocks import too_much_at_once
from harness.designs.trials import PlannedRestart, PlannedTrial, StartOver
from harness.machine.probe import Room, available_bytes, read_room
from harness.studies.compare.planner import ComparePlanner
from tests.support.made import make_settings

GIB = 1 << 30
WIDE = Room(descriptors=1 << 20, available_bytes=64 * GIB)


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
