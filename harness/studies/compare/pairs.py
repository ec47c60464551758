"""Pairs of blocks within restarts, and the comparison made from them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.core.record import Block, Trial
from harness.measure.blocks import block_time
from harness.stats.hierarchical import Hierarchical, Pair, hierarchical_ratio

_TIMES = "client.block_response_us."
Figure = Callable[[Block], float | None]


def _time(name: str, settled: bool) -> Figure:
    return lambda block: block_time(block, name, settled)


# The figures of a block, by their path in a trial; its times, whole and without its first tenth.
PAIRED: dict[str, Figure] = {
    **{_TIMES + name: _time(name, False) for name in ("p50", "p90", "p95", "p99")},
    "server.cpu_us_per_request.total": lambda block: block.cpu_us_per_request.total,
    "server.cpu_us_per_request.handler": lambda block: block.cpu_us_per_request.handler,
    "server.cpu_us_per_request.overhead": lambda block: block.cpu_us_per_request.overhead,
    "server.context_switches.per_s": lambda block: block.context_switches_per_s,
    "server.context_switches.per_request": lambda block: block.context_switches_per_request,
}
_SETTLED = {_TIMES + name: _time(name, True) for name in ("p50", "p90", "p95", "p99")}


def paired_estimate(
    path: str, restarts: Sequence[tuple[Trial, Trial]], confidence: float
) -> Hierarchical | None:
    """The ratio of a figure over restarts, each the trials of baseline and contender. None where no
    pair has it."""
    pairs = pairs_within(path, restarts)
    return hierarchical_ratio(pairs, confidence) if any(pairs) else None


def pairs_within(path: str, restarts: Sequence[tuple[Trial, Trial]]) -> list[list[Pair]]:
    """The figure of each pair of blocks, restart by restart; a time without the first tenth of
    each, where that was left out of the trials'. Where one side alone lacks it (it answered nothing
    that could be counted) the pair may be anything: NaN."""
    settled = any(trial.client.block_start_left_out for trials in restarts for trial in trials)
    value = _SETTLED.get(path, PAIRED[path]) if settled else PAIRED[path]
    return [
        [
            (_or_anything(a), _or_anything(b))
            for one, other in block_pairs(*trials)
            if ((a := value(one)), (b := value(other))) != (None, None)
        ]
        for trials in restarts
    ]


def _or_anything(value: float | None) -> float:
    return math.nan if value is None else value


def block_pairs(baseline: Trial, contender: Trial) -> list[tuple[Block, Block]]:
    """The blocks of both trials that stand in one pair, but for pairs in which one was late: its
    server was not idle again before the next began."""
    other = {block.pair: block for block in contender.blocks}
    return [
        (block, other[block.pair])
        for block in baseline.blocks
        if block.pair in other and not (block.late or other[block.pair].late)
    ]


def counted_apart(path: str, restarts: Sequence[tuple[Trial, Trial]]) -> bool:
    """Whether no block has the figure: what is counted in a load of its own is a trial's alone."""
    return all(
        PAIRED[path](block) is None for pair in restarts for trial in pair for block in trial.blocks
    )


def late_pairs(restarts: Sequence[tuple[Trial, Trial]]) -> tuple[int, int]:
    """How many pairs of blocks are left out since one was late, and of how many."""
    of = sum(len({b.pair for b in one.blocks} & {b.pair for b in other.blocks})
             for one, other in restarts)  # fmt: skip
    return of - sum(len(block_pairs(*trials)) for trials in restarts), of


def in_blocks(restarts: Sequence[tuple[Trial, Trial]]) -> bool:
    """Whether all of them were measured in blocks."""
    return bool(restarts) and all(trial.blocks for pair in restarts for trial in pair)
