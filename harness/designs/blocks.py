"""The design of blocks: all arms alive, load for one after the other in short blocks.

A machine drifts within seconds: its clock rate, its neighbours, the host below it. Two blocks of
half a second, one right after the other, see nearly the same machine, so their ratio is free of
whatever is slower than that; trials of five seconds are not. What a process is born with (its
memory layout) stays the same for all of its blocks, so processes are started afresh, and an
interval counts those restarts and not the blocks (Kalibera and Jones, Rigorous benchmarking in
reasonable time, ISMM 2013). Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from harness.core.record import Settings
from harness.designs.trials import PlannedBlock, PlannedRestart, trial_seed
from harness.targets.arm import arms_of

# A block's p99 needs as many requests as leave five beyond it.
_LEAST_REQUESTS = 500


def block_length_s(settings: Settings, rps: float) -> float:
    """Seconds of a block at a level: as asked for, or as many times that as its p99 needs, but no
    more than the arm's whole load."""
    assert settings.block_s is not None
    needed = math.ceil(_LEAST_REQUESTS / rps / settings.block_s - 1e-9)
    return min(settings.block_s * max(1, needed), settings.duration_s)


def plan_restart(settings: Settings, rps: float, number: int) -> PlannedRestart:
    """The restart of that number (from 1) at a level."""
    block_s = block_length_s(settings, rps)
    seed = trial_seed(settings.seed, rps, number)
    arms = arms_of(settings)
    pairs = max(1, round(settings.duration_s / block_s))
    draw = random.Random(seed)
    blocks = [
        PlannedBlock(slot, pair, place, seed * 1_000_003 + pair)
        for pair, order in enumerate(_orders(len(arms), pairs, number, draw), 1)
        for place, slot in enumerate(order)
    ]
    started = arms if number % 2 else arms[::-1]
    return PlannedRestart(tuple(started), rps, number, block_s, seed + 1, tuple(blocks))


def _orders(arms: int, pairs: int, number: int, draw: random.Random) -> list[Sequence[int]]:
    """The order of the arms in each pair: at random, and balanced. Every arm is as often at every
    place as at any other, but for what does not divide, which changes from restart to restart."""
    first = list(range(arms)) if number % 2 else list(range(arms))[::-1]
    turns = [(pair + number // 2) % arms for pair in range(pairs)]
    draw.shuffle(turns)
    return [first[turn:] + first[:turn] for turn in turns]
