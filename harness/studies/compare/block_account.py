"""The account of what may have spoilt a run in blocks, a line each, or of why a run was not in
blocks. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

from harness.core.record import Block, Run, Settings, Trial
from harness.core.units import percent, rate, share
from harness.drivers.driver import driver_of

_TOLD_MS = 100.0  # of CPU taken by the hypervisor
_SHOWS = 0.02  # an effect of position or of a block's start, as a share


def block_sentences(run: Run) -> list[str]:
    """A line for each level that was measured in blocks, and one that says why none could be,
    without a full stop."""
    told = [told for rps in run.settings.rps if (told := _level(run, rps)) is not None]
    why = _why_whole(run.settings)
    return told if why is None else [*told, why]


def _why_whole(settings: Settings) -> str | None:
    """Why such a run cannot be in blocks; None where it can, or there is nothing to compare."""
    if settings.design == "blocks" or len(settings.backends) < 2:
        return None
    if not driver_of(settings.driver).in_turns:
        return "In whole trials, since blocks are for the open loop"
    if settings.target is not None and "," not in settings.target:
        return "In whole trials, since blocks need a server for each backend (--target)"
    return None


def _level(run: Run, rps: float) -> str | None:
    trials = [trial for trial in run.trials if trial.rps == rps and trial.blocks]
    blocks = [block for trial in trials for block in trial.blocks]
    if not blocks:
        return None
    late = sum(block.late for block in blocks)
    parts = [f"{late} late" if late else "none late"]
    others = [b.others_cpu_share for b in blocks if b.others_cpu_share is not None]
    if others:
        parts.append(f"idle servers used {share(statistics.median(others))} of a CPU")
    parts += _effects(trials)
    stolen = sum(block.steal_ms or 0.0 for block in blocks)
    if stolen >= _TOLD_MS:
        parts.append(f"{stolen / 1e3:.1f} s of CPU were taken by the hypervisor")
    return f"{rate(rps)}, {len(blocks)} blocks: {', '.join(parts)}"


def _effects(trials: Sequence[Trial]) -> Iterator[str]:
    place = position_effect(trials, lambda block: block.cpu_us_per_request.total)
    if place is not None:
        yield f"the later place in a pair took {_change(place)} CPU"
    starts = [t.client.block_start_ratio for t in trials if t.client.block_start_ratio is not None]
    if starts:
        yield f"the first tenth of a block took {_change(statistics.median(starts))} time"


def _change(ratio: float) -> str:
    if abs(ratio - 1) < _SHOWS:
        return "no other"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'}"


def position_effect(
    trials: Sequence[Trial], figure: Callable[[Block], float | None]
) -> float | None:
    """How a figure changes from the first to the last place in a pair: the median over arms and
    restarts of the ratio of its medians there; None where a place was never taken."""
    logs = []
    for trial in trials:
        last = max(block.place for block in trial.blocks)
        ends = [
            [value for block in trial.blocks if block.place == place
             and (value := figure(block)) is not None and value > 0]
            for place in (0, last)
        ]  # fmt: skip
        if last and all(ends):
            first, later = (statistics.median(values) for values in ends)
            logs.append(math.log(later / first))
    return math.exp(statistics.median(logs)) if logs else None
