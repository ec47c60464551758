"""The pictures of the page, as SVG that takes its colours from the page. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from markupsafe import Markup

from harness.core.units import microseconds, ratio
from harness.live.state import PERCENTILES, Curve, Interval, Level, Pair, Ratio, Server
from harness.views.colours import DARK, LIGHT

WIDE = 420
_LEFT, _RIGHT, _TOP = 62, 12, 22
_HIGH = 240
_ROW = 118  # of each figure of a pair
# Half of the requests are at the left end, a thousandth at the right one.
_SHARES = {"p50": 0.5, "p90": 0.1, "p95": 0.05, "p99": 0.01, "p999": 0.001}
_NAMES = {"p50": "50 %", "p90": "90 %", "p95": "95 %", "p99": "99 %", "p999": "99.9 %"}
_THEME = {DARK: "var(--dark-series)", LIGHT: "var(--light-series)"}
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
_LINE = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
_SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart live">{}</svg>')


class Scale:
    """Values to places, by their logarithms; `low` and `high` above 0."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._span = math.log(low), math.log(high / low) or 1.0
        self._start, self._length = start, end - start

    def __call__(self, value: float) -> float:
        return self._start + (math.log(value) - self._low) / self._span * self._length


def ticks(low: float, high: float) -> list[float]:
    """Round values between the two: 1, 2 and 5 times powers of ten, or powers alone."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    return [t for power in powers for step in steps if low <= (t := step * 10.0**power) <= high]


def themed(colour: str) -> str:
    """A colour of a server, as the page has it in light and in dark."""
    return _THEME.get(colour, colour)


def distribution(level: Level, servers: Sequence[Server]) -> Markup:
    """Response times by the share of requests that are as quick: a thin line for each trial, and a
    thick one for the median of a server's trials. Trials that are not compared are grey."""
    known = [us for curve in level.curves for us in curve.times_us if us is not None and us > 0]
    if not known:
        return Markup("<p>No trial at this rate has an answer yet.</p>")
    low, high = min(known) / 1.15, max(known) * 1.15
    y = Scale(low, high, _TOP + _HIGH, _TOP)
    x = Scale(2.0, 1000.0, _LEFT, WIDE - _RIGHT - 16)
    xs = [x(1 / _SHARES[name]) for name in PERCENTILES]
    parts = [_TEXT.format(2, 12, "start", "", "Response time, by the share that is as quick")]
    for tick in ticks(low, high):
        parts += [_LINE.format(_LEFT, y(tick), WIDE - _RIGHT, y(tick), "grid"),
                  _TEXT.format(_LEFT - 6, y(tick) + 4, "end", "", microseconds(tick))]  # fmt: skip
    for name, at in zip(PERCENTILES, xs, strict=True):
        if name != "p95":  # there is no room for its name
            parts.append(_TEXT.format(at, _TOP + _HIGH + 18, "middle", "", _NAMES[name]))
        parts.append(_LINE.format(at, _TOP, at, _TOP + _HIGH, "grid"))
    for curve in level.curves:
        colour = themed(servers[curve.slot].colour) if curve.comparable else "var(--invalid)"
        parts.append(_path(curve.times_us, xs, y, colour, curve.slot, "thin"))
    for slot, server in enumerate(servers):
        times = medians(level.curves, slot)
        parts.append(_path(times, xs, y, themed(server.colour), slot, "thick"))
    return _SVG.format(WIDE, _TOP + _HIGH + 26, spoken(level, servers), Markup().join(parts))


def _path(
    times: Sequence[float | None], xs: Sequence[float], y: Scale, colour: str, slot: int, kind: str
) -> Markup:
    """One line, as far as there were answers. The first server's is dashed, and so on."""
    points = [f"{x:.1f},{y(us):.1f}" for x, us in zip(xs, times, strict=True) if us]
    dashed = Markup("") if slot % 2 or kind == "thin" else Markup(' stroke-dasharray="7 3"')
    line = Markup('<polyline points="{}" stroke="{}" class="{}"{}/>')
    return line.format(" ".join(points), colour, kind, dashed) if points else Markup("")


