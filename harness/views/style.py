"""One style for every chart: colours, type, units, titles, and how figures are saved."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from harness.core.metrics import BY_PATH
from harness.core.options import unusual
from harness.core.record import Comparison, Run
from harness.core.trials import run_design
from harness.core.wording import (
    design_words,
    has_interval,
    one_side_answers,
    ratio_figure,
    ratio_interval,
    slot_names,
)
from harness.designs.stopping import ratio_confidence_words
from harness.views import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK, LIGHT, INVALID = colours.DARK, colours.LIGHT, colours.INVALID
KNOWN, OTHERS, colours_of = colours.KNOWN, colours.OTHERS, colours.colours_of
INK, FAINT = "#222222", "#D9D9D9"
# Any: the stubs want every key as a literal type.
_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.autolayout": False,  # a figure says itself how it is laid out
    "figure.constrained_layout.use": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.fonttype": "none",  # text stays text: it can be read, searched and spoken
    "svg.hashsalt": "metricstream-lab",  # equal data give equal files
}
_TITLE_WIDTH = 78
# In a page the title is text of the page, and a figure is small enough for a telephone.
_EMBEDDED: ContextVar[bool] = ContextVar("embedded", default=False)
_EMBEDDED_WIDTH = 5.6
_EMBEDDED_RC: Any = {"font.size": 10.0}


_LONGEST = 40  # letters of a name


@dataclass(frozen=True, slots=True)
class Words:
    """A chart's title, which is the finding, and its subtitle: trials, design, settings."""

    title: str
    subtitle: str


_WORDS: WeakKeyDictionary[Figure, Words] = WeakKeyDictionary()
_DESCRIPTIONS: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Look:
    """How one backend (or one side of an A/A run) is drawn, everywhere."""

    slot: int
    label: str
    colour: str
    line: Any
    marker: str


def _drawn(name: str) -> str:
    """A name as there is room for in a chart: a long one without its middle, on one line."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 13]}…{line[-12:]}"


def looks(run: Run) -> list[Look]:
    """A look for each slot of the run, in order."""
    found: list[Look] = []
    names = slot_names(run.settings)
    for slot, colour in enumerate(colours.slot_colours(run.settings.backends)):
        line = "solid" if slot % 2 else (0, (5, 1.5))
        found.append(Look(slot, _drawn(names[slot]), colour, line, "os^Dvp"[slot % 6]))
    return found


@contextmanager
def styled() -> Iterator[None]:
    """The style, for what is drawn and saved inside."""
    with (
        mpl.rc_context(_RC | _EMBEDDED_RC if _EMBEDDED.get() else _RC),
        warnings.catch_warnings(),
    ):
        # A name in letters that the font lacks is drawn as boxes; SVG has it as it is.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@contextmanager
def embedded() -> Iterator[None]:
    """Figures made inside are for a page: narrow, and without their titles (see `words`)."""
    token = _EMBEDDED.set(True)
    try:
        yield
    finally:
        _EMBEDDED.reset(token)


def legend_columns(wanted: int) -> int:
    """As many columns as asked for, or fewer where a figure is narrow."""
    return min(wanted, 2) if _EMBEDDED.get() else wanted


def words(figure: Figure) -> Words:
    """The title that `head` gave a figure."""
    return _WORDS.get(figure) or Words("", "")


def describe(figure: Figure, text: str) -> None:
    """Give a figure a text alternative: what somebody who cannot see it must know."""
    _DESCRIPTIONS[figure] = text


def description(figure: Figure) -> str:
    """A figure's text alternative: its own, or its title, which is the finding, and subtitle."""
    has = words(figure)
    own = _DESCRIPTIONS.get(figure) or f"{has.title.rstrip('.')}. {has.subtitle}"
    return " ".join(own.split())


def new_figure(width: float = 8.0, height: float = 4.6) -> Figure:
    """A figure of its own (no pyplot state), sizes in inches."""
    if _EMBEDDED.get():
        width, height = min(width, _EMBEDDED_WIDTH), height * 0.9
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def head(figure: Figure, title: str, subtitle: str) -> None:
    """The finding, and below it what it rests on."""
    _WORDS[figure] = Words(title, subtitle)
    if _EMBEDDED.get():
        return
    wide = int(_TITLE_WIDTH * figure.get_figwidth() / 8.0)
    title, subtitle = (text.replace(" %", "\u00a0%") for text in (title, subtitle))
    title = "\n".join(line for part in title.split("\n") for line in textwrap.wrap(part, wide))
    subtitle = "\n".join(textwrap.wrap(subtitle, int(wide * 1.3)))
    lines = title.count("\n") + 1, subtitle.count("\n") + 1
    # A long title takes no room from what is drawn.
    height = figure.get_figheight() + 0.2 * max(0, lines[0] - 3)
    figure.set_figheight(height)
    figure.text(0.012, 1 - 0.08 / height, title, va="top", fontsize=11.5, fontweight="bold",
                color=INK)  # fmt: skip
    top = 0.12 + 0.2 * lines[0]
    figure.text(0.012, 1 - top / height, subtitle, va="top", fontsize=8.8, color="#555555")
    used = top + 0.17 * lines[1] + 0.08
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.006, 0, 0.988, 1 - used / height))  # type: ignore[call-arg]


