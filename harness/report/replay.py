"""A traced run as one page that works offline: every request in slow motion. The page has what it
shows in it, as data and never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.core.record import OUTCOMES
from harness.core.units import rate
from harness.core.wording import listed
from harness.report.trace import TracedArm, TracedRun, each_row, steps_of

MOST_REQUESTS = 20_000  # in a page, which is then below 5 MB
STEPS = ("read", "parse", "rate_limit", "decode", "validate", "work", "write", "close", "handle")
_PICTURE_US = 20_000.0
_PICTURE_LANES = 12
_WIDE, _LANE, _LEFT = 900, 12, 4


def replay_page(traced: TracedRun) -> bytes:
    """The page. Of more requests than it holds it has the first of each server."""
    most = MOST_REQUESTS // max(1, len(traced.arms))
    arms = [(arm, arm.rows.head(most)) for arm in traced.arms]
    environment = Environment(
        loader=PackageLoader("harness.views"), autoescape=True, undefined=StrictUndefined
    )
    names = listed([arm.name for arm in traced.arms])
    templates = files("harness.views") / "templates"
    style = "".join(templates.joinpath(n).read_text("utf-8") for n in ("style.css", "replay.css"))
    shown_us, drawn = _picture(arms)
    page = environment.get_template("replay.html.j2").render(
        title=f"{names} at {rate(traced.rps)}, in slow motion",
        kicker=f"Measured: {traced.run.id}, round {traced.round}",
        sentences=_sentences(traced, arms),
        names=names,
        shown_ms=f"{shown_us / 1e3:.0f}",
        picture=drawn,
        data=_in_script(_data(arms)),
        style=Markup(style),
        script=Markup(templates.joinpath("replay.js").read_text("utf-8")),
    )
    return page.encode("utf-8")


def _sentences(traced: TracedRun, arms: Sequence[tuple[TracedArm, pd.DataFrame]]) -> list[str]:
    """How many requests, what is missing, and what the run is good for."""
    told = []
    for arm, rows in arms:
        failed = int((rows["outcome"] != "ok").sum())
        unknown = int((rows["thread"] <= 0).sum())
        parts = [f"{len(rows):,} requests", f"{failed:,} failed" if failed else "none failed"]
        if unknown:
            parts.append(f"{unknown:,} never reached a thread, or it is not known which")
        if arm.dropped or len(rows) < len(arm.rows):
            beyond = arm.dropped + len(arm.rows) - len(rows)
            parts.append(f"cut after these: {beyond:,} more are not in it")
        told.append(f"{arm.name}: {', '.join(parts)}.")
    told.append("Tracing costs CPU, so this run is compared with nothing: it is there to be seen.")
    if not traced.run.complete:
        told.append(f"The run is PARTIAL: {traced.run.incomplete_reason}.")
    return told


def _data(arms: Sequence[tuple[TracedArm, pd.DataFrame]]) -> dict[str, Any]:
    """What the script reads: times in whole tenths of a microsecond, null where unknown."""
    return {
        "stages": list(STEPS),
        "outcomes": list(OUTCOMES),
        "arms": [
            {
                "name": arm.name,
                "own": arm.own_threads,
                "requests": [_request(row, arm.works) for row in each_row(rows)],
            }
            for arm, rows in arms
        ],
    }


def _request(row: Any, works: bool) -> list[Any]:
    known = row.thread > 0
    steps = steps_of(row, works) if known else []
    return [
        _tenths(row.intended_us),
        _tenths(row.accepted_us),
        _tenths(row.started_us),
        _tenths(row.ended_us),
        _tenths(row.answered_us),
        int(row.thread) if known else None,
        OUTCOMES.index(str(row.outcome)),
        [
            [STEPS.index(name), _tenths(at), max(0, _tenths(length) or 0)]
            for name, at, length in steps
            if length > 0
        ],
    ]


def _tenths(us: float) -> int | None:
    return None if np.isnan(us) else round(us * 10)


def _in_script(data: object) -> Markup:
    """JSON that cannot end the element that it is in, whatever names it has."""
    text = msgspec.json.encode(data).decode()
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


def _picture(arms: Sequence[tuple[TracedArm, pd.DataFrame]]) -> tuple[float, Markup]:
    """The first moments as an SVG, for a browser without JavaScript: how many microseconds it
    has, and the drawing."""
    known = [rows.loc[rows["thread"] > 0] for _, rows in arms]
    first_us = min((float(rows["started_us"].min()) for rows in known if len(rows)), default=0.0)
    until_us = max(_PICTURE_US, first_us + _PICTURE_US)
    parts, y = [Markup()], 0
    for (arm, _), rows in zip(arms, known, strict=True):
        y += 22
        parts.append(Markup('<text x="{}" y="{}" fill="currentColor" font-size="13">{}</text>')
                     .format(_LEFT, y - 5, arm.name))  # fmt: skip
        free: list[float] = []
        lane_of: dict[int, int] = {}
        begun = rows.loc[rows["started_us"] < until_us].sort_values("started_us")
        for row in each_row(begun):
            lane = lane_of.get(row.thread, -1)
            if lane < 0 or arm.own_threads:
                lane = next((i for i, t in enumerate(free) if t <= row.started_us
                             and arm.own_threads), len(free))  # fmt: skip
                free += [0.0] * (lane == len(free))
                lane_of[row.thread] = lane
            free[lane] = row.ended_us
            if lane < _PICTURE_LANES:
                parts += _bars(row, arm.works, y + lane * _LANE, until_us)
        y += min(max(len(free), 1), _PICTURE_LANES) * _LANE + 8
    svg = Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="Requests on their threads">{}</svg>'
    )
    return until_us, svg.format(_WIDE, y, Markup().join(parts))


def _bars(row: Any, works: bool, y: int, until_us: float) -> list[Markup]:
    scale = (_WIDE - _LEFT) / until_us
    return [
        Markup('<rect x="{:.1f}" y="{}" width="{:.1f}" height="{}" fill="var(--{})"/>').format(
            _LEFT + at * scale, y, max(0.4, length * scale), _LANE - 3, name
        )
        for name, at, length in steps_of(row, works)
        if 0 <= at < until_us and length > 0
    ]
