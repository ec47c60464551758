"""The sections of a report that need a run's raw rows: response times as whole distributions, what
a closed loop leaves out of them, and their parts; and the storm, threads and queue over time."""

from __future__ import annotations

from functools import partial
from shlex import quote

import pandas as pd

from harness.core.units import microseconds, rate
from harness.drivers.driver import driver_of
from harness.report.source import Source
from harness.studies.compare import level_charts, time_charts, waterfall
from harness.studies.compare.section import by_level, labels
from harness.studies.compare.summary import only
from harness.studies.compare.time_charts import Measured
from harness.studies.compare.waterfall import PARTS, quantiles
from harness.views import style
from harness.views.model import Block, Cell, Column, Gallery, Missing, Paragraph, Section, Table
from harness.views.svg import chart

_FIGURES = tuple(f"client.response_us.{name}" for name in ("p50", "p90", "p99", "p999"))
_THREAD_FIGURES = (
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


def latency_section(source: Source) -> Section:
    """One distribution a level, the figures, and the gap of coordinated omission."""
    run, title = source.run, "Response times"
    if not any(t.client.outcomes.ok for t in run.trials):
        words = "No request succeeded, so there is no response time to show."
        return Section("latency", title, (Missing(words),))
    main = style.nearest_level(run)
    charts = []
    for rps in [main, *(rps for rps in run.settings.rps if rps != main)]:
        rows = source.requests[source.requests["level"] == rps]
        if len(rows):
            name = f"latency-{rps:g}".replace(".", "-")
            charts.append(chart(name, partial(time_charts.draw_distribution, only(run, rps), rows)))
    words = (
        "Counted from the intended time of each request, so waiting is never left out. What did "
        "not end ok counts as infinitely slow: a line stops where the successes do."
    )
    table = by_level(run, "Response times by level", _FIGURES)
    return Section(
        "latency", title, (Paragraph(words), Gallery(tuple(charts)), table, *_omission(source))
    )


def _omission(source: Source) -> tuple[Block, ...]:
    """The closed loop beside this run, where there is one."""
    run, closed = source.run, source.closed_loop
    driver = driver_of(run.settings.driver)
    if closed is None and driver.falls_behind:
        closed = Measured(run, source.requests)
    if driver.leaves_out is not None:
        return (
            Missing(
                f"{driver.leaves_out} The open loop has it:",
                f"labrun compare --rps {','.join(f'{rps:g}' for rps in run.settings.rps)}",
            ),
        )
    if closed is None:
        levels = ",".join(f"{rps:g}" for rps in run.settings.rps)
        return (
            Missing(
                "What a closed loop would have left out (coordinated omission) was not measured. "
                "Measure the same with it, then give this report that run's folder:",
                f"labrun compare --driver closed-loop --rps {levels} --name closed-loop\n"
                f"labrun report {quote(f'results/{run.id}')} --closed-loop results/FOLDER",
            ),
        )
    shared = [rps for rps in run.settings.rps if rps in closed.run.settings.rps]
    if not shared:
        return (Missing(f"The closed-loop run {closed.run.id} has no level of this run."),)
    rps = max(shared)  # where there is most waiting to leave out
    drawn = chart("omission", partial(time_charts.draw_omission, run, source.requests, closed, rps))
    words = (
        f"Coordinated omission, at {rate(rps)}: a client of a closed loop sends its next request "
        "only once the last one has come back, so its service times leave out whoever would have "
        f"waited meanwhile. Closed loop: {closed.run.id}. The gap between the lines is what most "
        "tools do not show; without overload there is next to none."
    )
    return Paragraph(words), drawn


def waterfall_section(source: Source) -> Section:
    """Planned, sent, connected, answered: what each part takes."""
    run, title = source.run, "A request from the client's side"
    names, rows = labels(run), []
    for rps in run.settings.rps:
        for slot, name in enumerate(names):
            parts = waterfall.parts_of(run, source.requests, slot, rps)
            found = [quantiles(parts, part) for part in (*PARTS, "response_us")]
            if all(quantile is not None for quantile in found):
                cells = [
                    Cell(microseconds(q.p50_us), q.p50_us, f"p99 {microseconds(q.p99_us)}")
                    for q in found
                    if q is not None
                ]
                rows.append((Cell(rate(rps).removesuffix(" RPS"), rps), Cell(name), *cells))
    if not rows:
        words = "No valid trial has a request that succeeded, so there is nothing to take apart."
        return Section("waterfall", title, (Missing(words, "labrun compare --rps 2000"),))
    main = style.nearest_level(run)
    drawn = chart("waterfall", partial(waterfall.draw, run, source.requests, main))
    columns = (
        Column("RPS"), Column("Backend", numeric=False), Column("Planned to sent"),
        Column("Sent to connected"), Column("Connected to answered"), Column("All"),
    )  # fmt: skip
    words = (
        "From the planned moment to the send is the generator's own lag (in a closed loop also the "
        "wait for the client's last request); from the send to the connection is the kernel's "
        "handshake; the rest, backlog included, is the server. Only answered requests have "
        "parts: whoever failed is not in these figures, and they compare no servers."
    )
    caption = "Answered requests alone, each part by itself: median, p99 below (they do not add up)"
    return Section(
        "waterfall", title, (Paragraph(words), drawn, Table(caption, columns, tuple(rows)))
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
    table = by_level(run, "Threads and queue by level", _THREAD_FIGURES)
    return Section("storm", title, (Paragraph(words), Gallery(charts), table))


def at_level(source: Source, rps: float) -> pd.DataFrame:
    """The steps of one level."""
    return source.timeline[source.timeline["level"] == rps]
