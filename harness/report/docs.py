"""Figures in the project's own texts, from a run: `labrun report RUN --docs` writes them.

A text has blocks between `<!-- result:NAME FOLDER -->` and `<!-- /result -->`, on lines of their
own or within a sentence. What is between them is never written by hand, so that no figure can
drift from its data. Names:

finding              the finding at the level nearest to 2,000 RPS
terminal             what `labrun compare` prints
picture:CHART        a chart of the folder as an image; `capacity` is that of its capacity/
verdicts             how many of the document's claims hold, in a sentence
section:ID           a section of the report, as Markdown, without its heading
table:ID             only the tables of it that are not folded
median:PATH@RPS/BACKEND   the median of one figure, with its unit
ratio:PATH@RPS       the ratio of one figure, contender to baseline, with its interval
native-median:..., native-ratio:...   the same of the run of the servers in C++ that belongs to it
setting:NAME         a setting, or `trials`, `requests`, `cpu`, `python`
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

from harness.core.errors import LabError
from harness.core.metrics import BY_PATH
from harness.core.record import Run
from harness.core.wording import figure_words, has_interval, ratio_figure, ratio_interval
from harness.report.build import build
from harness.report.source import CAPACITY, Source, load_source
from harness.studies.anatomy.account import anatomy_finding
from harness.views import style
from harness.views.formats import block_text, table
from harness.views.model import Report, Section, Table

FILES = ("README.md", "docs/results.md")
_BLOCK = re.compile(
    r"<!-- result:(?P<name>\S+) (?P<folder>\S+) -->(?P<text>.*?)<!-- /result -->", re.DOTALL
)

Writer = Callable[[Source, str], str]  # of a run, and the folder that a block names


def rewrite(
    root: Path, extra: Mapping[str, Writer], folder: str | None = None
) -> dict[Path, tuple[str, str]]:
    """Each text of `FILES` below `root`: as it is, and as it should be.

    With `folder`, blocks are taken from that run from now on, else from the one that each names.
    `extra` writes blocks that only the command line can. Raises `LabError` for a name that is
    unknown and for a run that cannot be read.
    """
    runs: dict[str, _Read] = {}

    def read(name: str) -> _Read:
        if name not in runs:
            runs[name] = _Read(load_source(root / name))
        return runs[name]

    texts = {}
    for file in (root / name for name in FILES):
        try:
            before = file.read_text("utf-8")
        except OSError as error:
            raise LabError(
                f"cannot read {file}: {error.strerror}; run this in the project's folder"
            ) from error

        def renewed(found: re.Match[str], file: Path = file) -> str:
            name, run = found["name"], folder or found["folder"]
            text = _written(name, run, read(run), extra, file.parent.relative_to(root))
            edge = "\n" if "\n" in found["text"] else ""
            return f"<!-- result:{name} {run} -->{edge}{text}{edge}<!-- /result -->"

        texts[file] = (before, _BLOCK.sub(renewed, before))
    return texts


class _Read:
    """A run, and its report, which is built once and only where a block needs it."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @cached_property
    def report(self) -> Report:
        return build(self.source)

    def section(self, name: str) -> Section:
        for section in self.report.sections:
            if section.id == name:
                return section
        raise LabError(f"a report has no section {name!r}")


def _written(name: str, folder: str, run: _Read, extra: Mapping[str, Writer], beside: Path) -> str:
    kind, _, rest = name.partition(":")
    if kind in extra:
        return extra[kind](run.source, folder)
    if kind == "picture":
        inside = Path(folder) / CAPACITY if rest == CAPACITY else Path(folder)
        address = os.path.relpath(inside / "charts" / f"{rest}.png", beside)
        return f"![{_title(run.source, rest)}]({address})"
    writers: dict[str, Callable[[str], str]] = {
        "finding": lambda _: run.report.finding[0],
        "verdicts": lambda _: block_text(run.section("claims").blocks[0]),
        "section": lambda which: "\n\n".join(map(block_text, run.section(which).blocks)),
        "table": lambda which: "\n\n".join(
            table(block) for block in run.section(which).blocks if isinstance(block, Table)
        ),
        "median": partial(_median, run.source.run),
        "ratio": partial(_ratio, run.source.run),
        "native-median": lambda place: _median(_native(run.source), place),
        "native-ratio": lambda place: _ratio(_native(run.source), place),
        "setting": partial(_setting, run.source),
    }
    if kind not in writers:
        raise LabError(f"there is no result {name!r}; see the names in harness/report/docs.py")
    return writers[kind](rest)


def _title(source: Source, chart: str) -> str:
    from harness.report.charts import figure

    if chart == "anatomy" and source.anatomy is not None:
        return anatomy_finding(source.anatomy, source.run.settings)
    if chart == CAPACITY and source.capacity is not None:
        return source.capacity.finding or ""
    drawn = figure(chart, source.run, source.requests, source.timeline)
    return style.words(drawn).title


def _native(source: Source) -> Run:
    if source.native is None:
        raise LabError(f"{source.run.id} has no run of the servers in C++; labrun claims makes one")
    return source.native.run


def _median(run: Run, place: str) -> str:
    path, _, rest = place.partition("@")
    rps, _, backend = rest.partition("/")
    for cell in run.cells:
        if f"{cell.rps:g}" == rps and cell.backend == backend and path in cell.metrics:
            return figure_words(cell.metrics[path], BY_PATH[path].unit.write)
    raise LabError(f"{run.id} has no figure {place!r}")


def _ratio(run: Run, place: str) -> str:
    path, _, rps = place.partition("@")
    for found in run.comparisons:
        if found.metric == path and f"{found.rps:g}" == rps and ratio_figure(found) is not None:
            text = f"{ratio_figure(found)}×".replace("answered×", "answered")
            if not has_interval(found):
                return f"{text} (too few rounds for an interval)"
            interval = ratio_interval(found)
            return f"{text} ({interval})" if interval else text
    raise LabError(f"{run.id} has no ratio {place!r}")


def _setting(source: Source, name: str) -> str:
    run = source.run
    known: dict[str, object] = {
        "trials": len(run.trials),
        "requests": f"{sum(t.client.scheduled for t in run.trials):,}",
        "cpu": f"{run.environment.cpu_count} x {run.environment.cpu_model or 'unknown'}",
        "python": run.environment.python_version,
        "command": f"`{run.command}`",
        "rps": ", ".join(style.level_label(rps) for rps in run.settings.rps),
    }
    value = known.get(name, getattr(run.settings, name, None))
    if value is None:
        raise LabError(f"there is no setting {name!r}")
    return f"{value:g}" if isinstance(value, float) else str(value)
