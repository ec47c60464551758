"""Going on until it is known well enough: looks that are planned beforehand.

Who looks again and again and stops when an interval pleases will find that it covers too seldom
(Armitage, McPherson and Rowe 1969). Here the stopping rule is the width of intervals alone, never
which side of 1 they lie on; there are at most five looks, at restarts named before the run; and
each interval is at 1 - 0.05 / 5 (Bonferroni), so that all five together cover at 95 % at least. A
simulation is in the tests. Pure but for the clock that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import monotonic

from harness.core.metrics import METRICS
from harness.core.record import Comparison, Settings

LOOKS = (8, 12, 18, 27, 40)  # restarts
CONFIDENCE = 1 - 0.05 / len(LOOKS)
# What may be asked for, and the figure that it is about.
FIGURES = {metric.precision: metric.path for metric in METRICS if metric.precision}


def half_width(found: Comparison) -> float | None:
    """Of an interval of ratios, as a share: sqrt(high / low) - 1. None without two finite ends."""
    if not found.ci_low or found.ci_high is None:
        return None
    return math.sqrt(found.ci_high / found.ci_low) - 1


def wider(comparisons: Sequence[Comparison], wanted: dict[str, float]) -> dict[str, float]:
    """Of the figures that are not known as well as wanted (a share each, by their names in
    `FIGURES`), the widest half-width; infinite where there is no interval."""
    found = {}
    for name, limit in wanted.items():
        widths = [half_width(c) for c in comparisons if c.metric == FIGURES[name]]
        widest = max((math.inf if width is None else width for width in widths), default=math.inf)
        if widest > limit:
            found[name] = widest
    return found


class Looks:
    """How many restarts there are to be, look by look, within the time that a run may take."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        self._wanted = settings.precision
        self._most_s = settings.most_s or math.inf
        self._clock = clock
        self._began: float | None = None
        self.restarts = LOOKS[0] if settings.precision else settings.rounds
        self.out_of_time = False

    def begin(self) -> None:
        """The run begins, if it has not begun yet."""
        if self._began is None:
            self._began = self._clock()

    def more(self, comparisons: Sequence[Comparison]) -> int:
        """All restarts so far have ended: how many there are to be now. As many as there were when
        it is known well enough, the looks are used up, or the next would take too long."""
        if not self._wanted or not wider(comparisons, self._wanted):
            return self.restarts
        later = [look for look in LOOKS if look > self.restarts]
        if not later:
            return self.restarts
        assert self._began is not None
        spent_s = self._clock() - self._began
        self.out_of_time = spent_s * later[0] / self.restarts > self._most_s
        if not self.out_of_time:
            self.restarts = later[0]
        return self.restarts
