"""A verdict in sentences, and its figures as people write them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.metrics import BY_PATH
from harness.regression.verdict import Check, Verdict
from harness.units import microseconds, number, rate, share, size


def sentence(verdict: Verdict) -> str:
    """What the check came to, in one or two sentences."""
    total = len(verdict.checks)
    against = f"{verdict.candidate} against {verdict.baseline}"
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
    few = next((c.note for c in unknown if c.note and "valid round" in c.note), None)
    why = few or "their intervals include the threshold; more rounds (--rounds) narrow them"
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
    return (
        f"{name(check)} is {value_text(check)} with the interval {interval_text(check)}, "
        f"wholly beyond {limit_text(check)}"
    )


def name(check: Check) -> str:
    """`CPU per request of thread-pool at 2,000 RPS`."""
    title = BY_PATH[check.metric].title
    ratio = f" (over {check.reference})" if check.reference else ""
    return f"{title} of {check.backend}{ratio} at {rate(check.rps)}"


def figure(metric: str, value: float | None) -> str:
    """A value of a metric with its unit."""
    if "_us" in metric:
        return microseconds(value)
    if metric.endswith("_bytes"):
        return size(value)
    return share(value) if metric.endswith(("success_rate", "efficiency")) else number(value)


def value_text(check: Check) -> str:
    """The estimate: a ratio as `1.12×`, or the figure itself."""
    if check.estimate is None:
        return "-"
    if check.basis == "value":
        return figure(check.metric, check.estimate.value)
    return f"{_ratio(check.estimate.value)}×"


def interval_text(check: Check) -> str:
    """`1.05 to 1.20`; `none` where there is none."""
    estimate = check.estimate
    if estimate is None or estimate.low is None or estimate.high is None:
        return "none"
    if check.basis == "value":
        return f"{figure(check.metric, estimate.low)} to {figure(check.metric, estimate.high)}"
    return f"{_ratio(estimate.low)} to {_ratio(estimate.high)}"


def limit_text(check: Check) -> str:
    """What passes: `at most 1.10×`, `at least 0.99×` or `at least 99.0 %`."""
    if check.basis == "value":
        return f"at least {figure(check.metric, check.limit)}"
    lower = BY_PATH[check.metric].direction.value.startswith("lower")
    return f"at most {1 + check.limit:.4g}×" if lower else f"at least {1 - check.limit:.4g}×"


def side_text(check: Check, value: float | None) -> str:
    """The typical figure of one side; a plain ratio where ratios are compared."""
    if check.basis == "ratio":
        return "-" if value is None else f"{_ratio(value)}×"
    return figure(check.metric, value)


def _ratio(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.9 <= value <= 1.1 else f"{value:.3g}"


def levels(checks: Sequence[Check]) -> list[float]:
    """The levels of the checks, in order."""
    return list(dict.fromkeys(check.rps for check in checks))
