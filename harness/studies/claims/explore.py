"""Under which condition would a claim hold? The conditions to try, and the nearest. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from harness.core.record import Settings
from harness.studies.claims.judge import allowed, odds
from harness.studies.claims.records import Claim, ExploredCondition, Figure, Judgement, Nearest
from servers.native.build import NATIVE

AS_WRITTEN = "as the document has it"
_LEAST_SHARE = 1e-4  # a share of 0 or 1 has no finite odds


@dataclass(frozen=True, slots=True)
class Condition:
    """Settings that differ in one respect, or two, from the document's; `one_cpu`: server,
    generator and the lab itself share a single CPU."""

    name: str
    settings: Settings
    one_cpu: bool = False


def conditions(base: Settings) -> list[Condition]:
    """The conditions to try, in this order; the first is the base itself."""

    def changed(**changes: object) -> Settings:
        return msgspec.structs.replace(base, **changes)

    def in_cpp(**changes: object) -> Settings:
        return changed(backends=list(NATIVE), **changes)

    return [
        Condition(AS_WRITTEN, base),
        Condition("stacks locked", changed(lock_stacks=True)),
        Condition("stacks locked, 512 KiB", changed(lock_stacks=True, stack_size_bytes=512 << 10)),
        Condition("stacks locked, 8 MiB", changed(lock_stacks=True, stack_size_bytes=8 << 20)),
        Condition("handlers wait 40 ms", changed(workload="io:40ms")),
        Condition(
            "stacks locked, handlers wait 40 ms", changed(lock_stacks=True, workload="io:40ms")
        ),
        Condition("one CPU for all", base, one_cpu=True),
        Condition("switch interval 0.1 ms", changed(switch_interval_s=0.0001)),
        Condition("in C++", in_cpp()),
        Condition("in C++, stacks locked", in_cpp(lock_stacks=True)),
        Condition(
            "in C++, stacks locked, 8 MiB", in_cpp(lock_stacks=True, stack_size_bytes=8 << 20)
        ),
    ]


def distance(claim: Claim, figure: Figure) -> float:
    """The factor from a figure to what the claim allows; of the odds for shares; 1: inside."""
    region, ours = allowed(claim), figure.end("value")
    if ours is None:
        return math.inf
    if region.low <= ours <= region.high:
        return 1.0
    if claim.unit == "share":
        value, low, high = (
            odds(min(max(x, _LEAST_SHARE), 1 - _LEAST_SHARE))
            for x in (ours, region.low, region.high)
        )
    else:
        value, low, high = ours, region.low, region.high
    edge, far = (low, value) if value < low else (value, high)
    return edge / far if far > 0 else math.inf


def nearest(tried: Sequence[ExploredCondition], first: Sequence[Judgement]) -> list[Nearest]:
    """For each claim that does not hold at first, where it comes nearest.

    A condition under which it holds goes before one in which only the figure is near, since the
    interval may say otherwise; among equals, the smaller distance, then the earlier one.
    """
    found = []
    for index, judgement in enumerate(first):
        if judgement.verdict not in ("does not hold", "direction holds"):
            continue
        best: tuple[bool, float, int] | None = None
        for number, condition in enumerate(tried):
            there = condition.judgements[index] if condition.judgements else None
            if there is None or there.measured is None:
                continue  # could not be tried, or gave no figure
            rank = (
                there.verdict != "holds",
                distance(judgement.claim, there.measured),
                number,
            )
            best = rank if best is None or rank < best else best
        found.append(_nearest(judgement, tried, index, best))
    return found


def _nearest(
    judgement: Judgement,
    tried: Sequence[ExploredCondition],
    index: int,
    best: tuple[bool, float, int] | None,
) -> Nearest:
    if best is None:
        return Nearest(
            claim=judgement.claim, at_first=judgement, condition=None, judgement=None, distance=None
        )
    _, factor, number = best
    return Nearest(
        claim=judgement.claim,
        at_first=judgement,
        condition=tried[number].name,
        judgement=tried[number].judgements[index],
        distance=factor if math.isfinite(factor) else None,
    )
