"""The value of a recorded figure and the ends of its interval, infinite where they lie beyond."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from harness.core.record import CellMetric, Comparison

Ends: TypeAlias = tuple[float | None, float | None, float | None]


def figure_ends(found: CellMetric) -> Ends:
    """Median, low and high end; infinite what lies among the failures."""
    named = {"median": found.median, "ci_low": found.ci_low, "ci_high": found.ci_high}
    return _ends(named, found.beyond)


def ratio_ends(found: Comparison) -> Ends:
    """Ratio, low and high end; infinite where the contender alone is not answered."""
    named = {"ratio": found.ratio, "ci_low": found.ci_low, "ci_high": found.ci_high}
    return _ends(named, found.beyond)


def _ends(named: dict[str, float | None], beyond: Sequence[str]) -> Ends:
    value, low, high = (math.inf if name in beyond else end for name, end in named.items())
    return value, low, high
