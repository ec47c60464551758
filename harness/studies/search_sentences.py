"""The result of a search, in sentences that a reader would quote. Pure."""

from __future__ import annotations

from harness.core.options import beside
from harness.core.record import (
    Capacity,
    CapacityEstimate,
    CapacityRatio,
    Crossover,
    CrossoverPoint,
    Settings,
    Vary,
)
from harness.core.units import microseconds
from harness.core.units import ratio as plain_ratio


def three_digits(value: float) -> str:
    """`4,180`, `12.3`: as exact as a search is."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def estimate_words(estimate: CapacityEstimate) -> str:
    """`4,180 requests/s (3,950 to 4,400)`, or the bound, or that nothing is known."""
    if estimate.bound == "interval":
        assert estimate.rps is not None
        assert estimate.low_rps is not None
        assert estimate.high_rps is not None
        ends = f"{three_digits(estimate.low_rps)} to {three_digits(estimate.high_rps)}"
        return f"{three_digits(estimate.rps)} requests/s ({ends})"
    if estimate.low_rps is not None:
        return f"at least {three_digits(estimate.low_rps)} requests/s ({estimate.why})"
    if estimate.high_rps is not None:
        return f"at most {three_digits(estimate.high_rps)} requests/s ({estimate.why})"
    return f"an unknown rate ({estimate.why})"


def ratio_words(ratio: CapacityRatio) -> str:
    """`2.31× (2.10 to 2.55)`, or the bound, or that there is none."""
    if ratio.ratio is not None:
        assert ratio.ci_low is not None
        assert ratio.ci_high is not None
        ends = f"{plain_ratio(ratio.ci_low)} to {plain_ratio(ratio.ci_high)}"
        return f"{plain_ratio(ratio.ratio)}× ({ends})"
    if ratio.ci_low is not None:
        return f"at least {plain_ratio(ratio.ci_low)}×"
    if ratio.ci_high is not None:
        return f"at most {plain_ratio(ratio.ci_high)}×"
    return "not to be told"


def capacity_finding(capacity: Capacity, settings: Settings) -> str:
    """The rate that each backend sustains, and the ratios."""
    parts = [f"{e.backend} sustains {estimate_words(e)}" for e in capacity.estimates]
    told = f"Within {capacity.objective}{beside(settings)}, {'; '.join(parts)}."
    for ratio in capacity.ratios:
        if ratio.bound == "unknown":
            told += f" The ratio to {ratio.baseline} cannot be told."
        elif ratio.verdict == "cannot-tell" and ratio.bound == "interval":
            told += (
                f" No difference between {ratio.contender} and {ratio.baseline} can be told: "
                f"{ratio_words(ratio)}."
            )
        else:
            told += f" {ratio.contender} sustains {ratio_words(ratio)} that of {ratio.baseline}."
    return told


def value_words(vary: Vary, value: float) -> str:
    """`7.6 ms`, `64 workers`."""
    if vary == "workers":
        return f"{value:.3g} workers"
    return microseconds(value * 1e6)


def point_words(vary: Vary, point: CrossoverPoint) -> str:
    """`7.6 ms (7.1 ms to 8.2 ms)`, or the bound, or that nothing is known."""
    if point.bound == "interval":
        assert point.value is not None
        assert point.low is not None
        assert point.high is not None
        ends = f"{value_words(vary, point.low)} to {value_words(vary, point.high)}"
        return f"{value_words(vary, point.value)} ({ends})"
    if point.low is not None:
        return f"above {value_words(vary, point.low)}"
    if point.high is not None:
        return f"below {value_words(vary, point.high)}"
    return f"not known ({point.why})"


def crossover_finding(crossover: Crossover, settings: Settings) -> str:
    """Where the places change at the load nearest to the document's, and at how many loads the
    prediction lies within the interval."""
    known = [p for p in crossover.line if p.bound == "interval"]
    vary = crossover.vary
    others = beside(settings, ("workload", "workers"))
    what = {"io": "waits", "cpu": "computes", "workers": ""}[vary]
    if not known:
        bounds = [p for p in crossover.line if p.bound in ("at-least", "at-most")]
        if not bounds:
            return "Nothing can be said: no load has enough valid pairs of trials."
        told = ", ".join(f"{point_words(vary, p)} at {p.rps:,.0f} requests/s" for p in bounds)
        return f"No change of places was found{others}; if there is one, it is {told}."
    point = min(known, key=lambda p: abs(p.rps - 2000))
    load = f"At {point.rps:,.0f} requests/s"
    aim, beats = f"not to lose to {crossover.baseline}", f"{crossover.baseline} beats"
    if crossover.objective is not None:
        aim = f"to meet {crossover.objective}"
        beats = f"{crossover.objective} is missed by"
    if vary == "workers":
        told = (
            f"{load} and {settings.workload}{others}, {crossover.contender} needs more than "
            f"{point_words(vary, point)} {aim}"
        )
    else:
        told = (
            f"{load}{others}, {beats} {crossover.contender} "
            f"with {settings.workers} workers once a handler {what} {point_words(vary, point)}"
        )
    inside = sum(_inside(p) for p in known)
    share = f"within the interval at {inside} of {len(known)} loads"
    if len(known) == 1:
        share = "within that interval" if inside else "outside that interval"
    law = crossover.prediction.partition(":")[0]
    return (
        f"{told}; {law} puts the pool's limit at {value_words(vary, point.predicted)}. "
        f"It lies {share}."
    )


def _inside(point: CrossoverPoint) -> bool:
    return (
        point.low is not None
        and point.high is not None
        and (point.low <= point.predicted <= point.high)
    )
