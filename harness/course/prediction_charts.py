"""The pictures of predictions: each against its result, and the calibration curve."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from harness.course.questions import QUESTIONS, Question, plain_number
from harness.session.experiment import Picture
from harness.stats.shares import wilson
from harness.views import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.course.predictions import Prediction

_ROW_INCHES = 1.05
_BINS = ((0.0, 0.35), (0.35, 0.65), (0.65, 0.85), (0.85, 1.0))  # of certainty, the last one closed
_PREDICTED, _RESULT = "o", "D"
_Z = 1.96  # of a 95 % interval


def draw_against(
    rows: Mapping[str, Prediction | None], results: Mapping[str, float | str]
) -> Picture:
    """One row for each question, on a scale of its own: the prediction (None: there is none), the
    result, and what would have counted as right."""
    told = [_sentence(question, made, results[question]) for question, made in rows.items()]
    with style.styled():
        figure = style.new_figure(8.0, 1.1 + _ROW_INCHES * len(rows))
        for axes, (question, made) in zip(
            figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(), strict=True
        ):
            known = QUESTIONS[question]
            title = textwrap.fill(f"{question}  {known.text} ({known.counts})", 100)
            axes.set_title(title, loc="left", fontsize=9)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            values = [results[question]] + ([] if made is None else [made.value])
            (_choice_row if known.choices else _number_row)(axes, known, values)
        figure.legend(handles=_handles(), loc="outside lower center", ncols=3, fontsize=8.5)
        style.head(figure, _title(rows, results), "Each question on a scale of its own")
    style.describe(figure, " ".join(told))
    return Picture(figure)


def _title(rows: Mapping[str, Prediction | None], results: Mapping[str, float | str]) -> str:
    made = {question: found for question, found in rows.items() if found is not None}
    if not made:
        return "The results; there was no prediction"
    right = sum(QUESTIONS[q].right(found.value, results[q]) for q, found in made.items())
    return f"{right} of {len(made)} predictions {'counts' if right == 1 else 'count'} as right"


def _sentence(question: str, made: Prediction | None, result: float | str) -> str:
    """`0.1: 50 % predicted, 100 % came out: wrong.`"""
    known = QUESTIONS[question]
    if made is None:
        return f"{question}: {known.shown(result)} came out; there was no prediction."
    right = "right" if known.right(made.value, result) else "wrong"
    return (
        f"{question}: {known.shown(made.value)} predicted, {known.shown(result)} came out: {right}."
    )


def _number_row(axes: Axes, known: Question, values: Sequence[float | str]) -> None:
    numbers = [float(value) for value in values]
    result = numbers[0]
    if known.factor is not None and min(numbers) > 0:
        low, high = result / known.factor, result * known.factor
        axes.set_xscale("log")
        least, most = min(*numbers, low), max(*numbers, high)
        room = max((most / least) ** 0.08, 1.05)
        axes.set_xlim(least / room, most * room)
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif known.points is not None:
        low, high = max(0.0, result - known.points), min(100.0, result + known.points)
        axes.set_xlim(-2, 102)
    else:
        low = high = result
        axes.set_xlim(left=0, right=max(numbers) * 1.1 or 1)
    axes.axvspan(low, high, color=style.FAINT, alpha=0.7, linewidth=0)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{plain_number(value)} {known.unit}")
    )
    _marks(axes, numbers, [known.shown(number) for number in numbers])


def _choice_row(axes: Axes, known: Question, values: Sequence[float | str]) -> None:
    places = [list(known.choices).index(str(value)) for value in values]
    axes.set_xticks(range(len(known.choices)), known.choices)
    axes.set_xlim(-0.5, len(known.choices) - 0.5)
    _marks(axes, places, ["" for _ in places])


def _marks(axes: Axes, at: Sequence[float], labels: Sequence[str]) -> None:
    """The result in the lower half, the prediction in the upper one: they never hide each other."""
    axes.set_ylim(0, 1)
    looks = ((0.25, _RESULT, style.DARK), (0.72, _PREDICTED, style.LIGHT))
    low, high = axes.transData.transform([(value, 0.0) for value in axes.get_xlim()])[:, 0]
    for place, label, (height, marker, colour) in zip(at, labels, looks, strict=False):
        axes.plot([place], [height], marker, color=colour, markersize=9,
                  markeredgecolor=style.INK)  # fmt: skip
        across = axes.transData.transform((place, height))[0]
        left = across > low + 0.75 * (high - low)
        axes.annotate(label, (place, height), xytext=(-9 if left else 9, 0), va="center",
                      ha="right" if left else "left", textcoords="offset points")  # fmt: skip


def _handles() -> list[Line2D]:
    marks = (("your prediction", _PREDICTED, style.LIGHT), ("result", _RESULT, style.DARK))
    handles = [
        Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=8,
               markeredgecolor=style.INK, label=label)
        for label, marker, colour in marks
    ]  # fmt: skip
    band = Line2D([], [], color=style.FAINT, linewidth=8, label="counts as right")
    return [*handles, band]


def draw_calibration(judged: Sequence[tuple[float, bool]], document: float | None) -> Picture:
    """Certainty (0 to 1) against the share that was right, in bins with Wilson's 95 % intervals;
    `document`: the share of the design document's claims that hold."""
    with style.styled():
        figure = style.new_figure(8.0, 5.4)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#666666", linewidth=1, linestyle=(0, (5, 1.5)))
        axes.annotate("as sure as right", (0.5, 0.5), xytext=(-6, 6), rotation=33, ha="right",
                      textcoords="offset points", fontsize=8.5, color="#555555")  # fmt: skip
        told = [_draw_bin(axes, group) for group in _binned(judged)]
        if document is not None:
            told.append(_draw_document(axes, document))
        per_cent = FuncFormatter(lambda value, _: _per_cent(value))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(per_cent)
        axes.set_xlim(-0.03, 1.06)
        axes.set_ylim(-0.03, 1.06)
        axes.set_xlabel("how sure")
        axes.set_ylabel("share that was right")
        title = calibration_sentence(judged)
        style.head(
            figure, title, f"{len(judged)} predictions with a certainty; bars: 95 % intervals"
        )
    style.describe(figure, " ".join([f"{title}.", *told]))
    return Picture(figure)


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"


