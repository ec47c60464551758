"""What tells architectures apart, each figure from a run of its own, and the sentence that they
come to. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from harness.core.metrics import BY_PATH, SUCCESS
from harness.core.record import Run, Trial, ordered_value
from harness.core.units import number, rate, share
from harness.core.wording import NOT_ANSWERED, listed

LoadName = Literal["rate", "peak", "idle", "slow"]
LOADS: tuple[LoadName, ...] = ("rate", "peak", "idle", "slow")
PEAK_RPS = 20_000.0  # what the waiting clients would send, if they did not wait
SIDE_RPS = 500.0  # beside bystanders: at most
IDLE, SLOW = 1000, 50
ANSWERED = "client.achieved_rps"
P50 = "client.response_us.p50"
P99 = "client.response_us.p99"
CPU = "server.cpu_us_per_request.total"
RESIDENT = "server.memory.rss_mean_bytes"
A_CONNECTION = "server.memory.per_connection_bytes"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A figure of the overview: of which load, where it is in a trial, and its title; `{}`: the
    rate of the first load. `lower`: less is better."""

    load: LoadName
    path: str
    title: str
    lower: bool = True


FIGURES = (
    Wanted("peak", ANSWERED, "Answers/s, at saturation", lower=False),
    Wanted("rate", P50, "Median at {}"),
    Wanted("rate", P99, "p99 at {}"),
    Wanted("rate", CPU, "CPU per request at {}"),
    Wanted("idle", RESIDENT, f"Memory with {IDLE:,} idle"),
    Wanted("idle", A_CONNECTION, "of it each connection"),
    Wanted("slow", P99, f"p99 beside {SLOW} slow"),
    Wanted("slow", SUCCESS, f"Success beside {SLOW} slow", lower=False),
)
DRAWN = tuple(wanted for wanted in FIGURES if not wanted.title.startswith("of it"))


class Figure(msgspec.Struct, frozen=True):
    """One figure of one backend: the median over its trials, None where there is none; `beyond`:
    it lies among the failures, slower than any answer. `at_least`: the generator was the limit, and
    the server can do more. `lowest` and `highest` of its trials, where there are several; `highest`
    is None where it lies among the failures."""

    value: float | None
    beyond: bool = False
    at_least: bool = False
    lowest: float | None = None
    highest: float | None = None


class Row(msgspec.Struct, frozen=True):
    """A figure of all backends, in their order."""

    load: LoadName
    metric: str
    title: str
    figures: list[Figure]


class Overview(msgspec.Struct, frozen=True):
    """`overview.json`: what `labrun compare --all` found. `runs`: the folder of each load."""

    schema: int
    created: str
    command: str
    complete: bool
    backends: list[str]
    rps: float
    rows: list[Row]
    runs: dict[str, str]
    finding: str
    incomplete_reason: str | None = None


def rows_of(runs: Mapping[LoadName, Run], backends: Sequence[str], rps: float) -> list[Row]:
    """A row for each figure; without figures where its load was not run."""
    return [
        Row(
            wanted.load,
            wanted.path,
            wanted.title.format(rate(rps)),
            [figure_of(runs.get(wanted.load), slot, wanted) for slot in range(len(backends))],
        )
        for wanted in FIGURES
    ]


def figure_of(run: Run | None, slot: int, wanted: Wanted) -> Figure:
    """The median over the sound trials of a backend. Without one, those count in which the
    generator was the limit: at saturation, since what it got is what the server does at least; and
    of memory, which does not depend on when requests come."""
    trials = [] if run is None else [t for t in run.trials if t.slot == slot]
    valid = [t for t in trials if t.valid]
    late = [t for t in trials if _generator_limited(t)] if not valid else []
    at_least = wanted.load == "peak" and bool(late)
    values = [
        value
        for trial in (late if at_least or (wanted.load == "idle" and late) else valid)
        if (value := ordered_value(trial, wanted.path)) is not None
    ]
    if not values:
        return Figure(None)
    middle = statistics.median(values)
    if middle == float("inf"):
        return Figure(None, beyond=True)
    several = len(values) > 1
    return Figure(
        middle,
        at_least=at_least,
        lowest=min(values) if several else None,
        highest=max(values) if several and max(values) < float("inf") else None,
    )


def _generator_limited(trial: Trial) -> bool:
    return trial.class_ == "generator-limited" and trial.died is None


def figure_words(row: Row, figure: Figure) -> str:
    """`12,000`, `at least 12,000`, `not answered`, or `-`."""
    if figure.beyond:
        return NOT_ANSWERED
    if figure.value is None:
        return "-"
    words = BY_PATH[row.metric].unit.write(figure.value)
    return f">= {words}" if figure.at_least else words


def finding(rows: Sequence[Row], backends: Sequence[str]) -> str:
    """What a chart of it says first: how much each answers, and who stands by good clients."""
    said = [_at_saturation(rows, backends), _beside_slow(rows, backends)]
    told = [sentence for sentence in said if sentence is not None]
    return " ".join(told) or "Nothing was measured that holds."


def _known(row: Row, backends: Sequence[str]) -> list[tuple[float, str, bool]]:
    """Value, backend and whether it is a lower bound, of those that have one."""
    return [
        (figure.value, backend, figure.at_least)
        for figure, backend in zip(row.figures, backends, strict=True)
        if figure.value is not None
    ]


def _row(rows: Sequence[Row], load: LoadName, path: str) -> Row:
    return next(row for row in rows if (row.load, row.metric) == (load, path))


def _at_saturation(rows: Sequence[Row], backends: Sequence[str]) -> str | None:
    """What each answers, in the backends' order: nobody is ranked, since no interval is known."""
    found = _known(_row(rows, "peak", ANSWERED), backends)
    if not found:
        return None
    told = [
        f"{backend} {'at least ' if at_least else ''}{number(value)}"
        for value, backend, at_least in found
    ]
    return f"Answers a second at saturation: {listed(told)}."


def _beside_slow(rows: Sequence[Row], backends: Sequence[str]) -> str | None:
    found = _known(_row(rows, "slow", SUCCESS), backends)
    if not found:
        return None
    groups: dict[str, list[str]] = {}
    for value, backend, _ in found:
        groups.setdefault(share(value), []).append(backend)
    told = [f"{listed(names)} answers {words}" for words, names in groups.items()]
    if len(groups) == 1:
        ((words, _),) = groups.items()
        told = [f"all answer {words}"]
    told = [
        text.replace(" answers ", " answer ") if " and " in text.split(" answers ")[0] else text
        for text in told
    ]
    return f"Beside {SLOW} slow clients {listed(told)} of good requests."