def medians(curves: Sequence[Curve], slot: int) -> list[float | None]:
    """The typical trial of a server among those that are compared; None where most have no
    answer."""
    own = [curve.times_us for curve in curves if curve.slot == slot and curve.comparable]
    found = []
    for times in zip(*own, strict=True):
        middle = statistics.median(math.inf if us is None else us for us in times)
        found.append(middle if math.isfinite(middle) else None)
    return found or [None] * len(PERCENTILES)


def spoken(level: Level, servers: Sequence[Server]) -> str:
    """The picture in words: the typical median and p99 of each."""
    told = []
    for slot, server in enumerate(servers):
        times = dict(zip(PERCENTILES, medians(level.curves, slot), strict=True))
        within = [f"{_NAMES[name]} within {microseconds(us)}"
                  for name in ("p50", "p99") if (us := times[name]) is not None]  # fmt: skip
        told.append(f"{server.name}: {', '.join(within) or 'nothing to show yet'}")
    return "Response times so far. " + "; ".join(told) + "."


def intervals(pair: Pair, servers: Sequence[Server]) -> Markup:
    """The interval of each figure after each restart, one below the other."""
    drawn = [found for found in pair.ratios if _finite(found.after)]
    if not drawn:
        return Markup("<p>There is no interval yet.</p>")
    colour = themed(servers[pair.contender].colour)
    parts = []
    for place, found in enumerate(drawn):
        parts += _panel(found, place * _ROW, colour)
    told = "; ".join(f"{found.title} {found.words}" for found in drawn)
    label = f"Intervals restart by restart. {told}."
    return _SVG.format(WIDE, len(drawn) * _ROW + 8, label, Markup().join(parts))


def _panel(found: Ratio, top: int, colour: str) -> list[Markup]:
    """One figure: a bar from low to high for each restart, and a dot at the ratio."""
    known = _finite(found.after)
    ends = [1.0, *(end for _, low, _, high in known for end in (low, high))]
    low, high = min(ends) / 1.02, max(ends) * 1.02
    first, last = known[0][0], max(known[-1][0], known[0][0] + 1)
    y = Scale(low, high, top + _ROW - 32, top + 30)
    width = WIDE - _RIGHT - _LEFT - 24

    def x(restarts: int) -> float:
        return _LEFT + 12 + (restarts - first) / (last - first) * width

    parts = [_TEXT.format(2, top + 14, "start", "", f"{found.title}: {found.words}")]
    for value in (low, 1.0, high):
        if value == 1.0 or abs(y(value) - y(1.0)) > 14:
            parts.append(_TEXT.format(_LEFT - 6, y(value) + 4, "end", "", ratio(value)))
    parts.append(_LINE.format(_LEFT, y(1.0), WIDE - _RIGHT, y(1.0), "one"))
    bar = Markup('<line x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}" stroke="{3}" '
                 'class="bar"/><circle cx="{0:.1f}" cy="{4:.1f}" r="3.2" fill="{3}"/>')  # fmt: skip
    for restarts, bottom, middle, above in known:
        parts.append(bar.format(x(restarts), y(bottom), y(above), colour, y(middle)))
    ends_of_axis = [(first, "start"), (known[-1][0], "end")][: len(known)]
    for restarts, anchor in ends_of_axis:
        at = x(restarts) + (-12 if anchor == "start" else 12)
        parts.append(_TEXT.format(at, top + _ROW - 10, anchor, "", f"{restarts} restarts"))
    return parts


def _finite(after: Sequence[Interval]) -> list[tuple[int, float, float, float]]:
    """Restarts, low, ratio and high, where there are all, above 0."""
    return [
        (each.restarts, each.low, each.ratio, each.high)
        for each in after
        if each.low and each.ratio and each.high
    ]
