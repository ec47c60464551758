"""Claims and figures as people write them."""

from __future__ import annotations

from harness.claims.records import Claim, Figure, Unit


def quantity(value: float, unit: Unit) -> str:
    """`500 µs`, `2.2 ms`, `98.5 %`, `4,000`, `32 MiB`, `48×`."""
    if unit in ("us", "ms"):
        return _time(value * (1e3 if unit == "ms" else 1))
    if unit == "share":
        return _percent(value)
    if unit == "times":
        return f"{_digits(value)}×"
    return f"{_digits(value)} {unit}" if unit == "MiB" else _digits(value)


def _time(value_us: float) -> str:
    for size, name in ((1e6, "s"), (1e3, "ms")):
        if value_us >= 0.9995 * size:
            return f"{_digits(value_us / size)} {name}"
    return f"{_digits(value_us)} µs"


def _percent(share: float) -> str:
    """Never rounded up to a whole that it is not."""
    percent = share * 100
    if 99.95 <= percent < 100:
        return f"{int(percent * 1000) / 1000:g} %"
    return (
        f"{percent:.3g} %"
        if percent < 10
        else f"{percent:.4g} %"
        if percent > 99
        else (f"{round(percent, 1):g} %")
    )


def _digits(value: float) -> str:
    """Three digits that count, whole numbers whole."""
    if value == 0 or abs(value) >= 99.95 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def document_words(claim: Claim) -> str:
    """What the document says: `500 µs`, `40 to 100`, `20,000 or more`, `16`."""
    unit = claim.unit
    if claim.kind == "more":
        return "more than 1×"
    if claim.low is not None and claim.high is not None:
        if claim.low == claim.high:
            return quantity(claim.low, unit)
        return f"{_bare(claim.low, unit)} to {quantity(claim.high, unit)}"
    assert claim.value is not None
    text = quantity(claim.value, unit)
    if claim.kind == "about" or claim.value == 0:
        return text
    return f"{text} or more" if claim.kind == "at-least" else f"{text} or less"


def figure_words(figure: Figure, unit: Unit) -> str:
    """What was measured: `25.1 µs (24.0 to 26.3)`; with too few rounds, the range of them in
    square brackets: `25.1 µs [24.0 to 26.3]`."""
    head = "≥ " if figure.bound == "at-least" else ""
    text = head + quantity(figure.value, unit)
    if figure.low is not None and figure.high is not None:
        return text + f" ({_range(figure.low, figure.high, unit)})"
    return text + f" [{_range(figure.least, figure.most, unit)}]"


def _range(low: float, high: float, unit: Unit) -> str:
    return (
        f"{_bare(low, unit)} to {_bare(high, unit)}"
        if _same_size(low, high, unit)
        else (f"{quantity(low, unit)} to {quantity(high, unit)}")
    )


def _same_size(low: float, high: float, unit: Unit) -> bool:
    """Whether both are written in the same unit, so that it need not be said."""
    return quantity(low, unit).split(" ")[1:] == quantity(high, unit).split(" ")[1:]


def _bare(value: float, unit: Unit) -> str:
    """A quantity without its unit, next to one that has it."""
    return quantity(value, unit).split(" ")[0].removesuffix("×")
