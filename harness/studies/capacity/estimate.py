"""The highest rate that a backend sustains within an objective. Pure: it proposes rates and
judges trials, and runs nothing.

The rate is doubled until the objective is missed (or halved until it is met), then placed in turn
near either end of what is believed of the capacity, so that both sides of the edge are confirmed
by repeats (`harness.stats.threshold` has the method and its sources). In simulation this gives
narrower intervals than placing at the middle, which never learns how blurred the edge is. No
rate is more than twice the highest that was met.

Only valid trials count. A rate at which the generator was the limit says nothing about the server;
where it is so again and again, that rate is the ceiling of the search, and a backend that still
meets the objective below it has a capacity of *at least* so much. RFC 2544 (section 26.1) searches
a device's throughput likewise and demands a tester faster than the device.

A trial of D seconds can only see an overload that lengthens the queue past the objective's time T
within it: offered load r times the capacity delays the last request by (r - 1) D, so an overload
below about T / D does not show. The result names that share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.record import (
    Bound,
    Capacity,
    CapacityEstimate,
    CapacityRatio,
    Condition,
    Settings,
    Trial,
    Verdict,
)
from harness.core.trials import comparable, standard
from harness.stats.threshold import Answer, Belief, ratio_interval
from harness.studies.capacity.slo import met, shortest_time_us

LOWEST_RPS, HIGHEST_RPS = 20.0, 40_000.0
START_RPS = 1000.0
PRECISION = 1.05  # high / low at which a search is content
LEAST_TRIALS = 12
_ENDS = (0.15, 0.85)
_CLOSE = 1.12  # a rate this near to the generator's limit is as near as can be had
_CONFIRMATIONS = 5
_ACCIDENTS = 3
LEAST_FOR_GENERATOR_RPS = START_RPS / 4
_CEILING_TRIES = 6  # so often the generator's limit is tried again, one trial in ...
_PROBE_EVERY = 3
_ONE_SIDED = 0.90  # a central interval of 90 % has 5 % beyond each end

Result = Literal["met", "missed", "limited"]


@dataclass(frozen=True, slots=True)
class Found:
    """The state of a search; the fields are those of `CapacityEstimate`."""

    bound: Bound
    rps: float | None
    low: float | None
    high: float | None
    why: str | None


class CapacitySearch:
    """One backend's search: told each result, it proposes the next rate."""

    def __init__(self) -> None:
        self.tried: list[tuple[float, Result]] = []
        self.belief = Belief(LOWEST_RPS, HIGHEST_RPS)
        self._placed = 0

    def add(self, rps: float, result: Result) -> None:
        """A trial has ended."""
        if result != "limited" and self.count("met") and self.count("missed"):
            self._placed += 1
        self.tried.append((rps, result))
        if result != "limited":
            self.belief = self.belief.after(Answer(rps, result == "met"))

    def count(self, result: Result) -> int:
        return sum(found == result for _, found in self.tried)

    def ceiling(self) -> float | None:
        """The lowest rate from which on the generator was the limit in three trials or more, and
        in more than two of three."""
        for rate in sorted({rps for rps, result in self.tried if result == "limited"}):
            beyond = [result for rps, result in self.tried if rps >= rate]
            limited = beyond.count("limited")
            if limited >= _ACCIDENTS and limited > 2 * (len(beyond) - limited):
                return rate
        return None

    def is_limited(self) -> bool:
        """Whether all that can be said is that the generator's limit comes first, and that was no
        bad moment of the machine's."""
        ceiling = self.ceiling()
        if ceiling is None or self.found().bound != "at-least":
            return False
        return sum(rps >= ceiling for rps, _ in self.tried) >= _CEILING_TRIES

    def next_rate(self) -> float | None:
        """The rate to try next, in requests a second; None when more would add little."""
        if not self.tried:
            return START_RPS
        ceiling = self.ceiling()
        if self._content(ceiling):
            return None
        last_rps, last = self.tried[-1]
        if last == "limited" and ceiling is None and self._limited_in_a_row() < _ACCIDENTS:
            return last_rps  # it may have been an accident
        if ceiling is not None and self._ceiling_is_stale(ceiling):
            return ceiling
        rate = self._below(self._wanted(), ceiling)
        return float(f"{min(HIGHEST_RPS, max(LOWEST_RPS, rate)):.3g}")

    def found(self) -> Found:
        """The estimate as it stands now."""
        met_rates = [rps for rps, result in self.tried if result == "met"]
        if not met_rates and not self.count("missed"):
            why = "no trial was valid" if self.tried else "no trial was finished"
            return Found("unknown", None, None, None, why)
        if len(met_rates) + self.count("missed") < 2:
            return Found("unknown", None, None, None, "one valid trial is too few to say")
        if not met_rates:
            tried = min(rps for rps, result in self.tried if result == "missed")
            high = max(tried, self.belief.interval(_ONE_SIDED)[1])
            return Found("at-most", None, None, high, "no rate that was tried met the objective")
        ceiling = self.ceiling()
        low, high = self.belief.interval()
        if not self.count("missed"):
            why = "the search ended before a rate missed the objective"
            if ceiling is not None or self.tried[-1][1] == "limited":
                why = "the generator's limit comes first"
            return Found("at-least", None, self._least(), None, why)
        if ceiling is not None and high >= ceiling:
            return Found("at-least", None, self._least(), None, "the generator's limit comes first")
        return Found("interval", self.belief.quantile(0.5), low, high, None)

    def usable_belief(self) -> Belief:
        """The belief that ratios are made of: cut off where nothing above could be tried."""
        return self._bounded() if self.found().bound == "at-least" else self.belief

    def _least(self) -> float:
        """The lower end where that is all there is: no rate that was never met."""
        highest = max(rps for rps, result in self.tried if result == "met")
        return min(highest, self._bounded().interval(_ONE_SIDED)[0])

    def _bounded(self) -> Belief:
        ceiling = self.ceiling()
        if ceiling is None:
            ceiling = max(rps for rps, result in self.tried if result == "met")
        return self.belief.below(ceiling)

    def _ceiling_is_stale(self, ceiling: float) -> bool:
        """Whether the generator's limit is to be tried again: it may have been the
        machine's bad moment, and would bound the search for good."""
        beyond = [rps >= ceiling for rps, _ in self.tried]
        return sum(beyond) < _CEILING_TRIES and not any(beyond[-_PROBE_EVERY:])

    def _limited_in_a_row(self) -> int:
        results = [result for _, result in self.tried]
        row = 0
        while row < len(results) and results[-1 - row] == "limited":
            row += 1
        return row

    def _wanted(self) -> float:
        valid = [(rps, result) for rps, result in self.tried if result != "limited"]
        if not valid:
            return self._lower(min(rps for rps, _ in self.tried))
        if not self.count("missed"):
            return 2 * max(rps for rps, _ in valid)
        if not self.count("met"):
            return min(rps for rps, _ in valid) / 2
        # A lone miss may have been an accident, so that far higher rates are still believed in.
        highest = max(rps for rps, result in valid if result == "met")
        return min(2 * highest, self.belief.quantile(_ENDS[self._placed % 2]))

    def _below(self, wanted: float, ceiling: float | None) -> float:
        """The wanted rate, or one halfway from the highest valid rate to the generator's limit."""
        if ceiling is None or wanted < ceiling / _CLOSE:
            return wanted
        valid = [rps for rps, result in self.tried if result != "limited" and rps < ceiling]
        if not valid:
            return self._lower(ceiling)
        top = max(valid)
        return (top * ceiling) ** 0.5 if ceiling / top > _CLOSE else top

    def _lower(self, rps: float) -> float:
        """Where to go when no trial has been valid. A generator that is late at so low a rate is
        disturbed, and lowering the rate further is no help."""
        return max(rps / 2, LEAST_FOR_GENERATOR_RPS)

    def _content(self, ceiling: float | None) -> bool:
        if sum(rps <= LOWEST_RPS and result == "missed" for rps, result in self.tried) >= 3:
            return True
        low, high = self.belief.interval()
        if ceiling is not None and high >= ceiling:
            near = [result for rps, result in self.tried if ceiling / _CLOSE <= rps < ceiling]
            probed = sum(rps >= ceiling for rps, _ in self.tried)
            return near.count("met") >= _CONFIRMATIONS and probed >= _CEILING_TRIES
        valid = self.count("met") + self.count("missed")
        return valid >= LEAST_TRIALS and high / low <= PRECISION


