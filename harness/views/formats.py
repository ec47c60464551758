"""The two forms of a report: one page, with styles, script and charts in it, that asks for nothing;
and Markdown for a pull request, what the page says without the drawings."""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.views.model import (
    Block,
    Cell,
    Chart,
    Command,
    Folded,
    Gallery,
    Listing,
    Missing,
    Paragraph,
    Report,
    Table,
)


def to_html(report: Report) -> str:
    """The page, as text."""
    environment = Environment(
        loader=PackageLoader("harness.views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["of"] = lambda block, kind: type(block).__name__ == kind
    environment.filters["svg"] = Markup
    templates = files("harness.views") / "templates"
    return environment.get_template("report.html.j2").render(
        report=report,
        style=Markup(templates.joinpath("style.css").read_text("utf-8")),
        script=Markup(templates.joinpath("script.js").read_text("utf-8")),
    )


def to_markdown(report: Report) -> str:
    """The text, with tables as GitHub and others show them."""
    parts = [f"# {_text(report.title)}"]
    if report.warning:
        parts.append(f"> **{_text(report.warning)}**")
    parts += [f"**{_text(report.finding[0])}**", *map(_text, report.finding[1:])]
    parts.append(_text(report.facts))
    for section in report.sections:
        parts.append(f"## {_text(section.title)}")
        parts += [block_text(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def block_text(block: Block) -> str:
    """One block."""
    match block:
        case Paragraph(text):
            return _text(text)
        case Table():
            return table(block)
        case Chart():
            return f"**{_sentence(block.title)}** {_sentence(block.subtitle)}"
        case Gallery(charts):
            return "\n\n".join(block_text(chart) for chart in charts)
        case Missing(text, command):
            return _text(text) + (f"\n\n{_fenced(command)}" if command else "")
        case Command(text):
            return _fenced(text)
        case Listing(items):
            return "\n".join(f"- {_text(item)}" for item in items)
        case Folded(summary, inner):
            inside = block_text(inner)
            return f"<details><summary>{_text(summary)}</summary>\n\n{inside}\n\n</details>"


def table(found: Table) -> str:
    """A pipe table under its caption."""
    heads = " | ".join(_text(column.title) for column in found.columns)
    rules = " | ".join("---:" if column.numeric else "---" for column in found.columns)
    lines = [f"| {heads} |", f"| {rules} |"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in found.rows]
    return f"{_text(found.caption)}:\n\n" + "\n".join(lines)


def _cell(cell: Cell) -> str:
    small = f" ({cell.small})" if cell.small else ""
    return _text(cell.text + small).replace("|", "\\|")


def _fenced(text: str) -> str:
    """As it is, between fences that it does not hold itself."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _sentence(text: str) -> str:
    """With its full stop, and one only."""
    return _text(text.removesuffix(".")) + "."


def _text(text: str) -> str:
    """Plain text in a line: what Markdown would make of it is escaped, but for underscores within
    words, which it leaves alone."""
    line = " ".join(text.split("\n")).replace("\\", "\\\\").replace("<", "&lt;")
    return re.sub(r"[*`]|(?<!\w)_|_(?!\w)|(?<=\])[(\[:]", r"\\\g<0>", line)
