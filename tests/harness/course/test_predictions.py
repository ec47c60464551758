"""Predictions are kept as they were meant, stand once their result was seen, and are drawn against
it; results are not shown before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.course.prediction_charts import calibration_sentence, draw_calibration
from harness.course.predictions import FILE, load_predictions
from harness.course.questions import QUESTIONS
from harness.lab import calibration, predict, resolve, show_after


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAB_UNFOLDED", raising=False)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().out
    assert len(text.strip().splitlines()) == 1
    return text


@pytest.mark.parametrize(
    ("question", "given", "value"),
    [
        ("0.1", 50, 50), ("0.1", "50", 50), ("0.1", "50 %", 50), ("0.1", np.int64(50), 50),
        ("0.1", 0, 0), ("0.2", 1.3, 1.3), ("0.2", "18 times", 18), ("2.1", "1,000 µs", 1000),
        ("0.3", "pool", "thread-pool"), ("0.3", "Thread per request", "thread-per-request"),
        ("1.1", "rate_limit", "rate limit"),
    ],
)  # fmt: skip
def test_a_prediction_is_kept_as_it_was_meant(
    question: str, given: object, value: object, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(question, given, sure="70 %")
    assert said(capsys).startswith(f"Prediction {question}: {QUESTIONS[question].shown(value)}, 70")  # type: ignore[arg-type]
    kept = load_predictions(folder)[question]
    assert (kept.value, kept.sure, kept.seen) == (value, 70, False)


@pytest.mark.parametrize(
    ("question", "given", "sure", "words"),
    [
        ("0.1", "lots", 50, "'lots' is no number (in %)"),
        ("0.1", float("nan"), 50, "no number"),
        ("0.1", float("inf"), 50, "no number"),
        ("0.1", True, 50, "no number"),
        ("0.1", [50], 50, "no number"),
        ("0.1", 120, 50, "more than all"),
        ("0.1", -1, 50, "less than nothing"),
        ("0.2", "50 %", 50, "is a share"),
        ("0.3", "thread", 50, "none of thread-per-request, thread-pool"),
        ("0.3", "", 50, "none of"),
        ("0.1", 50, 300, "sure=300 is no per cent"),
        ("0.1", 50, "very", "sure='very' is no per cent"),
        ("9.9", 1, 50, "no such question; there are 0.1"),
    ],
)
def test_what_is_no_prediction_is_one_sentence_and_changes_nothing(
    question: str, given: object, sure: object, words: str, folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    predict(question, given, sure)
    assert words in said(capsys)
    assert load_predictions(folder) == {}


def test_it_may_change_until_its_result_was_shown_and_not_afterwards(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_after("0.1", "the answer is 100")
    assert "Folded until there is a prediction 0.1" in said(capsys)
    predict("0.1", 50)
    predict("0.1", 60, sure=0.7)
    capsys.readouterr()
    show_after("0.1, 0.2", "the answer is 100")
    assert "Folded until there is a prediction 0.2" in said(capsys)
    assert not load_predictions(folder)["0.1"].seen
    show_after("0.1", "the answer is 100")
    capsys.readouterr()
    predict("0.1", 100)
    assert "60 %, 70 % sure stands" in said(capsys)
    predict("0.1", 60, sure=70)  # the cell again
    assert "Prediction 0.1: 60 %" in said(capsys)
    predict("0.1", None)
    assert "Prediction 0.1: 60 %" in said(capsys)
    assert load_predictions(folder)["0.1"].value == 60


def test_a_result_is_drawn_only_beside_a_prediction(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {"0.1": 100.0, "0.2": np.float64(1.25), "0.3": "thread-pool", "2.3": float("nan")}
    assert resolve(results) is None
    assert "Not shown: 0.1, 0.2, 0.3, 2.3" in said(capsys)
    assert not (folder / FILE).exists()
    for question, value in (("0.1", 50), ("0.2", 1.5), ("2.3", 40)):
        predict(question, value, sure=80)
    drawn = resolve(results)
    assert drawn is not None
    assert "0.1: 50 % predicted, 100 % came out: wrong." in drawn.alternative
    assert "0.2: 1.5 times predicted, 1.25 times came out: right." in drawn.alternative
    assert "0.3" not in drawn.alternative
    assert load_predictions(folder)["0.2"].result == 1.25
    assert load_predictions(folder)["2.3"].result is None
    monkeypatch.setenv("LAB_UNFOLDED", "1")
    drawn = resolve(results)
    assert drawn is not None
    assert "0.3: thread-pool came out; there was no prediction." in drawn.alternative


def ends_of(question: str) -> Sequence[float | str]:
    """What a prediction or a result may be at most, and at least."""
    known = QUESTIONS[question]
    return known.choices or ((0, 50, 100) if known.points else (0, 1e-9, 1e12))


def assert_drawn(
    folder: Path, values: Mapping[str, float | str], results: Mapping[str, Any]
) -> None:
    """These predictions, and no earlier ones, can be drawn against these results."""
    (folder / FILE).unlink(missing_ok=True)  # one whose result was shown would stand
    for question, value in values.items():
        predict(question, value, sure=100)
    drawn = resolve(results)
    assert drawn is not None
    for question in results:
        assert f"{question}: {QUESTIONS[question].shown(values[question])} predicted" in (
            drawn.alternative
        )
    assert drawn._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(("predicted", "result"), [(0, -1), (-1, 0)])
def test_every_question_can_be_drawn(predicted: int, result: int, folder: Path) -> None:
    ends = {question: ends_of(question) for question in QUESTIONS}
    values = {question: end[predicted] for question, end in ends.items()}
    assert_drawn(folder, values, {question: end[result] for question, end in ends.items()})


# Of each way to count as right one, since only the limits of the others are wider or closer.
@pytest.mark.parametrize("question", ["0.1", "0.2", "0.3"])
def test_a_prediction_can_be_drawn_with_whatever_came_out(question: str, folder: Path) -> None:
    for value in ends_of(question):
        for result in ends_of(question):
            assert_drawn(folder, {question: value}, {question: result})


@pytest.mark.parametrize("text", ["", "no JSON", '{"predictions": 5}', '{"schema": 1', "\xff"])
def test_a_file_that_is_none_of_ours_is_one_sentence(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / FILE).write_bytes(text.encode("latin-1"))
    predict("0.1", 50)
    assert "is not as predict() writes it" in said(capsys)
    show_after("0.1", "x")
    assert "is not as predict() writes it" in said(capsys)
    assert resolve({"0.1": 1.0}) is None
    assert "is not as predict() writes it" in said(capsys)
    assert (folder / FILE).read_bytes() == text.encode("latin-1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.chmod(0o500)
    predict("0.1", 50)
    assert "cannot write predictions.json" in said(capsys)


def test_calibration_counts_what_has_a_certainty_and_a_result() -> None:
    assert "No prediction with a certainty" in calibration().alternative
    predict("0.1", 50, sure=90)
    predict("0.2", 1.2)  # no certainty
    predict("0.3", "pool", sure=60)  # no result
    resolve({"0.1": 100, "0.2": 1.25})
    words = calibration(document=0.25).alternative
    assert words.startswith("90 % sure on average, 0 % right: Brier score 0.81")
    assert "right in 25 % of its claims" in words


def test_the_sentence_allows_for_chance() -> None:
    fair = [(0.7, True)] * 7 + [(0.7, False)] * 3
    assert calibration_sentence(fair) == (
        "70 % sure on average, 70 % right: Brier score 0.21; "
        "the gap is no larger than chance allows"
    )
    assert "overconfident, by more" in calibration_sentence([(0.9, False)] * 5)
    assert "underconfident, by more" in calibration_sentence([(0.3, True)] * 10)
    assert "chance" in calibration_sentence([(0.6, False)])


def test_the_bins_hold_every_certainty_once() -> None:
    words = draw_calibration([(n / 20, True) for n in range(21)], None).alternative
    counts = [int(part.split()[0]) for part in words.split("Of ")[1:]]
    assert sum(counts) == 21
    assert len(counts) == 4
