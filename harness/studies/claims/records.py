"""The records of a judgement: claims, figures, verdicts. Units stand in names or in `unit`."""

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
