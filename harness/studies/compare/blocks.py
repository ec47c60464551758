"""Blocks as a comparison takes them: in pairs within restarts, and without a burn-in. Pure.

While the others have their turn a server's caches go cold and its threads sleep, so the first
requests of a block may take longer than the rest; they may also be faster, since nobody waits yet.
Neither is what steady load would show. Where the first tenth differs, by the interval over the
restarts of any arm, it is left out of the times of a typical block, for all arms of a level alike.
What the server counts is asked for at a block's edges alone, so CPU and switches keep it; so do
quantiles over all requests.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from harness.core.record import Block, Trial
from harness.core.trials import comparable
from harness.measure.blocks import block_time, typical
from harness.stats.intervals import Estimate
from harness.stats.paired import Hierarchical, Pair, hierarchical_ratio, paired_ratio

_TIMES = "client.block_response_us."
Figure = Callable[[Block], float | None]
SHOWS = 0.02  # as a share: a smaller difference is none


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


def without_burn_in(trials: Sequence[Trial]) -> list[Trial]:
    """All trials of a run, in their order; those of levels with a burn-in without it."""
    levels = {trial.rps for trial in trials if trial.blocks}
    burning = {rps for rps in levels if _burns([t for t in trials if t.rps == rps and t.blocks])}
    return [_without(t) if t.rps in burning and t.blocks else t for t in trials]


def _burns(trials: Sequence[Trial]) -> bool:
    can = all(block.settled_response_us is not None for t in trials for block in t.blocks)
    return can and any(start.differs for start in starts_of(trials))


def _without(trial: Trial) -> Trial:
    client = msgspec.structs.replace(
        trial.client,
        block_response_us=typical(trial.blocks, settled=True),
        block_start_left_out=True,
    )
    return msgspec.structs.replace(trial, client=client)


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
