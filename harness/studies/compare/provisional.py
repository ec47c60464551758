"""The intervals of a run in blocks as they are while it runs: each restart makes them narrower.

They are for whoever waits, to see whether it will be enough; no verdict is drawn from them, since a
run that ends when a verdict pleases would be wrong too often. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.record import Settings, Trial
from harness.core.trials import comparable
from harness.core.units import percent, rate, ratio
from harness.core.wording import counted
from harness.designs.stopping import FIGURES, ratio_confidence
from harness.stats.intervals import LEAST_ROUNDS, Estimate
from harness.studies.compare.blocks import as_compared, paired_estimate

_USUAL = ("p50", "p99", "cpu")  # where --precision names no others
Slots = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Known:
    """One figure so far. `name`: as `--precision` has it; `after`: the ratio after so many
    restarts, the latest last; `asked`: the half-width that `--precision` wants, as a share."""

    name: str
    after: Sequence[tuple[int, Estimate]]
    asked: float | None

    @property
    def estimate(self) -> Estimate:
        """The latest."""
        return self.after[-1][1]

    @property
    def widths(self) -> list[float]:
        """The half-width after each restart from which on there is an interval, as a share."""
        widths = [estimate.half_width for _, estimate in self.after]
        return [width for width in widths if width is not None and math.isfinite(width)]

    def words(self) -> str:
        """`0.92 (0.88 to 0.97), ±5 %`."""
        if not self.widths:
            return ratio(self.estimate.value) if math.isfinite(self.estimate.value) else "-"
        low, high = self.estimate.low or 0.0, self.estimate.high or 0.0
        told = f"{ratio(self.estimate.value)} ({ratio(low)} to {ratio(high)}), "
        told += f"±{percent(self.widths[-1])}"
        return told if self.asked is None else f"{told} of {percent(self.asked)}"


class Provisional:
    """The trials of the level that is being measured, and what they come to. `pairs`: the slots of
    baseline and contender; of several pairs the widest interval is shown."""

    def __init__(self, settings: Settings, pairs: Sequence[Slots] | None = None) -> None:
        self._settings = settings
        slots = range(1, len(settings.backends))
        self._pairs = [(0, slot) for slot in slots] if pairs is None else list(pairs)
        self._names = [*settings.precision] or [*_USUAL]
        self._confidence = ratio_confidence(settings)
        self._trials: dict[tuple[float, int, int], Trial] = {}
        self._compared: dict[Slots, Trial] = {}  # those of the level, by slot and restart
        self._after: dict[tuple[float, str], list[tuple[int, Estimate]]] = {}
        self._rps = 0.0
        self.known: list[Known] = []

    def add(self, trial: Trial) -> bool:
        """A trial has ended; whether its restart has, so that there is something new to show."""
        if not trial.blocks or not self._pairs:
            return False
        self._rps = trial.rps
        self._trials[trial.rps, trial.round, trial.slot] = trial
        if any((trial.rps, trial.round, slot) not in self._trials
               for slot in range(len(self._settings.backends))):  # fmt: skip
            return False
        level = [t for (rps, *_), t in self._trials.items() if rps == self._rps]
        self._compared = {(t.slot, t.round): t for t in as_compared(level) if comparable(t)}
        self.known = [known for name in self._names if (known := self._widest(name)) is not None]
        return True

    @property
    def title(self) -> str:
        """`provisional, 2,000 RPS after 6 restarts`, and what to make of the figures."""
        rounds = self._rounds()
        shown = {slot for pair in self._pairs for slot in pair}
        left_out = {number for (rps, number, slot), trial in self._trials.items()
                    if rps == self._rps and slot in shown and not comparable(trial)}  # fmt: skip
        told = f"provisional, {rate(self._rps)} after {counted(len(rounds), 'restart')}"
        if left_out:
            told += f", {len(left_out)} left out"
        if not any(known.widths for known in self.known):
            few = len(rounds - left_out) < LEAST_ROUNDS
            return told + (f" (an interval needs {LEAST_ROUNDS})" if few else " (no interval yet)")
        return told + (f", the widest of {len(self._pairs)} pairs" if len(self._pairs) > 1 else "")

    def _rounds(self) -> set[int]:
        """The restarts of the level that is being measured."""
        return {number for rps, number, _ in self._trials if rps == self._rps}

    def _widest(self, name: str) -> Known | None:
        """A figure of the pair of arms that is known least well."""
        found = [e for pair in self._pairs if (e := self._estimate(name, pair)) is not None]
        if not found:
            return None
        estimate = max(found, key=lambda each: math.inf if (w := each.half_width) is None else w)
        after = self._after.setdefault((self._rps, name), [])
        after.append((len(self._rounds()), estimate))
        return Known(name, tuple(after), self._settings.precision.get(name))

    def _estimate(self, name: str, pair: Slots) -> Estimate | None:
        one, other = (
            {number: trial for (own, number), trial in self._compared.items() if own == slot}
            for slot in pair
        )
        restarts = [(one[number], other[number]) for number in sorted(one.keys() & other.keys())]
        spread = paired_estimate(FIGURES[name], restarts, self._confidence)
        return None if spread is None else spread.estimate
