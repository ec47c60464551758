"""When blocks are no measure of a level: what one leaves behind falls into the next. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.core.record import Block, Trial
from harness.core.units import share

MOST_LATE = 0.2  # of an arm's blocks may not be idle in time
MOST_OTHERS_CPU = 0.01  # of a CPU, in most blocks, may be used by arms that have no load
LEAST_BLOCKS = 5  # of an arm, before its share is judged
_SHORTEST = 3.0  # blocks as long as that many typical response times


def not_for_blocks(trials: Sequence[Trial]) -> str | None:
    """Why the trials of one level, all in blocks, cannot be its measure, in words without a full
    stop; None where they can be."""
    for slot in sorted({trial.slot for trial in trials}):
        mine = [trial for trial in trials if trial.slot == slot]
        blocks = [block for trial in mine for block in trial.blocks]
        why = _why_not(mine[0].name, blocks, mine[0]) if len(blocks) >= LEAST_BLOCKS else None
        if why is not None:
            return why
    return None


def _why_not(name: str, blocks: Sequence[Block], trial: Trial) -> str | None:
    late = sum(block.late for block in blocks)
    if late > MOST_LATE * len(blocks):
        return f"{name} was not idle in time after {late} of {len(blocks)} blocks"
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
