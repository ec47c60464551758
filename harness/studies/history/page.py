"""The history as one HTML page: no network, every point with its run on hover or focus."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from itertools import groupby, pairwise

from harness.core.metrics import HEADLINES
from harness.studies.history.series import History, Point, Series, step_size, tell_steps
from harness.studies.regress.sentences import figure as figure_text
from harness.studies.regress.sentences import ratio_text

Place = Callable[[float], float]
Label = Callable[[float], str]
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 620, 190, 64, 14, 30
_CLASSES = ("a", "b", "c", "d", "e", "f")
_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#222;--faint:#ddd;--a:#B87A00;
--b:#005A9C;--c:#009E73;--d:#B0527F;--e:#2E86B8;--f:#6B4C9A}
@media(prefers-color-scheme:dark){:root{--paper:#181818;--ink:#eee;--faint:#444;--a:#E69F00;
--b:#6CB4EE;--c:#3CC79A;--d:#E39AC0;--e:#8CCBEF;--f:#B49AE0}}
body{font:15px/1.5 "DejaVu Sans",sans-serif;color:var(--ink);background:var(--paper);
max-width:82rem;margin:auto;padding:1rem}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.5rem 1.5rem}
figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}
text{fill:var(--ink);font-size:11px}.axis{stroke:var(--faint)}.one{stroke:var(--ink)}
.machine{stroke:var(--ink);stroke-dasharray:2 3}.step{stroke-width:2}
path{fill:none;stroke-width:1.3}.bar{stroke-width:3;opacity:.35}circle:focus{outline:none;r:6}
""" + "".join(f".{c}{{stroke:var(--{c})}}circle.{c}{{fill:var(--{c})}}" for c in _CLASSES)
_STYLE += "circle.gone{fill:none;stroke-width:1.5}"
_SCRIPT = """
const said=document.getElementById('said');
for(const kind of ['mouseover','focusin'])document.addEventListener(kind,e=>{
const t=e.target.querySelector&&e.target.tagName==='circle'&&e.target.querySelector('title');
if(t)said.textContent=t.textContent;});
"""


def page(history: History) -> str:
    """The whole page."""
    backends = list(dict.fromkeys(s.backend for s in history.series))
    classes = {name: _CLASSES[i % len(_CLASSES)] for i, name in enumerate(backends)}
    steps = tell_steps(history)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width"><title>History of the lab</title>',
        f"<style>{_STYLE}</style></head><body><h1>{_headline(history, steps)}</h1>",
        '<p id="said" aria-live="polite">Point at a run, or move to it with the tab key.</p>',
        _list(steps),
        _list([f"Note: {note}." for note in history.notes]),
        "<p>" + " ".join(
            f'<svg viewBox="0 0 12 12" style="display:inline;width:.8em"><circle class="{c}" '
            f'cx="6" cy="6" r="5"/></svg> {escape(name)}'
            for name, c in classes.items()
        ) + "; bars are 95 % intervals, dotted lines another machine, "
        "a ring at the upper edge is not answered.</p>",
    ]  # fmt: skip
    for rps in dict.fromkeys(s.rps for s in history.series):
        parts.append(f"<h2>{rps:,.0f} requests a second</h2><div class=row>")
        here = [s for s in history.series if s.rps == rps]
        for metric in HEADLINES:
            for ratio in (False, True):
                chosen = [s for s in here if s.metric is metric and bool(s.reference) == ratio]
                if chosen:
                    parts.append(_figure(history, chosen, classes, ratio))
        parts.append("</div>")
    parts.append(_table(history))
    parts.append(f"<script>{_SCRIPT}</script></body></html>\n")
    return "".join(parts)


