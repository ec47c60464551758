"""Claims and figures as people write them."""

from __future__ import annotations

import math

from harness.studies.claims.records import Claim, Figure, Unit


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
    """The document's figure: `500 µs`, `40 to 100`, `20,000 or more`, `16`."""
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
    """The measured figure: `25.1 µs (24.0 to 26.3)`; with too few rounds, the range of them in
    square brackets: `25.1 µs [24.0 to 26.3]`. What is infinite is named: `not answered`,
    `at least 1.3×`, `2 ms (at least 300 µs)`."""
    text = _middle(figure, unit)
    if text.startswith(("at least", "at most")):
        return text
    low, high = figure.end("low"), figure.end("high")
    brackets = "()"
    if low is None or high is None:
        low, high, brackets = figure.end("least"), figure.end("most"), "[]"
    assert low is not None
    assert high is not None
    inside = _range(low, high, unit, open_low=bool(figure.unanswered) and unit == "times")
    return f"{text} {brackets[0]}{inside}{brackets[1]}" if inside else text


def _middle(figure: Figure, unit: Unit) -> str:
    """The figure without its interval; a bound where it is infinite and the interval is not."""
    value, low, high = figure.end("value"), figure.end("low"), figure.end("high")
    if value is None:
        return "no typical ratio"
    if unit == "times" and math.isinf(value):
        if low is not None and 0 < low < math.inf:
            return f"at least {quantity(low, unit)}"
        return _not_answered(figure, unit) or "infinite"
    if unit == "times" and value == 0 and figure.unanswered:
        if high is not None and 0 < high < math.inf:
            return f"at most {quantity(high, unit)}"
        return _not_answered(figure, unit)
    if math.isinf(value):
        return _not_answered(figure, unit)
    return ("≥ " if figure.bound == "at-least" else "") + quantity(value, unit)


def _not_answered(figure: Figure, unit: Unit) -> str:
    """`not answered`, of a ratio with the side that did not."""
    if not figure.unanswered:
        return ""
    side = max(figure.unanswered, key=lambda name: figure.unanswered[name])
    return f"{side}: not answered" if unit == "times" else "not answered"


def unanswered_words(figure: Figure) -> list[str]:
    """For each side, in how many rounds its figure lies among its failures; sentences."""
    return [
        f"In {rounds} of {figure.n} rounds the figure of {backend} lies among its failures, slower "
        "than any answer."
        for backend, rounds in figure.unanswered.items()
    ]


def _range(low: float, high: float, unit: Unit, open_low: bool = False) -> str:
    """From low to high; an infinite end, and a ratio of 0 where one side did not answer
    (`open_low`), are no ends."""
    if math.isinf(low) or (open_low and high == 0):
        return ""
    if math.isinf(high):
        return "anything" if open_low and low == 0 else f"at least {quantity(low, unit)}"
    if open_low and low == 0:
        return f"at most {quantity(high, unit)}"
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
