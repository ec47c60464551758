"""The storm: threads and queue over time."""

from __future__ import annotations

from functools import partial

import pandas as pd

from harness.report.source import Source
from harness.studies.compare import level_charts
from harness.studies.compare.section import by_level
from harness.studies.compare.summary import only
from harness.views import style
from harness.views.model import Gallery, Missing, Paragraph, Section
from harness.views.svg import chart

_FIGURES = (
    "server.threads_created_per_s",
    "server.threads_active_mean",
    "server.threads_peak",
    "server.queue_depth_max",
)
_SEEN = (
    "Steps of 100 ms. All servers were seen from outside: threads alive, CPU time and resident "
    "memory of all processes of a server together. Creations and the queue of a single step only "
    "a server itself could tell."
)


def storm_section(source: Source) -> Section:
    """Threads created and alive, and queue depth, per 100 ms, backends above one another."""
    run, title = source.run, "The storm: threads and queue"
    outside = run.settings.outside
    if outside:
        title = "Over time: threads, CPU and memory"
    if source.timeline.empty:
        how = "" if outside else "labrun compare --rps 2000"
        return Section("storm", title, (Missing("No step of any trial was observed.", how),))
    main = style.nearest_level(run)
    levels = [main, *(rps for rps in style.chosen_levels(run) if rps != main)]
    charts = tuple(
        chart(f"storm-{rps:g}".replace(".", "-"),
              partial(level_charts.draw_storm, only(run, rps), at_level(source, rps)))
        for rps in levels
        if not at_level(source, rps).empty
    )  # fmt: skip
    if outside:
        return Section("storm", title, (Paragraph(_SEEN), Gallery(charts)))
    words = (
        "Steps of 100 ms, as in the document, which draws 200 threads created and 40 to 60 active "
        "in each at 2,000 RPS. Threads alive are counted inside the server."
    )
    table = by_level(run, "Threads and queue by level", _FIGURES)
    return Section("storm", title, (Paragraph(words), Gallery(charts), table))


def at_level(source: Source, rps: float) -> pd.DataFrame:
    """The steps of one level."""
    return source.timeline[source.timeline["level"] == rps]
