"""Advice on a change of places, in whole numbers of workers. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.core.record import Crossover, CrossoverPoint
from harness.core.wording import counted


def advice(crossover: Crossover) -> list[str]:
    """A sentence for each load of which anything is known."""
    points = [point for point in crossover.line if point.bound != "unknown"]
    if crossover.vary == "workers":
        return [f"{_load(point)} {_workers(crossover, point)}." for point in points]
    return [f"{_load(point)} {_handler(crossover, point)}." for point in points]


def workers_to_take(point: CrossoverPoint) -> tuple[int | None, range]:
    """How many workers are enough for certain (None: not known), and which numbers may do."""
    if point.high is None:
        return None, range(0)
    enough = max(1, math.ceil(point.high))
    lowest = 1 if point.low is None else max(1, math.ceil(point.low))
    return enough, range(lowest, enough)


def _load(point: CrossoverPoint) -> str:
    return f"At {point.rps:,.0f} requests/s"


def _workers(crossover: Crossover, point: CrossoverPoint) -> str:
    """`take 20 workers; 16 to 19 may do`."""
    enough, perhaps = workers_to_take(point)
    if enough is None:
        assert point.low is not None
        return (
            f"more than {math.floor(point.low):,} workers are needed, and none that were tried are "
            f"enough; take {crossover.baseline}"
        )
    return f"take {counted(enough, 'worker')}{_perhaps(perhaps)}"


def _perhaps(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"; {numbers[0]:,} may do"
    return f"; {numbers[0]:,} to {numbers[-1]:,} may do"


def _handler(crossover: Crossover, point: CrossoverPoint) -> str:
    """`take thread-pool up to 7 ms of a handler, thread-per-request from 9 ms on`."""
    does = "waits" if crossover.vary == "io" else "computes"
    parts = []
    if point.low is not None:
        below = _whole(point.low, math.floor)
        parts.append(f"{crossover.contender} while a handler {does} up to {below}")
    if point.high is not None:
        parts.append(f"{crossover.baseline} once it {does} {_whole(point.high, math.ceil)} or more")
    between = "; between the two either may do" if len(parts) == 2 else ""
    return f"take {' and '.join(parts)}{between}"


def _whole(seconds: float, rounded: Callable[[float], int]) -> str:
    milliseconds = seconds * 1e3
    if milliseconds >= 2:
        return f"{rounded(milliseconds):,} ms"
    return f"{rounded(milliseconds * 1e3):,} µs"
