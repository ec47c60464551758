"""Predictions that count: `predict("0.1", 50, sure=70)` writes one into `predictions.json` beside
the notebook, `show_after("0.1", ...)` shows what answers it only once it is there, and `resolve`
sets it against the result.

A prediction may be changed until its result has been shown, and not afterwards.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.core.errors import LabError
from harness.course.checks import number
from harness.course.questions import QUESTIONS

if TYPE_CHECKING:
    from harness.session.experiment import Picture

FILE = "predictions.json"


class Prediction(msgspec.Struct, kw_only=True):
    """What was predicted, how sure of it somebody was (percent; None: not said), whether the result
    has been shown, and the result."""

    value: float | str
    sure: float | None = None
    seen: bool = False
    result: float | str | None = None

    def right(self, question: str) -> bool | None:
        """Whether it counts as right; None: there is no result yet."""
        known = QUESTIONS.get(question)
        if self.result is None or known is None:
            return None
        return known.right(self.value, self.result)


class Kept(msgspec.Struct, kw_only=True):
    """All of a learner's predictions, by question."""

    schema: int = 1
    predictions: dict[str, Prediction] = {}


def load_predictions(folder: Path) -> dict[str, Prediction]:
    """The predictions in a learner's folder; none where there is no file. Raises `LabError` for a
    file that `predict` did not write."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept).predictions
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not as predict() writes it ({error}); move it away") from error


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, Prediction]]:
    """The predictions, written back whole at the end; several notebooks take turns."""
    path = folder / FILE
    try:
        with (folder / f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = load_predictions(folder)
            yield found
            new = folder / f".{FILE}.new"
            data = msgspec.json.encode(Kept(predictions=dict(sorted(found.items()))))
            new.write_bytes(msgspec.json.format(data, indent=1))
            new.replace(path)
    except OSError as error:
        raise LabError(f"cannot write {path}: {error.strerror}") from error


def predict(question: str, value: Any, sure: Any = None) -> None:
    """Write down a prediction, and say how it was understood.

    `value`: a number in the question's unit, or one of its choices; None: none yet. `sure`: how
    sure you are that it will count as right, in per cent; without it the prediction is no part of
    your calibration. It may be changed until its result has been shown. What cannot be understood
    is one sentence, and changes nothing.
    """
    try:
        print(_predict(str(question), value, sure))
    except (LabError, ValueError) as error:
        print(f"Prediction {question}: {error}.")


def _predict(question: str, value: Any, sure: Any) -> str:
    known = QUESTIONS.get(question)
    if known is None:
        raise ValueError(f"there is no such question; there are {', '.join(QUESTIONS)}")
    asked = f"({known.text}; {known.counts})"
    if value is None:
        before = load_predictions(Path()).get(question)
        if before is None:
            unit = f", in {known.unit}" if known.unit else ""
            return f"Prediction {question}: none yet{unit} {asked}"
        return f"Prediction {question}: {_told(question, before)} {asked}"
    made = Prediction(value=known.read(value), sure=_sureness(sure))
    with _changing(Path()) as kept:
        before = kept.get(question)
        if before is not None and before.seen and (before.value, before.sure) != (
            made.value, made.sure,
        ):  # fmt: skip
            raise ValueError(
                f"its result has been shown, so {_told(question, before)} stands (to begin again, "
                f"delete {FILE})"
            )
        kept[question] = made if before is None or not before.seen else before
    return f"Prediction {question}: {_told(question, made)} {asked}"


def _told(question: str, made: Prediction) -> str:
    """`50 %, 70 % sure`."""
    known = QUESTIONS[question]
    sure = "" if made.sure is None else f", {made.sure:g} % sure"
    return f"{known.shown(made.value)}{sure}"


def _sureness(given: Any) -> float | None:
    """Per cent, from 70, 0.7 or "70 %"; up to 1 is a share. Raises `ValueError`."""
    if given is None:
        return None
    value = number(given)
    if value is not None and 0 <= value <= 1:
        value = round(value * 100, 6)
    if value is None or not 0 <= value <= 100:
        raise ValueError(f"sure={given!r} is no per cent from 0 to 100")
    return value


def unfolded() -> bool:
    """Whether results are shown to somebody who has predicted nothing (`LAB_UNFOLDED=1`): for whom
    it is to be read as it is, and for the front of a room."""
    return os.environ.get("LAB_UNFOLDED", "") not in ("", "0")


def show_after(questions: str, *results: Any) -> None:
    """Show results, texts as Markdown, once there is a prediction for each of the questions
    ("0.1", or "0.1, 0.2"), which then stands. Else say which is missing."""
    asked = questions.replace(",", " ").split()
    if not unfolded():
        try:
            missing = [question for question in asked if question not in load_predictions(Path())]
            if not missing:
                _mark_seen(asked)
        except LabError as error:
            print(f"{error}.")
            return
        if missing:
            print(
                f"Folded until there is a prediction {' and '.join(missing)}: put yours in above "
                "(predict), run that cell, and this one again."
            )
            return
    for result in results:
        _show(result)


def _mark_seen(questions: list[str]) -> None:
    with _changing(Path()) as kept:
        for question in questions:
            kept[question].seen = True


def _show(result: Any) -> None:
    from IPython.display import Markdown, display

    shown = Markdown(result) if isinstance(result, str) else result  # type: ignore[no-untyped-call]
    display(shown)  # type: ignore[no-untyped-call]


def resolve(results: Mapping[str, Any]) -> Picture | None:
    """Set predictions against results (by question; None: the run has none), keep the results with
    them, and draw both. Without a prediction the result of a question is not shown."""
    from harness.course.prediction_charts import draw_against

    try:
        known = {
            q: found for q, given in results.items() if (found := _result(q, given)) is not None
        }
        kept = _resolved(known)
    except (LabError, ValueError) as error:
        print(f"{error}.")
        return None
    rows = {q: kept.get(q) for q in known if q in kept or unfolded()}
    left = [question for question in results if question not in rows]
    if left:
        print(f"Not shown: {', '.join(left)}, without a prediction or a result.")
    return draw_against(rows, known) if rows else None


def _result(question: str, given: Any) -> float | str | None:
    """A result as it is kept. Raises `ValueError` for a question that is none."""
    if question not in QUESTIONS:
        raise ValueError(f"There is no question {question}; there are {', '.join(QUESTIONS)}")
    if given is None or (not isinstance(given, str) and math.isnan(given)):
        return None
    return given if isinstance(given, str) else float(given)


def _resolved(results: Mapping[str, float | str]) -> dict[str, Prediction]:
    """The learner's predictions, with these results; nothing is written where there are none."""
    kept = load_predictions(Path())
    if not any(question in kept for question in results):
        return kept
    with _changing(Path()) as kept:
        for question, result in results.items():
            if question in kept:
                kept[question].seen, kept[question].result = True, result
        return kept


def calibration(document: float | None = None) -> Picture:
    """The learner's own calibration curve: of predictions that were given so much certainty, what
    share came out right. `document`: the share of the design document's claims that hold, which it
    states without a doubt."""
    from harness.course.prediction_charts import draw_calibration

    try:
        kept = load_predictions(Path())
    except LabError as error:
        print(f"{error}.")
        kept = {}
    judged = [
        (made.sure / 100, right)
        for question, made in kept.items()
        if made.sure is not None and (right := made.right(question)) is not None
    ]
    return draw_calibration(judged, document)
