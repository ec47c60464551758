"""Benchmarks in steps, and the truth that their intervals are held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.kept import Kept
from benchmarks.known_effects import CPU, covered, cpu_truth, delay_truth, parse_case
from harness.core.errors import LabError
from harness.core.metrics import BLOCK_P99
from harness.core.record import Comparison
from tests.support.blocks import IN_BLOCKS, trials_of
from tests.support.made import make_run


def test_a_later_session_adds_to_what_an_earlier_one_measured(tmp_path: Path) -> None:
    file = tmp_path / "control" / "runs.jsonl"
    first, second = (make_run(trials_of(), **IN_BLOCKS, seed=seed) for seed in (1, 2))
    kept = Kept(file, 1)
    assert [kept.may_go_on(), kept.may_go_on()] == [True, False]
    kept.add("burn:3%", first, {CPU: 1.03})
    before = file.read_bytes()
    later = Kept(file, None)
    found = later.find("burn:3%", first.settings)
    assert found is not None
    assert found.truth == {CPU: 1.03}
    assert CPU in {c.metric for c in found.comparisons}
    assert later.find("burn:3%", second.settings) is None
    assert later.find("burn:10%", first.settings) is None
    later.add("burn:3%", second, {})
    assert file.read_bytes().startswith(before)
    assert Kept(file, None).find("burn:3%", second.settings) is not None


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text("{}\n", encoding="utf-8")
    with pytest.raises(LabError, match="line 1, cannot be read"):
        Kept(file, None)


@pytest.mark.parametrize("case", ["burn", "burn:3", "burn:-3%", "delay:2%", "spin:3%", "burn:x%"])
def test_what_is_no_case_is_one_sentence(case: str) -> None:
    with pytest.raises(LabError, match="is no case; take burn:3%"):
        parse_case(case)


def test_cases_are_read_with_their_unit() -> None:
    kind, share = parse_case("burn:3%")
    assert kind == "burn"
    assert share == pytest.approx(0.03)
    assert parse_case("delay:2ms") == ("delay", 2.0)


def test_what_is_burnt_is_a_share_of_what_the_base_takes() -> None:
    run = make_run([t for t in trials_of() if t.slot == 0], **IN_BLOCKS)
    assert cpu_truth(run, 10.0)[CPU] == pytest.approx(1.1)  # of 100 us a request


def test_the_p99_of_delayed_requests_is_what_delaying_them_gives() -> None:
    """2 % of equal requests are late, so the p99 is late by the whole delay; and where 5 % were
    slower than that already, it hardly moves."""
    rows = {"slot": 0, "outcome": "ok", "round": 1, "block": 1}
    equal = pd.DataFrame({"response_us": np.full(1000, 500.0), **rows})
    assert delay_truth(equal, 2.0)[BLOCK_P99] == pytest.approx(5.0)
    slow = equal.assign(response_us=np.where(np.arange(1000) < 50, 10_000.0, 500.0))
    assert delay_truth(slow, 2.0)[BLOCK_P99] == pytest.approx(1.0)
    draw = np.random.default_rng(1)
    spread = equal.assign(response_us=draw.exponential(300.0, 1000) + 100)
    told = []
    for _ in range(200):
        late = draw.random(1000) < 0.02
        p99 = np.quantile(spread["response_us"] + 2000.0 * late, 0.99, method="inverted_cdf")
        told.append(p99 / np.quantile(spread["response_us"], 0.99, method="inverted_cdf"))
    assert delay_truth(spread, 2.0)[BLOCK_P99] == pytest.approx(float(np.median(told)), rel=0.05)


@pytest.mark.parametrize(
    ("ends", "has"),
    [((0.9, 1.2), True), ((1.11, 1.2), False), ((0.9, 1.09), False), ((None, None), None)],
)
def test_an_interval_has_the_truth_or_has_not(ends: Any, has: bool | None) -> None:
    found = Comparison(
        rps=2000.0, baseline="a", contender="b", slot=1, metric=CPU, ratio=1.1, ci_low=ends[0],
        ci_high=ends[1], verdict="cannot-tell", rounds=8, note=None, ruled_out=None,
        smallest_difference=None,
    )  # fmt: skip
    assert covered(found, 1.1) is has
