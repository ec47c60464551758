"""An objective, as people write it: `success>=0.99,p99<=100ms`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.core.errors import LabError
from harness.core.record import Condition, Trial, metric_value

SUCCESS = "client.success_rate"
TIMES = {name: f"client.response_us.{name}" for name in ("p50", "p90", "p95", "p99", "p999", "max")}
_UNITS_US = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_CONDITION = re.compile(r"\s*([a-z0-9]+)\s*(>=|<=|==?|<|>)\s*([^\s]+)\s*")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_EXAMPLE = "write like success>=0.99,p99<=100ms"


def parse_slo(text: str) -> list[Condition]:
    """The conditions of an objective; a trial must meet them all.

    `success>=` takes a share (0.99 or 99%), `p50`, `p90`, `p95`, `p99`, `p999` and `max` with `<=`
    take a response time in us, ms or s. Raises `LabError` with what is wrong.
    """
    conditions = [_parse_condition(part) for part in text.split(",")]
    metrics = [condition.metric for condition in conditions]
    for metric in metrics:
        if metrics.count(metric) > 1:
            name = "success" if metric == SUCCESS else metric.rpartition(".")[2]
            raise LabError(f"--slo {text!r} names {name} twice; give one limit for each figure")
    return conditions


def _parse_condition(part: str) -> Condition:
    match = _CONDITION.fullmatch(part)
    if match is None:
        raise LabError(f"--slo: {part.strip()!r} is no condition; {_EXAMPLE}")
    name, operator, limit = match.groups()
    if name == "success":
        return _success(part.strip(), operator, limit)
    if name not in TIMES:
        raise LabError(f"--slo: {name!r} is not known; take success, {', '.join(TIMES)}")
    if operator != "<=":
        raise LabError(f"--slo: {part.strip()!r}: a time is limited from above; write {name}<=...")
    found = _TIME.fullmatch(limit)
    if found is None:
        raise LabError(
            f"--slo: {limit!r} is no time; write a number and us, ms or s: {name}<=100ms"
        )
    limit_us = float(found[1]) * _UNITS_US[found[2]]
    if limit_us <= 0:
        raise LabError(f"--slo: {part.strip()!r} can never be met; take a time above 0")
    return Condition(metric=TIMES[name], operator="<=", limit=limit_us)


def _success(part: str, operator: str, limit: str) -> Condition:
    if operator != ">=":
        raise LabError(f"--slo: {part!r}: success is limited from below; write success>=0.99")
    found = _SHARE.fullmatch(limit)
    share = -1.0 if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 < share <= 1:
        raise LabError(
            f"--slo: {limit!r} is no share of requests; write a number above 0 and at most 1, or "
            "percent: success>=0.99"
        )
    return Condition(metric=SUCCESS, operator=">=", limit=share)


def check_against_timeout(conditions: Sequence[Condition], timeout_s: float) -> None:
    """Raise `LabError` for a time that no client waits for. (A limit of just the timeout asks how
    many are answered in time, since a request that failed is slower than any answer.)"""
    for condition in conditions:
        if condition.operator == "<=" and condition.limit > timeout_s * 1e6:
            name = condition.metric.rpartition(".")[2]
            raise LabError(
                f"--slo {name}<={condition.limit / 1e3:g}ms cannot be judged, since a client gives "
                f"up after {timeout_s:g} s; lower it or raise --timeout"
            )


def met(conditions: Sequence[Condition], trial: Trial) -> bool:
    """Whether a trial met them all. A time that lies among the failures is not met, nor is a
    figure that is missing (nothing was sent)."""
    for condition in conditions:
        value = metric_value(trial, condition.metric)
        if value is None:
            return False
        if value < condition.limit if condition.operator == ">=" else value > condition.limit:
            return False
    return True


def shortest_time_us(conditions: Sequence[Condition]) -> float | None:
    """The tightest limit on a time; None when the objective has none."""
    return min((c.limit for c in conditions if c.operator == "<="), default=None)
