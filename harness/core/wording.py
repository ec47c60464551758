"""Figures that may lie beyond every answer: their ends, infinite ones included, and in words, the
same ones in table, report and chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from harness.core.record import CellMetric, Client, Comparison, Design, Settings
from harness.core.units import Format, microseconds, ratio

Ends: TypeAlias = tuple[float | None, float | None, float | None]
NOT_ANSWERED = "not answered"
_TIMES = (
    "client.response_us.",
    "client.block_response_us.",
    "client.service_us.",
    "client.connect_us.",
)


def figure_ends(found: CellMetric) -> Ends:
    """Median, low and high end; infinite what lies among the failures."""
    named = {"median": found.median, "ci_low": found.ci_low, "ci_high": found.ci_high}
    return _ends(named, found.beyond)


def ratio_ends(found: Comparison) -> Ends:
    """Ratio, low and high end; infinite where the contender alone is not answered."""
    named = {"ratio": found.ratio, "ci_low": found.ci_low, "ci_high": found.ci_high}
    return _ends(named, found.beyond)


def _ends(named: dict[str, float | None], beyond: Sequence[str]) -> Ends:
    value, low, high = (math.inf if name in beyond else end for name, end in named.items())
    return value, low, high


def response_words(client: Client, name: str) -> str:
    """One response time of a trial (`p50`, ...): `196 µs`, `not answered`, or `-`."""
    if name in client.beyond:
        return NOT_ANSWERED
    return microseconds(getattr(client.response_us, name))


def figure_words(figure: CellMetric | None, write: Format) -> str:
    """`196 µs`; `not answered` where the median round has no answer there; `-` for none."""
    if figure is None:
        return "-"
    return NOT_ANSWERED if "median" in figure.beyond else write(figure.median)


def figure_interval(figure: CellMetric, write: Format) -> str:
    """`195 µs to 230 µs`, or `at least 195 µs`; nothing where there is no interval."""
    if figure.ci_low is None or figure.ci_low == figure.ci_high:
        return ""
    if "ci_high" in figure.beyond:
        return f"at least {write(figure.ci_low)}"
    return f"{write(figure.ci_low)} to {write(figure.ci_high)}"


def ratio_figure(found: Comparison) -> str | None:
    """`0.79`; a bound where the typical round has no ratio (`at least 1.30`, `at most 0.80`); and
    `not answered` or `answered` where the contender or the baseline has no answer at all there;
    `from 0` of a count that the baseline has none of. None where there is nothing to say."""
    if "ratio" in found.beyond:
        if found.ci_low is not None and found.ci_low > 0:
            return f"at least {_written(found, found.ci_low)}"
        if not is_time(found.metric):
            return "from 0"
        return NOT_ANSWERED if _never(found) or found.ci_low is None else "infinite"
    if found.ratio is None:
        return "no typical ratio" if found.rounds else None
    if found.ratio == 0 and is_time(found.metric):
        if found.ci_high:
            return f"at most {_written(found, found.ci_high)}"
        return "answered"
    return _written(found, found.ratio)


def ratio_interval(found: Comparison) -> str:
    """`0.75 to 0.84`; `at least 1.30` or `at most 0.80` where an end is infinite in logs, and
    `anything` where both are; nothing where there is no interval, or `ratio_figure` says it."""
    if not has_interval(found) or "ci_low" in found.beyond:
        return ""
    low, high = found.ci_low, found.ci_high
    assert low is not None
    open_low = low == 0 and (is_time(found.metric) or found.ratio != 0)
    if "ci_high" in found.beyond:
        if open_low:
            return "anything"
        return "" if "ratio" in found.beyond else f"at least {_written(found, low)}"
    assert high is not None
    if open_low:
        return "" if found.ratio == 0 else f"at most {_written(found, high)}"
    return f"{_written(found, low)} to {_written(found, high)}"


def _written(found: Comparison, value: float) -> str:
    """A ratio of a comparison. One that is told from 1 has decimals enough to show it."""
    text, decimals = ratio(value), 2
    decided = found.verdict not in ("cannot-tell", "not-comparable")
    while decided and value != 1 and float(text.replace(",", "")) == 1 and decimals < 6:
        decimals += 1
        text = f"{value:.{decimals}f}"
    return text


def effect_words(found: Comparison, what: str) -> str:
    """The ratio contender/baseline, for a sentence: `0.79× the median response time
    (0.75 to 0.84)`, `at least 1.30× the p99`."""
    figure, interval = ratio_figure(found), ratio_interval(found)
    if figure in (NOT_ANSWERED, "answered", "infinite", "from 0", "no typical ratio", None):
        return f"{what}: {figure or 'no ratio'}"
    return f"{figure}× {what}" + (f" ({interval})" if interval else "")


def one_side_answers(found: Comparison) -> Literal["baseline", "contender"] | None:
    """Which side has an answer at this place of the distribution where the other one has none; None
    where both or neither have."""
    if "ratio" in found.beyond and _never(found) and is_time(found.metric):
        return "baseline"
    if found.ratio == 0 and found.ci_high == 0 and is_time(found.metric):
        return "contender"
    return None


def has_interval(found: Comparison) -> bool:
    """Whether both ends are known, infinite ones included."""
    return all(
        getattr(found, end) is not None or end in found.beyond for end in ("ci_low", "ci_high")
    )


def is_time(metric: str) -> bool:
    """Whether it is a time until an answer, which is never 0 and may never come."""
    return metric.startswith(_TIMES)


def _never(found: Comparison) -> bool:
    return "ci_low" in found.beyond


def design_words(settings: Settings, design: Design) -> str:
    """Of a level that was measured in that design: `5 rounds of 5 s`, or `8 restarts of 3.5 s in
    blocks of 0.5 s`."""
    if design == "trials":
        return f"{counted(settings.rounds, 'round')} of {settings.duration_s:g} s"
    blocks = f"of {settings.duration_s:g} s in blocks of {settings.block_s:g} s"
    if settings.precision:
        return f"restarts {blocks}"
    return f"{counted(settings.rounds, 'restart')} {blocks}"


def counted(number: int, what: str) -> str:
    """`1 round`, `5 rounds`, `1,000 rounds`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def arm_names(settings: Settings) -> list[str]:
    """Names of the arms by slot, or their backends' where arms have none."""
    return [arm.name for arm in settings.arms] or settings.backends


def slot_names(settings: Settings) -> list[str]:
    """The same, each apart from all others: what occurs twice by number too."""
    names = arm_names(settings)
    return [
        f"{name} #{slot + 1}" if names.count(name) > 1 else name for slot, name in enumerate(names)
    ]
