"""The life of one request, drawn and in a section of the report: a timeline for each backend and
the document's, and what every step costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from harness.core.record import Run
from harness.core.units import microseconds, rate, share
from harness.studies.anatomy.account import Anatomy, Life, Step, anatomy_finding, dissect, notes
from harness.studies.claims.ledger import language_of_steps
from harness.studies.compare.section import labels
from harness.views import style
from harness.views.model import Cell, Column, Listing, Missing, Paragraph, Section, Table
from harness.views.svg import chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a bar consists of: the middle is what the request came for, hatched is the rest.
_DOCUMENT = "#BBBBBB"
_HATCH = {"dispatch": "////", "work": "", "after": "...."}
_LABELS = {
    "rate_limit": "rate limit",
    "decode": "decode JSON",
    "return to the queue": "return to\nthe queue",
}
_LEAST_US = 0.1


def draw_anatomy(run: Run, anatomy: Anatomy) -> Figure:
    """Above, typical requests on one time axis; below, each step's median and p99, log scale."""
    lives = [life for life in anatomy.lives if life.typical_us]
    if not lives:
        return style.nothing_to_draw(run, "no valid trial at this level has stamps of its steps")
    figure = style.new_figure(8.0, 7.6)
    above, below = figure.subplots(2, 1, height_ratios=[0.3 + 0.5 * len(lives), 4.2])
    _timelines(above, style.looks(run), lives)
    _steps(below, style.looks(run), lives)
    figure.legend(handles=_handles(run, lives), loc="outside lower center",
                  ncols=style.legend_columns(3), fontsize=8.5)  # fmt: skip
    what = "Medians; below also p99 (thin line) and 95 % interval of the median (bar, where wide)"
    style.head(figure, anatomy_finding(anatomy, run.settings), style.subtitle(run, what))
    return figure


