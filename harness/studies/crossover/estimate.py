"""Where two architectures change places. Pure: it proposes values and judges pairs of trials.

At a fixed load the handler's time (or the number of workers) is what decides: a pool of W workers
whose handler takes S seconds serves at most W / S requests a second, since W requests in flight =
rate x S (Little 1961). Beyond that its queue grows, while a thread for each request only costs
threads. So at each load the value is searched at which the baseline begins to be better, by the
same bisection with a posterior as for capacities (`harness.stats.threshold`); its answers are
pairs of trials with the same schedule.

What it comes to is told as advice, in whole numbers of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.core.record import (
    Bound,
    Condition,
    Crossover,
    CrossoverCell,
    CrossoverPoint,
    Settings,
    Trial,
    Vary,
    ordered_value,
)
from harness.core.trials import comparable
from harness.core.wording import counted
from harness.stats.threshold import Answer, Belief
from harness.studies.capacity.slo import met
from servers.options import parse_workload

SUCCESS_MARGIN = 0.01  # share of requests
P99_MARGIN, P99_LEAST_US = 1.25, 5000.0
RULE = (
    "better: more than 1 % of the requests more answered in time; else a p99 lower by more than "
    "25 % and 5 ms; else even"
)
RANGES: dict[Vary, tuple[float, float]] = {
    "io": (0.0005, 0.4),  # seconds
    "cpu": (0.00005, 0.1),  # seconds
    "workers": (1, 512),
}
LEAST_PAIRS = 8
PRECISION = 1.08
_ENDS = (0.15, 0.85)
_NARROW = 2.0  # high / low from which on both sides of the edge are confirmed
_MOST_INVALID = 6  # with no valid pair, the load is beyond the generator
_ONE_SIDED = 0.90
EVEN, CANNOT_TELL = "even", "cannot-tell"


class RowSearch:
    """The search at one load. Values are those of `vary`; within, x grows with what hurts the pool:
    the handler's time, or 1 / workers."""

    def __init__(self, vary: Vary, lowest: float, highest: float) -> None:
        self._inverse = vary == "workers"
        self._lowest, self._highest = lowest, highest
        # A little beyond what can be tried, so that an edge at the end shows as one.
        ends = self._x(lowest), self._x(highest)
        self.belief = Belief(min(ends) / 1.3, max(ends) * 1.3)
        self._answers: list[tuple[float, bool]] = []  # x, and whether the pool lost there
        self.invalid = 0
        self._placed = 0

    @property
    def pairs(self) -> int:
        """How many valid pairs there are."""
        return len(self._answers)

    def add(self, value: float, baseline_better: bool | None) -> None:
        """A pair of trials has ended; None: it says nothing."""
        if baseline_better is None:
            self.invalid += 1
            return
        if self._bracketed():
            self._placed += 1
        self._answers.append((self._x(value), baseline_better))
        self.belief = self.belief.after(Answer(self._x(value), not baseline_better))

    def next_value(self) -> float | None:
        """The value to try next; None when more would add little, or nothing can be had."""
        if self.invalid >= _MOST_INVALID and not self.pairs:
            return None
        low, high = self.belief.interval()
        if self.pairs >= LEAST_PAIRS and high / low <= PRECISION:
            return None
        if self.pairs >= LEAST_PAIRS // 2 and self.found()[0] in ("at-least", "at-most"):
            return None
        share = 0.5
        if self._bracketed() and high / low < _NARROW:
            share = _ENDS[self._placed % 2]
        value = self._x(self.belief.quantile(share))  # its own inverse
        value = min(self._highest, max(self._lowest, value))
        return float(round(value)) if self._inverse else float(f"{value:.3g}")

    def found(self) -> tuple[Bound, float | None, float | None, float | None, str | None]:
        """Bound, value, low, high, and why there is no interval; in the unit of `vary`."""
        if not self._answers:
            why = "no pair was valid" if self.invalid else "no pair was finished"
            return "unknown", None, None, None, why
        x_low, x_high = self.belief.interval()
        ends = sorted((self._x(self._lowest), self._x(self._highest)))
        if ends[0] <= x_low and x_high <= ends[1]:
            low, high = sorted((self._x(x_low), self._x(x_high)))
            return "interval", self._x(self.belief.quantile(0.5)), low, high, None
        held = [x for x, lost in self._answers if not lost]
        lost_at = [x for x, lost in self._answers if lost]
        if x_high > ends[1] and held and not lost_at:
            bound = self._x(self.belief.below(max(held)).interval(_ONE_SIDED)[0])
            if self._inverse:
                return "at-most", None, None, bound, "the pool never lost"
            return "at-least", None, bound, None, "the pool never lost"
        if x_low < ends[0] and lost_at and not held:
            bound = self._x(max(self.belief.interval(_ONE_SIDED)[1], min(lost_at)))
            if self._inverse:
                return "at-least", None, bound, None, "the pool always lost"
            return "at-most", None, None, bound, "the pool always lost"
        return "unknown", None, None, None, "too few pairs to say"

    def _bracketed(self) -> bool:
        return len({lost for _, lost in self._answers}) == 2

    def _x(self, value: float) -> float:
        return 1 / value if self._inverse else value


