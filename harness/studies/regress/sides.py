"""One figure of one backend on both sides, round by round, and what they come to. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from harness.core.metrics import SUCCESS
from harness.core.record import Run, Trial, ordered_value
from harness.core.trials import comparable
from harness.core.wording import arm_names, slot_names
from harness.stats.intervals import LEAST_ROUNDS, Estimate, location_estimate
from harness.stats.paired import Restart, hierarchical_ratio, paired_ratio, unpaired_ratio
from harness.stats.shares import Tally, quotient, share_estimate, share_ratio_estimate
from harness.studies.compare.blocks import PAIRED, in_blocks, values_within
from harness.studies.compare.comparison import tally

Basis = Literal["interleaved", "absolute", "ratio", "value"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of one side, one a round. Infinite: not answered; NaN: the round answered nothing
    that could be counted, so it may be anything. `tallies`: of a success rate, how many requests
    succeeded in each round; `over`: the same of the backend that it is a ratio over."""

    values: list[float]
    tallies: list[Tally]
    over: list[Tally]

    @classmethod
    def of(cls, trials: Sequence[Trial], metric: str) -> Sample:
        """The figures of some trials; without any value where none of them has one."""
        found = [ordered_value(trial, metric) for trial in trials]
        there = any(value is not None for value in found)
        values = [math.nan if value is None else value for value in found] if there else []
        return cls(values, [tally(t) for t in trials] if metric == SUCCESS else [], [])

    @classmethod
    def of_ratios(cls, rounds: Sequence[tuple[Trial, Trial]], metric: str) -> Sample:
        """Within-round ratios of the second trial over the first."""
        over, own = (cls.of([pair[side] for pair in rounds], metric) for side in (0, 1))
        if not own.values or not over.values:
            return cls([], [], [])
        values = [_quotient(a, b) for a, b in zip(over.values, own.values, strict=True)]
        return cls(values, own.tallies, over.tallies)

    @property
    def typical(self) -> float | None:
        """The median of the values that are known; of a success rate, the share of all requests."""
        if self.tallies and not self.over:
            share = share_estimate(self.tallies)
            return None if share is None else share.value
        known = [value for value in self.values if not math.isnan(value)]
        return median(known) if known else None


@dataclass(frozen=True, slots=True)
class Sides:
    """One figure of one backend at one level; `reference`: the backend that it is a ratio over."""

    backend: str
    rps: float
    metric: str
    basis: Basis
    before: Sample
    after: Sample
    reference: str | None = None
    blocks: list[Restart] | None = None

    def ratio(self, confidence: float) -> Estimate | None:
        """The candidate's figure over the baseline's; None where there is no ratio."""
        before, after = self.before, self.after
        if self.basis == "ratio" and self.metric == SUCCESS:
            below = share_ratio_estimate(before.over, before.tallies, confidence=confidence)
            above = share_ratio_estimate(after.over, after.tallies, confidence=confidence)
            return None if below is None or above is None else quotient(below, above)
        if self.metric == SUCCESS:
            return share_ratio_estimate(before.tallies, after.tallies, confidence=confidence)
        if self.blocks is not None:
            found = hierarchical_ratio(self.blocks, confidence)
            return None if found is None else found.estimate
        if not before.values or not after.values:
            return None
        method = paired_ratio if self.basis == "interleaved" else unpaired_ratio
        return method(before.values, after.values, confidence)

    def floor(self, confidence: float) -> Estimate | None:
        """The candidate's figure itself, to be held against a floor. One that is not answered, or
        may be anything, is below every floor."""
        if self.metric == SUCCESS:
            return share_estimate(self.after.tallies, confidence)
        values = [value if math.isfinite(value) else -math.inf for value in self.after.values]
        found = location_estimate(values, confidence) if values else None
        if (
            found is None
            or found.low is not None
            or found.n < LEAST_ROUNDS
            or min(values) < max(values)
        ):
            return found
        # Every round said exactly the same: there is no spread to be unsure about.
        return Estimate(found.value, found.value, found.value, found.n)

    def why_no_ratio(self) -> str:
        """Why `ratio` is None, in words."""
        pairs = [*zip(self.before.values, self.after.values, strict=False)]
        for name, sample in (("old", self.before), ("new", self.after)):
            if not sample.values:
                return f"the {name} side has no valid round with this figure"
        if self.metric == SUCCESS or all(math.isinf(a) and a == b for a, b in pairs):
            return "neither side answered in any round"
        if all(a == b == 0 for a, b in pairs):
            return "both sides are 0 in every round"
        return "no round has this figure on both sides"

    def unanswered(self) -> str:
        """In how many rounds each side's figure is not answered or missing; often nothing."""
        told = []
        for name, sample in (("old", self.before), ("new", self.after)):
            values = sample.values if self.metric != SUCCESS else []
            beyond = sum(map(math.isinf, values)) if self.basis != "ratio" else 0
            missing = sum(map(math.isnan, values))
            if beyond:
                told.append(f"not answered by the {name} side in {beyond} of {len(values)} rounds")
            if missing:
                told.append(f"no such figure of the {name} side in {missing} of {len(values)}")
        return ", ".join(told)