def calibration_sentence(judged: Sequence[tuple[float, bool]]) -> str:
    """How sure on average, how often right, and whether chance alone would explain the two."""
    if not judged:
        return "No prediction with a certainty has met its result yet"
    count = len(judged)
    sure = sum(certainty for certainty, _ in judged) / count
    right = sum(right for _, right in judged) / count
    brier = sum((certainty - right) ** 2 for certainty, right in judged) / count
    words = f"{_per_cent(sure)} sure on average, {_per_cent(right)} right: Brier score {brier:.2f}"
    chance = 2 * math.sqrt(sum(certainty * (1 - certainty) for certainty, _ in judged)) / count
    if abs(sure - right) <= chance:
        return f"{words}; the gap is no larger than chance allows"
    return f"{words}; {'over' if sure > right else 'under'}confident, by more than chance allows"


def _binned(judged: Sequence[tuple[float, bool]]) -> list[list[tuple[float, bool]]]:
    """The predictions by certainty; bins without any left out."""
    last = _BINS[-1][1]
    groups = [
        [(sure, right) for sure, right in judged if low <= sure < high or sure == high == last]
        for low, high in _BINS
    ]
    return [group for group in groups if group]


def _draw_bin(axes: Axes, group: Sequence[tuple[float, bool]]) -> str:
    """A point with its interval; in words."""
    count, right = len(group), sum(right for _, right in group)
    sure = sum(certainty for certainty, _ in group) / count
    low, high = wilson(right / count, count, _Z)
    axes.plot([sure, sure], [low, high], color=style.DARK, linewidth=1.4)
    axes.plot([sure], [right / count], "o", color=style.DARK, markersize=7)
    axes.annotate(f"{right} of {count}", (sure, right / count), xytext=(8, -3),
                  textcoords="offset points", fontsize=8.5)  # fmt: skip
    return f"Of {count} that were {_per_cent(sure)} sure on average, {right} were right."


def _draw_document(axes: Axes, share: float) -> str:
    holds = _per_cent(share)
    axes.plot([1], [share], "X", color=style.LIGHT, markeredgecolor=style.INK, markersize=10)
    axes.annotate(f"the design document: {holds}", (1, share), xytext=(-10, -3), ha="right",
                  textcoords="offset points", fontsize=8.5)  # fmt: skip
    return f"The design document, which is never in doubt, is right in {holds} of its claims."
