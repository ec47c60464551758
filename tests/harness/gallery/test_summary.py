"""Gallery files together: which runs are compared with which, and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from harness.core.metrics import HEADLINES
from harness.gallery import chart
from harness.gallery.export import gallery_entry
from harness.gallery.record import Arm, Entry
from harness.gallery.summary import charted, finding, pairs, variety
from harness.views import style
from tests.support.reference import reference_level

CPU = "server.cpu_us_per_request.total"


@pytest.fixture(scope="module")
def entry() -> Entry:
    return gallery_entry(reference_level())


def with_ratio(entry: Entry, ratio: float | None, verdict: Any, rps: float | None = None) -> Entry:
    """The entry with another ratio of CPU, and at another level."""
    changed = [
        replace(r, rps=rps or r.rps)
        if r.metric != CPU
        else replace(r, rps=rps or r.rps, ratio=ratio, ci_low=ratio, ci_high=ratio,
                     verdict=verdict)
        for r in entry.comparisons
    ]  # fmt: skip
    return replace(entry, comparisons=changed)


def in_cpp(entry: Entry) -> Entry:
    arms = [
        Arm(name=f"native-{arm.name}", language="C++", python=None, gil=None) for arm in entry.arms
    ]
    return replace(entry, arms=arms)


def test_the_same_pair_in_two_languages_is_one_pair(entry: Entry) -> None:
    (pair,) = pairs([("a.json", entry), ("b.json", in_cpp(entry))])
    assert (pair.baseline, pair.contender) == ("thread-per-request", "thread-pool")
    assert [row.language for row in pair.rows] == ["C++", "Python 3.11.7"]
    assert variety(pair) == "2 runs, 1 kind of machine, 2 languages or interpreters, 1 kernel"


def test_other_loads_are_other_pairs(entry: Entry) -> None:
    waiting = replace(entry, settings=replace(entry.settings, workload="io:40ms"))
    staying = replace(entry, settings=replace(entry.settings, connections="keep-alive"))
    found = pairs([("a", entry), ("b", waiting), ("c", staying)])
    assert sorted(len(pair.rows) for pair in found) == [1, 1, 1]
    assert {pair.load[0] for pair in found} == {"workload ingest", "workload io:40ms"}


def test_runs_meet_at_the_level_that_most_have(entry: Entry) -> None:
    other = with_ratio(entry, 0.5, "better", rps=777.0)
    (pair,) = pairs([("a", entry), ("b", other), ("c", entry)])
    assert (pair.rps, len(pair.rows), pair.others) == (2000.0, 2, 1)


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ([(0.8, "better"), (0.9, "better")],
         "is below that of thread-per-request in 2 of 2 runs (0.80× to 0.90×)"),
        ([(0.8, "better"), (1.2, "worse")],
         "is below that of thread-per-request in 1 of 2 runs, above that of thread-per-request in "
         "1 of 2 runs (0.80× to 1.20×)"),
        ([(0.9, "cannot-tell")], "is not told from it in 1 of 1 run (0.90×)"),
        ([(None, "not-comparable")], "no run has a ratio of the CPU per request"),
    ],
)  # fmt: skip
def test_a_finding_counts_the_verdicts(
    entry: Entry, ratios: list[tuple[float | None, Any]], words: str
) -> None:
    runs = [(f"{n}.json", with_ratio(entry, *ratio)) for n, ratio in enumerate(ratios)]
    (pair,) = pairs(runs)
    assert words in finding(pair, CPU)


def test_a_chart_has_the_finding_for_its_title(entry: Entry) -> None:
    (pair,) = pairs([("a", entry), ("b", with_ratio(entry, None, "not-comparable"))])
    with style.styled():
        figure = chart.draw(pair, CPU)
    assert style.words(figure).title == finding(pair, CPU)
    assert CPU in [metric.path for metric in charted(pair, HEADLINES)]
