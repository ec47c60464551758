"""From trials to cells and comparisons. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from harness.core.metrics import SUCCESS, Metric, metrics_of
from harness.core.record import (
    Cell,
    CellMetric,
    Comparison,
    Settings,
    Trial,
    metric_value,
    ordered_value,
)
from harness.core.trials import comparable, standard
from harness.core.wording import arm_names
from harness.designs.stopping import ratio_confidence
from harness.stats.intervals import (
    Estimate,
    excluded_effect,
    location_estimate,
    minimum_detectable_effect,
    ratio_estimate,
    verdict,
)
from harness.stats.shares import Tally, share_estimate, share_ratio_estimate
from harness.studies.compare.blocks import (
    PAIRED,
    counted_apart,
    in_blocks,
    late_pairs,
    paired_estimate,
)

Round: TypeAlias = tuple[Trial, Trial]  # the baseline's trial and the contender's


def build_cells(settings: Settings, trials: Sequence[Trial]) -> list[Cell]:
    """One cell for each backend (slot) and level, over its valid trials."""
    cells, trials, known = [], standard(trials), _known(settings, trials)
    for rps in settings.rps:
        for slot, backend in enumerate(settings.backends):
            valid = [t for t in trials if (t.rps, t.slot) == (rps, slot) and comparable(t)]
            metrics = {metric.path: _cell_metric(metric.path, valid) for metric in known}
            cells.append(
                Cell(backend=backend, slot=slot, rps=rps, rounds=len(valid), metrics=metrics)
            )
    return cells


def _cell_metric(path: str, trials: Sequence[Trial]) -> CellMetric:
    if path == SUCCESS:
        estimate = share_estimate([tally(t) for t in trials])
    else:
        values = [value for t in trials if (value := ordered_value(t, path)) is not None]
        estimate = location_estimate(values) if values else None
    if estimate is None:
        return CellMetric(median=None, ci_low=None, ci_high=None)
    ends = {"median": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
    beyond = infinite(ends)
    return CellMetric(**{n: None if n in beyond else v for n, v in ends.items()}, beyond=beyond)


def tally(trial: Trial) -> Tally:
    """How many of a trial's requests succeeded."""
    return Tally(trial.client.outcomes.ok, trial.client.scheduled)


def infinite(figures: Mapping[str, float | None]) -> list[str]:
    """The names of the figures that are infinite, in order."""
    return [name for name, value in figures.items() if value is not None and math.isinf(value)]


def build_comparisons(settings: Settings, trials: Sequence[Trial]) -> list[Comparison]:
    """Every backend but the first against the first, at each level, metric by metric."""
    return [
        _compare(rps, settings, slot, metric, trials)
        for rps in settings.rps
        for slot in range(1, len(settings.backends))
        for metric in _known(settings, trials)
    ]


def _known(settings: Settings, trials: Sequence[Trial]) -> list[Metric]:
    """The figures of a run: those that few have, where any trial has them."""
    return [
        metric
        for metric in metrics_of(settings.design)
        if not metric.seldom or any(metric_value(t, metric.path) is not None for t in trials)
    ]


def _compare(
    rps: float, settings: Settings, slot: int, metric: Metric, trials: Sequence[Trial]
) -> Comparison:
    rounds = _rounds(rps, slot, trials)
    pairs = [r for r in rounds if comparable(r[0]) and comparable(r[1])]
    names, confidence = arm_names(settings), ratio_confidence(settings)
    estimate, spread = _estimate(metric.path, pairs, confidence), None
    paired = in_blocks(pairs) and metric.path in PAIRED
    if paired and not counted_apart(metric.path, pairs):
        spread = paired_estimate(metric.path, pairs, confidence)
        estimate = None if spread is None else spread.estimate
    ends = {
        "ratio": None if estimate is None or math.isnan(estimate.value) else estimate.value,
        "ci_low": None if estimate is None else estimate.low,
        "ci_high": None if estimate is None else estimate.high,
    }
    beyond = infinite(ends)
    return Comparison(
        rps=rps,
        baseline=names[0],
        contender=names[slot],
        slot=slot,
        metric=metric.path,
        **{name: None if name in beyond else value for name, value in ends.items()},
        beyond=beyond,
        verdict=verdict(estimate, metric.direction, metric.judged),
        rounds=len(pairs) if estimate is not None else 0,
        note=_note(metric.path, rounds, pairs, estimate),
        ruled_out=excluded_effect(estimate),
        smallest_difference=minimum_detectable_effect(estimate),
        sd_within=None if spread is None else spread.sd_within,
        sd_between=None if spread is None else spread.sd_between,
    )


