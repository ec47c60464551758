"""The sentence that a reader would quote, made from the comparisons. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.metrics import BY_PATH
from harness.record import Cell, Comparison, Trial
from harness.units import ratio

WORDS = (
    ("server.cpu_us_per_request.total", "of the CPU per request"),
    ("server.cpu_us_per_request.overhead", "of the overhead CPU"),
    ("client.response_us.p50", "of the median response time"),
    ("client.response_us.p99", "of the p99"),
    ("server.context_switches.per_s", "of the context switches"),
)


def finding(
    rps: float, comparisons: Sequence[Comparison], cells: Sequence[Cell], trials: Sequence[Trial]
) -> str:
    """What one level showed, in one or two sentences."""
    level = [c for c in comparisons if c.rps == rps]
    head = f"At {rps:,.0f} RPS"
    here = [t for t in trials if t.rps == rps]
    if here and not any(t.valid for t in here):
        return f"{head} nothing can be said: no trial was valid ({here[0].invalid_reason})."
    success = _success(rps, cells)
    if not level:
        return f"{head} {success}."
    baseline, contender = level[0].baseline, level[0].contender
    if baseline == contender:
        return _control(head, level)
    by_metric = {c.metric: c for c in level if c.contender == contender}
    told = [text for metric, words in WORDS if (text := _ratio(by_metric.get(metric), words))]
    if not told:
        why = next((c.note for c in level if c.note), "no interval excludes 1")
        return f"{head} no difference between {contender} and {baseline} can be told ({why})."
    return f"{head} {contender} takes {', '.join(told)} of {baseline}; {success}."


def _ratio(comparison: Comparison | None, words: str) -> str | None:
    if comparison is None or comparison.ratio is None:
        return None
    if comparison.verdict not in ("better", "worse"):
        return None
    assert comparison.ci_low is not None
    assert comparison.ci_high is not None
    interval = f"{ratio(comparison.ci_low)} to {ratio(comparison.ci_high)}"
    what = words.removeprefix("of ")
    return f"{ratio(comparison.ratio)}× {what} ({interval})"


def _success(rps: float, cells: Sequence[Cell]) -> str:
    parts = []
    for cell in cells:
        rate = cell.metrics["client.success_rate"].median
        if cell.rps == rps and rate is not None:
            parts.append(f"{cell.backend} answers {rate:.1%}")
    return " and ".join(parts) or "no trial was valid"


def _control(head: str, level: Sequence[Comparison]) -> str:
    """An A/A run: how many figures differ though nothing does."""
    headline = [c for c in level if BY_PATH[c.metric].headline]
    judged = [c for c in headline if c.verdict in ("better", "worse", "cannot-tell")]
    if not judged:
        why = next((c.note for c in level if c.note), "too few rounds for an interval")
        return (
            f"{head} {level[0].baseline} was run against itself, and nothing can be said ({why})."
        )
    false = [c for c in judged if c.verdict != "cannot-tell"]
    largest = max((c.ruled_out or 0.0 for c in judged), default=0.0)
    return (
        f"{head} {level[0].baseline} was run against itself: {len(false)} of {len(judged)} "
        "headline figures were told apart (5 % are to be expected); the widest interval still "
        f"allows {largest:.0%}."
    )
