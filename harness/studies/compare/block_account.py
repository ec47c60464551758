"""The account of what may have spoilt a run in blocks, a line each, or of why a run was not in
blocks. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

from harness.core.record import Block, Run, Settings, Trial
from harness.core.units import percent, rate, ratio, share
from harness.drivers.driver import driver_of
from harness.studies.compare.burn_in import SHOWS, Start, starts_of

_TOLD_MS = 100.0  # of CPU taken by the hypervisor


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
    starts = starts_of(trials)
    if starts:
        farthest = max(starts, key=lambda start: abs(math.log(start.first.value)))
        yield _start(farthest, any(trial.client.block_start_left_out for trial in trials))


def _start(start: Start, left_out: bool) -> str:
    """The start of a block, of the arm of which it differs most; the interval is a factor."""
    found = start.first
    told = f"the first tenth of a block took {_change(found.value)} time"
    if found.low is not None and found.high is not None:
        told += f" ({start.name}: {ratio(found.low)} to {ratio(found.high)} times)"
    if left_out:
        told += " and is left out of a block's times"
        if start.goes_on:
            told += ", but the second differs too: take longer blocks (--block)"
    return told


def _change(factor: float) -> str:
    if abs(factor - 1) < SHOWS:
        return "no other"
    return f"{percent(abs(factor - 1))} {'more' if factor > 1 else 'less'}"


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
