"""From trials to cells and comparisons. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.intervals import (
    Estimate,
    location_estimate,
    ratio_estimate,
    ruled_out,
    smallest_difference,
    verdict,
)
from harness.analysis.metrics import METRICS, Metric
from harness.record import Cell, CellMetric, Comparison, Settings, Trial, metric_value


def comparable(trial: Trial) -> bool:
    """Whether a trial says something about its server: the generator was not the limit."""
    return trial.valid and trial.class_ != "generator-limited"


def standard(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that were run as the settings have it, with no workload or workers of their own.

    Others measure something else, at whatever rate; cells and comparisons never mix them in.
    """
    return [t for t in trials if t.workload is None and t.workers is None]


def build_cells(settings: Settings, trials: Sequence[Trial]) -> list[Cell]:
    """One cell for each backend (slot) and level, over its valid trials."""
    cells, trials = [], standard(trials)
    for rps in settings.rps:
        for slot, backend in enumerate(settings.backends):
            valid = [t for t in trials if (t.rps, t.slot) == (rps, slot) and comparable(t)]
            metrics = {metric.path: _cell_metric(metric.path, valid) for metric in METRICS}
            cells.append(
                Cell(backend=backend, slot=slot, rps=rps, rounds=len(valid), metrics=metrics)
            )
    return cells


def _cell_metric(path: str, trials: Iterable[Trial]) -> CellMetric:
    values = [value for t in trials if (value := metric_value(t, path)) is not None]
    estimate = location_estimate(values) if values else None
    if estimate is None:
        return CellMetric(median=None, ci_low=None, ci_high=None)
    return CellMetric(median=estimate.value, ci_low=estimate.low, ci_high=estimate.high)


def build_comparisons(settings: Settings, trials: Sequence[Trial]) -> list[Comparison]:
    """Every backend but the first against the first, at each level, metric by metric."""
    return [
        _compare(rps, settings.backends, slot, metric, trials)
        for rps in settings.rps
        for slot in range(1, len(settings.backends))
        for metric in METRICS
    ]


def _compare(
    rps: float, backends: Sequence[str], slot: int, metric: Metric, trials: Sequence[Trial]
) -> Comparison:
    pairs, dropped = _pairs(rps, slot, metric.path, trials)
    estimate = ratio_estimate([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None
    return Comparison(
        rps=rps,
        baseline=backends[0],
        contender=backends[slot],
        metric=metric.path,
        ratio=None if estimate is None else estimate.value,
        ci_low=None if estimate is None else estimate.low,
        ci_high=None if estimate is None else estimate.high,
        verdict=verdict(estimate, metric.direction),
        rounds=len(pairs),
        note=_note(estimate, len(pairs), dropped),
        ruled_out=ruled_out(estimate),
        smallest_difference=smallest_difference(estimate),
    )


def _pairs(
    rps: float, slot: int, path: str, trials: Sequence[Trial]
) -> tuple[list[tuple[float, float]], int]:
    """Values of both sides, round by round, and how many rounds had to be left out."""
    level = [t for t in standard(trials) if t.rps == rps]
    base = {t.round: t for t in level if t.slot == 0}
    other = {t.round: t for t in level if t.slot == slot}
    pairs, dropped = [], 0
    for number in sorted(base.keys() & other.keys()):
        if not (comparable(base[number]) and comparable(other[number])):
            dropped += 1
            continue
        values = metric_value(base[number], path), metric_value(other[number], path)
        if values[0] is not None and values[1] is not None:
            pairs.append((values[0], values[1]))
    return pairs, dropped


def _note(estimate: Estimate | None, pairs: int, dropped: int) -> str | None:
    """Why there is no ratio or no interval, in words; None when there is."""
    left_out = f"; {dropped} rounds were left out as invalid" if dropped else ""
    if pairs == 0:
        return f"no round in which both sides have this figure{left_out}"
    if estimate is None:
        return "the baseline is 0, so there is no ratio"
    if estimate.low is None:
        return f"{pairs} rounds are too few for an interval{left_out}; run more (--rounds)"
    return f"{dropped} rounds were left out as invalid" if dropped else None
