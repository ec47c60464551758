"""Every export is read back by a parser that is not ours."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from junitparser import JUnitXml
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.core.record import Run
from harness.studies.regress.exports import run_text, verdict_text
from harness.studies.regress.thresholds import parse_thresholds
from harness.studies.regress.verdict import Verdict, judge_runs
from tests.support.changed_runs import scaled
from tests.support.schemas import assert_follows

CPU = "server.cpu_us_per_request.total"
# What github-action-benchmark's README says of customBiggerIsBetter and customSmallerIsBetter.
BENCHMARK_ACTION = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string"},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
    },
}
Text = Callable[[str], str]


@pytest.fixture
def verdict(reference: Run) -> Verdict:
    """A check that fails for one backend."""
    slower = scaled(reference, "slower | *<b>", CPU, 3.0, slot=1)
    return judge_runs(reference, slower, parse_thresholds([], ["client.success_rate=0.99"]))


@pytest.fixture(params=["run", "verdict"])
def text(request: pytest.FixtureRequest, reference: Run, verdict: Verdict) -> Text:
    """Both kinds of export."""
    if request.param == "run":
        return lambda form: run_text(reference, form)
    return lambda form: verdict_text(verdict, form)


def test_csv_holds_every_figure(text: Text) -> None:
    frame = pd.read_csv(io.StringIO(text("csv")))
    assert len(frame) > 10
    known = frame.dropna(subset=["value", "low"])
    assert (known["low"] <= known["value"] + 1e-9).all()
    assert (frame["rps"].dropna() == 2000).all()  # whether the run is whole is of no level


@pytest.mark.parametrize("form", ["benchmark-action", "benchmark-action-bigger"])
def test_the_benchmark_actions_json(text: Text, form: str) -> None:
    entries: list[dict[str, Any]] = json.loads(text(form))
    assert_follows(entries, BENCHMARK_ACTION)
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names)
    assert any("success_rate" in name for name in names) == form.endswith("bigger")


def test_openmetrics(text: Text) -> None:
    read: Any = text_string_to_metric_families  # it has no annotations
    families = list(read(text("openmetrics")))
    assert any("cpu_us_per_request_total" in family.name for family in families)
    samples = [sample for family in families for sample in family.samples]
    assert {sample.labels["bound"] for sample in samples} == {"value", "low", "high"}
    assert all(family.type == "gauge" and family.documentation for family in families)


def test_junit_of_a_run_has_a_case_a_trial(reference: Run) -> None:
    suite = next(iter(JUnitXml.fromstring(run_text(reference, "junit").encode())))
    assert suite.tests == len(reference.trials)
    assert suite.skipped == sum(not trial.valid for trial in reference.trials)


def test_junit_of_a_verdict_says_what_failed(verdict: Verdict) -> None:
    suite = next(iter(JUnitXml.fromstring(verdict_text(verdict, "junit").encode())))
    cases = list(suite)
    assert suite.tests == len(cases) == 1 + len(verdict.checks)  # and that the run is whole
    assert suite.failures == verdict.count("fail") > 0
    assert suite.skipped == verdict.count("inconclusive")
    failed = [case for case in cases if case.result and case.result[0].type == "regression"]
    assert any(case.name == CPU for case in failed)


def test_markdown_is_a_table_of_every_figure(verdict: Verdict) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(verdict_text(verdict, "markdown"))
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows == 1 + len(verdict.checks)  # one head, one level
    assert not any(token.type in ("html_block", "html_inline") for token in tokens)
    cells = [t.content for t in tokens if t.type == "inline"]
    assert "fail" in cells
    inline = [child.content for t in tokens for child in t.children or () if child.type == "text"]
    assert any("slower | *<b>" in content for content in inline)


def test_markdown_of_a_run(reference: Run) -> None:
    text = run_text(reference, "markdown")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert sum(token.type == "tr_open" for token in tokens) == 1 + 6 * len(reference.cells)
