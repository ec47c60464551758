"""The estimates that are held beside each other: on made-up blocks with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.estimators import ESTIMATES, Arm, arms_of, delayed, estimate_of, restarts_of
from harness.core.errors import LabError
from harness.store import RunFolder
from tests.support.blocks import IN_BLOCKS, trials_of
from tests.support.made import make_run


def arm(number: int, ratio: float, disturbed: list[int]) -> Arm:
    """Seven blocks of a thousand exponential times; in disturbed ones a burst of 5 ms."""
    draw = np.random.default_rng(number)
    blocks = {pair: ratio * draw.exponential(100.0, 1000) for pair in range(1, 8)}
    for pair in disturbed:
        blocks[pair][:20] += 5000.0
    return Arm(blocks, [pair for pair in blocks if pair not in disturbed])


def runs(ratio: float) -> list[dict[int, Arm]]:
    """Eight restarts; in each pair one of the two blocks is disturbed, whose is left to chance."""
    first, second = {}, {}
    for number in range(1, 9):
        hit = np.random.default_rng(number).random(7) < 0.5
        one, other = ([p for p in range(1, 8) if hit[p - 1] == side] for side in (True, False))
        first[number], second[number] = arm(number, 1.0, one), arm(number, ratio, other)
    return [first, second]


def test_without_what_was_disturbed_a_tail_is_known() -> None:
    """The p99 is twice as long; by pairs it is one in twenty, or twenty."""
    restarts = list(restarts_of(runs(2.0), 0.99))
    widths = {}
    for name in ESTIMATES:
        found = estimate_of(name, restarts)
        assert (found is None) == (name == "quiet pairs")
        if found is not None and name != "beyond":
            widths[name] = found.half_width or 0.0
            assert (found.low or 0.0) <= 2.0 <= (found.high or 0.0)
    assert widths["quiet tails"] < 0.2
    assert widths["pairs"] > 1.0


def test_what_is_added_is_seen_in_a_fiftieth_of_the_requests() -> None:
    first, _ = runs(1.0)
    late = delayed(first[1], 1e6, np.random.default_rng(1))
    assert np.mean(late.all() > 9e5) == pytest.approx(0.02, abs=0.005)


def test_other_runs_are_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    folder.save(make_run(trials_of(), **IN_BLOCKS))
    with pytest.raises(LabError, match="is no run of a backend against itself in blocks"):
        arms_of(folder.path)
