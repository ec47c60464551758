"""When a run has measured enough: a search by the time that it may take, a comparison in blocks
once it is known well enough.

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
from harness.stats import intervals

_RESERVE = 1.3  # the next step may take this much longer than the longest so far, and still fit
LOOKS = (8, 12, 18, 27, 40)  # restarts
CONFIDENCE = 1 - 0.05 / len(LOOKS)
# What may be asked for, and the figure that it is about.
FIGURES = {metric.precision: metric.path for metric in METRICS if metric.precision}


class Budget:
    """Seconds for a run's trials, counted from the first step; it learns how long a step takes."""

    def __init__(
        self, seconds: float, first_step_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self.seconds = seconds
        self.ended_after_s: float | None = None  # there was no time for another step
        self._clock = clock
        self._longest_s = self._mean_s = first_step_s
        self._began: float | None = None
        self._last = 0.0
        self._steps = 0

    @property
    def left_s(self) -> float:
        """Seconds that are left, at least 0."""
        if self._began is None:
            return self.seconds
        return max(0.0, self.seconds - (self._clock() - self._began))

    @property
    def next_step_s(self) -> float:
        """Seconds to keep for the next step: the longest so far and a margin."""
        return _RESERVE * self._longest_s

    def begin_step(self) -> bool:
        """A step (trials that belong together) is to begin, and the one before has ended: whether
        there is time for it, by the longest so far. The first always begins."""
        now = self._clock()
        if self._began is None:
            self._began = self._last = now
        elif self._steps:
            took_s = now - self._last
            self._longest_s = took_s if self._steps == 1 else max(self._longest_s, took_s)
            self._mean_s = (now - self._began) / self._steps
            if self.left_s < self.next_step_s:
                self.ended_after_s = now - self._began
                return False
        self._last = now
        self._steps += 1
        return True

    def steps_left(self) -> int:
        """About how many more steps there is time for."""
        return int(self.left_s / max(self._mean_s, 0.01))


def ratio_confidence(settings: Settings) -> float:
    """Of each interval of a ratio, as a share: higher where there are several looks."""
    return CONFIDENCE if settings.precision else 0.95


def ratio_confidence_words(settings: Settings) -> str:
    """The same, as `95 %`."""
    return f"{100 * ratio_confidence(settings):g} %"


def half_width(found: Comparison) -> float | None:
    """Of its interval, as a share: sqrt(high / low) - 1. None without two finite ends."""
    return intervals.half_width(found.ci_low, found.ci_high)


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
