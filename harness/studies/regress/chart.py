"""A verdict as a picture: each ratio new/old with its interval and its threshold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.core.metrics import BY_PATH
from harness.core.units import rate
from harness.stats.intervals import Direction
from harness.studies.regress.sentences import sentence, value_text
from harness.studies.regress.verdict import Check, Outcome, Verdict
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour and marker both tell the outcome: the picture survives greyscale.
_LOOKS: dict[Outcome, tuple[str, str]] = {
    "pass": (style.DARK, "o"),
    "fail": ("#B3261E", "X"),
    "inconclusive": (style.INVALID, "s"),
}
_COARSE = (0.25, 0.5, 0.7, 1, 1.4, 2, 3, 4)
_FINE = (0.6, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.2, 1.3, 1.5)
_WIDEST = math.log(4)  # an interval that goes further is cut off, with an arrow


def draw(verdict: Verdict) -> Figure:
    """One row a figure, grouped by level and backend; the title is the verdict's sentence."""
    checks = [c for c in verdict.checks if c.basis != "value" and c.estimate is not None]
    figure = style.new_figure(9.0, 1.9 + 0.27 * max(len(checks), 3))
    axes = figure.add_subplot()
    several = len({check.rps for check in checks}) > 1
    for row, check in enumerate(checks):
        _row(axes, row, check)
    axes.axvline(0, color=style.INK, linewidth=1)
    axes.set_yticks(range(len(checks)), [_label(check, several) for check in checks], fontsize=8.5)
    axes.set_ylim(len(checks) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda log, _: f"{math.exp(log):.2f}×"))
    axes.set_xlabel("new / old, log scale; short bar: threshold")
    low, high = axes.get_xlim()
    ticks = _FINE if high - low < math.log(2.5) else _COARSE
    axes.set_xticks([t for t in map(math.log, ticks) if low <= t <= high])
    axes.minorticks_off()
    for outcome, (colour, marker) in _LOOKS.items():
        axes.plot([], [], marker=marker, color=colour, linestyle="none", label=outcome)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.55 / figure.get_figheight()), ncols=3)
    rounds = min((c.estimate.n for c in checks if c.estimate), default=0)
    under = f"{verdict.confidence:.2%} intervals, from {rounds} valid rounds or more"
    style.head(figure, sentence(verdict), ". ".join([under, *verdict.notes]))
    return figure


def _row(axes: Axes, row: int, check: Check) -> None:
    assert check.estimate is not None
    colour, marker = _LOOKS[check.outcome]
    estimate = check.estimate
    if estimate.low is not None and estimate.high is not None:
        ends = [_log(estimate.low), _log(estimate.high)]
        axes.plot(ends, [row, row], color=colour, linewidth=2.4, alpha=0.6)
        for end, arrow in zip(ends, ("<", ">"), strict=True):
            if abs(end) >= _WIDEST:
                axes.plot(end, row, marker=arrow, color=colour)
    if not math.isnan(estimate.value):  # NaN: no typical ratio
        axes.plot(_log(estimate.value), row, marker=marker, color=colour, markersize=7)
    if estimate.value in (0, math.inf):
        side = -1 if estimate.value else 1  # into the picture
        axes.annotate(
            value_text(check), (_log(estimate.value), row), xytext=(7 * side, 4),
            textcoords="offset points", ha="right" if estimate.value else "left", fontsize=7.5,
        )  # fmt: skip
    lower = BY_PATH[check.metric].direction is Direction.LOWER_IS_BETTER
    bound = 1 + check.limit if lower else 1 - check.limit
    if bound > 0:
        place = math.log(bound)
        axes.plot([place, place], [row - 0.35, row + 0.35], color=style.INK, linewidth=1.6)


def _log(ratio: float) -> float:
    """Its place on the axis; what is 0 or infinite (not answered) is at the edge."""
    if ratio <= 0:
        return -_WIDEST
    return max(-_WIDEST, min(_WIDEST, math.log(ratio) if math.isfinite(ratio) else _WIDEST))


def _label(check: Check, several: bool) -> str:
    over = f" / {check.reference}" if check.reference else ""
    level = f" at {rate(check.rps)}" if several else ""
    return f"{check.backend}{over}{level}: {BY_PATH[check.metric].title}"
