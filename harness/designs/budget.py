"""The time that a search may take, planned within."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_RESERVE = 1.3  # the next step may take this much longer than the longest so far, and still fit


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
