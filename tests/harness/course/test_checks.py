"""Answers are understood as a person means them; a known misconception gets the sentence for it."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from harness.course.checks import EXERCISES, check, number
from harness.course.files import recorded_folder
from harness.course.hints import SECOND_HINTS
from harness.lab import Experiment, load_run, reference

RUNS = {"0.1": "first", "1.1": "life", "4.1": "rounds"}


def evidence(exercise: str) -> Experiment:
    """The run that an exercise is about."""
    name = RUNS.get(exercise)
    return reference() if name is None else load_run(recorded_folder() / name)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (800, 800), (800.0, 800), (np.int64(800), 800), (np.float32(0.5), 0.5), ("800", 800),
        (" 1,000 ", 1000), ("50 %", 0.5), ("50%", 0.5), ("many", None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_numbers_are_understood(answer: object, value: float | None) -> None:
    assert number(answer) == value


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("2.1", 1.668), ("2.1", "1.7"), ("3.4", 800), ("3.4", np.int64(800)), ("3.4", "800"),
     ("3.5", 32), ("3.6", 200), ("6.1", 300)],
)  # fmt: skip
def test_what_is_right_is_right(
    exercise: str, answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(exercise, answer)
    assert capsys.readouterr().out == f"Exercise {exercise}: right.\n"


@pytest.mark.parametrize(
    ("exercise", "answer", "sentence"),
    [
        ("2.1", 1_668_000, "unit of 834"),
        ("2.1", 1668, "for milliseconds"),
        ("2.1", 2.398, "Divided"),
        ("2.1", 0.417, "Divided"),
        ("2.1", 40, "the document says"),
        ("2.1", "lots", "is no number"),
        ("2.1", 7, "Little's law"),
        ("3.4", 720, "Multiplied"),
        ("3.4", "0.72", "Multiplied"),
        ("3.4", 0.8, "in a millisecond"),
        ("3.4", 33.3, "one worker"),
        ("3.4", 400, "24 workers, and 30 ms"),
        ("3.4", 5, "how many can it"),
        ("3.5", 32_000, "in milliseconds"),
        ("3.5", 40, "fewer are busy"),
        ("3.5", 20_000, "Divided"),
        ("3.6", 400, "what comes in that time"),
        ("3.6", 10_000, "waits for 25 s"),
        ("6.1", 300_000, "in milliseconds"),
        ("6.1", 333, "Divided"),
        ("6.1", 16, "how many the document has"),
        ("6.1", 533.3, "what 16 workers serve"),
        ("6.1", 7, "Little's law"),
    ],
)
def test_a_known_misconception_gets_its_sentence(
    exercise: str, answer: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(exercise, answer)
    said = capsys.readouterr().out
    assert said.startswith(f"Exercise {exercise}: not yet. ")
    assert sentence in said


@pytest.mark.parametrize(
    ("exercise", "answer", "sentence"),
    [
        ("0.1", "CPU per request, µs", "into a set"),
        ("0.1", 7, "into a set"),
        ("0.1", {"CPU"}, "'CPU' is no figure"),
        ("0.1", {"CPU per request, µs"}, "of them are missing"),
        ("0.1", {"threads alive, mean"}, "good or bad by itself"),
        ("0.1", {"p99 response, µs"}, "includes 1"),
        ("1.1", 0.999, "read to close"),
        ("4.1", 1, "quantile"),
        ("7.1", 9.9, "70 %"),
    ],
)
def test_a_wrong_answer_about_a_run_gets_its_sentence(
    exercise: str, answer: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(exercise, answer, evidence(exercise))
    assert sentence in capsys.readouterr().out


def test_wrong_turns_with_a_runs_own_figures_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, rounds = reference(), load_run(recorded_folder() / "rounds")
    cost = run.figure("server.cpu_us_per_request.total", 2000)
    each = rounds.requests.groupby("round")["response_us"].quantile(0.99)
    life = load_run(recorded_folder() / "life")
    thread, pool = life.anatomy().lives
    assert pool.useful_share is not None
    for exercise, answer, evidence, sentence in (
        ("7.1", 1e6 / cost["thread-pool"], run, "nothing to spare"),
        ("7.1", 0.7e6 / cost["thread-per-request"], run, "thread-per-request's"),
        ("4.1", each.mean(), rounds, "the p99 of nothing"),
        ("1.1", thread.useful_share, life, "thread-per-request's"),
        ("1.1", 100 * pool.useful_share, life, "from 0 to 1"),
    ):
        assert not check(exercise, answer, evidence)
        assert sentence in capsys.readouterr().out
    assert check("7.1", f"{0.7e6 / cost['thread-pool']:,.0f}", run)


def test_a_second_wrong_answer_gets_a_further_hint_and_the_same_one_again_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.course.checks._wrong", {})
    for answer, further in ((7, False), (7, False), (9, True), (7, True)):
        assert not check("3.4", answer)
        said = capsys.readouterr().out
        assert "how many can it serve in a second?" in said
        assert (SECOND_HINTS["3.4"] in said) == further
    assert check("3.4", 800)
    assert set(SECOND_HINTS) <= set(EXERCISES)


def test_there_is_a_sentence_for_an_exercise_that_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not check("9.9", 1)
    assert "There is no exercise 9.9; there are 0.1," in capsys.readouterr().out


@pytest.mark.parametrize("exercise", sorted(EXERCISES))
def test_without_an_answer_there_is_no_hint(
    exercise: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(exercise, None)
    assert capsys.readouterr().out == (
        f"Exercise {exercise}: no answer yet. Put yours in, and run this cell again.\n"
    )


def test_a_pool_is_examined_as_its_file_is_now_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Path(__file__).with_name("right_pool.py").read_text("utf-8")
    file = tmp_path / "a_learners_pool.py"
    file.write_text(right.replace("class Pool:", "class Mine:"), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("a_learners_pool").Mine
    assert check("3.3", mine)
    file.write_text(file.read_text("utf-8").replace(">= self.size", "> self.size"), "utf-8")
    assert not check("3.3", mine)  # though the class that was imported is the old one
    assert "With room for 3 it let 4 wait" in capsys.readouterr().out


def test_a_pool_that_is_in_no_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Local:
        pass

    assert not check("3.3", Local)
    assert not check("3.3", 16)
    assert capsys.readouterr().out.count("examined in a file of its own") == 2
