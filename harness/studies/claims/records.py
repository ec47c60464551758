"""The records of a judgement: claims, figures, verdicts, with units in names or in `unit`; and
claims and figures as people write them."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from harness.core.record import ThreadCosts

CLAIMS_SCHEMA = 1

ClaimVerdict = Literal["holds", "direction holds", "does not hold", "not testable here"]
VERDICTS: tuple[ClaimVerdict, ...] = (
    "holds",
    "direction holds",
    "does not hold",
    "not testable here",
)
Kind = Literal["about", "between", "at-least", "at-most", "more"]
Unit = Literal["us", "ms", "share", "per_s", "per_1000", "count", "MiB", "times", "cpus"]
Bound = Literal["exact", "at-least"]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure or statement of the document, and how it is put to the test.

    `ratio` names two backends, first over second; `backend` names one; neither: the figure
    belongs to no backend. `rps` is the level, None where the figure covers the whole run.
    `language_bound`: the figure is an absolute cost, which another language would change.
    """

    id: str
    group: str
    text: str
    section: str
    kind: Kind
    unit: Unit
    measure: str
    condition: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    backend: str | None = None
    ratio: tuple[str, str] | None = None
    rps: float | None = None
    language_bound: bool = False

    @property
    def compares(self) -> bool:
        """Whether it states a comparison, which has a direction besides its size."""
        return self.unit == "times"


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setting that a run must have for the claims to be about it; a `value` of None: unset.

    `otherwise` says what a run is that has another; `{}` stands for what was found (bytes in MiB).
    """

    setting: str
    otherwise: str
    value: bool | int | float | str | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """The measured figure, in the claim's unit.

    `low` and `high` are the 95 % interval, None together where there are too few rounds for one;
    `least` and `most` are the range of what was seen in `n` rounds (or repetitions). A bound of
    `at-least` says that the true figure may be any larger: every load tried was met.

    A time that lies among the failures is longer than any answer took, and a ratio to one is 0:
    `unanswered` says in how many rounds that was so, by backend. `beyond` names which of the five
    figures are None because they are infinite; a `value` that is None otherwise is a ratio of which
    half of the rounds say 0 and half infinite.
    """

    value: float | None
    low: float | None
    high: float | None
    least: float | None
    most: float | None
    n: int
    bound: Bound = "exact"
    beyond: list[str] = []
    unanswered: dict[str, int] = {}

    def end(self, name: Literal["value", "low", "high", "least", "most"]) -> float | None:
        """One of the five, infinite where it lies beyond; None where there is none."""
        value: float | None = math.inf if name in self.beyond else getattr(self, name)
        return value


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, what was found, and the verdict.

    `document` and `ours` are the two figures as people write them (`ours` is `-` where there is
    none). `reason` is one sentence: why it cannot be tested here, or what the verdict rests on.
    `language` is one too, where the figure is an absolute cost: the language in which ours was
    measured, and the one that the document's is for.
    """

    claim: Claim
    measured: Figure | None
    verdict: ClaimVerdict
    reason: str
    document: str
    ours: str
    language: str | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The document held against itself: figures that it states, and what follows from them.

    `stated` and `follows` are the two sides in words, computed; `explanation` is two sentences.
    """

    id: str
    title: str
    stated: str
    follows: str
    consistent: bool
    explanation: str
    section: str


class Migrations(msgspec.Struct, frozen=True, kw_only=True):
    """Moves between CPUs of a server that may use several, over one measured window."""

    backend: str
    round: int
    rps: float
    server_cpus: int
    moves: int
    answered: int


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Figures measured beside the trials of a run, on the same machine.

    `enqueue_us` is the wall time of handing a connection to the pool's queue. `missing` says why
    one of `thread_costs`, `enqueue_us`, `migrations` is not there.
    """

    thread_costs: ThreadCosts | None = None
    enqueue_us: Figure | None = None
    migrations: list[Migrations] = []
    missing: dict[str, str] = {}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """`claims.json`: the judgement of one run. `departures`: in what the run is not one that the
    claims are about; no claim is judged by such a run. `remarks`: what is odd of its machine.
    `in_cpp`: the same claims by servers in C++, empty where there were none; `native_missing` says
    why, where a run was to have them."""

    schema: int
    run: str
    created: str
    departures: list[str]
    beside: Beside
    judgements: list[Judgement]
    checks: list[Check]
    remarks: list[str] = []
    in_cpp: list[Judgement] = []
    native_missing: str | None = None


class ExploredCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of `--explore`: its run's folder, and every claim judged under it.

    `failure`: why it could not be tried, or was cut short; None when it was tried whole.
    """

    name: str
    folder: str | None
    invalid_trials: int
    trials: int
    judgements: list[Judgement]
    failure: str | None = None


class Nearest(msgspec.Struct, frozen=True, kw_only=True):
    """For a claim that does not hold as the document has it: the condition that came nearest.

    `distance` is the factor (shares: of the odds) from our figure to what the claim allows; 1 or
    less: there. `judgement` is None where no condition gave a figure.
    """

    claim: Claim
    at_first: Judgement
    condition: str | None
    judgement: Judgement | None
    distance: float | None


class Explored(msgspec.Struct, frozen=True, kw_only=True):
    """`explore.json`: the conditions tried, and the nearest for each claim that failed."""

    schema: int
    created: str
    complete: bool
    conditions: list[ExploredCondition]
    nearest: list[Nearest]


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
