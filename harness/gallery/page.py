"""The gallery as a page, in Markdown with tables and charts in HTML. All that comes from a file is
escaped, and no script is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from html import escape

from harness.core.metrics import HEADLINES, Metric
from harness.gallery import chart
from harness.gallery.record import Entry, Ratio
from harness.gallery.summary import Pair, Row, charted, pairs, variety
from harness.views.svg import chart as drawn

_DRAWN = (
    "server.cpu_us_per_request.total", "client.response_us.p50", "server.context_switches.per_s",
)  # fmt: skip


def gallery_page(entries: Sequence[tuple[str, Entry]], folder: str) -> str:
    """The page of gallery files, each with its name in `folder`, which the page links."""
    parts = []
    for number, pair in enumerate(pairs(entries)):
        load = ", ".join(pair.load)
        parts.append(f"## {_text(f'{pair.contender} against {pair.baseline}')}\n")
        parts.append(f"{_text(f'{variety(pair)}; {load}')}.\n")
        metrics = charted(pair, HEADLINES)
        parts += [
            _chart(number, pair, metric) for path in _DRAWN for metric in metrics
            if metric.path == path
        ]  # fmt: skip
        parts.append(_table(pair, metrics, folder))
        if pair.others:
            parts.append(f"\n{pair.others} more at other levels alone.\n")
    return "\n".join(parts)


def _text(text: str) -> str:
    """As Markdown that is nothing but text."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|<>~-])", r"\\\1", text)


def _chart(number: int, pair: Pair, metric: Metric) -> str:
    name = f"gallery-{number}-{metric.path.replace('.', '-').replace('_', '-')}"
    made = drawn(name, partial(chart.draw, pair, metric.path))
    return (
        f'<figure class="ratios"><figcaption><strong>{escape(made.title)}</strong><br>'
        f"{escape(made.subtitle)}</figcaption>{made.svg}</figure>\n"
    )


def _table(pair: Pair, metrics: Sequence[Metric], folder: str) -> str:
    heads = ["Machine", "Servers", "Kernel", "Day", *(m.title for m in metrics)]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    rows = "".join(_row(row, metrics, folder) for row in pair.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>\n"


def _row(row: Row, metrics: Sequence[Metric], folder: str) -> str:
    machine = row.entry.machine
    model = f"{machine.cpu_count} x {machine.cpu_model or 'CPU'}"
    link = f'<a href="{escape(f"{folder}/{row.file}")}">{row.entry.created[:10]}</a>'
    cells = [escape(row.language), escape(machine.kernel), link]
    cells += [_ratio(row.ratios.get(metric.path)) for metric in metrics]
    return f'<tr><th scope="row">{escape(model)}</th>' + "".join(
        f"<td>{cell}</td>" for cell in cells
    ) + "</tr>"  # fmt: skip


def _ratio(found: Ratio | None) -> str:
    if found is None or (found.ratio is None and not found.beyond):
        return "not measured"
    value = "∞" if found.ratio is None else f"{found.ratio:.2f}×"
    interval = ""
    if found.ci_low is not None:
        high = "∞" if found.ci_high is None else f"{found.ci_high:.2f}"
        interval = f" ({found.ci_low:.2f} to {high})"
    return f"{value}{interval}<br>{escape(found.verdict.replace('-', ' '))}"
