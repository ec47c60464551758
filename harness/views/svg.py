"""A figure as SVG for a page: ids of its own, colours of the page's theme, spoken words.

Matplotlib writes a document; a page has many figures in one document. So the XML head, metadata
and the style element (which would hold for the whole page) go, ids that nothing refers to go,
those that are left get the chart's name, and inks become custom properties, which the page sets
for light and for dark.
"""

from __future__ import annotations

import io
import re
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from harness.views import style
from harness.views.attempt import Failure, attempt
from harness.views.model import Chart

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

# colour in the figure: custom property of the page
THEME = {
    "#ffffff": "surface",
    style.INK.lower(): "ink",
    style.FAINT.lower(): "grid",
    "#555555": "muted",
    "#666666": "muted",
    "#000000": "ink",
    style.DARK.lower(): "dark-series",
    style.LIGHT.lower(): "light-series",
    style.INVALID.lower(): "invalid",
    "#bbbbbb": "middle",
}
_FONT = "Verdana, 'DejaVu Sans', Geneva, sans-serif"
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERRED = re.compile(r'(?:xlink:href="#|url\(#)([^")]+)')


def chart(name: str, draw: Callable[[], Figure]) -> Chart:
    """Draw for a page. `name` must be unique in it; what the figure says becomes text."""
    drawn = attempt(partial(_drawn, name, draw))
    if isinstance(drawn, Failure):
        return Chart(name, "", "This chart could not be drawn", str(drawn))
    return drawn


def _drawn(name: str, draw: Callable[[], Figure]) -> Chart:
    with style.embedded(), style.styled():
        figure = draw()
        words = style.words(figure)
        style.settle(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Chart(name, inline(name, buffer.getvalue(), words), words.title, words.subtitle)


def inline(name: str, svg: str, words: style.Words) -> str:
    """The SVG document of Matplotlib as an element of a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    svg = _own_ids(name, svg).replace("xlink:href", "href")
    svg = _COLOUR.sub(_themed, svg).replace("'DejaVu Sans'", _FONT)
    svg = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert box is not None
    head = (
        f'<svg viewBox="{box[1]}" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'class="chart"><title id="{name}-title">{escape(words.title)}</title>'
        f'<desc id="{name}-desc">{escape(words.subtitle)}</desc>'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def _own_ids(name: str, svg: str) -> str:
    referred = set(_REFERRED.findall(svg))

    def rename(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in referred else ""

    svg = re.sub(r' id="([^"]+)"', rename, svg)
    svg = svg.replace('xlink:href="#', f'xlink:href="#{name}-')
    return svg.replace("url(#", f"url(#{name}-")


def _themed(found: re.Match[str]) -> str:
    colour = found[0]
    return f"var(--{THEME[colour]}, {colour})" if colour in THEME else colour
