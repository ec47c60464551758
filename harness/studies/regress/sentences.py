"""A verdict in sentences, and its figures as people write them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.core.metrics import BY_PATH
from harness.core.units import rate
from harness.core.wording import NOT_ANSWERED, is_time
from harness.studies.regress.verdict import INCLUDED, Check, Verdict


def sentence(verdict: Verdict) -> str:
    """The result of the check, in one or two sentences."""
    total = len(verdict.checks)
    against = f"{verdict.candidate} against {verdict.baseline}{verdict.otherwise}"
    failed = [c for c in verdict.checks if c.outcome == "fail"]
    if verdict.outcome == "fail":
        died = [] if verdict.cut is None else [cut_text(verdict)]
        told = "; ".join([*died, *map(_complaint, failed[:3])])
        more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
        return f"FAIL: {against}: {told}{more}."
    if verdict.outcome == "pass":
        return f"PASS: {against}: all {total} figures are within their thresholds."
    if verdict.cut is not None:
        return f"INCONCLUSIVE: {against}: {cut_text(verdict)}; this does not pass."
    if not verdict.compared:
        return f"INCONCLUSIVE: {against}: nothing could be compared; this does not pass."
    unknown = [c for c in verdict.checks if c.outcome == "inconclusive"]
    other = [c.note for c in unknown if c.note and not c.note.startswith(INCLUDED)]
    why = (
        next(iter(other), None)
        or "their intervals include the threshold; more rounds (--rounds) narrow them"
    )
    return (
        f"INCONCLUSIVE: {against}: no figure fails, {verdict.count('pass')} of {total} pass, "
        f"and for {len(unknown)} the data cannot tell ({why})."
    )


def cut_text(verdict: Verdict) -> str:
    """Why the measuring ended early, and whose doing it was; nothing of a check that is whole."""
    if verdict.cut is None:
        return ""
    whose = {
        "candidate": f"the server of {verdict.candidate} did not last",
        "baseline": f"the server of {verdict.baseline}, the old one, did not last",
        None: "the run is partial",
    }
    return f"{whose[verdict.cut.side]} ({verdict.cut.reason.rstrip('.')})"


def _complaint(check: Check) -> str:
    interval = interval_text(check)
    told = f" with the interval {interval}" if interval != value_text(check) else ""
    return f"{name(check)} is {value_text(check)}{told}, wholly beyond {limit_text(check)}"


def name(check: Check) -> str:
    """`CPU per request of thread-pool at 2,000 RPS`."""
    title = BY_PATH[check.metric].title
    ratio = f" (over {check.reference})" if check.reference else ""
    return f"{title} of {check.backend}{ratio} at {rate(check.rps)}"


def figure(metric: str, value: float | None) -> str:
    """A value of a metric with its unit; one that is infinite lies among the failures."""
    if value is not None and math.isinf(value):
        return NOT_ANSWERED
    return BY_PATH[metric].unit.write(value)


def value_text(check: Check) -> str:
    """The estimate: a ratio as `1.12×`, or the figure itself."""
    if check.estimate is None:
        return "-"
    if check.basis == "value":
        return figure(check.metric, check.estimate.value)
    return ratio_text(check.estimate.value, check.metric)


def ratio_text(value: float, metric: str) -> str:
    """`1.12×`; `not answered` by the new side alone, or `answered` by it alone."""
    if math.isnan(value):
        return "no typical ratio"
    if math.isinf(value):
        return NOT_ANSWERED if is_time(metric) else "from 0"
    return "answered" if value == 0 and is_time(metric) else f"{_ratio(value)}×"


def interval_text(check: Check) -> str:
    """`1.05 to 1.20`, `at least 1.30`, `at most 0.80`; `none` where there is none."""
    estimate = check.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return "none"
    low, high = estimate.low, estimate.high
    if check.basis == "value":
        ends = [figure(check.metric, low), figure(check.metric, high)]
        return ends[0] if ends[0] == ends[1] == NOT_ANSWERED else " to ".join(ends)
    return ratio_interval_text(low, high, check.metric)


def ratio_interval_text(low: float, high: float, metric: str) -> str:
    """An interval of ratios, of which an end may be 0 or infinite."""
    if low == high and (math.isinf(low) or low == 0):
        return ratio_text(low, metric)
    open_below = low == 0 and is_time(metric)
    if math.isinf(high):
        return "anything" if open_below or low == 0 else f"at least {_ratio(low)}"
    return f"at most {_ratio(high)}" if open_below else f"{_ratio(low)} to {_ratio(high)}"


def limit_text(check: Check) -> str:
    """The limit that passes: `at most 1.10×`, `at least 0.99×` or `at least 99.0 %`."""
    if check.basis == "value":
        return f"at least {figure(check.metric, check.limit)}"
    lower = BY_PATH[check.metric].direction.value.startswith("lower")
    return f"at most {1 + check.limit:.4g}×" if lower else f"at least {1 - check.limit:.4g}×"


def side_text(check: Check, value: float | None) -> str:
    """The typical figure of one side; a plain ratio where ratios are compared."""
    if check.basis == "ratio":
        return "-" if value is None else ratio_text(value, check.metric)
    return figure(check.metric, value)


def _ratio(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.9 <= value <= 1.1 else f"{value:.3g}"


def levels(checks: Sequence[Check]) -> list[float]:
    """The levels of the checks, in order."""
    return list(dict.fromkeys(check.rps for check in checks))