def _headline(history: History, steps: list[str]) -> str:
    if len(history.runs) < 2:
        return "One run: no change over time can be shown"
    many = f"{len(steps)} step{'s' if len(steps) != 1 else ''}" if steps else "No step"
    return f"{many} in the headline figures of {len(history.runs)} runs"


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def _figure(history: History, chosen: list[Series], classes: dict[str, str], ratio: bool) -> str:
    metric = chosen[0].metric
    title = metric.title + (f", over {chosen[0].reference}" if ratio else "")
    top = _ceiling(chosen)
    count = max(1, len(history.runs) - 1)

    def x(place: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * (place / count if len(history.runs) > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - min(value, top) / top)

    def label(value: float) -> str:
        if ratio:
            return f"{value:.2f}×" if math.isfinite(value) else ratio_text(value, metric.path)
        return figure_text(metric.path, value)

    lines = [
        f'<line class=axis x1={_LEFT} x2={_WIDTH} y1={y(v):.1f} y2={y(v):.1f} />'
        f'<text x={_LEFT - 6} y={y(v) + 4:.1f} text-anchor=end>{label(v)}</text>'
        for v in (0.0, top / 2, top)
    ]  # fmt: skip
    if ratio and top > 1:
        lines.append(f"<line class=one x1={_LEFT} x2={_WIDTH} y1={y(1):.1f} y2={y(1):.1f} />")
    for place, told in history.machines[1:]:
        at = f"{x(place - 0.5):.1f}"
        lines.append(f'<line class=machine x1={at} x2={at} y1={_TOP} y2={_HEIGHT - _BOTTOM}>'
                     f"<title>another machine: {escape(told)}</title></line>")  # fmt: skip
    for place in {0, len(history.runs) - 1}:
        lines.append(f'<text x={x(place):.1f} y={_HEIGHT - 8} text-anchor=middle>'
                     f"{escape(history.commits[place])}</text>")  # fmt: skip
    for series in chosen:
        lines.append(_line(series, classes[series.backend], x, y, label))
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img aria-label="{escape(title)}">'
        + "".join(lines)
        + "</svg></figure>"
    )


def _ceiling(chosen: list[Series]) -> float:
    """The top of the scale: above every value and nine in ten of the intervals."""
    points = [p for s in chosen for p in s.points]
    values = [p.value for p in points if math.isfinite(p.value)]
    highs = sorted(p.high for p in points if p.high is not None and math.isfinite(p.high)) or [0.0]
    return max(*values, highs[int(0.9 * (len(highs) - 1))], 1e-9) * 1.1


def _line(series: Series, name: str, x: Place, y: Place, label: Label) -> str:
    places = [(x(p.place), y(p.value)) for p in series.points]
    parts = []
    for answered, run in groupby(zip(series.points, places, strict=True), key=_is_answered):
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for _, (a, b) in run)
        if answered:  # else a gap
            parts.append(f'<path class={name} d="{path}"/>')
    for point, (at, height) in zip(series.points, places, strict=True):
        if point.low is not None and point.high is not None:
            parts.append(f'<line class="bar {name}" x1={at:.1f} x2={at:.1f} '
                         f"y1={y(point.low):.1f} y2={y(point.high):.1f} />")  # fmt: skip
        look = name if math.isfinite(point.value) else f'"{name} gone"'
        parts.append(f"<circle class={look} cx={at:.1f} cy={height:.1f} r=3 tabindex=0>"
                     f"<title>{escape(_told(series, point, label))}</title></circle>")  # fmt: skip
    for step in series.steps:
        at = x(series.points[step.index].place - 0.5)
        told = f"{series.points[step.index].commit}: {step_size(series, step)}"
        parts.append(f'<line class="step {name}" x1={at:.1f} x2={at:.1f} y1={_TOP} '
                     f"y2={_HEIGHT - _BOTTOM} /><text x={at + 3:.1f} y={_TOP + 9}>"
                     f"{escape(told)}</text>")  # fmt: skip
    return "".join(parts)


def _is_answered(drawn: tuple[Point, tuple[float, float]]) -> bool:
    return math.isfinite(drawn[0].value)


def _told(series: Series, point: Point, label: Label) -> str:
    interval = ""
    if point.low is not None and point.high is not None:
        interval = f" ({label(point.low)} to {label(point.high)})"
    over = f" over {series.reference}" if series.reference else ""
    return (
        f"{point.commit}, {point.created}: {series.metric.title} of {series.backend}{over} "
        f"{label(point.value)}{interval}; run {point.run}, machine {point.machine + 1}"
    )


def _table(history: History) -> str:
    """The machines in words: what a dotted line stands for."""
    if len(history.machines) < 2:
        return ""
    changes = [
        f"Machine {number + 1} from {history.commits[place]} on: {told}"
        for number, (place, told) in enumerate(history.machines)
    ]
    assert all(a[0] < b[0] for a, b in pairwise(history.machines))
    return "<h2>Machines</h2>" + _list(changes)
