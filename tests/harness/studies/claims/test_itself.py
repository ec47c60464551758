"""The document against itself: the sums, repeated here by hand."""

from __future__ import annotations

import re

import pytest

from harness.studies.claims.consistency import checks
from harness.studies.claims.document_figures import agrees, little
from harness.studies.claims.records import Check

FOUND = {check.id: check for check in checks()}


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("little-threads", "1.7 threads"),
        ("threads-life", "20 to 50 ms"),
        ("life-threads", "60 to 100 threads"),
        ("pool-of-waiters", "320 to 533 RPS"),
        ("chefs", "46 against 960"),
        ("same-machine", "19,185 RPS"),
        ("goodput", "2,200 a second at 5,000 RPS"),
        ("storm-queue", "90 to 100 ms"),
        ("queue-wait", "0.02"),
        ("response-order", "534 µs, 11.9×"),
        ("memory-6x", "1.25× to 6.25×"),
    ],
)
def test_what_contradicts_the_document_is_computed(name: str, follows: str) -> None:
    assert not FOUND[name].consistent
    assert follows in FOUND[name].follows


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        ("steps", "= 34 µs"), ("thread-total", "= 834 µs"), ("pool-total", "= 45 µs"),
        ("faster", "18.5×"), ("switches", "125×"), ("median", "48.9×"), ("overhead", "72.7×"),
        ("utilisation", "0.56%"), ("worker-most", "22,222"), ("success", "1.9×"),
    ],
)  # fmt: skip
def test_what_adds_up_is_computed_too(name: str, follows: str) -> None:
    assert FOUND[name].consistent
    assert follows in FOUND[name].follows


def test_the_cpu_that_the_storm_needs_is_named() -> None:
    assert little(2000, 834) == pytest.approx(1.668)
    assert "1.67 CPUs" in FOUND["same-machine"].explanation
    assert "352,000" in FOUND["two-capacities"].follows


@pytest.mark.parametrize("check", FOUND.values(), ids=str)
def test_each_check_is_named_and_explained_in_two_sentences(check: Check) -> None:
    assert len(FOUND) == len(checks())
    assert check.title
    sentences = re.findall(r"[.!?](?= [A-Z0-9]|$)", check.explanation)
    assert len(sentences) == 2, check.explanation


def test_agreement_allows_the_rounding_of_the_document_and_no_more() -> None:
    assert agrees(72.7, 72)
    assert not agrees(80, 72)
    assert agrees((60.0, 100.0), (40, 100))
    assert not agrees((20.0, 100.0), (40, 100))