def advantage(baseline: Trial, contender: Trial, conditions: Sequence[Condition] = ()) -> str:
    """Which backend is better by `RULE`: a name, `even`, or `cannot-tell`. With `conditions` the
    baseline is where the contender does not meet them."""
    if not (comparable(baseline) and comparable(contender)):
        return CANNOT_TELL
    if conditions:
        if not met(conditions, contender):
            return baseline.backend
        return EVEN if met(conditions, baseline) else contender.backend
    success = baseline.client.success_rate, contender.client.success_rate
    if success[0] is None or success[1] is None:
        return CANNOT_TELL
    if abs(success[0] - success[1]) > SUCCESS_MARGIN:
        return baseline.backend if success[0] > success[1] else contender.backend
    mine, other = (ordered_value(t, "client.response_us.p99") for t in (baseline, contender))
    if mine is None or other is None:
        return CANNOT_TELL
    if mine == other:
        return EVEN  # neither has an answer there
    low, high = sorted((mine, other))
    if high > low * P99_MARGIN and high - low > P99_LEAST_US:
        return baseline.backend if mine < other else contender.backend
    return EVEN


def predicted(vary: Vary, rps: float, settings: Settings) -> float:
    """Where the pool saturates by Little's law, in the unit of `vary`.

    io: S = W / rate. workers: W = rate x S. cpu: computing holds the GIL, so that one request is
    worked on at a time, however many threads there are: S = 1 / rate, for both.
    """
    if vary == "io":
        return settings.workers / rps
    if vary == "cpu":
        return 1 / rps
    return rps * parse_workload(settings.workload).seconds


PREDICTIONS: dict[Vary, str] = {
    "io": "Little's law: workers / load",
    "cpu": "Little's law with one GIL: 1 / load",
    "workers": "Little's law: load x handler time",
}


def value_of(vary: Vary, trial: Trial) -> float:
    """The value that a trial had of what is varied: seconds of handler time, or workers."""
    if vary == "workers":
        return float(trial.workers or 0)
    return parse_workload(trial.workload or "ingest").seconds


def pairs_of(trials: Sequence[Trial]) -> list[tuple[Trial, Trial]]:
    """Baseline and contender of each finished pair, in the order in which they were run."""
    first: dict[tuple[float, int], Trial] = {}
    pairs = []
    for trial in trials:
        other = first.setdefault((trial.rps, trial.round), trial)
        if other is not trial:
            pairs.append((trial, other) if trial.slot == 0 else (other, trial))
    return pairs


def to_answer(better: str, baseline: str) -> bool | None:
    """Whether the baseline was better; None where it cannot be told."""
    return None if better == CANNOT_TELL else better == baseline


def build_crossover(
    settings: Settings,
    trials: Sequence[Trial],
    vary: Vary,
    lowest: float,
    highest: float,
    objective: str | None = None,
    conditions: Sequence[Condition] = (),
) -> Crossover:
    """The result of the pairs so far, whether the search is complete or cut short."""
    baseline, contender = settings.backends
    cells = [_cell(vary, *pair, conditions) for pair in pairs_of(trials)]
    line = []
    for rps in settings.rps:
        search = RowSearch(vary, lowest, highest)
        for cell in cells:
            if cell.rps == rps:
                search.add(cell.value, to_answer(cell.better, baseline))
        bound, value, low, high, why = search.found()
        line.append(
            CrossoverPoint(
                rps=rps,
                bound=bound,
                value=value,
                low=low,
                high=high,
                predicted=predicted(vary, rps, settings),
                pairs=search.pairs,
                invalid=search.invalid,
                why=why,
            )
        )
    by_objective = f"the contender loses where it does not meet {objective}"
    return Crossover(
        vary=vary,
        baseline=baseline,
        contender=contender,
        rule=RULE if objective is None else by_objective,
        prediction=PREDICTIONS[vary],
        cells=cells,
        line=line,
        objective=objective,
        conditions=list(conditions),
    )


def _cell(
    vary: Vary, baseline: Trial, contender: Trial, conditions: Sequence[Condition]
) -> CrossoverCell:
    both = (baseline, contender)
    return CrossoverCell(
        rps=baseline.rps,
        value=value_of(vary, baseline),
        round=baseline.round,
        better=advantage(baseline, contender, conditions),
        success=[trial.client.success_rate for trial in both],
        p99_us=[trial.client.response_us.p99 for trial in both],
    )


def advice(crossover: Crossover) -> list[str]:
    """A sentence for each load of which anything is known."""
    points = [point for point in crossover.line if point.bound != "unknown"]
    if crossover.vary == "workers":
        return [f"{_at_load(point)} {_workers(crossover, point)}." for point in points]
    return [f"{_at_load(point)} {_handler(crossover, point)}." for point in points]


def workers_to_take(point: CrossoverPoint) -> tuple[int | None, range]:
    """How many workers are enough for certain (None: not known), and which numbers may do."""
    if point.high is None:
        return None, range(0)
    enough = max(1, math.ceil(point.high))
    lowest = 1 if point.low is None else max(1, math.ceil(point.low))
    return enough, range(lowest, enough)


def _at_load(point: CrossoverPoint) -> str:
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
