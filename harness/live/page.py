"""A state of a run as HTML: the whole page, and the part of it that is new. Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.core.units import rate
from harness.core.wording import listed
from harness.live.pictures import distribution, intervals, themed
from harness.live.state import State


@dataclass(frozen=True, slots=True)
class Shown:
    """A state for browsers. `page`: whole; `news`: what one that has an older state puts in its
    place, as JSON; `last`: nothing more follows."""

    number: int
    last: bool
    page: bytes
    news: bytes


def render(state: State) -> Shown:
    """One state, drawn."""
    last = state.ended is not None and state.ended.last
    title = heading(state)
    html = Markup(_environment().get_template("live_now.html.j2").render(
        state=state, heading=title, distribution=distribution, intervals=intervals, rate=rate,
        partial=state.ended is not None and not state.ended.whole,
    ))  # fmt: skip
    page = _environment().get_template("live.html.j2").render(
        title=title, now=html, number=state.number, last=last, style=_text("style.css", "live.css"),
        script=_text("live.js"),
    )  # fmt: skip
    told = state.ended.sentences[0] if state.ended else state.progress
    news = {"number": state.number, "last": last, "title": title, "told": told, "html": str(html)}
    return Shown(state.number, last, page.encode("utf-8"), msgspec.json.encode(news))


def heading(state: State) -> str:
    """`a and b at 2,000 RPS, so far`."""
    names = listed([server.name for server in state.servers])
    if state.ended is None:
        return f"{names} at {state.rates}, so far"
    if not state.ended.folder:
        return f"{names} at {state.rates}: no run"
    return f"{names} at {state.rates}: the run is {'over' if state.ended.whole else 'PARTIAL'}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.views"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["themed"] = themed
    return environment


@cache
def _text(*names: str) -> Markup:
    templates = files("harness.views") / "templates"
    return Markup("".join(templates.joinpath(name).read_text("utf-8") for name in names))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


# Nothing is loaded from elsewhere, and no script runs but the page's own.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash(chr(10) + _text('style.css', 'live.css') + chr(10))}",
        f"script-src {_hash(chr(10) + _text('live.js') + chr(10))}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
