"""Blocks as a comparison takes them: in pairs within restarts, without a burn-in, and tails without
the blocks in which somebody else had the CPU. Pure.

While the others have their turn a server's caches go cold and its threads sleep, so the first
requests of a block may take longer than the rest; they may also be faster, since nobody waits yet.
Neither is what steady load would show. Where the first tenth differs, by the interval over the
restarts of any arm, it is left out of the times of a typical block, for all arms of a level alike.
What the server counts is asked for at a block's edges alone, so CPU and switches keep it; so do
quantiles over all requests.

A machine that wakes up for five milliseconds each second disturbs one block of every pair, and then
a block's p99 says which of the two it was. So it is compared in two steps: the median pair by pair,
and what the p99 is on top of it, p99 over p50 of one block, over the blocks that were not
`disturbed`, each of one arm with each of the other. Other quantiles have so much beyond them that a
few milliseconds do not move them. Nothing is left out of a restart in which an arm has no other
block, nor at a level at which one arm's blocks are disturbed more often than another's: that would
be the server's own doing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec

from harness.core.metrics import BLOCK_P99
from harness.core.record import Block, Trial
from harness.core.trials import comparable
from harness.measure.blocks import block_time, typical
from harness.stats.intervals import Estimate
from harness.stats.paired import (
    Hierarchical,
    Pair,
    Restart,
    hierarchical_ratio,
    paired_ratio,
    sign_test,
)

_TIMES = "client.block_response_us."
Figure = Callable[[Block], float | None]
SHOWS = 0.02  # as a share: a smaller difference is none
_UNEVEN = 0.01


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
_MEDIAN = _TIMES + "p50"


def paired_estimate(
    path: str, restarts: Sequence[tuple[Trial, Trial]], confidence: float
) -> Hierarchical | None:
    """The ratio of a figure over restarts, each the trials of baseline and contender. None where no
    pair has it."""
    values = values_within(path, restarts)
    return hierarchical_ratio(values, confidence) if any(v.pairs for v in values) else None


def values_within(path: str, restarts: Sequence[tuple[Trial, Trial]]) -> list[Restart]:
    """The figure of each pair of blocks, restart by restart; of the p99, the median of each pair,
    and on top of it the p99 over the median of each two blocks. A time is without the first tenth
    of its block, where that was left out of the trials'. Where one side alone lacks a figure (it
    answered nothing that could be counted) the pair may be anything: NaN."""
    settled = any(trial.client.block_start_left_out for trials in restarts for trial in trials)
    figures = PAIRED | _SETTLED if settled else PAIRED
    value = figures[path]
    if path != BLOCK_P99:
        return [Restart(_pairs(value, block_pairs(*trials))) for trials in restarts]
    median = figures[_MEDIAN]
    return [
        Restart(
            _pairs(median, block_pairs(*trials)),
            _pairs(lambda block: _over(value(block), median(block)), quiet_blocks(*trials)),
        )
        for trials in restarts
    ]


def _pairs(value: Figure, blocks: Iterable[tuple[Block, Block]]) -> list[Pair]:
    return [
        (_or_anything(a), _or_anything(b))
        for one, other in blocks
        if ((a := value(one)), (b := value(other))) != (None, None)
    ]


def _over(tail: float | None, median: float | None) -> float | None:
    """How many medians a tail is; 1 where both are among the failures."""
    if tail is None or not median:
        return None
    return 1.0 if math.isinf(median) else tail / median


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


def quiet_blocks(baseline: Trial, contender: Trial) -> list[tuple[Block, Block]]:
    """Each block of one with each of the other, of those that count: none was late, nor disturbed
    where such are left out."""
    return list(product(blocks_that_count(baseline), blocks_that_count(contender)))


def blocks_that_count(trial: Trial) -> list[Block]:
    """Those of a trial by which its p99 is compared."""
    left_out = trial.client.block_disturbed_left_out
    return [b for b in trial.blocks if not b.late and not (left_out and b.disturbed)]


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


@dataclass(frozen=True, slots=True)
class Start:
    """How long an answer in the first tenth of an arm's blocks takes, over one in the rest.
    `second`: the same of the second tenth, over what comes after it."""

    name: str
    first: Estimate
    second: Estimate | None

    @property
    def differs(self) -> bool:
        """Whether the first tenth is told from the rest."""
        return _differs(self.first)

    @property
    def goes_on(self) -> bool:
        """Whether the second tenth is still as different."""
        return self.second is not None and _differs(self.second)


def starts_of(trials: Sequence[Trial]) -> list[Start]:
    """Of each arm that has any figure, by slot; `trials`: those of one level in blocks."""
    found = []
    for slot in sorted({trial.slot for trial in trials}):
        mine = [trial for trial in trials if trial.slot == slot and comparable(trial)]
        first = _over_restarts([trial.client.block_start_ratio for trial in mine])
        if first is not None:
            second = _over_restarts([_second(trial) for trial in mine])
            found.append(Start(mine[0].name, first, second))
    return found


def as_compared(trials: Sequence[Trial]) -> list[Trial]:
    """All trials of a run, in their order, the times of a typical block as they are compared:
    without a burn-in, and a p99 without the blocks that were disturbed."""
    known = {
        rps: _left_out([trial for trial in trials if trial.rps == rps and trial.blocks])
        for rps in {trial.rps for trial in trials if trial.blocks}
    }
    return [_as_compared(t, *known[t.rps]) if t.blocks else t for t in trials]


def _left_out(level: Sequence[Trial]) -> tuple[bool, set[int]]:
    """Of the trials of a level: whether the first tenth of a block is left out, and the restarts
    whose disturbed blocks are."""
    can = all(block.settled_response_us is not None for t in level for block in t.blocks)
    burns = can and any(start.differs for start in starts_of(level))
    if disturbed_unevenly(level) is not None:
        return burns, set()
    restarts: dict[int, list[Trial]] = {}
    for trial in level:
        restarts.setdefault(trial.round, []).append(trial)
    return burns, {
        number
        for number, each in restarts.items()
        if any(block.disturbed for trial in each for block in trial.blocks)
        and all(any(not (b.disturbed or b.late) for b in trial.blocks) for trial in each)
    }


def _as_compared(trial: Trial, settled: bool, restarts: set[int]) -> Trial:
    left_out = trial.round in restarts
    if not settled and not left_out:
        return trial
    times = typical(trial.blocks, settled)
    if left_out:
        quiet = typical([block for block in trial.blocks if not block.disturbed], settled)
        assert times is not None  # there are blocks, and one was left alone
        assert quiet is not None
        beyond = {*times.beyond} - {"p99"} | {*quiet.beyond} & {"p99"}
        times = msgspec.structs.replace(times, p99=quiet.p99, beyond=sorted(beyond))
    client = msgspec.structs.replace(
        trial.client,
        block_response_us=times,
        block_start_left_out=settled,
        block_disturbed_left_out=left_out,
    )
    return msgspec.structs.replace(trial, client=client)


def disturbed_unevenly(level: Sequence[Trial]) -> tuple[Trial, Trial] | None:
    """A trial of the first arm and one of an arm whose blocks were disturbed more often, or less,
    than chance would have it; None where there is none. By the sign test at 1 %: of the pairs in
    which one block alone was disturbed, either arm has had half, but for chance."""
    base, *others = (
        [t for t in level if t.slot == slot] for slot in sorted({t.slot for t in level})
    )
    for mine in others:
        alone = [0, 0]
        for one, other in product(base, mine):
            if one.round == other.round:
                for pair in block_pairs(one, other):
                    if pair[0].disturbed != pair[1].disturbed:
                        alone[pair[1].disturbed] += 1
        if sign_test(*alone) < _UNEVEN:
            return base[0], mine[0]
    return None


def _over_restarts(ratios: Sequence[float | None]) -> Estimate | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return paired_ratio([1.0] * len(known), known, 0.95) if known else None


def _second(trial: Trial) -> float | None:
    curve = trial.client.block_curve_us
    later = [value for value in curve[2:] if value is not None]
    if not later or curve[1] is None:
        return None
    return curve[1] / statistics.median(later)


def _differs(found: Estimate) -> bool:
    if found.low is None or found.high is None or not math.isfinite(found.value):
        return False
    return found.low > 1 + SHOWS or found.high < 1 - SHOWS