def _timelines(axes: Axes, looks: list[style.Look], lives: list[Life]) -> None:
    rows: list[tuple[str, list[tuple[str, float]], str]] = []
    for life in lives:
        look = looks[life.slot]
        rows.append((look.label, _parts(life, measured=True), look.colour))
        if life.document_us is not None:
            rows.append(("the document", _parts(life, measured=False), _DOCUMENT))
    for place, (_, parts, colour) in enumerate(reversed(rows)):
        left = 0.0
        for kind, width in parts:
            face = colour if kind == "work" else "#ffffff"
            axes.barh(place, width, left=left, height=0.62, facecolor=face, linewidth=0.6,
                      edgecolor=style.INK, hatch=_HATCH[kind])  # fmt: skip
            left += width
        axes.annotate(microseconds(left), (left, place), xytext=(4, 0), va="center",
                      textcoords="offset points", fontsize=8.5)  # fmt: skip
    axes.set_yticks(range(len(rows)), [label for label, _, _ in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(style.microseconds_axis)
    axes.set_xlabel("time since the connection was accepted")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)


def _parts(life: Life, measured: bool) -> list[tuple[str, float]]:
    """Kind and microseconds of each part of a timeline, neighbours of one kind together."""
    sums = {"dispatch": 0.0, "work": 0.0, "after": 0.0}
    for step in life.steps:
        sums[step.kind] += (step.p50_us if measured else step.document_us) or 0.0
    return list(sums.items())


def _steps(axes: Axes, looks: list[style.Look], lives: list[Life]) -> None:
    names: list[str] = []
    for life in lives:
        names += [step.name for step in life.steps if step.name not in names]
    order = {name: len(names) - 1 - place for place, name in enumerate(names)}
    for number, life in enumerate(lives):
        aside = (len(lives) - 1) / 2 - number
        for step in life.steps:
            if step.p50_us is not None:
                _step_bar(axes, looks[life.slot], step, order[step.name] + 0.22 * aside)
            if step.document_us:
                aside_of = 0.0 if _agreed(lives, step) else 0.22 * aside
                axes.plot(step.document_us, order[step.name] + aside_of, linestyle="none",
                          marker="|", markersize=9 if aside_of else 15, color=style.INK,
                          markeredgewidth=2.0)  # fmt: skip
    axes.set_yticks(list(order.values()), [_LABELS.get(name, name) for name in order])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(style.microseconds_axis)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("duration of the step (log scale)")


def _step_bar(axes: Axes, look: style.Look, step: Step, place: float) -> None:
    middle = max(step.p50_us or 0.0, _LEAST_US)
    if step.p99_us is not None:
        axes.plot([middle, max(step.p99_us, middle)], [place, place], color=look.colour,
                  linewidth=1.1)  # fmt: skip
        axes.plot(max(step.p99_us, middle), place, marker="|", color=look.colour, markersize=6)
    if step.ci_low_us is not None and step.ci_high_us is not None:
        low, high = max(step.ci_low_us, _LEAST_US), max(step.ci_high_us, _LEAST_US)
        axes.plot([low, high], [place, place], color=look.colour, linewidth=3.2)
    axes.plot(middle, place, linestyle="none", marker=look.marker, color=look.colour,
              markersize=6.5, markeredgecolor=style.INK, markeredgewidth=0.6)  # fmt: skip


def _agreed(lives: list[Life], step: Step) -> bool:
    """Whether the document has one figure for this step, whatever the backend."""
    return len({s.document_us for life in lives for s in life.steps if s.name == step.name}) == 1


def _handles(run: Run, lives: list[Life]) -> list[Patch | Line2D]:
    looks = style.looks(run)
    handles: list[Patch | Line2D] = [
        Line2D([], [], linestyle="none", marker=look.marker, color=look.colour, markersize=6.5,
               markeredgecolor=style.INK, markeredgewidth=0.6, label=f"{look.label}, median")
        for look in looks
    ]  # fmt: skip
    handles.append(
        Line2D([], [], linestyle="none", marker="|", markersize=11, markeredgewidth=2.0,
               color=style.INK, label="the document")
    )  # fmt: skip
    kinds = (("dispatch", "dispatch"), ("work", "useful work"), ("after", "thread end, or return"))
    for kind, label in kinds:
        handles.append(
            Patch(facecolor=_DOCUMENT if kind == "work" else "#ffffff", edgecolor=style.INK,
                  linewidth=0.6, hatch=_HATCH[kind], label=label)
        )  # fmt: skip
    return handles


def anatomy_section(run: Run, anatomy: Anatomy | None) -> Section:
    """The lives of `anatomy.json`, or what the stamps of the run alone can tell."""
    title = "Anatomy of a request"
    if anatomy is None:
        anatomy = dissect(run, style.nearest_level(run))
    if not any(life.typical_us for life in anatomy.lives):
        words = "No valid trial at this level has stamps of its steps. They are measured by:"
        return Section("anatomy", title, (Missing(words, "labrun anatomy"),))
    drawn = chart("anatomy", partial(draw_anatomy, run, anatomy))
    words = (
        f"Where the time of a typical request goes at {rate(anatomy.rps)}, from accept() on, and "
        "what the document says of each step."
    )
    blocks = (Paragraph(words), drawn, _table(anatomy, labels(run)))
    told = (*notes(anatomy), language_of_steps(run))
    return Section("anatomy", title, (*blocks, Listing(told)))


def _table(anatomy: Anatomy, names: list[str]) -> Table:
    columns = [Column("Step", numeric=False)]
    for life in anatomy.lives:
        columns += [Column(names[life.slot]), Column("the document's")]
    steps: list[str] = []
    for life in anatomy.lives:
        steps += [step.name for step in life.steps if step.name not in steps]
    rows = []
    for name in steps:
        cells = [Cell(name.replace("_", " "))]
        for life in anatomy.lives:
            cells += _step(next((s for s in life.steps if s.name == name), None))
        rows.append(tuple(cells))
    rows.append((Cell("all"), *(c for life in anatomy.lives for c in _whole(life))))
    rows.append((Cell("useful work"), *(c for life in anatomy.lives for c in _useful(life))))
    return Table(f"Steps at {rate(anatomy.rps)}: medians", tuple(columns), tuple(rows))


def _step(step: Step | None) -> tuple[Cell, Cell]:
    if step is None:
        return Cell("-"), Cell("-")
    small = "" if step.p99_us is None else f"p99 {microseconds(step.p99_us)}"
    return (
        Cell(microseconds(step.p50_us), step.p50_us, small),
        Cell(microseconds(step.document_us), step.document_us),
    )


def _whole(life: Life) -> tuple[Cell, Cell]:
    return (
        Cell(microseconds(life.typical_us), life.typical_us),
        Cell(microseconds(life.document_us), life.document_us),
    )


def _useful(life: Life) -> tuple[Cell, Cell]:
    return (
        Cell(share(life.useful_share), life.useful_share),
        Cell(share(life.document_useful_share), life.document_useful_share),
    )
