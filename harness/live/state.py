"""What a run has come to so far, as its page shows it: a line of JSON from the run to the page."""

from __future__ import annotations

import msgspec

PERCENTILES = ("p50", "p90", "p95", "p99", "p999")


class Server(msgspec.Struct, frozen=True):
    """One that is measured. `colour`: as `#rrggbb`."""

    name: str
    colour: str


class Curve(msgspec.Struct, frozen=True):
    """The response times of one trial, in microseconds, at each of `PERCENTILES`; None among the
    failures. `comparable`: the generator kept up."""

    slot: int
    times_us: list[float | None]
    comparable: bool


class Interval(msgspec.Struct, frozen=True):
    """A ratio contender/baseline after so many restarts. None: there is none yet."""

    restarts: int
    ratio: float | None
    low: float | None
    high: float | None


class Ratio(msgspec.Struct, frozen=True):
    """One figure of a pair. `title`: what it is; `words`: ratio and interval as they are now."""

    title: str
    words: str
    after: list[Interval]


class Pair(msgspec.Struct, frozen=True):
    """Baseline and contender by their slots. `title`: how far it is."""

    baseline: int
    contender: int
    title: str
    ratios: list[Ratio]


class Level(msgspec.Struct, frozen=True):
    """What is known at one rate."""

    rps: float
    curves: list[Curve]
    pairs: list[Pair]


class TrialLine(msgspec.Struct, frozen=True):
    """One trial that has ended, in words. `reason`: why it is not compared, or empty."""

    server: str
    rate: str
    round: int
    class_: str
    success: str
    p50: str
    p99: str
    reason: str


class Ended(msgspec.Struct, frozen=True):
    """The run is over. `whole`: it came to its end; `sentences`: what came out, or why it ended;
    `folder`: of the run, empty where there is none; `report`: a sentence on it; `last`: nothing
    more follows."""

    whole: bool
    sentences: list[str]
    folder: str
    report: str
    last: bool


class State(msgspec.Struct, frozen=True):
    """All of it. `number` goes up by one from state to state; `interval`: as `95 %`; `in_blocks`:
    intervals are made while it runs; `progress`: how far the run is; `now`: what is measured."""

    number: int
    servers: list[Server]
    rates: str
    interval: str
    in_blocks: bool
    progress: str
    now: str
    levels: list[Level]
    trials: list[TrialLine]
    ended: Ended | None = None
