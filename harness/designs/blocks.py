"""The design of blocks: all arms alive, load for one after the other in short blocks; and when that
is no measure of a level.

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
import statistics
from collections.abc import Sequence

from harness.core.record import Block, Settings, Trial
from harness.core.units import share, size
from harness.designs.trials import PlannedBlock, PlannedRestart, trial_seed
from harness.drivers.request_log import bytes_of
from harness.machine.probe import Room
from harness.targets.arm import arms_of

# A block's p99 needs as many requests as leave five beyond it.
_LEAST_REQUESTS = 500
# Beside the logs of all blocks and the pipes of all processes, as many descriptors as any load
# needs, and as much memory as whole trials do with.
_LEFT_DESCRIPTORS = 512
_LEFT_BYTES = 384 << 20
_ARM_DESCRIPTORS = 12  # pipes of server and sampler, the connection to the control port
_ARM_BYTES = 64 << 20  # server and sampler at rest
_COPIES = 3  # of a request's row, until it has been written: log, copy, table
MOST_LATE = 0.2  # of an arm's blocks may not be idle in time
MOST_OTHERS_CPU = 0.01  # of a CPU, in most blocks, may be used by arms that have no load
LEAST_BLOCKS = 5  # of an arm, before its share is judged
_BAD_RESTARTS = 2  # with too many late blocks, before all restarts are there
_SHORTEST = 3.0  # blocks as long as that many typical response times


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


def too_much_at_once(settings: Settings, rps: float, room: Room) -> str | None:
    """Why a level cannot be measured in blocks here, in words without a full stop; None where it
    can be."""
    restart = plan_restart(settings, rps, 1)
    arms, blocks = len(restart.arms), len(restart.blocks)
    logs = blocks * (settings.expect_workers or settings.generators)
    descriptors = logs + arms * _ARM_DESCRIPTORS + _LEFT_DESCRIPTORS
    if descriptors > room.descriptors:
        return (
            f"{arms} servers and the logs of {blocks:,} blocks at once need {descriptors:,} file "
            f"descriptors, and {room.descriptors:,} are allowed"
        )
    rows = round(rps * restart.block_s * blocks)
    needed = _COPIES * bytes_of(rows) + _LEFT_BYTES
    if settings.target is None:
        stacks = settings.workers * settings.stack_size_bytes if settings.lock_stacks else 0
        needed += arms * (_ARM_BYTES + stacks)
    if needed > room.available_bytes:
        return (
            f"{arms} servers at once need about {size(needed)} of memory, and "
            f"{size(room.available_bytes)} are available"
        )
    return None


def not_for_blocks(trials: Sequence[Trial], restarts: int) -> str | None:
    """Why the trials of one level, all in blocks, cannot be its measure, in words without a full
    stop; None where they can be. `restarts`: how many there are to be."""
    for slot in sorted({trial.slot for trial in trials}):
        mine = [trial for trial in trials if trial.slot == slot]
        blocks = [block for trial in mine for block in trial.blocks]
        if len(blocks) < LEAST_BLOCKS:
            continue
        why = _too_late(mine, restarts) or _too_coarse(mine[0].name, blocks, mine[0])
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


def _too_coarse(name: str, blocks: Sequence[Block], trial: Trial) -> str | None:
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
