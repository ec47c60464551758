"""The parts of a report in any format: sections of sentences, tables and charts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["better", "worse", "cannot-tell", "none"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of a table. `sort` is what it is sorted by, where the text would not do; `small`
    stands below the text (an interval)."""

    text: str
    sort: float | None = None
    small: str = ""
    mark: Mark = "none"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; figures are set to the right."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below columns; the first cell of a row is its head."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing as SVG, what it shows in a sentence, and what that rests on. One that could not be
    drawn has no SVG; its words say so, and why."""

    name: str
    svg: str
    title: str
    subtitle: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Charts of the same kind, beside one another where there is room."""

    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure not measured, and the command that measures it (none: it cannot be had)."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to type."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Sentences, each on its own."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """A block that opens when it is asked for: long, and not what a reader came for."""

    summary: str
    block: Table | Listing


Block = Paragraph | Table | Chart | Gallery | Missing | Command | Listing | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it. `id` is its anchor."""

    id: str
    title: str
    blocks: tuple[Block, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Report:
    """The whole: the finding first. `warning` says what a reader must know before it."""

    title: str
    finding: tuple[str, ...]
    warning: str
    facts: str
    sections: tuple[Section, ...]

    def missing(self) -> list[Chart]:
        """The charts that could not be drawn."""
        blocks = [block for section in self.sections for block in section.blocks]
        charts = [b for b in blocks if isinstance(b, Chart)]
        charts += [chart for b in blocks if isinstance(b, Gallery) for chart in b.charts]
        return [chart for chart in charts if not chart.svg]
