"""A report as one page: styles, script and charts are in it, and it asks for nothing."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.views.model import Report


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