def result_of(conditions: Sequence[Condition], trial: Trial) -> Result:
    """A trial's answer: whether its server met the objective."""
    if not comparable(trial):
        return "limited"
    return "met" if met(conditions, trial) else "missed"


def build_capacity(
    settings: Settings, trials: Sequence[Trial], objective: str, conditions: Sequence[Condition]
) -> Capacity:
    """The result of a search's trials, complete or cut short."""
    searches = []
    for slot in range(len(settings.backends)):
        search = CapacitySearch()
        for trial in standard(trials):
            if trial.slot == slot:
                search.add(trial.rps, result_of(conditions, trial))
        searches.append(search)
    time_us = shortest_time_us(conditions)
    return Capacity(
        objective=objective,
        conditions=list(conditions),
        estimates=[
            _estimate(backend, slot, searches[slot])
            for slot, backend in enumerate(settings.backends)
        ],
        ratios=[
            capacity_ratio(settings.backends[0], searches[0], backend, search)
            for backend, search in zip(settings.backends[1:], searches[1:], strict=True)
        ],
        overload_seen=None if time_us is None else time_us / 1e6 / settings.duration_s,
    )


def _estimate(backend: str, slot: int, search: CapacitySearch) -> CapacityEstimate:
    found = search.found()
    return CapacityEstimate(
        backend=backend,
        slot=slot,
        bound=found.bound,
        rps=found.rps,
        low_rps=found.low,
        high_rps=found.high,
        met=search.count("met"),
        missed=search.count("missed"),
        invalid=search.count("limited"),
        generator_limit_rps=search.ceiling(),
        why=found.why,
    )