def settle(figure: Figure) -> None:
    """Lay a figure out for good. Matplotlib would lay it out again, and draw it once more for
    nothing, each time that it is saved."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


@contextmanager
def settled(figure: Figure) -> Iterator[None]:
    """The same for as long as the context lasts: a figure that somebody may still change."""
    engine = figure.get_layout_engine()
    settle(figure)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """`name`.png at 150 dpi and `name`.svg; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    settle(figure)
    for path in (png, svg):
        path.unlink(missing_ok=True)  # a link in somebody else's folder leads out of it
    try:
        figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    except OSError:  # the disk is full: half a picture is none
        for path in (png, svg):
            path.unlink(missing_ok=True)
        raise
    return [png, svg]


def subtitle(run: Run, what: str = "") -> str:
    """A chart's subtitle: trials, design and settings in a line."""
    settings = run.settings
    valid = sum(t.valid for t in run.trials)
    parts = [
        design_words(settings, run_design(run)),
        f"{sum(t.client.scheduled for t in run.trials):,} requests",
        f"{settings.arrivals} arrivals, {settings.driver}",
        *unusual(settings, ("arrivals", "driver")),
    ]
    if valid < len(run.trials):
        parts.append(f"{len(run.trials) - valid} of {len(run.trials)} trials invalid, not compared")
    if not run.complete:
        parts.append("PARTIAL run")
    return " · ".join(parts) + (f". {what}" if what else "")


def nearest_level(run: Run, wanted: float = 2000.0) -> float:
    """The level that titles speak of: the one nearest to the document's 2,000 RPS."""
    return min(run.settings.rps, key=lambda rps: abs(rps - wanted))


def chosen_levels(run: Run) -> list[float]:
    """All levels up to three, else the lowest, the nearest to 2,000 RPS, and the highest."""
    levels = sorted(run.settings.rps)
    if len(levels) <= 3:
        return levels
    return sorted({levels[0], nearest_level(run), levels[-1]})


def comparison(run: Run, metric: str, rps: float, slot: int = 1) -> Comparison | None:
    """A contender's comparison of a metric at a level, where there is one."""
    for found in run.comparisons:
        if (found.metric, found.rps, found.slot) == (metric, rps, slot):
            return found
    return None


def against(run: Run, rps: float, metrics: Sequence[str]) -> str:
    """Each contender's figures (by their paths) as ratios to the baseline's, in words."""
    names, level = slot_names(run.settings), ratio_confidence_words(run.settings)
    told = []
    for slot, name in enumerate(names[1:], start=1):
        both = names[0], name
        claims = [claim(comparison(run, m, rps, slot), _place(m), both, level) for m in metrics]
        told.append((name, "; ".join(claims)))
    if len(told) == 1:
        return f"{told[0][0]} against {names[0]}: {told[0][1]}"
    return f"against {names[0]}:\n" + ".\n".join(f"{name}: {words}" for name, words in told)


def _place(path: str) -> str:
    """`the CPU per request`; of response times the place among them alone, `the median`."""
    return BY_PATH[path].sentence.removesuffix(" response time")


def claim(found: Comparison | None, what: str, names: tuple[str, str], level: str) -> str:
    """`0.58× the CPU per request (95 % CI 0.55 to 0.61)`, or that none can be told; `names`: of
    baseline and contender; `level`: of the interval."""
    if found is None or found.verdict == "not-comparable":
        return f"{what} is not compared"
    answers = one_side_answers(found)
    if answers is not None:
        who, other = names if answers == "baseline" else reversed(names)
        return f"at {what} {who} still answers and {other} does not"
    figure, interval = ratio_figure(found), ratio_interval(found)
    if figure is not None and figure[-1].isdigit():
        figure += "×"
    ends = f"{level} CI {interval}" if interval else level
    if not has_interval(found):
        return f"{figure} {what} ({found.rounds} rounds: no interval)"
    if found.verdict == "cannot-tell":
        return f"no difference in {what} can be told ({figure}, {ends})"
    return f"{figure} {what} ({ends})"


def count_axis(axes: Axes) -> None:
    """Plain numbers with thousands separators on y."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def microseconds_axis(value: float, _position: float = 0) -> str:
    """`50 µs`, `1.5 ms`, `2 s`."""
    if value >= 1e6:
        return f"{value / 1e6:g} s"
    return f"{value / 1e3:g} ms" if value >= 1e3 else f"{value:g} µs"


def level_label(rps: float) -> str:
    """`2,000`."""
    return f"{rps:,.0f}" if rps >= 10 else f"{rps:g}"


def level_axis(axes: Axes, levels: Sequence[float]) -> None:
    """Offered load on x: a log scale when the levels are far apart, ticks at the levels."""
    if max(levels) > 3 * min(levels):
        axes.set_xscale("log")
    axes.set_xticks(list(levels), [level_label(rps) for rps in levels])
    axes.minorticks_off()
    scale = ", log scale" if axes.get_xscale() == "log" else ""
    axes.set_xlabel(f"offered load (requests/s{scale})")


def time_axis(axes: Axes) -> None:
    """Microseconds on y, as people write them; a log scale has a tick at 3 too."""
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(microseconds_axis))


def nothing_to_draw(run: Run, why: str) -> Figure:
    """A chart that says why it is empty."""
    figure = new_figure(8.0, 2.4)
    axes = figure.add_subplot()
    axes.axis("off")
    axes.text(0.5, 0.5, why, ha="center", va="center", fontsize=11, color="#555555")
    head(figure, "Nothing to draw", subtitle(run))
    return figure
