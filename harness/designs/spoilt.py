"""When blocks are no measure of a level: what one leaves behind falls into the next. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.core.record import Block, Trial
from harness.core.units import share

MOST_LATE = 0.2  # of an arm's blocks may not be idle in time
MOST_OTHERS_CPU = 0.01  # of a CPU, in most blocks, may be used by arms that have no load
LEAST_BLOCKS = 5  # of an arm, before its share is judged
_BAD_RESTARTS = 2  # with too many late blocks, before all restarts are there
_SHORTEST = 3.0  # blocks as long as that many typical response times


def not_for_blocks(trials: Sequence[Trial], restarts: int) -> str | None:
    """Why the trials of one level, all in blocks, cannot be its measure, in words without a full
    stop; None where they can be. `restarts`: how many there are to be."""
    for slot in sorted({trial.slot for trial in trials}):
        mine = [trial for trial in trials if trial.slot == slot]
        blocks = [block for trial in mine for block in trial.blocks]
        if len(blocks) < LEAST_BLOCKS:
            continue
        why = _too_late(mine, restarts) or _why_not(mine[0].name, blocks, mine[0])
        if why is not None:
            return why
    return None


def _too_late(trials: Sequence[Trial], restarts: int) -> str | None:
    """Of an arm: whether too many blocks of all restarts were late. While restarts are still to
    come it takes two, since one may have been disturbed."""
    blocks = [block for trial in trials for block in trial.blocks]
    if not _mostly_in_time(blocks):
        bad = sum(not _mostly_in_time(trial.blocks) for trial in trials)
        if bad >= _BAD_RESTARTS or len(trials) >= restarts:
            late = sum(block.late for block in blocks)
            return f"{trials[0].name} was not idle in time after {late} of {len(blocks)} blocks"
    return None


def _mostly_in_time(blocks: Sequence[Block]) -> bool:
    return sum(block.late for block in blocks) <= MOST_LATE * len(blocks)


def _why_not(name: str, blocks: Sequence[Block], trial: Trial) -> str | None:
    known = [block.others_cpu_share for block in blocks if block.others_cpu_share is not None]
    if known and (used := statistics.median(known)) > MOST_OTHERS_CPU:
        return f"while {name} had the load, idle servers used {share(used)} of a CPU"
    block_us = trial.window_s / len(trial.blocks) * 1e6
    times = [block.response_us.p50 for block in blocks if block.response_us.p50 is not None]
    if times and (typical := statistics.median(times)) * _SHORTEST > block_us:
        return (
            f"a block of {block_us / 1e6:g} s is shorter than three typical response times of "
            f"{name} ({typical / 1e3:,.0f} ms each)"
        )
    return None
