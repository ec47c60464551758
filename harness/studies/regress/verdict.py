"""The verdicts of a check: pass, fail or inconclusive, each with its interval. Pure.

With m figures checked, each interval is two-sided at 1 - 2 x 0.05 / m (Bonferroni; Dunn 1961), so
that an unchanged server is accused of anything at all at most one time in 20: a figure fails only
when its interval lies wholly beyond its threshold, which for unchanged code happens on one side
with a chance of 0.05 / m at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99, BY_PATH
from harness.core.options import beside
from harness.core.record import Run, ordered_value
from harness.core.trials import run_design, tells_other_work
from harness.core.units import rate
from harness.core.wording import arm_names, listed, slot_names
from harness.stats.intervals import Direction, Estimate
from harness.studies.regress.comparability import (
    common_backends,
    common_levels,
    ending,
    machine_difference,
    must_be_comparable,
)
from harness.studies.regress.sides import (
    Basis,
    Sides,
    absolute,
    against_baseline,
    interleaved,
    left_out,
    of_one,
    over_another,
)
from harness.studies.regress.thresholds import Thresholds

Outcome = Literal["pass", "fail", "inconclusive"]
Side = Literal["baseline", "candidate"]
FALSE_ALARMS = 0.05  # of a whole check on unchanged code, at most
INCLUDED = "the interval includes the threshold"
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one backend at one level, against its threshold. What is not answered is
    infinite: `baseline`, `candidate` and the estimate may be.

    `estimate` is of the ratio candidate/baseline, except where `basis` is `value` (of the
    candidate's figure itself, for `--min`). `ratio` is a ratio of ratios: the backend's figure
    over that of `reference` in the same round, then candidate over baseline. `limit` is a share
    for a loss, a value for `--min`.
    """

    backend: str
    rps: float
    metric: str
    basis: Basis
    limit: float
    baseline: float | None
    candidate: float | None
    estimate: Estimate | None
    outcome: Outcome
    reference: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Why the measuring ended before its time. `side`: whose server died or would not start; None
    where it was neither's doing."""

    side: Side | None
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A whole check. `confidence` is that of each interval; `notes` what a reader must know; `cut`:
    of a check that was not finished; `otherwise`: what was chosen otherwise than usual, in words
    that follow a name."""

    baseline: str
    candidate: str
    confidence: float
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    cut: Cut | None = None
    otherwise: str = ""

    @property
    def outcome(self) -> Outcome:
        """fail if a figure fails or the candidate's server died, pass if all was measured and
        passes, else inconclusive."""
        found = {check.outcome for check in self.checks}
        if "fail" in found or (self.cut is not None and self.cut.side == "candidate"):
            return "fail"
        return "pass" if found == {"pass"} and self.cut is None else "inconclusive"

    @property
    def compared(self) -> bool:
        """Whether there was anything to judge: a figure with a value in a single valid round."""
        return any(check.estimate is not None for check in self.checks)

    def count(self, outcome: Outcome) -> int:
        """How many figures came out so."""
        return sum(check.outcome == outcome for check in self.checks)


def judge_interleaved(run: Run, thresholds: Thresholds) -> Verdict:
    """The verdict on a run that measured old and new alternately (`--against-ref`).

    Even slots are the baseline's, odd ones the candidate's, in pairs of one backend.
    Raises `LabError` for a run that is none of those.
    """
    slots = run.settings.backends
    labels = [source.label for source in run.sources]
    if len(labels) != len(slots) or len(slots) % 2 or labels[0] == labels[-1]:
        raise LabError(
            f"{run.id} holds no old and new code side by side; name a second run, "
            "or make one with --against-ref"
        )
    thresholds = thresholds.of_design(run.settings.design).of_figures(
        [path for path in BY_PATH if not run.settings.outside or _has(run, path)]
    )
    sides = [
        interleaved(run, rps, slot, metric)
        for rps in run.settings.rps
        for slot in range(0, len(slots), 2)
        for metric in {**thresholds.max_loss, **thresholds.least}
    ]
    ended = ending(run)
    cut = None if ended is None else Cut(_side(ended.slot), ended.reason)
    notes = left_out(run)
    dirty = [source.label for source in run.sources if source.dirty]
    if dirty:
        notes.append(f"{dirty[0]} has changes that no commit holds; the record says so")
    installed = {p for source in run.sources for p in source.packages}
    if installed:
        notes.append(f"other versions were installed for one side: {', '.join(sorted(installed))}")
    verdict = _judge(labels[0], labels[1], sides, thresholds, notes, cut)
    return replace(verdict, otherwise=beside(run.settings))


def _has(run: Run, path: str) -> bool:
    """Whether any trial has a figure, be it among the failures."""
    return not run.trials or any(ordered_value(trial, path) is not None for trial in run.trials)


def judge_contenders(run: Run, thresholds: Thresholds) -> Verdict:
    """The verdict on the contenders of one comparison, each against its baseline."""
    thresholds = thresholds.of_design(run_design(run))
    names = slot_names(run.settings)
    sides = [
        against_baseline(run, rps, slot, metric)
        for rps in run.settings.rps
        for slot in range(1, len(names))
        for metric in {**thresholds.max_loss, **thresholds.least}
    ]
    ended = ending(run)
    side: Side | None = None
    if ended is not None and ended.slot is not None:
        side = "candidate" if ended.slot else "baseline"
    cut = None if ended is None else Cut(side, ended.reason)
    verdict = _judge(names[0], listed(names[1:]), sides, thresholds, left_out(run), cut)
    return replace(verdict, otherwise=beside(run.settings))


def _side(slot: int | None) -> Side | None:
    if slot is None:
        return None
    return "candidate" if slot % 2 else "baseline"


_UNLIKE = (
    f"the {BY_PATH[BLOCK_P99].title} is not compared: in one run alone it is without what other "
    "work on the machine disturbed; make the older one again"
)


def judge_runs(baseline: Run, candidate: Run, thresholds: Thresholds) -> Verdict:
    """The verdict on two separate runs.

    Ratios between the backends of each run are compared always; absolute figures on the same
    machine only. A candidate that its own server ended is judged by what there is of it. Raises
    `LabError` where nothing may be compared, naming the field.
    """
    must_be_comparable(baseline, candidate)
    backends = common_backends(baseline, candidate)
    machine = machine_difference(baseline.environment, candidate.environment)
    if machine is not None and len(backends) < 2:
        raise LabError(
            f"{baseline.id} and {candidate.id} were made on different machines: {machine}; "
            "absolute figures are not compared across machines, and with one backend in common "
            "there is no ratio: use --against-ref on one machine"
        )
    thresholds = thresholds.of_design(baseline.settings.design)
    metrics = [*thresholds.max_loss, *(m for m in thresholds.least if m not in thresholds.max_loss)]
    unlike = tells_other_work(baseline) != tells_other_work(candidate) and BLOCK_P99 in metrics
    if unlike:
        metrics.remove(BLOCK_P99)
    sides: list[Sides] = []
    for rps in common_levels(baseline, candidate):
        for metric in metrics:
            for name in backends if machine is None else ():
                sides.append(absolute(baseline, candidate, name, rps, metric))
            for name in backends[1:]:
                sides.append(over_another(baseline, candidate, backends[0], name, rps, metric))
    notes = [
        *left_out(baseline),
        *left_out(candidate),
        *([_UNLIKE] if unlike else []),
        f"absolute figures are not compared, for the machine's {machine}"
        if machine is not None
        else "the runs were made at different times, and what the machine did meanwhile is in no "
        "interval of an absolute figure; --against-ref measures both side by side",
    ]
    ended = ending(candidate)
    cut = None if ended is None else Cut("candidate", ended.reason)
    verdict = _judge(baseline.id, candidate.id, sides, thresholds, notes, cut, candidate)
    return replace(verdict, otherwise=beside(candidate.settings))


def _judge(
    before: str,
    after: str,
    sides: Sequence[Sides],
    thresholds: Thresholds,
    notes: list[str],
    cut: Cut | None,
    candidate_run: Run | None = None,
) -> Verdict:
    """Every figure at the confidence that their number calls for."""
    losses = [s for s in sides if s.metric in thresholds.max_loss]
    floors = [s for s in sides if s.metric in thresholds.least and s.basis != "ratio"]
    if candidate_run is not None and not floors:  # other machine: a floor needs no baseline
        floors = [
            of_one(candidate_run, name, rps, metric)
            for rps in dict.fromkeys(s.rps for s in sides)
            for name in dict.fromkeys(arm_names(candidate_run.settings))
            for metric in thresholds.least
        ]
    confidence = 1 - 2 * FALSE_ALARMS / max(1, len(losses) + len(floors))
    checks = [_check_loss(s, thresholds.max_loss[s.metric], confidence) for s in losses]
    checks += [_check_least(s, thresholds.least[s.metric], confidence) for s in floors]
    notes = [*notes, *_unanswered(sides)]
    return Verdict(before, after, confidence, tuple(checks), tuple(notes), cut)


def _unanswered(sides: Sequence[Sides]) -> list[str]:
    """A note for each backend and level with figures that are not answered: of the last of them."""
    told: dict[tuple[str, float], list[str]] = {}
    for s in sides:
        if s.basis != "ratio" and (said := s.unanswered()):
            told.setdefault((s.backend, s.rps), []).append(f"{BY_PATH[s.metric].title} {said}")
    return [
        f"{backend} at {rate(rps)}: {figures[-1]}"
        + (f" (and others: {len(figures) - 1})" if len(figures) > 1 else "")
        for (backend, rps), figures in told.items()
    ]


def _check_loss(sides: Sides, limit: float, confidence: float) -> Check:
    estimate = sides.ratio(confidence)
    outcome, note = _loss_outcome(estimate, BY_PATH[sides.metric].direction, limit)
    if estimate is None:
        note = sides.why_no_ratio()
    return _check(sides, sides.basis, limit, estimate, outcome, note)


def _loss_outcome(
    estimate: Estimate | None, direction: Direction, limit: float
) -> tuple[Outcome, str | None]:
    """A loss is how much larger a lower-is-better figure got, or how much smaller another."""
    if estimate is None:
        return "inconclusive", None
    if estimate.low is None or estimate.high is None:
        return "inconclusive", f"{estimate.n} valid rounds are too few for an interval (--rounds)"
    if direction is Direction.LOWER_IS_BETTER:
        least, most, bound = estimate.low, estimate.high, 1 + limit
    else:
        least, most, bound = -estimate.high, -estimate.low, -(1 - limit)
    if least > bound + _ROUNDING:
        return "fail", None
    if most <= bound + _ROUNDING:
        return "pass", None
    return "inconclusive", INCLUDED


def _check_least(sides: Sides, limit: float, confidence: float) -> Check:
    estimate = sides.floor(confidence)
    outcome: Outcome = "inconclusive"
    note: str | None = None
    if estimate is None:
        note = "no valid round has this figure"
    elif estimate.low is None or estimate.high is None:
        note = f"{estimate.n} valid rounds are too few for an interval (--rounds)"
    elif estimate.high < limit - _ROUNDING:
        outcome = "fail"
    elif estimate.low >= limit - _ROUNDING:
        outcome = "pass"
    else:
        note = INCLUDED
    return _check(sides, "value", limit, estimate, outcome, note)


def _check(
    sides: Sides,
    basis: Basis,
    limit: float,
    estimate: Estimate | None,
    outcome: Outcome,
    note: str | None,
) -> Check:
    return Check(
        backend=sides.backend,
        rps=sides.rps,
        metric=sides.metric,
        basis=basis,
        limit=limit,
        baseline=sides.before.typical,
        candidate=sides.after.typical,
        estimate=estimate,
        outcome=outcome,
        reference=sides.reference,
        note="; ".join(filter(None, (note, sides.unanswered()))) or None,
    )
