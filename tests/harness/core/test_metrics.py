"""A metric is declared once: whatever is shown, and what it is called, is in core/metrics.py."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import harness
from harness.core.metrics import BY_PATH, METRICS, View, shown
from harness.core.record import Trial, metric_value
from harness.studies.regress.thresholds import DEFAULT_MAX_LOSS
from tests.support.made import make_trial

HARNESS = Path(harness.__file__).parent
PATH = re.compile(r"(?:client|server)\.[a-z0-9_.]*[a-z0-9]")


@cache
def elsewhere() -> dict[Path, ast.Module]:
    """Every other module of the harness, parsed."""
    return {
        file: ast.parse(file.read_text("utf-8"))
        for file in sorted(HARNESS.rglob("*.py"))
        if file != HARNESS / "core" / "metrics.py"
    }


def text_of(node: ast.AST | None) -> str | None:
    """The text of a literal."""
    found = isinstance(node, ast.Constant) and node.value
    return found if isinstance(found, str) else None


def beside(tree: ast.AST) -> Iterator[list[str]]:
    """The texts that stand next to each other in a tuple, list, call or entry of a mapping."""
    for node in ast.walk(tree):
        groups: list[list[ast.expr | None]] = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            groups = [list(node.elts)]
        elif isinstance(node, ast.Call):
            groups = [[*node.args, *(keyword.value for keyword in node.keywords)]]
        elif isinstance(node, ast.Dict):
            groups = [[key, value] for key, value in zip(node.keys, node.values, strict=True)]
        for group in groups:
            yield [text for each in group if (text := text_of(each)) is not None]


def test_no_other_module_has_a_name_for_a_metric() -> None:
    named = [
        (str(file.relative_to(HARNESS)), texts)
        for file, tree in elsewhere().items()
        for texts in beside(tree)
        if BY_PATH.keys() & set(texts) and not set(texts) <= BY_PATH.keys()
    ]
    assert named == []


def test_every_path_in_the_code_is_a_metric_or_the_beginning_of_some() -> None:
    strange = [
        (str(file.relative_to(HARNESS)), path)
        for file, tree in elsewhere().items()
        for node in ast.walk(tree)
        if (path := text_of(node)) and PATH.fullmatch(path)
        if not any(f"{known}.".startswith(f"{path}.") for known in BY_PATH)
    ]
    assert strange == []


def test_a_path_is_declared_once_and_is_a_figure_of_a_trial() -> None:
    assert len(BY_PATH) == len(METRICS)
    trial: Trial = make_trial(0, 1)
    for path in BY_PATH:
        metric_value(trial, path)  # raises AttributeError for a wrong name
    assert set(DEFAULT_MAX_LOSS) == {m.path for m in METRICS if m.headline and m.design is None}


@pytest.mark.parametrize("view", ["table", "report", "notebook", "sentence"])
def test_every_view_has_each_name_once_and_the_headlines(view: View) -> None:
    names = [name for name, _ in shown(view)]
    assert len(set(names)) == len(names) > 5
    headlines = {m.path for m in METRICS if m.headline} - {"client.success_rate"}
    assert headlines <= {metric.path for _, metric in shown(view)}


def test_blocks_have_figures_that_whole_trials_have_not() -> None:
    added = set(shown("table", "blocks")) - set(shown("table", "trials"))
    assert {name for name, _ in added} == {"Median of a block", "p99 of a block"}


def test_what_is_said_and_shown_first() -> None:
    """Orders that people know."""
    assert [name for name, _ in shown("sentence", "trials")] == [
        "the CPU per request", "the overhead CPU", "the median response time", "the p99",
        "the context switches",
    ]  # fmt: skip
    table = [name for name, _ in shown("table", "blocks")]
    assert table[0] == "Threads alive, mean"
    assert table[-5:] == ["Latency, median", "Latency, p99", "Median of a block", "p99 of a block",
                          "Success"]  # fmt: skip
    assert [name for name, _ in shown("notebook", "trials")] == [
        "success", "median response, µs", "p99 response, µs", "CPU per request, µs",
        "overhead CPU per request, µs", "context switches per second", "threads alive, mean",
        "threads created per second", "queue depth, most", "resident memory, bytes",
    ]  # fmt: skip