def _quotient(below: float, above: float) -> float:
    """above / below, with what is infinite or 0; NaN where it may be anything."""
    if math.isnan(below) or math.isnan(above) or (below == above and below in (0.0, math.inf)):
        return math.nan
    if below == 0:
        return math.inf
    return 0.0 if math.isinf(below) else above / below


def interleaved(run: Run, rps: float, slot: int, metric: str) -> Sides:
    """Old and new of a run that measured both: in `slot` and in the next, where both are valid."""
    return _of_two(run, run.settings.backends[slot], rps, slot, slot + 1, metric)


def against_baseline(run: Run, rps: float, slot: int, metric: str) -> Sides:
    """A contender of a comparison, and its baseline, where both are valid."""
    return _of_two(run, slot_names(run.settings)[slot], rps, 0, slot, metric)


def _of_two(run: Run, name: str, rps: float, first: int, second: int, metric: str) -> Sides:
    rounds = common_rounds(run.trials, rps, first, second)
    before, after = (Sample.of([pair[side] for pair in rounds], metric) for side in (0, 1))
    blocks = values_within(metric, rounds) if metric in PAIRED and in_blocks(rounds) else None
    return Sides(name, rps, metric, "interleaved", before, after, blocks=blocks)


def absolute(baseline: Run, candidate: Run, backend: str, rps: float, metric: str) -> Sides:
    """The figure itself, in two runs."""
    before, after = (Sample.of(_valid(run, backend, rps), metric) for run in (baseline, candidate))
    return Sides(backend, rps, metric, "absolute", before, after)


def over_another(
    baseline: Run, candidate: Run, reference: str, backend: str, rps: float, metric: str
) -> Sides:
    """The within-round ratio of a backend over another, in two runs."""
    before, after = (
        Sample.of_ratios(
            common_rounds(run.trials, rps, _slot(run, reference), _slot(run, backend)), metric
        )
        for run in (baseline, candidate)
    )
    return Sides(backend, rps, metric, "ratio", before, after, reference)


def of_one(run: Run, backend: str, rps: float, metric: str) -> Sides:
    """The figure of one run alone."""
    nothing = Sample([], [], [])
    return Sides(
        backend, rps, metric, "value", nothing, Sample.of(_valid(run, backend, rps), metric)
    )


def common_rounds(
    trials: Sequence[Trial], rps: float, first: int, second: int
) -> list[tuple[Trial, Trial]]:
    """Trials of two slots, round by round, where both are valid."""
    one, other = (
        {t.round: t for t in trials if (t.rps, t.slot) == (rps, slot) and comparable(t)}
        for slot in (first, second)
    )
    return [(one[number], other[number]) for number in sorted(one.keys() & other.keys())]


def left_out(run: Run) -> list[str]:
    """Notes on the trials of a run that are not compared, and why."""
    told, invalid = [], [trial for trial in run.trials if not comparable(trial)]
    if invalid:
        reasons = Counter(
            "the generator was the limit"
            if trial.class_ == "generator-limited" and trial.died is None
            else str(trial.invalid_reason)
            for trial in invalid
        )
        why = ", ".join(
            f"{reason} ({count})" if len(reasons) > 1 else reason
            for reason, count in reasons.items()
        )
        told.append(f"{len(invalid)} of {len(run.trials)} trials are not compared: {why}")
    if any(trial.client.survivors for trial in run.trials):
        told.append(
            f"in {run.id} some response times are those of the answered requests alone (schema 1), "
            "and are not compared"
        )
    return told


def _valid(run: Run, backend: str, rps: float) -> list[Trial]:
    slot = _slot(run, backend)
    return [t for t in run.trials if (t.rps, t.slot) == (rps, slot) and comparable(t)]


def _slot(run: Run, backend: str) -> int:
    return arm_names(run.settings).index(backend)
