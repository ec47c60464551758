"""A burn-in at a block's start: whether there is one, by an interval, and the blocks without it.

While the others have their turn a server's caches go cold and its threads sleep, so the first
requests of a block may take longer than the rest; they may also be faster, since nobody waits yet.
Neither is what steady load would show. Where the first tenth differs, by the interval over the
restarts of any arm, it is left out of the times of a typical block, for all arms of a level alike.
What the server counts is asked for at a block's edges alone, so CPU and switches keep it; so do
quantiles over all requests. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from harness.core.record import Trial
from harness.core.trials import comparable
from harness.measure.blocks import typical
from harness.stats.intervals import Estimate
from harness.stats.paired import paired_ratio

SHOWS = 0.02  # as a share: a smaller difference is none


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
