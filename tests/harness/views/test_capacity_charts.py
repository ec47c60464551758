"""Charts of searches, whole and awkward: each comes out and says what the data say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pandas as pd
import pytest

from harness.core.record import Run, Settings, Trial
from harness.report.build import build
from harness.report.charts import draw_all
from harness.report.source import Source
from harness.studies.capacity.estimate import build_capacity
from harness.studies.capacity.slo import parse_slo
from harness.studies.crossover.estimate import RANGES, build_crossover
from harness.studies.search_sentences import capacity_finding, crossover_finding
from harness.views.formats import to_markdown

MakeTrial = Callable[..., Trial]
BACKENDS = ["thread-per-request", "thread-pool"]
OBJECTIVE = "success>=0.99,p99<=100ms"


def make_run(environment: dict[str, Any], trials: list[Trial], **changes: Any) -> Run:
    settings = msgspec.convert(environment["settings"] | changes, Settings)
    return Run(
        schema=1, id="made", created="", complete=True, command="", settings=settings,
        environment=environment["environment"], trials=trials, cells=[], comparisons=[],
    )  # fmt: skip


def text_of(folder: Path, name: str) -> str:
    """All words of a chart, with the breaks of lines taken out."""
    root = ElementTree.parse(folder / f"{name}.svg").getroot()
    words = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    return re.sub(r"\s+", " ", " ".join(words))


def searched(make_trial: MakeTrial, edges: list[float], limit: float) -> list[Trial]:
    """Trials around the edge of each backend; beyond `limit` the generator was late."""
    trials = []
    for slot, edge in enumerate(edges):
        rates = [1000.0, 2000.0, 4000.0, 8000.0, 8000.0] + [
            edge * (0.9 + 0.02 * i) for i in range(12)
        ]
        for number, rps in enumerate(rates, start=1):
            trials.append(
                make_trial(
                    backend=BACKENDS[slot], slot=slot, rps=rps, number=number,
                    valid=rps <= limit, ok_share=1.0 if rps <= edge else 0.5, cpu_us=10.0,
                )
            )  # fmt: skip
    return trials


def with_capacity(run: Run) -> Run:
    found = build_capacity(run.settings, run.trials, OBJECTIVE, parse_slo(OBJECTIVE))
    return msgspec.structs.replace(
        run, capacity=found, finding=capacity_finding(found, run.settings)
    )


def draw(run: Run, folder: Path) -> list[str]:
    return sorted(p.name for p in draw_all(run, pd.DataFrame(), pd.DataFrame(), folder))


def test_a_capacity_chart_states_what_was_found(
    environment: dict[str, Any], make_trial: MakeTrial, tmp_path: Path
) -> None:
    run = with_capacity(make_run(environment, searched(make_trial, [2000, 4000], 1e9)))
    assert run.capacity is not None
    assert [e.bound for e in run.capacity.estimates] == ["interval", "interval"]
    (ratio,) = run.capacity.ratios
    assert (ratio.bound, ratio.verdict) == ("interval", "better")
    assert ratio.ratio == pytest.approx(2, rel=0.1)
    assert draw(run, tmp_path) == ["capacity.png", "capacity.svg"]
    said = text_of(tmp_path, "capacity")
    assert "thread-per-request sustains" in said
    assert f"{ratio.ratio:.2f}×" in said
    assert "generator-limited" not in said


def test_a_bound_is_drawn_and_told_as_one(
    environment: dict[str, Any], make_trial: MakeTrial, tmp_path: Path
) -> None:
    run = with_capacity(make_run(environment, searched(make_trial, [2000, 6000], 4500)))
    assert run.capacity is not None
    assert [e.bound for e in run.capacity.estimates] == ["interval", "at-least"]
    assert run.capacity.ratios[0].bound == "at-least"
    draw(run, tmp_path)
    said = text_of(tmp_path, "capacity")
    assert "thread-pool sustains at least" in said
    assert "invalid (generator-limited): no evidence" in said
    assert "at least" in (run.finding or "")


@pytest.mark.parametrize("kind", ["none", "one backend", "none valid", "a single trial"])
def test_a_poor_search_is_drawn_and_told_all_the_same(
    environment: dict[str, Any], make_trial: MakeTrial, tmp_path: Path, kind: str
) -> None:
    trials = searched(make_trial, [2000, 4000], 0 if kind == "none valid" else 1e9)
    changes: dict[str, Any] = {}
    if kind == "none":
        trials = []
    elif kind == "a single trial":
        trials = trials[:1]
    elif kind == "one backend":
        trials = [t for t in trials if t.slot == 0]
        changes = {"backends": BACKENDS[:1]}
    run = with_capacity(make_run(environment, trials, **changes))
    assert draw(run, tmp_path) == ["capacity.png", "capacity.svg"]
    assert run.finding
    assert "None" not in run.finding
    if kind in ("none", "none valid"):
        assert "unknown" in run.finding


def pairs(make_trial: MakeTrial, change_ms: float, valid: bool = True) -> list[Trial]:
    """Pairs at one load; beyond `change_ms` the pool loses."""
    trials = []
    for number, wait_ms in enumerate((1, 40, 8, 12, 16, 14, 10, 15, 9, 18), start=1):
        for slot, backend in enumerate(BACKENDS):
            lost = slot == 1 and wait_ms > change_ms
            trial = make_trial(
                backend=backend, slot=slot, rps=2000.0, number=number, valid=valid,
                ok_share=0.4 if lost else 1.0, cpu_us=10.0,
            )  # fmt: skip
            trials.append(msgspec.structs.replace(trial, workload=f"io:{wait_ms}ms"))
    return trials


def with_crossover(run: Run) -> Run:
    found = build_crossover(run.settings, run.trials, "io", *RANGES["io"])
    told = crossover_finding(found, run.settings)
    return msgspec.structs.replace(run, crossover=found, finding=told)


def test_a_crossover_chart_states_the_change_and_the_prediction(
    environment: dict[str, Any], make_trial: MakeTrial, tmp_path: Path
) -> None:
    run = with_crossover(make_run(environment, pairs(make_trial, 13)))
    assert run.crossover is not None
    (point,) = run.crossover.line
    assert point.bound == "interval"
    assert point.low is not None
    assert point.high is not None
    assert point.low < 0.013 < point.high
    assert point.predicted == pytest.approx(0.008)
    assert draw(run, tmp_path) == ["crossover.png", "crossover.svg"]
    said = text_of(tmp_path, "crossover")
    assert "Little's law" in said
    assert "thread-per-request is better" in said
    assert "once a handler waits" in said


@pytest.mark.parametrize("kind", ["none", "none valid", "no change", "half a pair"])
def test_a_poor_crossover_is_drawn_and_told_all_the_same(
    environment: dict[str, Any], make_trial: MakeTrial, tmp_path: Path, kind: str
) -> None:
    trials = pairs(make_trial, 1e9 if kind == "no change" else 13, valid=kind != "none valid")
    trials = {"none": [], "half a pair": trials[:1]}.get(kind, trials)
    run = with_crossover(make_run(environment, trials))
    assert draw(run, tmp_path) == ["crossover.png", "crossover.svg"]
    assert run.finding
    assert "None" not in run.finding
    if kind == "no change":
        assert "No change of places was found" in run.finding


def test_the_report_of_a_search_judges_no_comparison_and_ends_its_sentences_once(
    environment: dict[str, Any], make_trial: MakeTrial
) -> None:
    """16f: a crossover's report said that no difference of any size could have been seen and to
    run more rounds, beside a valid interval, and "that interval..", with two full stops."""
    crossover = with_crossover(make_run(environment, pairs(make_trial, 13)))
    capacity = with_capacity(make_run(environment, searched(make_trial, [2000, 4000], 1e9)))
    for run in (crossover, capacity):
        nothing = pd.DataFrame()
        text = to_markdown(build(Source(run, nothing, nothing)))
        assert "could have been seen" not in text
        assert "alse alarm" not in text
        assert "that interval." in text or run is capacity
        assert ".." not in text.replace("...", "")