def capacity_ratio(
    baseline: str, bottom: CapacitySearch, contender: str, top: CapacitySearch
) -> CapacityRatio:
    """Contender / baseline. A side that is only a bound makes the ratio a bound, or nothing."""
    over, under = top.found().bound, bottom.found().bound
    has_low = over in ("interval", "at-least") and under in ("interval", "at-most")
    has_high = over in ("interval", "at-most") and under in ("interval", "at-least")
    ratio = low = high = None
    if has_low or has_high:
        beliefs = top.usable_belief(), bottom.usable_belief()
        if has_low and has_high:
            ratio, low, high = ratio_interval(*beliefs)
        else:
            _, lowest, highest = ratio_interval(*beliefs, confidence=_ONE_SIDED)
            low, high = (lowest, None) if has_low else (None, highest)
    verdict: Verdict = "not-comparable"
    if has_low or has_high:
        verdict = "cannot-tell"
        if low is not None and low > 1:
            verdict = "better"
        elif high is not None and high < 1:
            verdict = "worse"
    bounds: dict[tuple[bool, bool], Bound] = {
        (True, True): "interval",
        (True, False): "at-least",
        (False, True): "at-most",
        (False, False): "unknown",
    }
    whys = [f"{name}: {s.found().why}" for name, s in ((contender, top), (baseline, bottom))]
    return CapacityRatio(
        baseline=baseline,
        contender=contender,
        bound=bounds[has_low, has_high],
        ratio=ratio,
        ci_low=low,
        ci_high=high,
        verdict=verdict,
        why="; ".join(why for why in whys if not why.endswith(": None")) or None,
    )