def _rounds(rps: float, slot: int, trials: Sequence[Trial]) -> list[Round]:
    """The trials of both sides, of every round that has both."""
    level = [t for t in standard(trials) if t.rps == rps]
    base = {t.round: t for t in level if t.slot == 0}
    other = {t.round: t for t in level if t.slot == slot}
    return [(base[number], other[number]) for number in sorted(base.keys() & other.keys())]


def _estimate(path: str, pairs: Sequence[Round], confidence: float) -> Estimate | None:
    """The effect over comparable rounds. A round in which one side alone lacks the figure (it
    answered nothing that could be counted) may be anything: it widens the interval at both ends."""
    if path == SUCCESS:
        old, new = ([tally(pair[side]) for pair in pairs] for side in (0, 1))
        return share_ratio_estimate(old, new, confidence=confidence)
    values = [tuple(ordered_value(t, path) for t in pair) for pair in pairs]
    if any(all(value[side] is None for value in values) for side in (0, 1)):
        return None
    both = [(0.0, 0.0) if None in value else value for value in values]
    return ratio_estimate([a or 0.0 for a, _ in both], [b or 0.0 for _, b in both], confidence)


def _note(
    path: str, rounds: Sequence[Round], pairs: Sequence[Round], estimate: Estimate | None
) -> str | None:
    """Why there is no ratio or no interval, and which rounds say less, in words; None where there
    is nothing to say."""
    told = []
    if estimate is not None and estimate.low is None:
        told.append(f"{too_few(len(pairs))} for an interval; run more (--rounds)")
    elif estimate is not None and math.isnan(estimate.value):
        told.append("each side failed in half of the rounds, so there is no typical ratio")
    elif estimate is None and pairs:
        told.append(_no_ratio(path, pairs))
    elif not pairs:
        told.append("no round could be compared")
    if path != SUCCESS and estimate is not None:
        told += _unanswered(path, pairs)
    if len(pairs) < len(rounds):
        told.append(_left_out(rounds))
    if path in PAIRED and in_blocks(pairs) and (late := late_pairs(pairs))[0]:
        told.append(
            f"{late[0]} of {late[1]} pairs of blocks were left out: a server was not idle in time"
        )
    return "; ".join(told) or None


def too_few(rounds: int) -> str:
    """`4 rounds are too few`."""
    return "1 round is too few" if rounds == 1 else f"{rounds} rounds are too few"


def _no_ratio(path: str, pairs: Sequence[Round]) -> str:
    """Why comparable rounds give no ratio."""
    values = [[ordered_value(t, path) for t in pair] for pair in pairs]
    if path == SUCCESS or all(math.inf == a == b for a, b in values):
        return "neither side answered in any round"
    if all(a == b == 0 for a, b in values):
        return "both sides are 0 in every round"
    if any(metric_value(t, path) is not None for pair in pairs for t in pair if _survivors(t)):
        return "figures of the answered requests alone (schema 1) are not compared"
    for side in (0, 1):
        if all(value[side] is None for value in values):
            return f"{_side_name(pairs[0], side)} has no such figure"
    return "no round in which both sides have this figure"


def _survivors(trial: Trial) -> bool:
    return bool(trial.client.survivors)


def _unanswered(path: str, pairs: Sequence[Round]) -> list[str]:
    """How often a side's figure lies among the failures, or is missing."""
    told = []
    for side in (0, 1):
        values = [ordered_value(pair[side], path) for pair in pairs]
        name = _side_name(pairs[0], side)
        beyond, missing = values.count(math.inf), values.count(None)
        if beyond:
            told.append(f"not answered by {name} in {beyond} of {len(pairs)} rounds")
        if missing:
            told.append(f"{name} has no such figure in {missing} of {len(pairs)} rounds")
    return told


def _side_name(pair: Round, side: int) -> str:
    name = pair[side].name
    return f"{name} #{pair[side].slot + 1}" if pair[0].name == pair[1].name else name


def _left_out(rounds: Sequence[Round]) -> str:
    """How many rounds were not compared, and why."""
    reasons = []
    for pair in rounds:
        spoilt = [t for t in pair if not comparable(t)]
        if spoilt:
            limited = all(t.class_ == "generator-limited" for t in spoilt)
            reason = "the generator was the limit" if limited else str(spoilt[0].invalid_reason)
            reasons.append(reason)
    why = ", ".join(
        f"{reason} ({count})" if len(set(reasons)) > 1 else reason
        for reason, count in Counter(reasons).items()
    )
    return f"{len(reasons)} of {len(rounds)} rounds were left out as invalid: {why}"
